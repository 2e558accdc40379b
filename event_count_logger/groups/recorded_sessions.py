"""Sessions in memory, for tests: the same rules as in `sessions.lua`, without its limits of memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from event_count_logger.config import SessionsConfig
from event_count_logger.config.session_actions import ActionName
from event_count_logger.store import SessionAction

#: An end that is earlier by this than the begin of a session ends it: clocks differ.
_SKEW_MS = 100


class _Span(NamedTuple):
    """Reports of an open session whose gaps are not longer than the timeout, in Unix milliseconds."""

    first: int
    last: int
    starts: bool = False
    ends: bool = False

    @property
    def is_point(self) -> bool:
        return self.first == self.last


class _Sessions(NamedTuple):
    """The sessions of one ID: their begins, their duration, and the spans to store."""

    begins: Sequence[int]
    ms: float
    spans: Sequence[_Span]

    def of(self, time: int) -> int:
        """Returns the position of the session that a report belongs to."""
        return max(0, sum(begin <= time for begin in self.begins) - 1)


class SessionsOfID:
    """The reports of one ID, and what they have counted."""

    def __init__(self, config: SessionsConfig) -> None:
        """Takes the limits of the sessions."""
        self._config = config
        self._spans: Sequence[_Span] = []
        self._events: list[str] = []
        self._surplus = 0
        self._debt_ms = 0.0

    def act(self, action: SessionAction) -> tuple[str, int, int] | None:
        """Returns an event, and what an action adds to its sessions and milliseconds; None for nothing."""
        time = round(action.at * 1000)
        timeout_s = self._config.timeout_s if action.timeout_s is None else action.timeout_s
        timeout_ms = timeout_s * 1000 or math.inf
        old = self._divided(self._spans, timeout_ms)
        if action.name == "end":
            time = next((begin for begin in old.begins if 0 < begin - time <= _SKEW_MS), time)
        reported = _with(self._spans, action.name, time)
        if reported is None:
            return None
        new = self._divided(reported, timeout_ms)
        at = new.of(time)
        n_more = len(new.begins) - len(old.begins)
        begins_here = n_more > 0 and new.begins[at] == time and time not in old.begins
        if begins_here:
            others = [*self._events[at : at + 1], *self._events[-1:]]
            event = next(iter(others), None) if action.event is None else action.event
            if event is None:
                return None
            self._events.insert(at, event)
        elif n_more > 0:
            self._events.insert(at + 1, self._events[at])
        del self._events[at + 1 : at + 1 + max(0, -n_more)]
        surplus, added_ms = self._surplus - n_more, new.ms - old.ms - self._debt_ms
        self._surplus, self._debt_ms = max(0, surplus), max(0, -added_ms)
        self._spans = new.spans
        return self._events[at], max(0, -surplus), round(max(0, added_ms))

    def _divided(self, spans: Sequence[_Span], timeout_ms: float) -> _Sessions:
        """Returns the sessions; in an open one, spans whose gap is not longer than the timeout become one."""
        expire_after_ms = math.ceil(self._config.expire_after * 1000)
        begins: list[int] = []
        result: list[_Span] = []
        ms, state = 0.0, "none"
        for span in spans:
            before = result[-1] if result else span
            gap = span.first - before.last
            if gap > expire_after_ms:
                state = "none"
            was_open = state == "open"
            ends_and_starts = was_open and span.starts and span.ends and span.is_point
            if was_open and (ends_and_starts or not span.starts):
                is_lone_end = span.ends and span.is_point and before.starts and before.is_point
                ms += gap if self._config.is_auto and is_lone_end else min(gap, timeout_ms)
            if state == "none" or ends_and_starts or (span.starts and not was_open):
                begins.append(span.first)
            if state != "ended" or span.starts:
                ms += span.last - span.first
                state = "ended" if span.ends and not ends_and_starts else "open"
            if was_open and not span.starts and not before.ends and gap <= min(timeout_ms, expire_after_ms):
                result[-1] = before._replace(last=span.last, ends=span.ends)
            else:
                result.append(span)
        return _Sessions(begins, ms, result)


def _with(spans: Sequence[_Span], action: ActionName, time: int) -> Sequence[_Span] | None:
    """Returns the spans with one more report; None if it is in them already."""
    starts, ends = action == "start", action == "end"
    new = _Span(time, time, starts, ends)
    if any(_has(span, action, time) for span in spans):
        return None
    for number, span in enumerate(spans):
        ended_then = starts and span.last == time and span.ends and not span.is_point
        if span.last < time or ended_then:
            continue
        if span.first > time:
            parts = [new, span]
        elif (starts and span.first == time) or (ends and span.last == time):
            parts = [span._replace(starts=starts or span.starts, ends=ends or span.ends)]
        else:
            parts = [span._replace(last=time, ends=ends), span._replace(first=time, starts=starts)]
        return [*spans[:number], *parts, *spans[number + 1 :]]
    return [*spans, new]


def _has(span: _Span, action: ActionName, time: int) -> bool:
    if action == "start":
        return span.starts and span.first == time
    if action == "end":
        return span.ends and span.last == time
    return span.first <= time <= span.last
