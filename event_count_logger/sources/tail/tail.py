"""Takes the lines of log files to the counters of a group."""

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
from event_count_logger.sources.tail.machine_id import identity
from event_count_logger.sources.tail.matching import Matcher, Moment, Tally
from event_count_logger.sources.tail.registry import Registry
from event_count_logger.sources.tail.tailed_file import TailedFile
from event_count_logger.sources.tail.time_limit import TimeLimit
from event_count_logger.sources.tail.worker_pool import WorkerPool
from event_count_logger.store import SessionAction, Store

#: Seconds between commits while lines come one by one.
_COMMIT_S = 1.0

#: Bytes that are read between commits at most. Fewer make more commits, more are read again after a kill.
_STRETCH = 16 << 20

#: The same where lines tell of sessions, so that Redis is not held up by thousands of them.
_STRETCH_WITH_SESSIONS = 1 << 16

#: Bytes from which on it pays to fork workers.
_MUCH = 16 << 20

#: Actions of sessions in one commit, about.
_MANY_ACTIONS = 1000

_N_CORES = os.cpu_count() or 1

_OWN = (keys.SKIPPED, keys.UNMATCHED)

#: Seconds between attempts while something in Redis is in the way.
_REJECTED_S = 1.0


class ForeignPosition(ValueError):
    """The stored position describes files of another machine: nothing is read on from it."""

    def __init__(self, config: TailConfig) -> None:
        super().__init__(
            f"{config.file}: the stored position of source '{config.source}' is that of another machine; "
            "not followed (give each machine its own 'source' in the section 'tail')"
        )


class Tail:
    """Follows the files of one entry; to be used by the main thread, see `TimeLimit`."""

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
        """Reads nothing yet; see `begin`. `admission` is that of the group; `stop` ends waiting for Redis."""
        self._config = config
        self._admission = admission
        self._store = store
        self._stop = stop
        self._source = Source(store, group, config.source_id, log, stop)
        self._matcher = Matcher(config.rules, limit)
        self._crew: WorkerPool | None = None
        self._stretch = _STRETCH_WITH_SESSIONS if any(rule.session for rule in config.rules) else _STRETCH
        self._inventory = Registry(config.file, admission.warn_once)
        self._ledger = Checkpoint()  # of the last commit
        self._batch: Counter[str] = Counter()
        self._actions: list[SessionAction] = []
        self._committed_at = 0.0
        self._refused: Checkpoint | None = (
            None  # what the batch takes the source to, if that was tried in vain
        )

    @property
    def n_unread(self) -> int:
        """Bytes that are known to be there and were not read yet."""
        return sum(file.size - file.offset for file in self._inventory.files.values())

    @property
    def is_settled(self) -> bool:
        """Whether no file is looked for, and nothing waits because it was refused."""
        return self._inventory.is_complete and not self._refused

    def begin(self, from_start: bool = False) -> None:
        """Go to where Redis has the source; waits for it.

        Args:
            from_start: Whether to read files from their start that are there when the source is new.

        Raises:
            Unavailable: It is to stop.
            ForeignPosition: Another machine uses the same source.
            ValueError: The stored position is none of log files.
        """
        position = self._load()
        self._ledger = Checkpoint.parse(position) if position else Checkpoint()
        if position:
            self._check_machine(self._ledger)
            self._inventory.resume(self._ledger)
        else:
            self._inventory.begin(from_start)
            self.commit()

    def advance(self) -> int:
        """Read and count what is there, up to some MiB of each file; returns how many bytes were read.

        Raises:
            Unavailable: It is to stop; what was not counted will be read again.
            ForeignPosition: Another machine uses the same source.
            ValueError: Something else has stored a position that is none of log files.
        """
        if self._refused:
            self.commit()
        if self._refused:
            return 0
        files = self._inventory.files
        self._inventory.look()
        n = 0
        for file in tuple(files.values()):
            # When the source has moved, reading one file begins anew with all of them. When a batch was
            # refused, nothing may be added to it that its position does not cover.
            if files.get(file.identity) is file and not self._refused and not self._stop.is_set():
                n += self._read(file)
        if n == 0:
            self._dismiss_crew()
        if time.monotonic() >= self._committed_at + _COMMIT_S:
            self.commit()
        return n

    def commit(self) -> None:
        """Count what was read and store how far that was, both or nothing.

        Raises:
            Unavailable: It is to stop, and whether it was counted is not known.
            ForeignPosition: Another machine uses the same source.
            ValueError: Something else has stored a position that is none of log files.
        """
        if self._refused and time.monotonic() < self._committed_at + _REJECTED_S:
            return
        self._committed_at = time.monotonic()
        ledger = self._refused or self._next_ledger()
        is_new = ledger.marks != self._ledger.marks or not self._source.position
        if not (is_new or self._batch or self._actions):
            return
        try:
            self._source.commit(str(ledger), self._batch, self._actions)
        except (Rejected, NotDurable) as error:
            self._tell_refusal(error)
            self._refused = ledger
        except SourceMoved as error:
            before = self._ledger.number
            self._forget_batch()
            self._check_files(Checkpoint.parse(error.stored))
            self.begin()
            self._tell_moved(error, before - self._ledger.number)
        else:
            self._ledger = ledger
            self._forget_batch()

    def close(self) -> None:
        """Let go of all files; what was read and not counted will be read again."""
        self._inventory.close()
        self._dismiss_crew()

    def _next_ledger(self) -> Checkpoint:
        return replace(self._inventory.ledger(self._ledger.number + 1), machine=identity(self._config.file))

    def _check_machine(self, ledger: Checkpoint) -> None:
        """Raise ForeignPosition for a ledger of another machine, unless its files are here: a machine may get
        another identity.
        """
        here = identity(self._config.file)
        is_foreign = ledger.machine and here and ledger.machine != here
        if is_foreign and not self._inventory.recognizes(ledger):
            raise ForeignPosition(self._config)

    def _check_files(self, ledger: Checkpoint) -> None:
        """Raise ForeignPosition for a newer ledger that does not describe the files that are followed here.

        Another process of this machine has the same files. Without this check, two machines with the same
        identity would take turns, each reading its files from their start.
        """
        known = {mark.identity for mark in self._ledger.marks}
        files = self._inventory.files.values()
        has_known = any(file.identity in known and not file.is_deleted for file in files)
        if ledger.number >= self._ledger.number and has_known and not self._inventory.recognizes(ledger):
            raise ForeignPosition(self._config)

    def _tell_moved(self, error: SourceMoved, n_gone: int) -> None:
        if n_gone > 0:
            self._admission.warn_once(
                f"{error}",
                f"Redis at {self._store.location} has lost data: {counted(n_gone, 'confirmed batch', 'es')} "
                f"of source '{error.source}'; their lines are read again as far as they are there",
            )
        else:
            self._admission.warn_once("moved", f"{error}: it is read on from there")

    def _load(self) -> str:
        while True:
            try:
                return self._source.load()
            except Rejected as error:
                self._tell_refusal(error)
                if self._stop.wait(_REJECTED_S):
                    raise

    def _tell_refusal(self, error: StoreError) -> None:
        self._admission.warn_once(f"{error}", f"{error}; it is tried again, and nothing is lost")

    def _forget_batch(self) -> None:
        self._batch.clear()
        self._actions.clear()
        self._refused = None

    def _read(self, file: TailedFile) -> int:
        begin = file.offset
        is_much = file.size - begin >= _MUCH
        for tally in self._tallies(file.pieces(self._stretch), is_much):
            self._take(tally)
        if file.trouble:
            self._admission.warn_once(file.path, f"{file.path} cannot be read: {file.trouble.strerror}")
        if file.n_skipped:
            self._skip(file.path, f"{file.path} has a line of more than 1 MiB: it is skipped", file.n_skipped)
            file.n_skipped = 0
        if file.offset - begin >= _STRETCH or len(self._actions) >= _MANY_ACTIONS:
            self.commit()
        return file.offset - begin

    def _tallies(self, pieces: Iterable[bytes], is_much: bool) -> Iterable[Tally]:
        if is_much and self._crew is None and _N_CORES > 1:
            self._crew = WorkerPool(_N_CORES, self._config.rules, self._matcher)
        return self._crew.tallies(pieces) if self._crew else map(self._matcher.tally, pieces)

    def _dismiss_crew(self) -> None:
        if self._crew:
            self._crew.close()
            self._crew = None

    def _take(self, tally: Tally) -> None:
        """Count what lines come to."""
        for topic, message in tally.oddities.items():
            self._warn_once(topic, message)
        for event_id, n in tally.counts.items():
            try:
                counted_as = event_id if event_id in _OWN else self._admission.counted_as(event_id)
            except ValueError as error:
                self._skip("event", f"{error}", n)
            else:
                if counted_as and n:
                    self._batch[counted_as] += n
        for moment in tally.moments:
            self._act(moment)

    def _act(self, moment: Moment) -> None:
        try:
            event = None if moment.event is None else self._admission.session_counted_as(moment.event)
            if event is not None or moment.event is None:
                at = self._store.client.now() if moment.at is None else moment.at
                self._actions.append(checked_action(moment.id, event, moment.action, at))
        except ValueError as error:
            self._skip("session", f"{error}", 1)

    def _skip(self, topic: str, message: str, n: int) -> None:
        self._warn_once(topic, message)
        self._batch[keys.SKIPPED] += n

    def _warn_once(self, topic: str, message: str) -> None:
        file = self._config.file
        self._admission.warn_once(f"{file} {topic}", f"{file}: {message}; counted as {keys.SKIPPED}")
