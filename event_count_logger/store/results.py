"""Python values for the replies of Redis, and for session actions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from event_count_logger.config.session_actions import ActionName
from event_count_logger.keys import Half
from event_count_logger.store.resp import seconds, text

#: The greatest number in an ID of a stream.
LAST_NUMBER = 2**64 - 1

_POSITION = re.compile("([0-9]{1,20})-([0-9]{1,20})")

#: Seconds without a heartbeat after which a master counts as dead.
MASTER_ALIVE_S = 15.0

CommitOutcome = Literal["applied", "duplicate", "conflict", "refused", "events"]


class SessionAction(NamedTuple):
    """One action of a session.

    Attributes:
        id: ID of the session.
        event: Event that a new session is counted as; None if only an existing session is meant.
        name: The action.
        at: Time of the action, Unix seconds.
        timeout_s: Longest gap that counts in full; None for that of the group.
    """

    id: str
    event: str | None
    name: ActionName
    at: float
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class RejectedKey:
    """A key that Redis could not write for a batch; `event_id` is '' if it concerns the whole batch."""

    event_id: str
    key: str
    reason: str


class Commit(NamedTuple):
    """The outcome of a commit.

    Attributes:
        outcome: See commit.lua.
        stored: Position of the source before the commit; '' for none.
        refusals: The keys that could not be written, if the outcome is `refused`.
        events: Events of the actions that count for another event than given, by the position of the action,
            if the outcome is `events`. Nothing was done then.
    """

    outcome: CommitOutcome
    stored: str = ""
    refusals: tuple[RejectedKey, ...] = ()
    events: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rotation:
    """The outcome of an attempt to rotate one interval of a group.

    Attributes:
        outcome: See rotate.lua.
        until_next_s: Seconds until the next boundary, by the server's clock.
        start: Start of the finished interval, Unix seconds; None if none was finished.
        end: End of that interval, Unix seconds.
        obstacles: Keys of an unexpected type or of another layout, which were left unchanged.
    """

    outcome: Literal["waiting", "started", "restarted", "rotated"]
    until_next_s: float
    start: float | None = None
    end: float | None = None
    obstacles: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcome: str, until_next_ms: int, rest: Sequence[Any]) -> Rotation:
        """Returns the rotation in a script's reply; `rest` is empty unless it has rotated."""
        if not rest:
            return cls(outcome, until_next_ms / 1000)  # type: ignore[arg-type]
        start, end, obstacles = rest
        return cls("rotated", until_next_ms / 1000, seconds(start), seconds(end), tuple(map(text, obstacles)))


@dataclass(frozen=True, slots=True)
class Reading:
    """A snapshot of the counts of one group and interval.

    Attributes:
        now: Time of the snapshot, Unix seconds of the server's clock.
        current_start: Start of the current interval, Unix seconds; None if there is none.
        last_start: Start of the last interval, Unix seconds; None if unknown.
        totals_interval: Name of the interval whose counts are added to the totals; '' for none, None if the
            totals were not requested.
        counts: For each half that was read, the events that have a counter.
        totals: Total of each event up to now, if requested. They are wrong if `totals_interval` names another
            interval: then read that one.
        last_position: Position of the last interval in the history, if it was read from there.
    """

    now: float
    current_start: float | None
    last_start: float | None
    totals_interval: str | None
    counts: Mapping[Half, Mapping[str, int]]
    totals: Mapping[str, int]
    last_position: HistoryPosition | None = None

    def is_of_one_interval_with(self, other: Reading) -> bool:
        """Returns whether nothing was rotated between the two."""
        starts, others = (self.current_start, self.last_start), (other.current_start, other.last_start)
        names = self.totals_interval, other.totals_interval
        return starts == others and (None in names or names[0] == names[1])


def declared_first(declared: Sequence[str], found: Iterable[str]) -> list[str]:
    """Returns event IDs in the order of all output: declared ones as configured, the others by name.

    Args:
        declared: The events of the configuration.
        found: The events to return.
    """
    names = set(found)
    first = [event_id for event_id in declared if event_id in names]
    return [*first, *sorted(names.difference(first))]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One finished interval in the history.

    Attributes:
        position: Its position in the history; later intervals have greater ones.
        start: Unix seconds.
        end: Unix seconds.
        counts: Count per event ID.
    """

    position: HistoryPosition
    start: float
    end: float
    counts: Mapping[str, int]


class HistoryPosition(NamedTuple):
    """A position in the history of one group and interval.

    Attributes:
        time_ms: The end of an interval, in Unix milliseconds.
        number: Number of intervals finished by then, this one included; 0 if unknown.
    """

    time_ms: int
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> HistoryPosition:
        """Returns the position that `str()` has written.

        Raises:
            ValueError: Not of the form `<milliseconds>-<number>`, or greater than any ID of a stream.
        """
        match = _POSITION.fullmatch(text)
        if not match or int(match[1]) >= LAST_NUMBER or int(match[2]) >= LAST_NUMBER:
            raise ValueError(f"'{text}' is not a position (expected <milliseconds>-<number>)")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.time_ms}-{self.number}"


@dataclass(frozen=True, slots=True)
class MasterInfo:
    """A master of a group, as in its last heartbeat.

    Attributes:
        host: Name of its machine.
        pid: Its process ID.
        version: Version of this package.
        since: Start of the process, Unix seconds.
        seen_s: Seconds since its last heartbeat.
        stopped: Whether it has ended regularly, or no longer rotates the group.
        intervals: Names of the intervals of the group that it rotates.
        shards: Number of shards that it rotates; 1 if the group is not split.
    """

    host: str
    pid: int
    version: str
    since: float
    seen_s: float = 0
    stopped: bool = False
    intervals: tuple[str, ...] = ()
    shards: int = 1

    @property
    def alive(self) -> bool:
        """Returns whether its heartbeat is recent and it has not stopped."""
        return not self.stopped and self.seen_s < MASTER_ALIVE_S

    @property
    def id(self) -> str:
        """A name that no other master has."""
        return f"{self.host}:{self.pid}:{self.since:.3f}"
