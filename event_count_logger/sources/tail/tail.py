"""A tail: reads the lines of one input and commits their counts, together with its position.

Counts, session actions and position are one commit. A batch that Redis rejects is kept and retried; until
Redis accepts it, no further line is read, because the position of the batch does not cover it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from event_count_logger import keys
from event_count_logger.config import GroupConfig, TailConfig, TailRule
from event_count_logger.counting.admission import Admission
from event_count_logger.errors import NotDurable, Rejected, SourceMoved, StoreError
from event_count_logger.logs import Log, counted
from event_count_logger.sources.sessions import checked_action
from event_count_logger.sources.source import Source
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.inputs.open_input import open_input
from event_count_logger.sources.tail.inputs.protocols import Part
from event_count_logger.sources.tail.matching import Matcher
from event_count_logger.sources.tail.rules.tally import MatchedAction, Tally
from event_count_logger.sources.tail.rules.time_limit import TimeLimit
from event_count_logger.sources.tail.worker_pool import WorkerPool
from event_count_logger.store import SessionAction, Store

#: Seconds between commits while few lines arrive.
_COMMIT_S = 1.0

#: Most bytes read between two commits. Fewer bytes mean more commits; more are read again after a kill.
_BATCH_BYTES = 16 << 20

#: The same for rules with sessions: a commit with thousands of actions would block Redis.
_BATCH_BYTES_WITH_SESSIONS = 1 << 16

#: Unread bytes from which a worker pool is faster than this process alone.
_POOL_BYTES = 16 << 20

#: Approximate number of session actions in one commit.
_BATCH_ACTIONS = 1000

_N_CORES = os.cpu_count() or 1

_RESERVED = (keys.SKIPPED, keys.UNMATCHED, keys.MALFORMED)

#: Seconds between attempts while Redis rejects the batch.
_REJECTED_S = 1.0


class Tail:
    """Follows the input of one entry of the section `tail`, in the main thread only; see `TimeLimit`."""

    def __init__(
        self,
        config: TailConfig,
        group: GroupConfig,
        admission: Admission,
        store: Store,
        log: Log,
        limit: TimeLimit,
        stop: threading.Event,
        *,
        once: bool = False,
        from_start: bool = False,
    ) -> None:
        """Prepares a tail; `begin` starts it.

        Args:
            config: The entry.
            group: Group that counts the lines.
            admission: Admission of the group.
            store: Connection to Redis.
            log: Log for warnings.
            limit: Time limit of the patterns.
            stop: Ends all waiting for Redis when set.
            once: Read what exists now.
            from_start: For a source without a stored position: read existing files from their start.

        Raises:
            InputError: The input cannot be opened.
        """
        self._config = config
        self._admission = admission
        self._store = store
        self._stop = stop
        self._input = open_input(config, admission.warn_once, limit, once, from_start)
        self._source = Source(store, group, self._input.source_id, log, stop)
        self._matcher = Matcher(config, limit)
        self._pool: WorkerPool | None = None
        self._batch_bytes = _BATCH_BYTES_WITH_SESSIONS if _have_sessions(config.rules) else _BATCH_BYTES
        self._batch: Counter[str] = Counter()
        self._actions: list[SessionAction] = []
        self._committed_at = 0.0
        self._rejected = ""  # position of the batch, while Redis rejects it

    @property
    def n_unread(self) -> int:
        """Unread bytes of the input."""
        return self._input.n_unread

    @property
    def is_caught_up(self) -> bool:
        """True if everything that exists was read, and Redis rejects no batch."""
        return self._input.is_complete and not self._rejected

    @property
    def absence(self) -> str:
        """The reason why there is nothing to read at all; '' if there is something."""
        return self._input.absence

    def begin(self) -> None:
        """Open the input at its stored position; waits while Redis is unavailable.

        Raises:
            Unavailable: `stop` was set.
            ForeignPosition: Another machine uses the same source.
            ValueError: The stored position is not one of such an input.
        """
        position = self._load()
        self._input.begin(position)
        if not position:
            self.commit()

    def advance(self, until: Until = Until.RECORD) -> int:
        """Read and count new lines, up to some MiB of each file; return the number of bytes read.

        Raises:
            Unavailable: `stop` was set; lines that were not committed are read again later.
            ForeignPosition: Another machine uses the same source.
            ValueError: Another program has stored a position that is not one of such an input.
        """
        if self._rejected:
            self.commit()
        if self._rejected:
            return 0
        n = 0
        for part in self._input.parts():
            # If Redis rejects the batch, nothing may be added that the position of the batch does not cover.
            if self._rejected or self._stop.is_set():
                break
            n += self._read(part, until)
        if n == 0:
            self._close_pool()
        if time.monotonic() >= self._committed_at + _COMMIT_S:
            self.commit()
        return n

    def commit(self) -> None:
        """Commit counts, session actions and position: all or nothing.

        Raises:
            Unavailable: `stop` was set; whether the batch was counted is unknown.
            ForeignPosition: Another machine uses the same source.
            ValueError: Another program has stored a position that is not one of such an input.
        """
        if self._rejected and time.monotonic() < self._committed_at + _REJECTED_S:
            return
        self._committed_at = time.monotonic()
        is_needed = bool(self._batch or self._actions or not self._source.position)
        position = self._rejected or self._input.next_position(is_needed)
        if not position:
            return
        try:
            self._source.commit(position, self._batch, self._actions)
        except (Rejected, NotDurable) as error:
            self._warn_rejected(error)
            self._rejected = position
        except SourceMoved as error:
            self._follow(error, position)
        else:
            self._input.committed()
            self._clear_batch()

    def _follow(self, error: SourceMoved, position: str) -> None:
        """Continue at a position that another program has stored, or to which Redis has fallen back."""
        before = self._input.number
        if not self._input.is_repeatable:
            self._load()
            self._rejected = position  # the batch is sent again
            self._warn_lost(error, before - int(error.stored))
            return
        self._clear_batch()
        self._input.check_moved(error.stored)
        self.begin()
        self._warn_moved(error, before - self._input.number)

    def end(self) -> None:
        """Commit what was read; a source that has no position and belongs to this process is removed.

        Its last record counts although it is incomplete: it cannot be read again.
        """
        if not (self._input.is_repeatable or self._rejected):
            for part in self._input.parts():
                self._read(part, Until.FILE)
        self.commit()
        if not (self._input.is_repeatable or self._rejected):
            self._source.retire()

    def close(self) -> None:
        """Close the input; lines that were not committed are read again later."""
        self._input.close()
        self._close_pool()

    @property
    def descriptors(self) -> Collection[int]:
        """Files and sockets at which lines arrive, if they may be read now."""
        return () if self._rejected else self._input.descriptors

    def _warn_lost(self, error: SourceMoved, n_lost: int) -> None:
        self._admission.warn_once(
            f"{error}",
            f"Redis at {self._store.location} has lost data: {counted(n_lost, 'confirmed batch', 'es')} "
            f"of {self._config.name}, which cannot be read again",
        )

    def _warn_moved(self, error: SourceMoved, n_lost: int) -> None:
        if n_lost > 0:
            self._admission.warn_once(
                f"{error}",
                f"Redis at {self._store.location} has lost data: {counted(n_lost, 'confirmed batch', 'es')} "
                f"of source '{error.source}'; reading their lines again as far as they exist",
            )
        else:
            self._admission.warn_once("moved", f"{error}: reading on from there")

    def _load(self) -> str:
        while True:
            try:
                return self._source.load()
            except Rejected as error:
                self._warn_rejected(error)
                if self._stop.wait(_REJECTED_S):
                    raise

    def _warn_rejected(self, error: StoreError) -> None:
        self._admission.warn_once(f"{error}", f"{error}; retrying, no counts lost")

    def _clear_batch(self) -> None:
        self._batch.clear()
        self._actions.clear()
        self._rejected = ""

    def _read(self, part: Part, until: Until) -> int:
        """Read and tally lines of one part; return the number of bytes."""
        begin = part.offset
        is_large = part.n_unread >= _POOL_BYTES
        for tally in self._tallies(part.chunks(self._batch_bytes, until), part.constants, is_large):
            self._add(tally)
        if part.n_skipped:
            fault = f"{part.path} has a line or record of more than 1 MiB: skipped"
            self._skip(part.path, fault, part.n_skipped)
            part.n_skipped = 0
        n = part.offset - begin
        if n >= _BATCH_BYTES or len(self._actions) >= _BATCH_ACTIONS:
            self.commit()
        return n

    def _tallies(
        self, chunks: Iterable[bytes], constants: Mapping[str, str], is_large: bool
    ) -> Iterable[Tally]:
        if is_large and self._pool is None and _N_CORES > 1:
            self._pool = WorkerPool(_N_CORES, self._config, self._matcher)
        if self._pool:
            return self._pool.tallies(chunks, constants)
        return (self._matcher.tally(chunk, constants) for chunk in chunks)

    def _close_pool(self) -> None:
        if self._pool:
            self._pool.close()
            self._pool = None

    def _add(self, tally: Tally) -> None:
        """Add the counts and actions of a tally to the batch, as the group admits them."""
        for topic, message in tally.faults.items():
            self._warn_once(topic, message)
        if tally.malformed:
            formats = " in ".join(filter(None, (self._config.parser, self._config.wrapper)))
            message = f"{tally.malformed[:60]!r} is not a line of the format {formats}"
            self._warn_once("malformed", message, keys.MALFORMED)
        for event_id, n in tally.counts.items():
            try:
                counted_as = event_id if event_id in _RESERVED else self._admission.counted_as(event_id)
            except ValueError as error:
                self._skip("event", f"{error}", n)
            else:
                if counted_as and n:
                    self._batch[counted_as] += n
        for action in tally.actions:
            self._add_action(action)

    def _add_action(self, action: MatchedAction) -> None:
        try:
            event = None if action.event is None else self._admission.session_counted_as(action.event)
            if event is not None or action.event is None:
                at = self._store.client.now() if action.at is None else action.at
                self._actions.append(checked_action(action.id, event, action.action, at))
        except ValueError as error:
            self._skip("session", f"{error}", 1)

    def _skip(self, topic: str, message: str, n: int) -> None:
        self._warn_once(topic, message)
        self._batch[keys.SKIPPED] += n

    def _warn_once(self, topic: str, message: str, counted_as: str = keys.SKIPPED) -> None:
        name = self._config.name
        self._admission.warn_once(f"{name} {topic}", f"{name}: {message}; counted as {counted_as}")


def _have_sessions(rules: Iterable[TailRule]) -> bool:
    """Returns whether any of these rules, or a rule in them, reports session actions."""
    return any(rule.session or _have_sessions((*rule.rules, *rule.otherwise)) for rule in rules)
