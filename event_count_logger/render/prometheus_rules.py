"""The rules of alerts as a rule file of Prometheus, made from the metrics of `/metrics`.

The expression of a rule has these parts; docs/openmetrics.md explains them:

    sum of the chosen events, 0 without any         sum without (event) (...) or 0 * END
    average per interval, if it covers several      * (LENGTH / clamp_min(END - START, LENGTH) or 0 * END + 1)
    limit                                           > 100
    for `for: 2`: nothing while the interval is overdue by half its length, unless the alert fires

`or 0 * END` has a value only for an interval that has finished and was scraped: an unknown count is no 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from event_count_logger.alerts.staleness import STALE_AFTER_S
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.render.numbers import plain
from event_count_logger.render.openmetrics import escaped

_HEAD = (
    "# Alerts of Event Count Logger, written by `ecl alert --prometheus-rules`.",
    "groups:",
    "  - name: event-count-logger-alerts",
    "    rules:",
)

#: Characters with a meaning in RE2 (github.com/google/re2/wiki/Syntax).
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")

#: Events that count milliseconds, and those that may be buckets, as regular expressions of RE2.
_SESSION_TIME = ".*:ms"
_BUCKET = r"(.+):le:-?(?:0|[1-9][0-9]*)(?:\\.[0-9]*[1-9])?"

#: Units of durations (prometheus.io/docs/prometheus/latest/querying/basics, section "Time durations").
_UNITS = (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def render(config: Config, rules: Iterable[AlertRule]) -> str:
    """Returns the rule file, in YAML."""
    lines = [line for rule in rules for line in _rule(rule, config.groups[rule.group])]
    head = _HEAD if lines else ["groups: []"]
    return "".join(f"{line}\n" for line in [*head, *lines])


def _rule(rule: AlertRule, group: GroupConfig) -> Iterator[str]:
    interval = None if rule.interval is None and rule.stale else choose_interval(group, rule.interval)
    expression = _stale(rule) if rule.stale or interval is None else _count(rule, group, interval)
    yield f"      - alert: {_quoted(rule.name)}"
    yield "        expr: |"
    yield from (f"          {line}" for line in expression)
    wait_ms = _wait_ms(rule, interval)
    if wait_ms:
        yield f"        for: {_duration(wait_ms)}"
    yield f"        labels: {{severity: {rule.severity}}}"
    yield f"        annotations: {{summary: {_quoted(_summary(rule, interval))}}}"


def _wait_ms(rule: AlertRule, interval: Interval | None) -> int:
    """Returns the time for which the expression must hold.

    A breach of one interval is visible for the length of an interval. A wait of `(n - 1)` lengths and a half
    ends when the n-th breach has been visible for half a length.
    """
    if rule.stale or interval is None:
        return int(STALE_AFTER_S * 1000)
    return 0 if rule.n_in_a_row == 1 else (2 * rule.n_in_a_row - 1) * interval.length_ms // 2


# Expressions


def _stale(rule: AlertRule) -> list[str]:
    interval = f',interval="{rule.interval}"' if rule.interval else ""
    return [
        f'max without (interval) (ecl_stale{{group="{rule.group}"{interval}}}) == 1',
        f'  or ecl_masters{{group="{rule.group}"}} == 0',
    ]


def _count(rule: AlertRule, group: GroupConfig, interval: Interval) -> list[str]:
    labels = f'group="{group.name}",interval="{interval.name}"'
    threshold = rule.above or rule.below
    assert threshold, "a rule without a limit is about staleness"
    found = [*_total(rule.event, group, labels), f"  or 0 * {_end(labels)}"]
    if threshold.is_percent:
        whole = [*_total(rule.of, group, labels), "  > 0"]
        value = ["100 * (", *_indented(found), ") / (", *_indented(whole), ")"]
    else:
        value = ["(", *_indented(found), ") * (", *_indented(_per_interval(labels, interval)), ")"]
    limit = f"{'>' if rule.above else '<'} {plain(threshold.value)}"
    overdue = _while_overdue(rule, interval, labels) if rule.n_in_a_row > 1 else []
    return [*value[:-1], f"{value[-1]} {limit}", *overdue]


def _per_interval(labels: str, interval: Interval) -> list[str]:
    """Returns an expression for the part that an interval's length has in the time that it covers."""
    end, length = _end(labels), plain(interval.length_s)
    start = f"ecl_last_interval_start_timestamp_seconds{{{labels}}}"
    return [f"{length} / clamp_min({end} - {start}, {length})", f"  or 0 * {end} + 1"]


def _while_overdue(rule: AlertRule, interval: Interval, labels: str) -> list[str]:
    """Returns the end of an expression that waits: an overdue interval is not counted as several."""
    firing = f'ALERTS{{alertname="{escaped(rule.name)}",alertstate="firing"}}'
    return [
        f"unless (time() - {_end(labels)} >= {plain(1.5 * interval.length_s)}",
        f"  unless ignoring (alertname, alertstate, severity) {firing})",
    ]


def _end(labels: str) -> str:
    return f"ecl_last_interval_end_timestamp_seconds{{{labels}}}"


def _total(patterns: Sequence[str], group: GroupConfig, labels: str) -> list[str]:
    """Returns the sum of the events that match one of the patterns, as `evaluation.total` has it."""
    exact = [each for each in patterns if "*" not in each]
    wild = [each for each in patterns if "*" in each]
    if not wild:
        return [f"sum without (event) ({_series(labels, _equals(exact))})"]
    others = [f"{_series(labels, _equals(exact))} or"] if exact else []
    return [
        "sum without (event, histogram) (",
        *_indented([*others, *_addable(labels, exact, wild, group)]),
        ")",
    ]


def _addable(labels: str, exact: Sequence[str], wild: Sequence[str], group: GroupConfig) -> list[str]:
    """Returns the selection of events whose counts may be added up, as `GroupConfig.addable` has it.

    A bucket is left out if its histogram is among the events of the group.
    """
    matchers = [_matches(wild)]
    matchers += [_equals(exact, negated=True)] if exact else []
    matchers += [f'event!~"{_SESSION_TIME}"'] if group.sessions else []
    return [
        f'label_replace({_series(labels, *matchers)}, "histogram", "$1", "event", "{_BUCKET}")',
        f'unless ignoring (event) label_replace({_series(labels)}, "histogram", "$1", "event", "(.+)")',
    ]


def _series(labels: str, *matchers: str) -> str:
    return f"ecl_last_interval_events{{{','.join((labels, *matchers))}}}"


def _equals(events: Sequence[str], negated: bool = False) -> str:
    if len(events) > 1:
        return _matches(events, negated)
    return f'event{"!=" if negated else "="}"{_string(events[0])}"'


def _matches(patterns: Sequence[str], negated: bool = False) -> str:
    """Returns a matcher of whole event IDs, in which `*` stands for any text."""
    expressions = (".*".join(_META.sub(r"\\\g<0>", part) for part in each.split("*")) for each in patterns)
    return f'event{"!~" if negated else "=~"}"{_string("|".join(expressions))}"'


# Text


def _summary(rule: AlertRule, interval: Interval | None) -> str:
    group = f"group {rule.group}"
    if rule.stale or interval is None:
        return f"{rule.interval or 'an interval'} of {group} is overdue, or no master runs"
    events = f"{', '.join(rule.event)} of {group}"
    limit = f"{'above' if rule.above else 'below'} {rule.above or rule.below}"
    unit = "%" if (rule.above or rule.below or (0, False))[1] else f" per {interval.name}"
    length = f" for {counted(rule.n_in_a_row, 'interval')}" if rule.n_in_a_row > 1 else ""
    # A name with `{{` would be read as a template.
    return f"{_literal(events)}: {{{{ $value }}}}{unit}, {limit}{length}"


def _literal(text: str) -> str:
    return text.replace("{{", '{{"{{"}}')


def _string(text: str) -> str:
    """Returns text between the quotes of PromQL, without characters that end a line in YAML."""
    return "".join(each if each.isprintable() else _code(each) for each in escaped(text))


def _quoted(text: str) -> str:
    """Returns a string of YAML in double quotes."""
    escapes = {'"': r"\"", "\\": r"\\"}
    return f'"{"".join(escapes.get(c, c) if c.isprintable() else _code(c) for c in text)}"'


def _code(character: str) -> str:
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"


def _duration(length_ms: int) -> str:
    parts = []
    for unit, size in _UNITS:
        number, length_ms = divmod(length_ms, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
