"""Annotations of groups as JSON: posted notes, and what the history itself shows about a range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal, NamedTuple

from typing_extensions import TypedDict  # pydantic does not take typing's own before Python 3.12

from event_count_logger.alerts.notification import limit_of
from event_count_logger.alerts.range_events import range_events
from event_count_logger.alerts.replay import Period
from event_count_logger.config import Config, GroupConfig
from event_count_logger.intervals import Interval
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.range_marks import Mark
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.times import EVER, Range
from event_count_logger.store import MOST_ANNOTATIONS, Annotation, Store

#: Intervals before now that a request without a range is about.
_USUAL_INTERVALS = 60

Kind = Literal["note", "alert", "late", "missing", "lost"]


class AnnotationDocument(TypedDict):
    """An annotation. `group` is null for a note that several groups have.

    `end` is null for a point in time, and for an alert that still fires after the last interval of the range.
    """

    id: str
    group: str | None
    kind: Kind
    start: float
    end: float | None
    text: str
    tags: Sequence[str]


class Annotations(TypedDict):
    """Annotations in the order of their starts, with the time of the answer."""

    now: float
    annotations: list[AnnotationDocument]


class Added(TypedDict):
    """An annotation that was added; `group` is null for all groups."""

    id: str
    group: str | None
    time: float
    end: float | None
    text: str
    tags: Sequence[str]


class Wanted(NamedTuple):
    """The annotations that a request wants.

    Attributes:
        group: Name of a group; None for the notes of all groups.
        interval: Name of an interval of the group; None for notes only.
        since: Start of the range of time; see `parse_time`.
        until: End of the range of time.
    """

    group: str | None = None
    interval: str | None = None
    since: str | None = None
    until: str | None = None


def added(group: str | None, annotation: Annotation) -> Added:
    """Returns an annotation that was added."""
    return {
        "id": annotation.id,
        "group": group,
        "time": annotation.time,
        "end": annotation.end,
        "text": annotation.text,
        "tags": annotation.tags,
    }


def annotations_of(config: Config, store: Store, wanted: Wanted) -> Annotations:
    """Returns annotations.

    Raises:
        InvalidTime: The range is invalid, or has too many intervals.
        StoreError: Redis does not answer.
    """
    group = None if wanted.group is None else config.group(wanted.group)
    now = store.client.server_time(group)
    if group is None:
        return {"now": now, "annotations": _of_all(config, store, wanted)}
    found = _of_group(config, store, group, wanted, now)
    return {"now": now, "annotations": sorted(found, key=lambda each: (each["start"], each["id"]))}


def _of_all(config: Config, store: Store, wanted: Wanted) -> list[AnnotationDocument]:
    """Returns the newest notes of all groups; one that several groups have has no group."""
    newest: dict[str, AnnotationDocument] = {}
    for group in config.shown_groups:
        for note in _notes(store, group, Reader(store).range_of(group, wanted.since, wanted.until)):
            known = newest.get(note["id"])
            newest[note["id"]] = {**note, "group": None} if known else note
        order = sorted(newest.values(), key=lambda each: (each["start"], each["id"]))
        newest = {note["id"]: note for note in order[-MOST_ANNOTATIONS:]}
    return list(newest.values())


def _of_group(
    config: Config, store: Store, group: GroupConfig, wanted: Wanted, now: float
) -> Iterable[AnnotationDocument]:
    interval = None if wanted.interval is None else choose_interval(group, wanted.interval)
    in_range = Reader(store).range_of(group, wanted.since, wanted.until)
    if interval and in_range == EVER:
        in_range = Range(since=interval.start_of(now) - _USUAL_INTERVALS * interval.length_s)
    notes = _notes(store, group, in_range)
    if interval is None or not group.keeps_history(interval):
        return notes
    found = range_events(config, store, group, interval, in_range)
    return chain(
        notes,
        (_of_period(group, period) for period in found.periods),
        (_of_mark(group, interval, mark) for mark in found.marks),
    )


def _notes(store: Store, group: GroupConfig, in_range: Range) -> list[AnnotationDocument]:
    return [
        _document(group, "note", note.id, note.time, note.end, note.text, note.tags)
        for note in store.annotations.between(group, *in_range)
    ]


def _of_period(group: GroupConfig, period: Period) -> AnnotationDocument:
    rule, id = period.rule, f"alert:{period.rule.name}:{period.start}"
    text = f"{rule.name}: {limit_of(rule)} in {period.interval.name}"
    return _document(group, "alert", id, period.start, period.end, text, (rule.severity,))


def _of_mark(group: GroupConfig, interval: Interval, mark: Mark) -> AnnotationDocument:
    id = f"{mark.kind}:{interval.name}:{mark.start}"
    return _document(group, mark.kind, id, mark.start, mark.end, mark.text)


def _document(
    group: GroupConfig,
    kind: Kind,
    id: str,
    start: float,
    end: float | None,
    text: str,
    tags: Sequence[str] = (),
) -> AnnotationDocument:
    return {
        "id": id,
        "group": group.name,
        "kind": kind,
        "start": start,
        "end": end,
        "text": text,
        "tags": tags,
    }
