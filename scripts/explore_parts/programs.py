"""Explored programs: a process counts until it ends or is killed, and other processes recover its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from event_count_logger.counting import batch_sender, spool_file
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.recovery import Recovery
from event_count_logger.counting.spool_file import SpoolFile
from event_count_logger.errors import StoreError
from explore_parts.interception import LOG
from explore_parts.world import OTHER_THREAD_LOGS, Killed, World

#: Recoveries that may have faults.
_RECOVERIES = 2

#: Number of heartbeats and prunes within which a source without heartbeats would be pruned.
_LOOKS = 6


class Process:
    """A process that counts in one group. Its steps have the order of those of `LocalCounters`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._file: SpoolFile | None = None
        self._n_steps = 0
        self._cells = Cells(self._open)
        self._sender = batch_sender.BatchSender(world.group, self._cells, world.store, LOG, lambda: world.now)
        world.look_at_next_process(source=lambda: self._cells.source)

    def _open(self) -> SpoolFile:
        world = self._world
        self._file = spool_file.create(world.directory, "g", ["1h"], world.store.identity)
        return self._file

    def log(self, event: str, count: int) -> None:
        self._cells.add(event).add(count)
        self._world.logged[event] += count

    def send(self) -> None:
        """Send all unsent counts, and retry until Redis has replied."""
        self._world.now += batch_sender.RETRY_REJECTED_S
        with self._with_other_thread():
            while True:
                with suppress(StoreError):
                    self._sender.run()
                    break
        self._n_steps += 1
        self._world.between_steps(self._memory())

    def retire(self) -> None:
        with self._with_other_thread():
            for _ in range(2):
                if not self._cells.has_unsent():
                    with suppress(StoreError):
                        self._sender.retire()
                        break
        self._n_steps += 1
        self._world.between_steps(self._memory())

    def _memory(self) -> object:
        """Returns the progress of the program, and its state besides its file."""
        sender, known = self._sender, self._sender._confirmed
        cells = [cell.event_id for cell in [*sender._unsent_losses, *(sender._batch or [])]]
        times = self._world.now, sender._rejected
        return self._n_steps, times, sender.unanswered, known._positions, known._sums, cells

    @contextmanager
    def _with_other_thread(self) -> Iterator[None]:
        """In the block, another thread may log an event that has a cell, which takes no lock."""
        cell = self._cells.by_id["a"]

        def log() -> None:
            cell.add(OTHER_THREAD_LOGS)
            self._world.logged["a"] += OTHER_THREAD_LOGS

        self._world.other_thread = log
        try:
            yield
        finally:
            self._world.other_thread = None

    def time_passes(self) -> None:
        """Let more than `source_ttl` pass, while this process sends heartbeats and a master prunes."""
        world = self._world
        with world.calm():
            world.late_requests_arrive()
            for _ in range(_LOOKS):
                world.server.now += int(world.group.source_ttl / 5)
                self._sender.touch_source()
                world.store.sources.prune(world.group, world.server.now)

    def end(self) -> None:
        if self._cells.has_unsent():
            self._world.was_killed = True  # the counts of its file are recovered, as after a kill
        elif self._file:
            self._file.delete()
        self.release()

    def release(self) -> None:
        """Release the lock of the file, as the kernel does when the process has ended."""
        if self._file:
            self._file.close()


def life(process: Process, world: World) -> None:
    """Count in two generations of a source."""
    process.log("a", 5)
    process.send()
    process.retire()
    process.log("a", 3)
    process.log("b", 2)
    process.send()


def rejected(process: Process, world: World) -> None:
    """Count while Redis rejects an event for some time."""
    world.may_reject = True
    world.reject(True)
    process.log("a", 1)
    process.send()
    process.log("b", 2)
    process.send()
    process.log("b", 3)
    process.send()
    process.retire()


def forgetting(process: Process, world: World) -> None:
    """Count while Redis may lose its last changes."""
    world.may_forget = True
    process.log("a", 1)
    process.send()
    process.log("b", 2)
    process.send()
    process.retire()


def pruned(process: Process, world: World) -> None:
    """Have nothing to send for longer than `source_ttl`."""
    process.log("a", 1)
    process.send()
    process.time_passes()
    process.log("b", 2)
    process.send()
    process.retire()


Program = Callable[[Process, World], None]

PROGRAMS: dict[str, Program] = {each.__name__: each for each in (life, rejected, forgetting, pruned)}


def run(program: Program, world: World) -> None:
    """Run the process, then other processes that recover its file, then a recovery without faults."""
    world.begin()
    process = Process(world)
    try:
        with suppress(Killed):
            program(process, world)
            process.end()
        process.release()
        for number in range(_RECOVERIES):
            world.between_steps(("recovery", number))
            if spool_file.find(world.directory):
                world.look_at_next_process(rival=lambda: recover(world))
                with suppress(Killed):
                    recover(world)
    finally:
        process.release()
    with world.calm():
        world.reject(False)
        world.late_requests_arrive()
        recover(world)


def recover(world: World) -> None:
    with suppress(StoreError):
        for _ in Recovery(world.config, world.store, LOG).run():
            pass
