"""What Redis answers, as Python values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from event_count_logger.config.session_actions import ActionName
from event_count_logger.keys import Half
from event_count_logger.store.resp import seconds, text

#: The greatest number that an ID of a stream can have.
LAST_NUMBER = 2**64 - 1

_POSITION = re.compile("([0-9]{1,20})-([0-9]{1,20})")

#: Seconds without a sign of it after which a master is taken for dead.
MASTER_ALIVE_S = 15.0

CommitOutcome = Literal["applied", "duplicate", "conflict", "refused", "events"]


class SessionAction(NamedTuple):
    """Something that happened to a session of a group.

    Attributes:
        id: Of the session.
        event: That the session is counted as when it is new; None for a session that is left alone if
            it is not there.
        name: What happened.
        at: When, in Unix seconds.
    """

    id: str
    event: str | None
    name: ActionName
    at: float


@dataclass(frozen=True, slots=True)
class RejectedKey:
    """One key that is in the way of a batch; `event_id` is '' if it is in the way of all of it."""

    event_id: str
    key: str
    reason: str


class Commit(NamedTuple):
    """What became of a batch.

    Attributes:
        outcome: See commit.lua.
        stored: Position that was stored for the source before; '' for none.
        refusals: What was in the way, if it was refused.
        events: What sessions are counted as that were thought to be counted as something else, by their
            ID; nothing was done then.
    """

    outcome: CommitOutcome
    stored: str = ""
    refusals: tuple[RejectedKey, ...] = ()
    events: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of an attempt to rotate one interval of a group.

    Attributes:
        outcome: See rotate.lua.
        until_next_s: Seconds until the next boundary, by the server's clock.
        start: Of the interval that was finished, Unix seconds; None if nothing was.
        end: Of that interval, Unix seconds.
        obstacles: Keys that hold something else than they should and were left as they are.
    """

    outcome: Literal["waiting", "started", "restarted", "rotated"]
    until_next_s: float
    start: float | None = None
    end: float | None = None
    obstacles: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcome: str, until_next_ms: int, rest: Sequence[Any]) -> Rotation:
        """What a script answers, without the time: `rest` is what only a rotation has."""
        if not rest:
            return cls(outcome, until_next_ms / 1000)  # type: ignore[arg-type]
        start, end, obstacles = rest
        return cls("rotated", until_next_ms / 1000, seconds(start), seconds(end), tuple(map(text, obstacles)))


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts of one group and interval as of one moment.

    Attributes:
        now: The moment, Unix seconds of the server's clock.
        current_start: Start of the running interval, Unix seconds; None if there is none.
        last_start: Start of the last finished interval, Unix seconds; None if unknown.
        totals_interval: Name of the interval whose counts are added to the totals; '' if none is.
        counts: For each half that was read, the events that have a counter.
        totals: What each event had counted up to the start of the running interval, if that was asked for.
        last_position: Where the last finished interval is in the history, if it was read from there.
    """

    now: float
    current_start: float | None
    last_start: float | None
    totals_interval: str
    counts: Mapping[Half, Mapping[str, int]]
    totals: Mapping[str, int]
    last_position: HistoryPosition | None = None

    def is_of_one_interval_with(self, other: Reading) -> bool:
        """Whether nothing was rotated between the two."""
        return self._rotations() == other._rotations()

    def _rotations(self) -> tuple[object, ...]:
        return self.current_start, self.last_start, self.totals_interval


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
        position: Where it is in the history; later ones have greater positions.
        start: Unix seconds.
        end: Unix seconds.
        counts: Count per event ID.
    """

    position: HistoryPosition
    start: float
    end: float
    counts: Mapping[str, int]


class HistoryPosition(NamedTuple):
    """A place in the history of one group and interval.

    Attributes:
        time_ms: The end of an interval, in Unix milliseconds.
        number: How many intervals had finished then, itself included; 0 if that is not known.
    """

    time_ms: int
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> HistoryPosition:
        """Read what `str()` gives.

        Raises:
            ValueError: Not of the form `<milliseconds>-<number>`, or more than an ID of a stream can be.
        """
        match = _POSITION.fullmatch(text)
        if not match or int(match[1]) >= LAST_NUMBER or int(match[2]) >= LAST_NUMBER:
            raise ValueError(f"'{text}' is not a position (expected <milliseconds>-<number>)")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.time_ms}-{self.number}"


@dataclass(frozen=True, slots=True)
class MasterInfo:
    """A master that has said that it rotates a group.

    Attributes:
        host: The machine it runs on.
        pid: Its process there.
        version: Of this package.
        since: When it started, Unix seconds.
        seen_s: Seconds since it was last there.
        stopped: Whether it has stopped in good order, or no longer rotates the group.
        intervals: Names of those that it ends in the group that was asked about.
        shards: Their number in that group; 1 if it is not split.
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
        """Tells it from all others."""
        return f"{self.host}:{self.pid}:{self.since:.3f}"
