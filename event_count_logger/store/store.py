"""What the project asks of Redis: one typed method per script."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

from event_count_logger import keys
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.store.connections import SCRIPTS, is_not_serving
from event_count_logger.store.reads import ReadingStore
from event_count_logger.store.values import Commit, MasterInfo, Outcome, Refusal, Rotation, SessionAction
from event_count_logger.store.wire import encoded, ms, packed, seconds, text

#: Each takes a few hundred bytes.
_MOST_FORMS = 1000

_NO_ACTIONS = packed((0,))

#: Seconds after which a master that gives no sign is forgotten.
_MASTER_FORGOTTEN_S = 3600

_OUTCOMES: dict[bytes, Outcome] = {b"applied": "applied", b"duplicate": "duplicate", b"conflict": "conflict"}


class _Form(NamedTuple):
    """What all commits of the same events have in common, packed."""

    intervals: tuple[Interval, ...]
    n_words: int
    keys: bytes
    events: bytes
    lengths: bytes

    @classmethod
    def of(
        cls, group: str, intervals: Sequence[Interval], events: Collection[str], first_keys: Sequence[str]
    ) -> _Form:
        names = list(first_keys)
        for interval in intervals:
            names += (keys.timestamp(group, interval.name, "cur"), keys.index(group, interval.name, "cur"))
            names += [keys.counter(group, interval.name, "cur", event_id) for event_id in events]
        return cls(
            tuple(intervals),
            n_words=1 + len(names) + 5 + 1 + 2 * len(events) + 1 + len(intervals),
            keys=packed([len(names), *names]),
            events=packed([len(events), *events]),
            lengths=packed([len(intervals), *(interval.length_ms for interval in intervals)]),
        )


class Store(ReadingStore):
    """Counts and rotates in one Redis database. Threads may share it, and so may forked processes."""

    def __init__(self, config: RedisConfig, log: Log | None = None, timeout_s: float | None = None) -> None:
        """Connects to nothing yet; see `Connections`."""
        super().__init__(config, log, timeout_s)
        self._forms: dict[tuple[str, ...], _Form] = {}

    def position(self, group: str, source: str) -> str:
        """The last committed position of a source; '' if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.sources(group)
        return text(self._ask("HGET", key, source, key=key) or b"")

    def commit(
        self,
        group: str,
        intervals: Sequence[Interval],
        source: str,
        prev: int | str,
        next: int | str,
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
        state = (source, prev, next, "", ms(now))
        return self._commit(form, state, packed(batch.values()), key=keys.sources(group), connect=connect)

    def commit_request(
        self,
        group: GroupConfig,
        key: str,
        content: str,
        batch: Mapping[str, int],
        keep_s: float,
        now: float | None = None,
    ) -> Commit:
        """Count a batch exactly once that is known by a key of its own, for some time.

        Args:
            group: Whose events they are.
            key: The same whenever the batch is sent again.
            content: Tells the batch from others that come under the same key: those are a conflict.
            batch: Count per event ID.
            keep_s: Seconds for which the key is remembered.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: Nothing was done; the same batch may succeed later.
        """
        name = keys.request(group.name, key)
        form = _Form.of(group.name, group.intervals, batch, [name])
        state = (key, "", content, ms(keep_s), ms(now))
        return self._commit(form, state, packed(batch.values()), key=name)

    def commit_actions(
        self,
        group: GroupConfig,
        actions: Sequence[SessionAction],
        source: str = "",
        prev: int | str = "",
        next: int | str = "",
        batch: Mapping[str, int] = MappingProxyType({}),
        now: float | None = None,
    ) -> Commit:
        """Take note of what happened to sessions, and count what that comes to, together with a batch.

        Without a source there can be no batch, and the same actions may be repeated: that changes nothing.
        With one, it is all done exactly once; see `commit`.

        Args:
            group: Whose sessions they are; it must have settings for them.
            actions: In the order in which they are to be taken note of.
            source: ID of the source that they come from, if it has one.
            prev: Position of the source that the actions and the batch start at.
            next: Position of the source that they end at.
            batch: Count per event ID.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: Nothing was done; the same may succeed later.
        """
        state = (source, prev, next, "", ms(now))
        first_keys = [keys.sources(group.name), *keys.sessions(group.name)]
        events_of: dict[str, str] = {}  # of sessions that are found to belong to another one than thought
        while True:
            given = [action._replace(event=events_of.get(action.id, action.event)) for action in actions]
            number_of = {event: 0 for _, event, *_ in given if event is not None}
            names = list(batch)
            for event in number_of:
                number_of[event] = len(names) + 1
                names += (event, keys.session_time(event))
            counts: list[int | str] = [*batch.values(), *[""] * (len(names) - len(batch))]
            form = _Form.of(group.name, group.intervals, names, first_keys)
            words: list[str | int] = [len(given), *_words(given, number_of), *_limits(group)]
            commit = self._commit(form, state, packed(counts), words, key=first_keys[0])
            if commit.outcome != "events":
                return commit
            events_of |= commit.events

    def _commit(
        self,
        form: _Form,
        state: tuple[str | int, ...],
        counts: bytes,
        actions: Sequence[str | int] = (),
        *,
        key: str,
        connect: bool = True,
    ) -> Commit:
        """`state` is what ARGV begins with, and `actions` what it ends with; see commit.lua."""
        end = packed(actions) if actions else _NO_ACTIONS
        rest = b"".join((form.keys, packed(state), form.events, counts, form.lengths, end))
        asked_at = time.time()
        reply = self._call(SCRIPTS["commit"], form.n_words + (len(actions) or 1), rest, key, connect)
        if not isinstance(reply, list) or reply[3:] != [encoded(state[0]), encoded(state[2])]:
            raise self._gone("it answered another request")
        outcome, now_ms, detail = reply[:3]
        self._learn_clock(asked_at, now_ms / 1000)
        return self._outcome(outcome, detail)

    def _outcome(self, outcome: bytes, detail: Any) -> Commit:
        if isinstance(detail, bytes):
            return Commit(_OUTCOMES[outcome], text(detail))
        words = [text(word) for word in detail]
        if outcome == b"events":
            return Commit("events", events=dict(zip(words[::2], words[1::2], strict=True)))
        refusals = tuple(map(Refusal, words[::3], words[1::3], words[2::3]))
        if any(is_not_serving(refusal.reason) for refusal in refusals):
            raise self._gone(refusals[0].reason)
        return Commit("refused", "", refusals)

    def _form(self, group: str, intervals: Sequence[Interval], batch: Mapping[str, int]) -> _Form:
        first_keys = [keys.sources(group)]
        if len(batch) != 1:
            return _Form.of(group, intervals, batch, first_keys)
        # Direct groups commit the same events one at a time, again and again.
        name = (group, *batch)
        form = self._forms.get(name)
        if form is None or form.intervals != intervals:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[name] = _Form.of(group, intervals, batch, first_keys)
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
            others = map(text, self._ask("SUNION", *indexes, key=indexes[0]))
            events = [*declared, *sorted(set(others).difference(declared))]
            counters = [
                keys.counter(name, interval.name, half, event_id)
                for half in ("cur", "last")
                for event_id in events
            ]
            settings = (group.history, self._part_in_totals(group, interval), group.expire_after)
            arguments = [interval.length_ms, ms(now), text(start or b""), *settings, len(declared), *events]
            reply = self._run("rotate", timestamps + indexes + records + counters, arguments)
            outcome, _, until_next_ms, *rest = reply
        if not rest:
            return Rotation(text(outcome), until_next_ms / 1000)  # type: ignore[arg-type]
        begin, end, obstacles = rest
        return Rotation(
            "rotated", until_next_ms / 1000, seconds(begin), seconds(end), tuple(map(text, obstacles))
        )

    def _part_in_totals(self, group: GroupConfig, interval: Interval) -> str:
        """What rotate.lua is to do about them. Each count is in all intervals, so only one adds to them."""
        if not group.totals:
            return "off"
        key, before = keys.totals_interval(group.name), ""
        with suppress(Rejected):  # the script will tell what is in the way
            before = text(self._ask("GET", key, key=key) or b"")
        if before and group.interval(before) is None:
            self._adopt_totals(group, before)
            before = group.totals_interval.name
        return interval.name if interval.name == (before or group.totals_interval.name) else "other"

    def _adopt_totals(self, group: GroupConfig, before: str) -> None:
        """The interval that added to the totals is not in the configuration any more: another one does."""
        name, after = group.name, group.totals_interval.name
        indexes = [
            keys.index(name, before, "cur"),
            keys.index(name, before, "last"),
            keys.index(name, after, "cur"),
        ]
        events = sorted({*group.events, *map(text, self._ask("SUNION", *indexes, key=indexes[0]))})
        counters = [
            keys.counter(name, interval, "cur", event_id)
            for interval in (before, after)
            for event_id in events
        ]
        records = [keys.totals_interval(name), keys.totals(name), keys.idle(name)]
        self._run("adopt", records + counters, [before, after, *events])

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
        arguments = [master.id, json.dumps(described), _MASTER_FORGOTTEN_S]
        refusal = None
        for group in groups:
            try:
                self._run("heartbeat", [keys.masters(group)], arguments)
            except Rejected as error:
                refusal = error
        if refusal:
            raise refusal

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
        found = [_master_info(text(value), now) for value in values]
        return sorted(filter(None, found), key=lambda master: master.since)

    def open_sessions(self, group: GroupConfig, now: float | None = None) -> int:
        """How many sessions have neither ended nor expired.

        Args:
            group: It must have settings for sessions.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        assert group.sessions
        _, key, _ = keys.sessions(group.name)
        since = int(((self.server_time() if now is None else now) - group.sessions.expire_after) * 1000)
        return int(self._ask("ZCOUNT", key, f"({since}", "+inf", key=key))

    def n_sources(self, group: str) -> int:
        """Of how many sources of counts a position is known.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        return int(self._ask("HLEN", keys.sources(group), key=keys.sources(group)))

    def probe(self, group: str) -> Sequence[str]:
        """Try every command that is needed on a scratch key; returns what the server said against any."""
        return [text(error) for error in self._run("probe", [keys.probe(group)], [])]


def _words(actions: Iterable[SessionAction], number_of: Mapping[str, int]) -> Iterator[str | int]:
    for id, event, name, at in actions:
        yield from (id, 0 if event is None else number_of[event], name, round(at * 1000))


def _limits(group: GroupConfig) -> tuple[int, int, int]:
    assert group.sessions
    limits = group.sessions
    return ceil(limits.timeout * 1000), ceil(limits.expire_after * 1000), limits.max_sessions


def _master_info(value: str, now: float) -> MasterInfo | None:
    seen, _, described = value.partition(" ")
    try:
        return MasterInfo(**json.loads(described), seen_s=max(0.0, now - float(seen)))
    except (ValueError, TypeError):
        return None  # not noted by a master
