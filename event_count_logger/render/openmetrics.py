"""What was read of all groups as metrics, in OpenMetrics and in the older text format of Prometheus.

Sources: OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec) and the text format 0.0.4
(prometheus.io/docs/instrumenting/exposition_formats). What each metric means is told in docs/openmetrics.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from event_count_logger import keys
from event_count_logger.reading.reader import Snapshot
from event_count_logger.reading.scrape import GroupMetrics, Scrape
from event_count_logger.render.numbers import plain, thousandths

#: What the two formats are called in HTTP.
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: What follows the name of a family in the name of its samples.
_SUFFIX = {"counter": "_total", "gauge": "", "info": "_info"}

#: What cannot stand in the value of a label as it is: the same in both formats. A byte that is not UTF-8
#: was read as a surrogate, which cannot be sent, and comes out as `\udcff`. Text that looks like that, or
#: like its own escape, gets `\u005c` for its backslash, so that no two event IDs come out as the same.
_SPECIAL = re.compile(r'(?P<alike>\\(?=(?:u005c)*ud[89a-f][0-9a-f]{2}))|[\\"\n\ud800-\udfff]')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}

#: Count per event ID.
_Counts: TypeAlias = Mapping[str, int]

#: Event ID, and what is written of it.
_Values: TypeAlias = Iterable[tuple[str, int | str]]


class _Family(NamedTuple):
    """One metric: a line for each of its samples, less its name."""

    name: str
    kind: Literal["counter", "gauge", "info"]
    help: str
    samples: Iterable[str]


def render(scrape: Scrape, version: str, openmetrics: bool = True) -> str:
    """A page of metrics.

    Args:
        scrape: What was read.
        version: Of this package.
        openmetrics: Whether in OpenMetrics; otherwise in the text format of Prometheus.

    Returns:
        Valid Unicode, whatever the event IDs are. Counts are whole numbers of any size.
    """
    page = "".join(_text(family, openmetrics) for family in _families(scrape, version))
    return f"{page}# EOF\n" if openmetrics else page


def _text(family: _Family, openmetrics: bool) -> str:
    name = family.name + _SUFFIX[family.kind]
    lines = [f"{name}{sample}\n" for sample in family.samples]
    if not lines:
        return ""
    described = family.name if openmetrics else name
    kind = "gauge" if family.kind == "info" and not openmetrics else family.kind
    return "".join([f"# HELP {described} {family.help}\n", f"# TYPE {described} {kind}\n", *lines])


def _families(scrape: Scrape, version: str) -> Iterator[_Family]:
    lasts = [last for group in scrape.groups for last in group.lasts]
    yield _Family("ecl_up", "gauge", "Whether Redis answered.", [f" {scrape.up:d}"])
    yield _Family("ecl_build", "info", "What wrote this page.", [f'{{version="{version}"}} 1'])
    yield _Family(
        "ecl_scrape_duration_seconds",
        "gauge",
        "How long it took to read all groups.",
        [f" {plain(scrape.duration_s)}"],
    )
    yield _Family(
        "ecl_scrape_errors",
        "counter",
        "Requests that Redis did not answer, or refused.",
        [f" {scrape.n_errors}"],
    )
    yield _Family(
        "ecl_masters",
        "gauge",
        "Masters that were there lately.",
        [f'{{group="{group.group}"}} {group.n_masters}' for group in scrape.groups],
    )
    yield _Family(
        "ecl_stale",
        "gauge",
        "Whether an interval is over that no master has ended: the last finished one is an old one.",
        _of_intervals(lasts, lambda last: None if last.overdue_s is None else last.stale),
    )
    yield _Family(
        "ecl_last_interval_start_timestamp_seconds",
        "gauge",
        "When the last finished interval began.",
        _of_intervals(lasts, lambda last: last.start),
    )
    yield _Family(
        "ecl_last_interval_end_timestamp_seconds",
        "gauge",
        "When the last finished interval ended.",
        _of_intervals(lasts, lambda last: last.end),
    )
    yield _Family(
        "ecl_last_interval_events", "gauge", "Events in the last finished interval.", _counts(lasts)
    )
    yield _Family(
        "ecl_events",
        "counter",
        "Events since ever.",
        _of_totals(scrape.groups, lambda counts: counts.items()),
    )
    yield from _families_of_sessions([group for group in scrape.groups if group.open_sessions is not None])


def _families_of_sessions(groups: Sequence[GroupMetrics]) -> Iterator[_Family]:
    yield _Family("ecl_sessions", "counter", "Sessions since ever.", _of_totals(groups, _sessions))
    yield _Family(
        "ecl_session_seconds",
        "counter",
        "Seconds of sessions since ever.",
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
                yield f'{interval},event="{_escaped(event_id)}"}} {count}'


def _of_totals(groups: Iterable[GroupMetrics], values: Callable[[_Counts], _Values]) -> Iterator[str]:
    for group in groups:
        if group.totals:
            for event_id, value in values(group.totals.counts):
                yield f'{{group="{group.group}",event="{_escaped(event_id)}"}} {value}'


def _sessions(counts: _Counts) -> _Values:
    return ((event_id, counts.get(event_id, 0)) for event_id in _events_of_sessions(counts))


def _session_seconds(counts: _Counts) -> _Values:
    for event_id in _events_of_sessions(counts):
        yield event_id, thousandths(counts.get(keys.session_time(event_id), 0))


def _events_of_sessions(counts: _Counts) -> Iterable[str]:
    """In a group that has sessions, all events are of them, except those that tell what was left out."""
    others = (keys.LOST, keys.SKIPPED, keys.UNMATCHED)
    of_sessions = (event_id for event_id in counts if event_id not in others)
    return dict.fromkeys(map(keys.event_of_sessions, of_sessions))


def _interval(last: Snapshot) -> str:
    """The labels that all metrics of an interval begin with: names of which nothing has to be escaped."""
    return f'{{group="{last.group}",interval="{last.interval}"'


def _escaped(value: str) -> str:
    return _SPECIAL.sub(_escape, value)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if found["alike"]:
        return r"\\u005c"
    return _ESCAPES.get(character) or rf"\\u{ord(character):x}"
