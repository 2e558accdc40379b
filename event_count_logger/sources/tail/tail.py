"""A tail: reads the lines of log files and commits their counts, together with a checkpoint.

Counts, session actions and checkpoint are one commit. A batch that Redis rejects is kept and retried; until
Redis accepts it, no further line is read, because the checkpoint of the batch does not cover it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from event_count_logger import keys
from event_count_logger.config import GroupConfig, TailConfig
from event_count_logger.counting.admission import Admission
from event_count_logger.errors import NotDurable, Rejected, SourceMoved, StoreError
from event_count_logger.logs import Log, counted
from event_count_logger.sources.sessions import checked_action
from event_count_logger.sources.source import Source
from event_count_logger.sources.tail.discovery import Checkpoint
from event_count_logger.sources.tail.framing import Lines
from event_count_logger.sources.tail.machine_id import identity
from event_count_logger.sources.tail.matching import Matcher
from event_count_logger.sources.tail.registry import Registry
from event_count_logger.sources.tail.tailed_file import TailedFile
from event_count_logger.sources.tail.tally import MatchedAction, Tally
from event_count_logger.sources.tail.time_limit import TimeLimit
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

_RESERVED = (keys.SKIPPED, keys.UNMATCHED)

#: Seconds between attempts while Redis rejects the batch.
_REJECTED_S = 1.0


class ForeignPosition(ValueError):
    """The stored position describes files of another machine, so reading does not continue from it."""

    def __init__(self, config: TailConfig) -> None:
        super().__init__(
            f"{config.file}: the stored position of source '{config.source}' belongs to another machine; "
            "not followed (give each machine its own 'source' in the section 'tail')"
        )


class Tail:
    """Follows the files of one entry of the section `tail`, in the main thread only; see `TimeLimit`."""

    def __init__(
        self,
        config: TailConfig,
        group: GroupConfig,
        admission: Admission,
        store: Store,
        log: Log,
        limit: TimeLimit,
        stop: threading.Event,
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
        """
        self._config = config
        self._admission = admission
        self._store = store
        self._stop = stop
        self._source = Source(store, group, config.source_id, log, stop)
        self._matcher = Matcher(config, limit)
        self._pool: WorkerPool | None = None
        has_sessions = any(rule.session for rule in config.rules)
        self._batch_bytes = _BATCH_BYTES_WITH_SESSIONS if has_sessions else _BATCH_BYTES
        self._registry = Registry(config.file, Lines(), admission.warn_once)
        self._checkpoint = Checkpoint()  # of the last commit
        self._batch: Counter[str] = Counter()
        self._actions: list[SessionAction] = []
        self._committed_at = 0.0
        self._rejected: Checkpoint | None = None  # of the batch, while Redis rejects it

    @property
    def n_unread(self) -> int:
        """Unread bytes of the open files."""
        return sum(file.size - file.offset for file in self._registry.files.values())

    @property
    def is_caught_up(self) -> bool:
        """True if no file is missing and Redis rejects no batch."""
        return self._registry.is_complete and not self._rejected

    def begin(self, from_start: bool = False) -> None:
        """Open the files at their stored offsets; waits while Redis is unavailable.

        Args:
            from_start: For a source without a stored position: read existing files from their start.

        Raises:
            Unavailable: `stop` was set.
            ForeignPosition: Another machine uses the same source.
            ValueError: The stored position is not a checkpoint.
        """
        position = self._load()
        self._checkpoint = Checkpoint.parse(position) if position else Checkpoint()
        if position:
            self._check_machine(self._checkpoint)
            self._registry.resume(self._checkpoint)
        else:
            self._registry.begin(from_start)
            self.commit()

    def advance(self) -> int:
        """Read and count new lines, up to some MiB of each file; return the number of bytes read.

        Raises:
            Unavailable: `stop` was set; lines that were not committed are read again later.
            ForeignPosition: Another machine uses the same source.
            ValueError: Another program has stored a position that is not a checkpoint.
        """
        if self._rejected:
            self.commit()
        if self._rejected:
            return 0
        files = self._registry.files
        self._registry.scan()
        n = 0
        for file in tuple(files.values()):
            # Reading one file may commit. If the source was moved, that has replaced all open files. If Redis
            # rejects the batch, nothing may be added that the checkpoint of the batch does not cover.
            if files.get(file.identity) is file and not self._rejected and not self._stop.is_set():
                n += self._read(file)
        if n == 0:
            self._close_pool()
        if time.monotonic() >= self._committed_at + _COMMIT_S:
            self.commit()
        return n

    def commit(self) -> None:
        """Commit counts, session actions and checkpoint: all or nothing.

        Raises:
            Unavailable: `stop` was set; whether the batch was counted is unknown.
            ForeignPosition: Another machine uses the same source.
            ValueError: Another program has stored a position that is not a checkpoint.
        """
        if self._rejected and time.monotonic() < self._committed_at + _REJECTED_S:
            return
        self._committed_at = time.monotonic()
        checkpoint = self._rejected or self._next_checkpoint()
        has_moved = checkpoint.files != self._checkpoint.files or not self._source.position
        if not (has_moved or self._batch or self._actions):
            return
        try:
            self._source.commit(str(checkpoint), self._batch, self._actions)
        except (Rejected, NotDurable) as error:
            self._warn_rejected(error)
            self._rejected = checkpoint
        except SourceMoved as error:
            before = self._checkpoint.number
            self._clear_batch()
            self._check_files(Checkpoint.parse(error.stored))
            self.begin()
            self._warn_moved(error, before - self._checkpoint.number)
        else:
            self._checkpoint = checkpoint
            self._clear_batch()

    def close(self) -> None:
        """Close all files; lines that were not committed are read again later."""
        self._registry.close()
        self._close_pool()

    def _next_checkpoint(self) -> Checkpoint:
        checkpoint = self._registry.checkpoint(self._checkpoint.number + 1)
        return replace(checkpoint, machine=identity(self._config.file))

    def _check_machine(self, checkpoint: Checkpoint) -> None:
        """Raise ForeignPosition for a checkpoint of another machine.

        A checkpoint whose files exist here is accepted: this machine may have got another identity.
        """
        here = identity(self._config.file)
        is_foreign = checkpoint.machine and here and checkpoint.machine != here
        if is_foreign and not self._registry.recognizes(checkpoint):
            raise ForeignPosition(self._config)

    def _check_files(self, checkpoint: Checkpoint) -> None:
        """Raise ForeignPosition for a newer checkpoint whose files do not exist here.

        A checkpoint of another process of this machine has the same files. Without this check, two machines
        with the same identity would alternate, each reading its files from their start.
        """
        known = {file.identity for file in self._checkpoint.files}
        files = self._registry.files.values()
        has_known = any(file.identity in known and not file.is_deleted for file in files)
        is_newer = checkpoint.number >= self._checkpoint.number
        if is_newer and has_known and not self._registry.recognizes(checkpoint):
            raise ForeignPosition(self._config)

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
        self._rejected = None

    def _read(self, file: TailedFile) -> int:
        """Read and tally lines of one file; return the number of bytes."""
        begin = file.offset
        is_large = file.size - begin >= _POOL_BYTES
        for tally in self._tallies(file.chunks(self._batch_bytes), is_large):
            self._add(tally)
        if file.error:
            self._admission.warn_once(file.path, f"{file.path} cannot be read: {file.error.strerror}")
        if file.n_skipped:
            self._skip(file.path, f"{file.path} has a line of more than 1 MiB: line skipped", file.n_skipped)
            file.n_skipped = 0
        if file.offset - begin >= _BATCH_BYTES or len(self._actions) >= _BATCH_ACTIONS:
            self.commit()
        return file.offset - begin

    def _tallies(self, chunks: Iterable[bytes], is_large: bool) -> Iterable[Tally]:
        if is_large and self._pool is None and _N_CORES > 1:
            self._pool = WorkerPool(_N_CORES, self._config, self._matcher)
        return self._pool.tallies(chunks, {}) if self._pool else map(self._matcher.tally, chunks)

    def _close_pool(self) -> None:
        if self._pool:
            self._pool.close()
            self._pool = None

    def _add(self, tally: Tally) -> None:
        """Add the counts and actions of a tally to the batch, as the group admits them."""
        for topic, message in tally.faults.items():
            self._warn_once(topic, message)
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

    def _warn_once(self, topic: str, message: str) -> None:
        file = self._config.file
        self._admission.warn_once(f"{file} {topic}", f"{file}: {message}; counted as {keys.SKIPPED}")
