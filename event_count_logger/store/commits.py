"""Counting in Redis: every count goes through commit.lua."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected, Unconfirmed
from event_count_logger.store.client import Client
from event_count_logger.store.durability import N_REQUESTS, Confirmation
from event_count_logger.store.interval_notes import IntervalNotes
from event_count_logger.store.layouts import LAYOUTS
from event_count_logger.store.resp import encoded, length, ms, packed, packed_one, request, text
from event_count_logger.store.results import Commit, CommitOutcome, RejectedKey, SessionAction
from event_count_logger.store.scripts import Script
from event_count_logger.store.server_errors import plain

#: Forms in the cache. Each takes a few hundred bytes.
_MOST_FORMS = 1000

_OUTCOMES: dict[bytes, CommitOutcome] = {
    b"applied": "applied",
    b"duplicate": "duplicate",
    b"conflict": "conflict",
}


#: A commit, as the words of a request:
#:
#:     EVALSHA  SHA-1 of commit.lua                    Script.by_name
#:     number of KEYS, KEYS                            _Form.keys
#:     source, prev, next, milliseconds kept, now      packed for each commit
#:     number of events, their IDs                     _Form.events
#:     count of each event                             packed for each commit
#:     number of intervals, length of each             _Form.end
#:     number of actions, the actions, their limits    _Form.end; just 0 without actions of sessions
#:
#: The server answers {outcome, now, detail, source, next}; see commit.lua.


class _Form(NamedTuple):
    """The words that all commits of the same events have in common, packed.

    Attributes:
        group: The group of the events.
        key: Key of the position of the source.
        n_words: Number of all words, without the script.
    """

    group: GroupConfig
    key: str
    script: Script
    n_words: int
    keys: str
    events: str
    end: str

    @classmethod
    def of(
        cls,
        group: GroupConfig,
        events: Collection[str],
        first_keys: Sequence[str],
        actions: Sequence[str | int] = (0,),
    ) -> _Form:
        layout, intervals = LAYOUTS[group.layout], group.intervals
        names = [*first_keys, *layout.commit_keys(group, events)]
        return cls(
            group,
            first_keys[0],
            layout.commit_script,
            n_words=1 + len(names) + 5 + 1 + 2 * len(events) + 1 + len(intervals) + len(actions),
            keys=packed([len(names), *names]),
            events=packed([len(events), *events]),
            end=packed([len(intervals), *map(length, intervals), *actions]),
        )


class Commits:
    """Counts in one Redis database."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._forms: dict[tuple[object, ...], _Form] = {}
        self._confirmation = Confirmation(client.config.location, client.timeout_s)
        self._notes = IntervalNotes()

    def commit(
        self,
        group: GroupConfig,
        source: str,
        prev: int | str,
        next: int | str,
        batch: Mapping[str, int],
        now: float | None = None,
        connect: bool = True,
    ) -> Commit:
        """Count a batch exactly once. Repeat it with the same arguments until it is answered.

        Args:
            group: The group of the events; one shard, if it is split.
            source: ID of the source of the counts.
            prev: Position of the source before the batch.
            next: Position of the source after the batch.
            batch: Count per event ID.
            now: Unix seconds; the server's clock if None.
            connect: Whether to make a connection if there is none, which may take long.

        Raises:
            NotConnected: There is no connection.
            Unavailable: No answer, or the commit is not yet as durable as configured: repeat.
            Rejected: Nothing was done; the same batch may succeed later.
        """
        form = self._form(group, batch)
        counts = packed_one(*batch.values()) if len(batch) == 1 else packed(batch.values())
        words = f"{form.keys}{_position(source, prev, next, '', ms(now))}{form.events}{counts}{form.end}"
        sent_at = time.time()
        behind = self._behind(form, sent_at, connect)
        replies = self._client.call(form.script, form.n_words, words, form.key, connect, behind)
        return self._result(form, source, next, sent_at, behind, replies)

    def commit_request(
        self,
        group: GroupConfig,
        key: str,
        content: str,
        batch: Mapping[str, int],
        keep_s: float,
        now: float | None = None,
    ) -> Commit:
        """Count a batch with an idempotency key exactly once.

        Args:
            group: The group of the events.
            key: Idempotency key, the same in each retry.
            content: Digest of the batch. Another batch with the same key is a conflict.
            batch: Count per event ID.
            keep_s: Seconds for which the key is kept.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer, or the commit is not yet as durable as configured: repeat.
            Rejected: Nothing was done; the same batch may succeed later.
        """
        form = _Form.of(group, batch, [keys.request(group.prefix, key)])
        position = _position(key, "", content, ms(keep_s), ms(now))
        return self._send(form, position, batch.values(), key, content)

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
        """Record actions of sessions, and count them together with a batch.

        Without a source there can be no batch, and repeated actions change nothing. With a source, all is
        done exactly once; see `commit`.

        Args:
            group: The group of the sessions; it must have settings for sessions.
            actions: In the order of their times.
            source: ID of the source, if there is one.
            prev: Position of the source before the actions and the batch.
            next: Position of the source after them.
            batch: Count per event ID.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer, or the commit is not yet as durable as configured: repeat.
            Rejected: Nothing was done; the same actions may succeed later.
        """
        first_keys = [keys.sources(group.prefix), *keys.sessions(group.prefix)]
        events_of: dict[int, str] = {}  # of actions that count for another event than given
        while True:
            given = [
                action._replace(event=events_of.get(number, action.event))
                for number, action in enumerate(actions)
            ]
            number_of = {event: 0 for _, event, *_ in given if event is not None}
            names = list(batch)
            for event in number_of:
                number_of[event] = len(names) + 1
                names += (event, keys.session_time(event))
            counts: list[int | str] = [*batch.values(), *[""] * (len(names) - len(batch))]
            words: list[str | int] = [len(given), *_words(given, number_of), *_limits(group)]
            form = _Form.of(group, names, first_keys, words)
            position = _position(source, prev, next, "", ms(now))
            commit = self._send(form, position, counts, source, next)
            if commit.outcome != "events":
                return commit
            events_of |= commit.events

    def _send(
        self, form: _Form, position: str, counts: Iterable[str | int], source: str, next: str | int
    ) -> Commit:
        words = f"{form.keys}{position}{form.events}{packed(counts)}{form.end}"
        sent_at = time.time()
        behind = self._behind(form, sent_at, connect=True)
        replies = self._client.call(form.script, form.n_words, words, form.key, behind=behind)
        return self._result(form, source, next, sent_at, behind, replies)

    def _behind(self, form: _Form, sent_at: float, connect: bool) -> tuple[bytes, ...]:
        """Returns the requests behind a commit: a note of its intervals, and those that make it durable."""
        group = form.group
        last_group, since, until = self._notes.last  # most commits are of the same group as the one before
        is_noted = group is last_group and since <= sent_at < until
        if is_noted and group.durability == "memory":
            return ()
        confirming = () if group.durability == "memory" else self._confirming(group, form.key, connect)
        return confirming if is_noted else (*self._notes.requests(group, sent_at), *confirming)

    def _result(
        self,
        form: _Form,
        source: str,
        next: str | int,
        sent_at: float,
        behind: tuple[bytes, ...],
        replies: Sequence[Any],
    ) -> Commit:
        reply = replies[0]
        n_confirming = N_REQUESTS[form.group.durability] if behind else 0
        if len(behind) > n_confirming:  # an error in reply to the note is named by `ecl check`
            self._notes.note_sent(form.group, sent_at)
        if not isinstance(reply, list) or reply[3:] != [encoded(source), encoded(next)]:
            raise self._client.not_serving(form.key, "it answered another request")
        outcome, now_ms, detail, _, _ = reply
        self._client.learn_clock(sent_at, now_ms / 1000, form.key)
        if not isinstance(detail, bytes):
            return self._failed(form.key, outcome, [text(word) for word in detail])
        commit = Commit(_OUTCOMES[outcome], text(detail))
        if n_confirming and outcome != b"conflict":
            try:
                self._confirmation.check(form.group, replies[-n_confirming:], commit.stored)
            except Unconfirmed as error:
                if error.retry == "now":  # otherwise, another connection does not help
                    self._client.drop_connections(form.key)
                raise
        return commit

    def _confirming(self, group: GroupConfig, key: str, connect: bool) -> tuple[bytes, ...]:
        if not self._confirmation.knows(group):
            with suppress(Rejected):  # `Confirmation.check` reports missing permissions
                (role,) = self._client.exchange([request("ROLE")], key, connect)
                self._confirmation.note_role(group, role)
        return self._confirmation.requests(group)

    def durability_fault(self, group: GroupConfig) -> str | None:
        """Returns why commits of a group cannot become as durable as configured; None if they can.

        Raises:
            Unavailable: No answer.
        """
        key = keys.sources(group.prefix)
        behind = self._confirmation.requests(group)
        if not behind:
            return None
        _, *answers = self._client.exchange([request("HLEN", key), *behind], key)
        try:
            self._confirmation.check(group, answers)
        except Unconfirmed as error:
            return str(error)
        return None

    def _failed(self, key: str, outcome: bytes, words: Sequence[str]) -> Commit:
        """Returns a commit that has done nothing; `words` are the third item of the reply of commit.lua."""
        if outcome == b"events":
            return Commit("events", events=dict(zip(map(int, words[::2]), words[1::2], strict=True)))
        refusals = tuple(map(RejectedKey, words[::3], words[1::3], map(plain, words[2::3])))
        self._client.note_rejection(key, refusals[0].reason)
        return Commit("refused", "", refusals)

    def _form(self, group: GroupConfig, batch: Mapping[str, int]) -> _Form:
        if len(batch) != 1:
            return _Form.of(group, batch, [keys.sources(group.prefix)])
        # Direct groups commit the same events one at a time, again and again.
        name: tuple[object, ...] = (id(group), *batch)
        form = self._forms.get(name)
        if form is None or form.group is not group:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[name] = _Form.of(group, batch, [keys.sources(group.prefix)])
        return form


def _position(source: str, prev: int | str, next: int | str, keep_ms: int | str, now_ms: int | str) -> str:
    """Returns what ARGV begins with, packed: the same as `packed`, in a third of the time."""
    prev, next, keep_ms, now_ms = str(prev), str(next), str(keep_ms), str(now_ms)
    words = (
        f"${len(source)}\r\n{source}\r\n${len(prev)}\r\n{prev}\r\n${len(next)}\r\n{next}\r\n"
        f"${len(keep_ms)}\r\n{keep_ms}\r\n${len(now_ms)}\r\n{now_ms}\r\n"
    )
    return words if words.isascii() else packed((source, prev, next, keep_ms, now_ms))


def _words(actions: Iterable[SessionAction], number_of: Mapping[str, int]) -> Iterator[str | int]:
    for id, event, name, at, timeout_s in actions:
        timeout_ms = "" if timeout_s is None else ceil(timeout_s * 1000)
        yield from (id, 0 if event is None else number_of[event], name, round(at * 1000), timeout_ms)


def _limits(group: GroupConfig) -> tuple[int | str, ...]:
    assert group.sessions
    limits = group.sessions
    times_ms = (ceil(limits.timeout_s * 1000), ceil(limits.expire_after * 1000))
    return *times_ms, limits.max_sessions, "1" if limits.is_auto else ""
