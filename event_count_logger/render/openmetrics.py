"""Metrics of all groups, in OpenMetrics and in the older text format of Prometheus.

Sources: OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec) and the text format 0.0.4
(prometheus.io/docs/instrumenting/exposition_formats). docs/openmetrics.md describes each metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Literal, NamedTuple, TypeAlias

from event_count_logger import keys
from event_count_logger.alerts.status import AlertStatus
from event_count_logger.reading.exports import ExportStatus
from event_count_logger.reading.reader import Snapshot
from event_count_logger.reading.scrape import GroupMetrics, Scrape
from event_count_logger.render.numbers import plain, thousandths

#: Media types of the two formats.
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Suffix of a family's name in the older format, by its type. In OpenMetrics only samples have it.
_SUFFIX = {"counter": "_total", "gauge": "", "info": "_info", "histogram": ""}

#: Text in the value of a label that must be escaped, in both formats. A byte that is not UTF-8 was read as a
#: surrogate, which cannot be sent, and is written as `\udcff`. Text that looks like that, or like its own
#: escape, gets `\u005c` for its backslash: the escaped text of each event ID is unique.
_SPECIAL = re.compile(r'(?P<alike>\\(?=(?:u005c)*ud[89a-f][0-9a-f]{2}))|[\\"\n\ud800-\udfff]')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}

#: Bounds from this one on have an exponent.
_EXPONENT_FROM = 1e6

#: Count per event ID.
_Counts: TypeAlias = Mapping[str, int]

#: Event ID, value, and the event that the value is made from.
_Values: TypeAlias = Iterable[tuple[str, int | str, str]]


class _Family(NamedTuple):
    """One metric, with the text after the name for each of its samples, which begins with the suffix."""

    name: str
    kind: Literal["counter", "gauge", "info", "histogram"]
    help: str
    samples: Iterable[str]


def render(scrape: Scrape, version: str, openmetrics: bool = True, alerts: Iterable[AlertStatus] = ()) -> str:
    """Returns a page of metrics.

    Args:
        scrape: The metrics.
        version: Version of this package.
        openmetrics: True for OpenMetrics, False for the text format of Prometheus.
        alerts: States of the rules of these groups.

    Returns:
        Valid Unicode for any event IDs. Counts are whole numbers of any size.
    """
    groups = scrape.groups if openmetrics else [replace(group, created={}) for group in scrape.groups]
    families = [*_families(replace(scrape, groups=groups), version), _alerts(alerts)]
    page = "".join(_text(family, openmetrics) for family in families)
    return f"{page}# EOF\n" if openmetrics else page


def _text(family: _Family, openmetrics: bool) -> str:
    lines = [f"{family.name}{sample}\n" for sample in family.samples]
    if not lines:
        return ""
    described = family.name if openmetrics else family.name + _SUFFIX[family.kind]
    kind = "gauge" if family.kind == "info" and not openmetrics else family.kind
    return "".join([f"# HELP {described} {family.help}\n", f"# TYPE {described} {kind}\n", *lines])


def _families(scrape: Scrape, version: str) -> Iterator[_Family]:
    lasts = [last for group in scrape.groups for last in group.lasts]
    yield _Family("ecl_up", "gauge", "1 if Redis answered, 0 if not.", [f" {scrape.up:d}"])
    yield _Family("ecl_build", "info", "Version of event-count-logger.", [f'_info{{version="{version}"}} 1'])
    yield _Family(
        "ecl_scrape_duration_seconds",
        "gauge",
        "Seconds to read all groups.",
        [f" {plain(scrape.duration_s)}"],
    )
    yield _Family(
        "ecl_scrape_errors",
        "counter",
        "Requests that Redis did not answer, or rejected.",
        [f"_total {scrape.n_errors}"],
    )
    yield _Family(
        "ecl_masters",
        "gauge",
        "Masters with a recent heartbeat.",
        [f'{{group="{group.group}"}} {group.n_masters}' for group in scrape.groups],
    )
    yield _Family(
        "ecl_stale",
        "gauge",
        "1 if the current interval is overdue, so that the last finished one is not the latest.",
        _of_intervals(lasts, lambda last: None if last.overdue_s is None else last.stale),
    )
    yield _Family(
        "ecl_last_interval_start_timestamp_seconds",
        "gauge",
        "Start of the last finished interval.",
        _of_intervals(lasts, lambda last: last.start),
    )
    yield _Family(
        "ecl_last_interval_end_timestamp_seconds",
        "gauge",
        "End of the last finished interval.",
        _of_intervals(lasts, lambda last: last.end),
    )
    yield _Family(
        "ecl_last_interval_events", "gauge", "Events in the last finished interval.", _counts(lasts)
    )
    yield _Family(
        "ecl_events",
        "counter",
        "All-time total of events.",
        _of_totals(scrape.groups, _events),
    )
    yield _Family("ecl_values", "histogram", "Numbers in lines of log files.", _histograms(scrape.groups))
    yield from _families_of_exports([export for group in scrape.groups for export in group.exports])
    yield from _families_of_sessions([group for group in scrape.groups if group.open_sessions is not None])


def _alerts(alerts: Iterable[AlertStatus]) -> _Family:
    return _Family(
        "ecl_alert_firing",
        "gauge",
        "1 if the alert fires, 0 if not.",
        [_state(alert) for alert in alerts if alert.state != "unknown"],
    )


def _state(alert: AlertStatus) -> str:
    rule = alert.rule
    return f'{{alert="{escaped(rule.name)}",group="{rule.group}"}} {int(alert.state == "firing")}'


def _families_of_exports(exports: Sequence[ExportStatus]) -> Iterator[_Family]:
    yield _Family(
        "ecl_exporters",
        "gauge",
        "Exporters with a recent heartbeat.",
        [f"{_interval(export)}}} {export.n_exporters}" for export in exports],
    )
    yield _Family(
        "ecl_export_behind_intervals",
        "gauge",
        "Finished intervals that are not in the database.",
        [f"{_interval(each)}}} {each.behind}" for each in exports if each.behind is not None],
    )
    yield _Family(
        "ecl_export_waiting_seconds",
        "gauge",
        "Seconds since the end of the oldest finished interval that is not in the database.",
        [f"{_interval(export)}}} {plain(export.waiting_s)}" for export in exports],
    )


def _families_of_sessions(groups: Sequence[GroupMetrics]) -> Iterator[_Family]:
    yield _Family("ecl_sessions", "counter", "All-time total of sessions.", _of_totals(groups, _sessions))
    yield _Family(
        "ecl_session_seconds",
        "counter",
        "All-time total of session seconds.",
        _of_totals(groups, _session_seconds),
    )
    yield _Family(
        "ecl_sessions_open",
        "gauge",
        "Sessions that have neither ended nor expired.",
        [f'{{group="{group.group}"}} {group.open_sessions}' for group in groups],
    )


def _of_intervals(lasts: Iterable[Snapshot], value: Callable[[Snapshot], float | None]) -> Iterator[str]:
    for last in lasts:
        number = value(last)
        if number is not None:
            yield f"{_interval(last)}}} {plain(number)}"


def _counts(lasts: Iterable[Snapshot]) -> Iterator[str]:
    for last in lasts:
        if not last.empty:
            interval = _interval(last)
            for event_id, count in last.counts.items():
                yield f'{interval},event="{escaped(event_id)}"}} {count}'


def _of_totals(groups: Iterable[GroupMetrics], values: Callable[[_Counts], _Values]) -> Iterator[str]:
    """Yields the samples of a counter. `_created` is the time of its value 0, where that is known."""
    for group in groups:
        if group.totals:
            for event_id, value, source in values(group.totals.counts):
                labels = f'{{group="{group.group}",event="{escaped(event_id)}"}}'
                yield f"_total{labels} {value}"
                if source in group.created:
                    yield f"_created{labels} {plain(group.created[source])}"


def _histograms(groups: Iterable[GroupMetrics]) -> Iterator[str]:
    for group in groups:
        if group.totals:
            for event_id, buckets in _buckets(group.totals.counts).items():
                labels = f'group="{group.group}",event="{escaped(event_id)}"'
                for bound, count in buckets:
                    yield f'_bucket{{{labels},le="{_bound(bound)}"}} {count}'


def _buckets(counts: _Counts) -> dict[str, list[tuple[float, int]]]:
    """Returns the bounds and counts of each histogram, in order.

    Events that only have the names of buckets, and other counts, are no histogram: scrapers would reject the
    page.
    """
    found: dict[str, dict[float, int]] = {}
    for event_id, count in counts.items():
        bucket = keys.parse_bucket(event_id)
        if bucket and bucket[0] in counts:
            found.setdefault(bucket[0], {inf: counts[bucket[0]]})[bucket[1]] = count
    histograms = {event_id: sorted(some.items()) for event_id, some in found.items()}
    return {event_id: buckets for event_id, buckets in histograms.items() if _rise(buckets)}


def _rise(buckets: Sequence[tuple[float, int]]) -> bool:
    values = [count for _, count in buckets]
    return values == sorted(values)


def _bound(bound: float) -> str:
    """Returns a bound as OpenMetrics requires it: 1.0, 0.5, 1e+06 or +Inf."""
    if bound == inf:
        return "+Inf"
    n_digits = len(f"{bound!r}".removesuffix(".0").strip("-0").replace(".", ""))
    return f"{bound:.{n_digits}g}" if abs(bound) >= _EXPONENT_FROM else f"{bound!r}"


def _events(counts: _Counts) -> _Values:
    return ((event_id, count, event_id) for event_id, count in counts.items())


def _sessions(counts: _Counts) -> _Values:
    return ((event_id, counts.get(event_id, 0), event_id) for event_id in _events_of_sessions(counts))


def _session_seconds(counts: _Counts) -> _Values:
    for event_id in _events_of_sessions(counts):
        time = keys.session_time(event_id)
        yield event_id, thousandths(counts.get(time, 0)), time


def _events_of_sessions(counts: _Counts) -> Iterable[str]:
    """Returns the events of sessions: in a group with sessions, all but the counts of dropped input."""
    dropped = (keys.LOST, keys.SKIPPED, keys.UNMATCHED, keys.MALFORMED)
    events = (event_id for event_id in counts if event_id not in dropped)
    return dict.fromkeys(map(keys.event_of_sessions, events))


def _interval(last: Snapshot | ExportStatus) -> str:
    """Returns the first labels of each metric of an interval; these names need no escaping."""
    return f'{{group="{last.group}",interval="{last.interval}"'


def escaped(value: str) -> str:
    """Returns the value of a label as text between quotes, which PromQL reads alike."""
    return _SPECIAL.sub(_escape, value)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if found["alike"]:
        return r"\\u005c"
    return _ESCAPES.get(character) or rf"\\u{ord(character):x}"
