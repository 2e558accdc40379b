"""Trials of tail rules as text."""

from __future__ import annotations

from collections.abc import Iterator

from event_count_logger.config import TailRule
from event_count_logger.logs import counted
from event_count_logger.render import table
from event_count_logger.render.phrases import NO_VALUE, count, printable
from event_count_logger.sources.tail.trial import RuleTrial, Trial

#: Characters of a pattern, of an event, and of a line.
_PATTERN, _EVENT, _LINE = 32, 40, 100

_HEADER = ("rule", "match", "tried", "matched", "µs/line", "counts, for example")


def render(trial: Trial) -> str:
    """Returns a table of the rules, what makes slow ones slow, and the lines that they do not count."""
    rows = [_row(rule) for rule in trial.rules]
    return (table.render(_HEADER, rows) if rows else "") + "".join(f"  {line}\n" for line in _notes(trial))


def _row(rule: RuleTrial) -> tuple[object, ...]:
    per_line = rule.seconds_per_line
    took = NO_VALUE if per_line is None else f"{per_line * 1e6:,.2f}"
    examples = ", ".join(f"{_shortened(event_id, _EVENT)} {count(n)}" for event_id, n in rule.examples)
    conditions = _shortened(_conditions(rule.rule), _PATTERN)
    return rule.name, conditions, rule.n_tried, rule.n_matched, took.rjust(len(_HEADER[4])), examples


def _conditions(rule: TailRule) -> str:
    parts = [rule.pattern.pattern] if rule.pattern else []
    parts += [f"{value}: {pattern.pattern}" for value, pattern in rule.where]
    return ", ".join(parts)


def _notes(trial: Trial) -> Iterator[str]:
    for rule, factor in trial.slow:
        advice = f": {rule.advice}" if rule.advice else ""
        yield f"SLOW: {rule.name} takes {factor:,.0f} times the median time{advice}"
    for event_id, n in sorted(trial.reserved.items()):
        yield f"{event_id}: {count(n)}"
    for fault in trial.faults:
        yield f"not counted: {printable(fault)}"
    if trial.malformed:
        yield f"malformed: {_shortened(printable(trial.malformed), _LINE)}"
    for line in trial.unmatched:
        yield f"unmatched: {_shortened(printable(line), _LINE)}"
    if not trial.is_complete:
        yield f"ended early, after {counted(trial.n_lines, 'line')}: the rules are very slow"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
