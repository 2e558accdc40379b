"""What the project asks of Redis: one typed method per script. The only module that imports redis.

Nothing is retried here, because a second INCR would count twice; a commit may be repeated by its
caller, since it carries its position.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - see Store._connect_nothing_yet
import json
import math
import os
import re
import time
import weakref
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha1
from importlib import resources
from typing import Any, Literal, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from event_count_logger import keys
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.errors import NotConnected, Rejected, StoreError, Unauthorized, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.keys import Half
from event_count_logger.logs import Log

#: Error codes of a server that answers but cannot serve anyone now; what was asked was not done.
_NOT_SERVING = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY")

#: Each takes a few hundred bytes.
_MOST_FORMS = 1000

#: What redis-py raises, and what it lets through; ValueError is what some names of hosts lead to. Nothing
#: else: an exception that a signal handler raises is for the program.
_FAILURES = (RedisError, OSError, ValueError)

#: As many as threads ask at once; redis-py would give up at 100.
_MOST_CONNECTIONS = 10_000

#: Seconds that an answer may take to tell what time it is: half of that is the error.
_CLOCK_SAMPLE_S = 0.05


#: Seconds without a sign of it after which a master is taken for dead, and after which it is forgotten.
MASTER_ALIVE_S, _MASTER_FORGOTTEN_S = 15.0, 3600

#: Events that are read at once, where there are too many to read all at once.
_PAGE = 2_500

#: How often a read begins anew because an interval was rotated meanwhile.
_MOST_READS = 20

#: The greatest number that an ID of a stream can have.
_LAST_NUMBER = 2**64 - 1

_POSITION = re.compile("([0-9]{1,20})-([0-9]{1,20})")

#: Bytes of history that are asked for at once: more would keep the server from others for too long.
_HISTORY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """One key that is in the way of a batch; `event_id` is '' if it is in the way of all of it."""

    event_id: str
    key: str
    reason: str


_Outcome = Literal["applied", "duplicate", "conflict", "refused"]


class Commit(NamedTuple):
    """What became of a batch.

    Attributes:
        outcome: See commit.lua.
        stored: Position that was stored for the source before; '' for none.
        refusals: What was in the way, if it was refused.
    """

    outcome: _Outcome
    stored: str = ""
    refusals: tuple[Refusal, ...] = ()


_OUTCOMES: dict[bytes, _Outcome] = {b"applied": "applied", b"duplicate": "duplicate", b"conflict": "conflict"}


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
    """

    now: float
    current_start: float | None
    last_start: float | None
    totals_interval: str
    counts: Mapping[Half, Mapping[str, int]]
    totals: Mapping[str, int]

    def is_of_one_interval_with(self, other: Reading) -> bool:
        """Whether nothing was rotated between the two."""
        return self._rotations() == other._rotations()

    def _rotations(self) -> tuple[object, ...]:
        return self.current_start, self.last_start, self.totals_interval


@dataclass(frozen=True, slots=True)
class Finished:
    """One finished interval in the history.

    Attributes:
        position: Where it is in the history; later ones have greater positions.
        start: Unix seconds.
        end: Unix seconds.
        counts: Count per event ID.
    """

    position: Position
    start: float
    end: float
    counts: Mapping[str, int]


class Position(NamedTuple):
    """A place in the history of one group and interval.

    Attributes:
        time_ms: The end of an interval, in Unix milliseconds.
        number: How many intervals had finished then, itself included; 0 if that is not known.
    """

    time_ms: int
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what `str()` gives.

        Raises:
            ValueError: Not of the form `<milliseconds>-<number>`, or more than an ID of a stream can be.
        """
        match = _POSITION.fullmatch(text)
        if not match or int(match[1]) > _LAST_NUMBER or int(match[2]) > _LAST_NUMBER:
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
    """

    host: str
    pid: int
    version: str
    since: float
    seen_s: float = 0

    @property
    def alive(self) -> bool:
        """Whether it was there lately."""
        return self.seen_s < MASTER_ALIVE_S

    @property
    def id(self) -> str:
        """Tells it from all others."""
        return f"{self.host}:{self.pid}:{self.since:.3f}"


def _packed(words: Iterable[str | int]) -> bytes:
    """Arguments as they go over the wire (redis.io/docs/latest/develop/reference/protocol-spec).

    redis-py could do it too, but looks so closely at each argument that it takes several times as long.
    """
    texts = [str(word) for word in words]
    packed = "".join([f"${len(text)}\r\n{text}\r\n" for text in texts])
    if packed.isascii():
        return packed.encode()
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in map(_bytes, texts)])


class Script(NamedTuple):
    """A Lua script: how a request begins that names it, and one that brings it along."""

    by_name: bytes
    in_full: bytes


def _script(name: str) -> Script:
    text = resources.files("event_count_logger").joinpath("lua", f"{name}.lua").read_text()
    sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(_packed(("EVALSHA", sha)), _packed(("EVAL", text)))


_SCRIPTS = {name: _script(name) for name in ("adopt", "commit", "heartbeat", "probe", "read", "rotate")}


class _Form(NamedTuple):
    """What all commits of the same events have in common, packed."""

    intervals: tuple[Interval, ...]
    n_words: int
    keys: bytes
    events: bytes
    lengths: bytes

    @classmethod
    def of(cls, group: str, intervals: Sequence[Interval], events: Collection[str]) -> _Form:
        names = [keys.sources(group)]
        for interval in intervals:
            names += (keys.timestamp(group, interval.name, "cur"), keys.index(group, interval.name, "cur"))
            names += [keys.counter(group, interval.name, "cur", event_id) for event_id in events]
        return cls(
            tuple(intervals),
            n_words=1 + len(names) + 5 + 2 * len(events) + len(intervals),
            keys=_packed([len(names), *names]),
            events=_packed([len(events), *events]),
            lengths=_packed([interval.length_ms for interval in intervals]),
        )


class Store:
    """The counters in one Redis database. Threads may share it, and so may forked processes.

    Attributes:
        location: Where Redis is, for messages.
        identity: Which database it is; see `RedisConfig.identity`.
        clock_offset_s: How far the server's clock is ahead of this machine's, as last seen.
        reachable: Whether the last request was answered; None before the first one.
    """

    def __init__(self, config: RedisConfig, log: Log | None = None, timeout_s: float | None = None) -> None:
        """Connects to nothing yet.

        Args:
            config: How to reach Redis.
            log: Is told when Redis goes away, and when it is back.
            timeout_s: Seconds for one answer, instead of the configured ones.
        """
        self.location = config.location
        self.identity = config.identity
        self.clock_offset_s = 0.0
        self.reachable: bool | None = None
        self._config = config
        self._log = log
        self._timeout_s = timeout_s or config.socket_timeout
        self._forms: dict[tuple[str, ...], _Form] = {}
        self._connect_nothing_yet()
        _stores.add(self)

    def _connect_nothing_yet(self) -> None:
        """Also in a forked child: the connections, and the locks of the pool, belong to the parent."""
        self.reachable = None
        self._pool = _connection_pool(self._config, self._timeout_s)
        # Not the pool's own: its lock would have to be free when a process forks or a signal comes.
        self._idle: deque[Any] = deque()
        self._client = redis.Redis(connection_pool=self._pool)
        # Makes no connection, but imports all that one needs: a process that forks while a thread is in the
        # middle of an import has children in which that import is never finished.
        self._pool.connection_class(**self._pool.connection_kwargs)

    def commit(
        self,
        group: str,
        intervals: Sequence[Interval],
        source: str,
        prev: int,
        next: int,
        batch: Mapping[str, int],
        now: float | None = None,
        connect: bool = True,
    ) -> Commit:
        """Count a batch exactly once; to be repeated with the same arguments until it is answered.

        Args:
            group: Name of the group.
            intervals: All intervals of the group.
            source: ID of the source that the counts come from.
            prev: Position of the source that the batch starts at.
            next: Position of the source that the batch ends at.
            batch: Count per event ID.
            now: Unix seconds; the server's clock if None.
            connect: Whether to make a connection if there is none, which may take long.

        Raises:
            NotConnected: There is none.
            Unavailable: No answer: repeat.
            Rejected: Nothing was done; the same batch may succeed later.
        """
        form = self._form(group, intervals, batch)
        state = _packed((source, prev, next, _ms(now)))
        rest = b"".join((form.keys, state, form.events, _packed(batch.values()), form.lengths))
        asked_at = time.time()
        reply = self._call(_SCRIPTS["commit"], form.n_words, rest, keys.sources(group), connect)
        if not isinstance(reply, list) or reply[3:] != [source.encode(), b"%d" % next]:
            raise self._gone("it answered another request")
        outcome, now_ms, detail = reply[:3]
        self._learn_clock(asked_at, now_ms / 1000)
        if outcome == b"refused":
            words = [_text(word) for word in detail]
            refusals = tuple(map(Refusal, words[::3], words[1::3], words[2::3]))
            if any(_is_not_serving(refusal.reason) for refusal in refusals):
                raise self._gone(refusals[0].reason)
            return Commit("refused", "", refusals)
        return Commit(_OUTCOMES[outcome], _text(detail))

    def _form(self, group: str, intervals: Sequence[Interval], batch: Mapping[str, int]) -> _Form:
        if len(batch) != 1:
            return _Form.of(group, intervals, batch)
        # Direct groups commit the same events one at a time, again and again.
        name = (group, *batch)
        form = self._forms.get(name)
        if form is None or form.intervals != intervals:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[name] = _Form.of(group, intervals, batch)
        return form

    def retire(self, group: str, source: str) -> None:
        """Forget a source that will not commit again, and of which no request is under way."""
        self._ask("HDEL", keys.sources(group), source)

    def rotate(self, group: GroupConfig, interval: Interval, now: float | None = None) -> Rotation:
        """End the running interval of a group if its time is over.

        Args:
            group: Its declared events have a counter even when it is 0.
            interval: The interval to end.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: Nothing was done.
        """
        name, declared = group.name, group.events
        timestamps = [keys.timestamp(name, interval.name, half) for half in ("cur", "last")]
        indexes = [keys.index(name, interval.name, half) for half in ("cur", "last")]
        records = [
            keys.finished(name, interval.name),
            keys.history(name, interval.name),
            keys.totals(name),
            keys.idle(name),
            keys.totals_interval(name),
        ]
        outcome = b"changed"
        while outcome == b"changed":
            start = self._ask("GET", timestamps[0], key=timestamps[0])
            others = map(_text, self._ask("SUNION", *indexes, key=indexes[0]))
            events = [*declared, *sorted(set(others).difference(declared))]
            counters = [
                keys.counter(name, interval.name, half, event_id)
                for half in ("cur", "last")
                for event_id in events
            ]
            settings = (group.history, self._part_in_totals(group, interval), group.expire_after)
            arguments = [interval.length_ms, _ms(now), _text(start or b""), *settings, len(declared), *events]
            reply = self._run("rotate", timestamps + indexes + records + counters, arguments)
            outcome, _, until_next_ms, *rest = reply
        if not rest:
            return Rotation(_text(outcome), until_next_ms / 1000)  # type: ignore[arg-type]
        begin, end, obstacles = rest
        return Rotation(
            "rotated", until_next_ms / 1000, _seconds(begin), _seconds(end), tuple(map(_text, obstacles))
        )

    def _part_in_totals(self, group: GroupConfig, interval: Interval) -> str:
        """What rotate.lua is to do about them. Each count is in all intervals, so only one adds to them."""
        if not group.totals:
            return "off"
        key = keys.totals_interval(group.name)
        before = _text(self._ask("GET", key, key=key) or b"")
        if before and group.interval(before) is None:
            self._adopt_totals(group, before)
            before = group.totals_interval.name
        return interval.name if interval.name == (before or group.totals_interval.name) else "other"

    def _adopt_totals(self, group: GroupConfig, before: str) -> None:
        """The interval that added to the totals is not in the configuration any more: another one does."""
        name, after = group.name, group.totals_interval.name
        indexes = [keys.index(name, interval, "cur") for interval in (before, after)]
        events = sorted({*group.events, *map(_text, self._ask("SUNION", *indexes, key=indexes[0]))})
        counters = [
            keys.counter(name, interval, "cur", event_id)
            for interval in (before, after)
            for event_id in events
        ]
        self._run(
            "adopt", [keys.totals_interval(name), keys.totals(name), *counters], [before, after, *events]
        )

    def read(
        self,
        group: str,
        interval: Interval,
        declared: Sequence[str],
        halves: Sequence[Half],
        now: float | None = None,
        totals: bool = False,
    ) -> Reading:
        """Read counts as of one moment; declared events come first, the others sorted by name.

        Of more than 10,000 events, those of the running interval are read some at a time: all of the same
        interval, and each as of a moment during the read.

        Args:
            group: Name of the group.
            interval: The interval to read.
            declared: Events to read even when no counter is known for them.
            halves: `cur`, `last`, or both.
            now: Unix seconds; the server's clock if None.
            totals: Whether to read the totals, too; `halves` is then `cur`.

        Raises:
            Unavailable: No answer.
            Rejected: The server cannot answer.
        """
        events: dict[Half, list[str]] = {half: list(declared) for half in halves}
        while True:
            reading, unnamed = self._read_once(group, interval, events, now, totals, all_events=True)
            if reading:
                return reading
            if not unnamed:
                return self._read_in_pages(group, interval, declared, halves, now, totals)
            for half, more in unnamed.items():
                events[half] += sorted(more)

    def _read_once(
        self,
        group: str,
        interval: Interval,
        events: Mapping[Half, Sequence[str]],
        now: float | None,
        totals: bool,
        all_events: bool,
    ) -> tuple[Reading | None, Mapping[Half, list[str]]]:
        """What was read; or None, and the events that must be named to read them (none: too many)."""
        names = [keys.timestamp(group, interval.name, half) for half in ("cur", "last")]
        names += (keys.history(group, interval.name), keys.totals(group), keys.totals_interval(group))
        arguments: list[Any] = [_ms(now), "all" if all_events else "named", "totals" if totals else ""]
        for half, named in events.items():
            names.append(keys.index(group, interval.name, half))
            names += [keys.counter(group, interval.name, half, event_id) for event_id in named]
            arguments += (half, len(named), *named)
        now_ms, current_start, last_start, totals_interval, stored, *replies = self._run(
            "read", names, arguments
        )
        lists = dict(zip(events, replies, strict=True))
        if [b"many"] in (stored, *replies):
            return None, {}
        unnamed = {
            half: list(map(_text, reply[1:])) for half, reply in lists.items() if reply[0] == b"unnamed"
        }
        if unnamed:
            return None, unnamed
        counts: dict[Half, Mapping[str, int]] = {
            half: _entry_counts(*reply[1:]) if reply[0] == b"entry" else _counts(events[half], reply[1:])
            for half, reply in lists.items()
        }
        if stored[:1] == [b"counts"]:
            named = next(iter(events.values()))
            stored_totals = _counts(named, stored[1:])
        else:
            stored_totals = _counts(list(map(_text, stored[::2])), stored[1::2])
        return Reading(
            now_ms / 1000,
            _seconds(current_start),
            _seconds(last_start),
            _text(totals_interval),
            counts,
            stored_totals,
        ), {}

    def _read_in_pages(
        self,
        group: str,
        interval: Interval,
        declared: Sequence[str],
        halves: Sequence[Half],
        now: float | None,
        totals: bool,
    ) -> Reading:
        for _ in range(_MOST_READS):
            pages = list(self._pages(group, interval, declared, halves, now, totals))
            first = pages[0]
            if all(page.is_of_one_interval_with(first) for page in pages):
                counts: dict[Half, Mapping[str, int]] = {
                    half: {
                        event_id: count
                        for page in pages
                        for event_id, count in page.counts.get(half, {}).items()
                    }
                    for half in halves
                }
                stored = {event_id: count for page in pages for event_id, count in page.totals.items()}
                return replace(first, counts=counts, totals=stored)
        raise self._gone(f"interval '{interval.name}' of group '{group}' ends faster than it can be read")

    def _pages(
        self,
        group: str,
        interval: Interval,
        declared: Sequence[str],
        halves: Sequence[Half],
        now: float | None,
        totals: bool,
    ) -> Iterator[Reading]:
        for half in halves:
            found = self._members("SSCAN", keys.index(group, interval.name, half))
            if totals:
                found |= self._members("HSCAN", keys.totals(group))
            events = [*declared, *sorted(found.difference(declared))]
            for first in range(0, len(events), _PAGE):
                some: dict[Half, list[str]] = {half: events[first : first + _PAGE]}
                page, _ = self._read_once(group, interval, some, now, totals, all_events=False)
                assert page
                yield page

    def _members(self, command: Literal["SSCAN", "HSCAN"], key: str) -> set[str]:
        """The members of a set, or the fields of a hash, that are there from beginning to end."""
        step = 2 if command == "HSCAN" else 1
        members: set[str] = set()
        cursor = "0"
        while True:
            next_cursor, some = self._ask(command, key, cursor, "COUNT", str(_PAGE), key=key)
            members.update(map(_text, some[::step]))
            cursor = _text(next_cursor)
            if cursor == "0":
                return members

    def history(self, group: str, interval: Interval, count: int) -> list[Finished]:
        """The newest finished intervals in the history, oldest first, at most `count` of them.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group, interval.name)
        newest_first: list[Finished] = []
        end = "+"
        while len(newest_first) < count:
            wanted = _at_once(newest_first, count - len(newest_first))
            entries = self._ask("XREVRANGE", key, end, "-", "COUNT", str(wanted), key=key)
            newest_first += [_finished(key, entry) for entry in entries]
            if len(entries) < wanted:
                break
            end = f"({newest_first[-1].position}"
        return newest_first[::-1]

    def finished_after(
        self, group: str, interval: Interval, position: Position
    ) -> tuple[Finished | None, float | None]:
        """The first finished interval after a position, and the start of the running one, Unix seconds.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.history(group, interval.name)
        number = position.number or _LAST_NUMBER
        self.server_time()
        start = self.start(group, interval)
        entries = self._ask("XRANGE", key, f"({position.time_ms}-{number}", "+", "COUNT", "1", key=key)
        return _finished(key, entries[0]) if entries else None, start

    def start(self, group: str, interval: Interval) -> float | None:
        """When the running interval began, Unix seconds; None if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.timestamp(group, interval.name, "cur")
        return _seconds(self._ask("GET", key, key=key) or b"")

    def note_master(self, groups: Iterable[str], master: MasterInfo) -> None:
        """Note that a master is there, which rotates these groups.

        Raises:
            Unavailable: No answer.
            Rejected: Not noted for all of them.
        """
        described = {
            "host": master.host,
            "pid": master.pid,
            "version": master.version,
            "since": master.since,
        }
        for group in groups:
            arguments = [master.id, json.dumps(described), _MASTER_FORGOTTEN_S]
            self._run("heartbeat", [keys.masters(group)], arguments)

    def forget_master(self, groups: Iterable[str], master: MasterInfo) -> None:
        """Note that a master has ended."""
        for group in groups:
            self._ask("HDEL", keys.masters(group), master.id, key=keys.masters(group))

    def masters(self, group: str) -> list[MasterInfo]:
        """The masters that have said within the last hour that they rotate a group, oldest first.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.masters(group)
        values = self._ask("HVALS", key, key=key)
        now = self.server_time()
        found = [_master_info(_text(value), now) for value in values]
        return sorted(filter(None, found), key=lambda master: master.since)

    def n_sources(self, group: str) -> int:
        """Of how many sources of counts a position is known.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        return int(self._ask("HLEN", keys.sources(group), key=keys.sources(group)))

    def count(self, group: str, interval: str, half: Half, event_id: str) -> int:
        """The count of one event; 0 where there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.counter(group, interval, half, event_id)
        return int(self._ask("GET", key, key=key) or 0)

    def probe(self, group: str) -> Sequence[str]:
        """Try every command that is needed on a scratch key; returns what the server said against any."""
        return [_text(error) for error in self._run("probe", [keys.probe(group)], [])]

    def settings(self) -> Mapping[str, str]:
        """What the server tells of itself that bears on keeping counts; what it does not tell is missing.

        `server` and `version` are there where INFO is allowed; `maxmemory-policy`, `appendonly` and
        `save` where CONFIG is.
        """
        found: dict[str, str] = {}
        with suppress(Rejected):
            info = self._server_info()
            server = "Valkey" if "valkey_version" in info else "Redis"
            found = {"server": server, "version": info[f"{server.lower()}_version"]}
        for name in ("maxmemory-policy", "appendonly", "save"):
            with suppress(Rejected), self._translated():
                found |= {str(key): str(value) for key, value in self._client.config_get(name).items()}
        return found

    def server_pid(self) -> int:
        """The process of the server."""
        return int(self._server_info()["process_id"])

    def _server_info(self) -> Mapping[str, Any]:
        with self._translated():
            return self._client.info("server")

    def server_time(self) -> float:
        """Unix seconds by the server's clock, of which `clock_offset_s` takes note."""
        asked_at = time.time()
        seconds, microseconds = self._ask("TIME")
        server_time = int(seconds) + int(microseconds) / 1e6
        self._learn_clock(asked_at, server_time)
        return server_time

    def now(self) -> float:
        """Unix seconds by the server's clock, as far as it is known."""
        return time.time() + self.clock_offset_s

    def _learn_clock(self, asked_at: float, server_time: float) -> None:
        answered_at = time.time()
        if 0 <= answered_at - asked_at < _CLOCK_SAMPLE_S:
            self.clock_offset_s = server_time - (asked_at + answered_at) / 2

    def shut_down_server(self) -> None:
        """Ask the server to save what it has and to end."""
        with suppress(Unavailable):  # the server closes the connection in place of an answer
            self._ask("SHUTDOWN")

    def ping(self) -> None:
        """Raises Unavailable or Rejected unless the server serves."""
        self._ask("PING")

    def close(self) -> None:
        """Give the connections back; the next request makes new ones."""
        self._pool.disconnect()
        self._disconnect_idle()

    def __del__(self) -> None:
        self._disconnect_idle()

    def _disconnect_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().disconnect()

    def _run(self, name: str, key_names: Sequence[str], arguments: Sequence[Any]) -> Any:
        words = (len(key_names), *key_names, *arguments)
        return self._call(_SCRIPTS[name], len(words), _packed(words), key_names[0])

    def _call(self, script: Script, n_words: int, words: bytes, key: str, connect: bool = True) -> Any:
        """Run a script with arguments that are packed already."""
        try:
            return self._exchange(b"*%d\r\n%b%b" % (2 + n_words, script.by_name, words), key, connect)
        except NoScriptError:
            return self._exchange(b"*%d\r\n%b%b" % (2 + n_words, script.in_full, words), key, connect)

    def _ask(self, *words: str, key: str = "-") -> Any:
        return self._exchange(b"*%d\r\n%b" % (len(words), _packed(words)), key)

    def _exchange(self, request: bytes, key: str, connect: bool = True) -> Any:
        """Send one request once, and return its answer."""
        connection = self._idle_connection()
        answered = False
        try:
            connected = connection.is_connected
            if connected and _is_stale(connection):
                connection.disconnect()
                connected = False
            if not (connected or connect):
                raise NotConnected
            reply = self._exchange_on(connection, connected, request, key)
            answered = True
            return reply
        except (Rejected, NoScriptError):
            answered = True
            raise
        except Unavailable as error:
            self._note_reachable(False, error)
            raise
        finally:
            if not answered:
                # Also when interrupted: the answer to this request must not be taken for the next one's.
                connection.disconnect()
            elif not self.reachable:
                self._note_reachable(True)
            self._idle.append(connection)

    def _idle_connection(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._pool.make_connection()
        except OSError as error:  # it reads a file, for which there may be no descriptor left
            away = Unavailable(self.location, error)
            self._note_reachable(False, away)
            raise away from error

    def _exchange_on(self, connection: Any, connected: bool, request: bytes, key: str) -> Any:
        try:
            if not connected:
                connection.connect()
            connection.send_packed_command((request,))
            return connection.read_response()
        except NoScriptError:
            raise
        except _FAILURES as error:
            raise self._own_error(error, key) from error

    def _gone(self, reason: str) -> Unavailable:
        """Its connections lead to a server that serves nobody: the next ones may lead to another."""
        error = Unavailable(self.location, reason, self._hint())
        self._note_reachable(False, error)
        self.close()
        return error

    def _note_reachable(self, reachable: bool, error: Unavailable | None = None) -> None:
        before, self.reachable = self.reachable, reachable
        if self._log and error and before is not False:
            self._log.warning("%s", error)
        elif self._log and reachable and before is False:
            self._log.info("Redis at %s is back", self.location)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise self._own_error(error) from error

    def _own_error(self, error: Exception, key: str = "-") -> StoreError:
        """This package's error for what redis-py raised."""
        if isinstance(error, AuthenticationError | AuthorizationError):
            return Unauthorized(self.location, error)
        if not isinstance(error, ResponseError):
            return Unavailable(self.location, error, self._hint())
        if _is_not_serving(str(error)):
            return Unavailable(self.location, error)
        return Rejected(key, error)

    def _hint(self) -> str:
        if not self._config.embedded:
            return ""
        return "; the embedded server is started by ecl_master with this configuration"


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork() -> None:
    for store in tuple(_stores):
        store._connect_nothing_yet()


os.register_at_fork(after_in_child=_after_fork)


def _is_stale(connection: Any) -> bool:
    """Whether the other end was closed, or has sent what nobody waits for."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _connection_pool(config: RedisConfig, timeout_s: float) -> redis.ConnectionPool:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, config.socket_connect_timeout),
        **config.options,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": _MOST_CONNECTIONS,
    }
    if config.embedded:
        return redis.ConnectionPool(
            redis.UnixDomainSocketConnection, path=str(config.socket_path), db=config.db, **options
        )
    if config.url:
        return redis.ConnectionPool.from_url(config.url, **options)
    return redis.ConnectionPool(host=config.host, port=config.port, db=config.db, **options)


def _is_not_serving(error: str) -> bool:
    return any(code in error.split() for code in _NOT_SERVING)  # scripts put words of their own before it


def _ms(now: float | None) -> str | int:
    return "" if now is None else int(now * 1000)


def _seconds(text: bytes) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _text(data: bytes) -> str:
    """Any bytes become a string that `_bytes` turns into the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def _bytes(value: str | int) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def _counts(events: Sequence[str], values: Sequence[bytes]) -> dict[str, int]:
    counts = {}
    for event_id, value in zip(events, values, strict=True):
        try:
            counts[event_id] = int(value)
        except ValueError:
            continue  # no counter there, or a foreign value, which was never counted by anyone
    return counts


def _entry_counts(events: bytes, counts: bytes) -> dict[str, int]:
    return dict(zip(json.loads(_text(events)), json.loads(counts), strict=True))


def _finished(key: str, entry: Any) -> Finished:
    """An entry of a history, as rotate.lua writes it."""
    entry_id, words = entry
    fields = dict(zip(map(_text, words[::2]), words[1::2], strict=True))
    try:
        start, end = float(fields["start"]), float(fields["end"])
        counts = _entry_counts(fields["events"], fields["counts"])
        return Finished(Position.parse(_text(entry_id)), start, end, counts)
    except (KeyError, ValueError) as error:
        raise Rejected(key, f"entry {_text(entry_id)} of the history cannot be read: {error}") from error


def _at_once(before: Sequence[Finished], most: int) -> int:
    """How many entries of a history to ask for, judging by the size of those before."""
    if not before:
        return 1
    size = sum(len(event_id) + 6 for event_id in before[-1].counts) or 1
    return max(1, min(most, _HISTORY_BYTES // size))


def _master_info(value: str, now: float) -> MasterInfo | None:
    seen, _, described = value.partition(" ")
    try:
        return MasterInfo(**json.loads(described), seen_s=max(0.0, now - float(seen)))
    except (ValueError, TypeError):
        return None  # not noted by a master
