"""The master: rotates each interval of each group at its boundary.

Jobs run in the threads of a scheduler. Each job does one step, and plans its next run itself:

    job         step                                                      next run
    ----------  --------------------------------------------------------  --------------------------------
    rotate      rotate one interval of one shard                          2 ms after its next boundary
                                                                          failed: after 1 s
    recover     send the counts of spool files that processes left        after 3 s
    prune       delete positions of ended processes                       as the groups' source_ttl demands
    compare     find intervals that are counted in and never rotated      after 10 s
    index       find counters of version 1.1                              after 10 s, or 10 min without any
    heartbeat   record this master in Redis                               after 5 s

A master goes through these states:

    state     what it does                              next state, and what leads there
    --------  ----------------------------------------  -----------------------------------------------
    created   nothing                                   running: `run`, once the embedded server serves
    running   runs the jobs; `reload` replaces the      stopping: `stop`, SIGTERM, KeyboardInterrupt or
              timers                                    SystemExit
    stopping  plans no job; waits for running jobs,     stopped: the embedded server has ended
              then records the stop in Redis
    stopped   `run` returns                             -
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from itertools import product
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from event_count_logger.config import Config, GroupConfig
from event_count_logger.counting.recovery import Recovery
from event_count_logger.errors import NotYet, Rejected, StoreError, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logger import EventCountLogger, Missing
from event_count_logger.logs import counted
from event_count_logger.reading.reader import OVERDUE_TOLERANCE_S
from event_count_logger.reading.unrotated import UnrotatedWatch
from event_count_logger.render.phrases import duration, utc
from event_count_logger.service.embedded_server import EmbeddedServer
from event_count_logger.service.late_rotations import LateRotation, LateRotations, RotationAttempts, late_s
from event_count_logger.service.unindexed_counters import UnindexedCounters
from event_count_logger.store import MasterInfo, Rotation, Store, prune_every_s

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

#: Seconds until a failed rotation is retried.
_RETRY_S = 1.0

#: Seconds between searches for spool files of killed processes. A search that finds none costs about as much
#: as opening each file.
_RECOVER_S = 3.0

#: Seconds between heartbeats of this master.
_HEARTBEAT_S = 5.0

#: Seconds between searches for intervals that are counted in and never rotated.
_COMPARE_S = 10.0

#: Seconds between steps of the main thread. A signal that arrives just before the main thread falls asleep is
#: handled after this time: Python runs the handler when the thread wakes up.
_STEP_S = 1.0

#: Seconds without a finished job, beyond the timeout of Redis, after which the master counts as stuck.
_STUCK_S = 3 * _HEARTBEAT_S

#: Seconds from a boundary to its rotation. Redis reports whole milliseconds, so an earlier request could
#: precede the boundary.
_AFTER_BOUNDARY_S = 0.002


class EventCountLoggerMaster(EventCountLogger):
    """The service that rotates intervals. Several may run at once: each rotation happens once.

    Example:
        master = EventCountLoggerMaster.from_file("ecl.yml")
        thread = threading.Thread(target=master.run)
        thread.start()
        master.stop()  # when the program ends
        thread.join()
    """

    def __init__(
        self,
        cfg_groups: Mapping[str, Any],
        cfg_redis: Mapping[str, Any] | None = None,
        log_level: str | int = "INFO",
    ) -> None:
        """As for `EventCountLogger`, with `cfg_groups`, `cfg_redis` and `log_level`."""
        super().__init__(cfg_groups, cfg_redis, log_level)

    def _use(self, config: Config, log_level: str | int, missing: Missing = "warn") -> None:
        super()._use(config, log_level, missing)
        self._counters = Store(config.redis, self.log)
        self._recovery = Recovery(config, self._counters, self.log)
        self._unrotated = UnrotatedWatch(self._counters, self.log)
        self._unindexed = UnindexedCounters(self._counters, self.log)
        # Not an Event: a signal handler that sets it in the thread that waits for it could deadlock.
        self._stop_requests: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._timers: set[_RotationTimer] = set()
        self._announced: tuple[GroupConfig, ...] = ()  # groups with a heartbeat of this master in Redis
        self._progressed_at = time.monotonic()
        self._planning = threading.Lock()
        self._failing: set[tuple[GroupConfig, Interval]] = set()
        self._obstacles: dict[tuple[GroupConfig, Interval], set[str]] = {}  # keys of unexpected types
        self._has_warned_of_heartbeat = False
        self._late = LateRotations(self.log)
        self._info = MasterInfo(socket.gethostname(), os.getpid(), version("event-count-logger"), time.time())

    def run(self, on_step: Callable[[], object] | None = None) -> None:
        """Rotate until `stop()` is called, or KeyboardInterrupt or SystemExit is raised.

        Overdue intervals are rotated at once. While Redis is unavailable, the master retries.

        Args:
            on_step: Called about every second while jobs make progress; may call `reload`.

        Raises:
            EmbeddedServerError: The configured embedded server cannot be started.
        """
        embedded = (
            EmbeddedServer(self.config.redis, self.log) if self.config.redis.embedded else nullcontext()
        )
        with embedded:
            self.log.info("ECL Master starting")
            self._rotate_until_stopped(on_step or _nothing)
        self.log.info("ECL Master stopped")

    def stop(self) -> None:
        """Make `run()` return once its running jobs have ended. Safe in signal handlers and threads."""
        self._stopping = True
        self._stop_requests.put(None)

    def reload(self, config: Config) -> None:
        """Continue with another configuration, except its section `redis`. Only for `on_step` of `run`.

        Args:
            config: The configuration, as from `config.from_file`.
        """
        self.config = config
        self._recovery.log_recovered()
        self._recovery = Recovery(config, self._counters, self.log)
        self._set_timers()

    def rotate_due(self) -> None:
        """Send the counts of killed processes, then rotate every overdue interval once.

        Raises:
            Unavailable: Redis or a node of the cluster does not answer. All other intervals were rotated.
            Rejected: Redis rejected some rotations. All other intervals were rotated.
        """
        failure: StoreError | None = None
        try:
            for _ in self._recovery.run():
                pass
        except Unavailable as error:
            failure = error
        self._prune()
        self._unrotated.look(self.config)
        with suppress(Unavailable):  # the rotations then raise it
            self._unindexed.index(self.config)
        for shard, interval in _rotations(self.config):
            if failure and self._counters.client.is_unavailable(shard):
                continue
            try:
                self._rotate(shard, interval)
            except (Rejected, Unavailable) as error:
                failure = failure or error
        if failure:
            raise failure

    def _rotate_until_stopped(self, on_step: Callable[[], object]) -> None:
        self._progressed_at = time.monotonic()
        self._scheduler = scheduler = _scheduler()
        self._set_timers()
        scheduler.add_job(self._recover_job)
        scheduler.add_job(self._heartbeat_job)
        scheduler.add_job(self._prune_job)
        scheduler.add_job(self._compare_job)
        scheduler.add_job(self._index_job)
        scheduler.start()
        try:
            while not self._stopping:
                if self._is_progressing():
                    on_step()
                with suppress(Empty):
                    self._stop_requests.get(timeout=_STEP_S)
        except (KeyboardInterrupt, SystemExit):
            self.stop()
        finally:
            with self._planning:
                self._stopping = True
            scheduler.remove_all_jobs()  # a job submitted during the shutdown would fail
            scheduler.shutdown()
            self._recovery.log_recovered()
            self._late.log()
            self._counters.masters.record_stop({*self._announced, *self.config.groups.values()}, self._info)

    def _set_timers(self) -> None:
        """Add timers for new intervals and remove those of removed ones; other timers keep their jobs."""
        wanted = set(_rotations(self.config))
        self._timers = {timer for timer in self._timers if timer.rotation in wanted}
        self._failing &= wanted
        self._obstacles = {rotation: self._obstacles.get(rotation, set()) for rotation in wanted}
        for rotation in wanted - {timer.rotation for timer in self._timers}:
            timer = _RotationTimer(rotation)
            self._timers.add(timer)
            self._scheduler.add_job(self._rotate_job, args=[timer])

    def _is_progressing(self) -> bool:
        """Returns True if a job has ended lately: each job waits for Redis for a limited time only."""
        longest_s = _STUCK_S + 2 * self.config.redis.socket_timeout
        return time.monotonic() - self._progressed_at < longest_s

    def _rotate_job(self, timer: _RotationTimer) -> None:
        """Rotate if the boundary has passed, and plan the next run for the next boundary."""
        if timer not in self._timers:
            return  # a reload has removed the interval
        shard, interval = timer.rotation
        wait_s = _RETRY_S
        timer.attempts.begin()
        try:
            rotation = self._rotate(shard, interval)
            self._check_lateness(timer, rotation)
            wait_s = rotation.until_next_s + _AFTER_BOUNDARY_S
            self._failing.discard((shard, interval))
        except (Rejected, NotYet) as error:
            timer.attempts.fail(error)
            if (shard, interval) not in self._failing:
                self.log.warning(
                    "Group '%s', interval '%s': not rotated: %s", shard.label, interval.name, error
                )
            self._failing.add((shard, interval))
        except Unavailable as error:  # logged by the store
            timer.attempts.fail(error)
        finally:
            self._plan(wait_s, self._rotate_job, timer)

    def _check_lateness(self, timer: _RotationTimer, rotation: Rotation) -> None:
        """Log a rotation that is later than the tolerance."""
        shard, interval = timer.rotation
        seconds = late_s(interval, rotation)
        if seconds > OVERDUE_TOLERANCE_S and rotation.start is not None and rotation.end is not None:
            span, reason = (rotation.start, rotation.end), timer.attempts.reason(seconds)
            self._late.add(LateRotation(shard.label, interval.name, seconds, *span, reason))
        timer.attempts.succeed(rotation.until_next_s)

    def _recover_job(self) -> None:
        """Send the counts of killed processes of this machine, and plan the next run."""
        try:
            for _ in self._recovery.run():
                if self._stopping:
                    return
        except Unavailable:
            pass  # logged by the store
        finally:
            self._plan(_RECOVER_S, self._recover_job)

    def _prune_job(self) -> None:
        """Delete positions of ended processes, and plan the next run."""
        self._prune()
        every_s = min(map(prune_every_s, self.config.groups.values()), default=_HEARTBEAT_S)
        self._plan(every_s, self._prune_job)

    def _prune(self) -> None:
        for group in self.config.groups.values():
            for shard in group.shards:
                # Logged by the store or, if a key has an unexpected type, by the processes that count.
                with suppress(StoreError):
                    n = self._counters.sources.prune(shard)
                    if n:
                        self.log.info(
                            "Group '%s': deleted the positions of %s",
                            shard.label,
                            counted(n, "ended process", "es"),
                        )

    def _compare_job(self) -> None:
        """Find intervals that are counted in and never rotated, and plan the next run."""
        try:
            self._unrotated.look(self.config)
        finally:
            self._plan(_COMPARE_S, self._compare_job)

    def _index_job(self) -> None:
        """Find counters of version 1.1, and plan the next run."""
        try:
            with suppress(Unavailable):  # logged by the store
                self._unindexed.index(self.config)
        finally:
            self._plan(self._unindexed.next_scan_s, self._index_job)

    def _heartbeat_job(self) -> None:
        """Record this master in Redis, and plan the next heartbeat."""
        self._late.log_if_due()
        groups = tuple(self.config.groups.values())
        try:
            self._counters.masters.record_stop(_without(self._announced, groups), self._info)
            self._announced = groups
            self._counters.masters.record(groups, self._info)
        except (Rejected, NotYet) as error:
            if not self._has_warned_of_heartbeat:
                self.log.warning(
                    "Cannot record this master's heartbeat in Redis (rotation continues): %s", error
                )
            self._has_warned_of_heartbeat = True
        except Unavailable:
            pass  # logged by the store
        finally:
            self._plan(_HEARTBEAT_S, self._heartbeat_job)

    def _plan(self, wait_s: float, job: Callable[..., None], *args: object) -> None:
        self._progressed_at = time.monotonic()
        when = datetime.now(timezone.utc) + timedelta(seconds=wait_s)
        with self._planning:
            if not self._stopping:
                self._scheduler.add_job(job, "date", run_date=when, args=args)

    def _rotate(self, shard: GroupConfig, interval: Interval) -> Rotation:
        """Rotate if the boundary has passed, and log the result."""
        with suppress(Unavailable):  # the rotation then raises it
            self._unindexed.index_before_rotation(self.config, shard, interval)
        rotation = self._counters.rotation.rotate(shard, interval)
        if rotation.outcome == "restarted":
            self.log.warning(
                "Group '%s', interval '%s': start time is in the future (the Redis clock was set back); "
                "interval restarted, no counts lost",
                shard.label,
                interval.name,
            )
        if rotation.start is not None and rotation.end is not None:
            seconds = late_s(interval, rotation)
            self.log.info(
                "Group '%s', interval '%s': rotated %s to %s%s",
                shard.label,
                interval.name,
                utc(rotation.start),
                utc(rotation.end),
                f", {duration(seconds)} late" if seconds > OVERDUE_TOLERANCE_S else "",
            )
        self._warn_obstacles((shard, interval), rotation)
        return rotation

    def _warn_obstacles(self, rotated: tuple[GroupConfig, Interval], rotation: Rotation) -> None:
        """Warn of each key of an unexpected type once, and once more if it disappears and returns."""
        found = set(rotation.obstacles)
        for key in found.difference(*tuple(self._obstacles.values())):
            self.log.warning("Key %s has an unexpected type or value; left unchanged, not rotated", key)
        is_over = rotation.outcome == "rotated"  # otherwise not all keys were checked
        self._obstacles[rotated] = found if is_over else found | self._obstacles.get(rotated, set())


class _RotationTimer:
    """The series of rotate jobs of one interval of a shard.

    A reload may remove a timer and later add another one for the same interval: a job runs only if its own
    timer is still in use.
    """

    def __init__(self, rotation: tuple[GroupConfig, Interval]) -> None:
        self.rotation = rotation
        self.attempts = RotationAttempts()


def _nothing() -> None:
    pass


def _rotations(config: Config) -> Iterator[tuple[GroupConfig, Interval]]:
    """Returns each shard of each group with each of its intervals: each pair is rotated separately."""
    for group in config.groups.values():
        yield from product(group.shards, group.intervals)


def _without(some: Iterable[GroupConfig], others: Iterable[GroupConfig]) -> list[GroupConfig]:
    """Returns the groups of `some` whose names no group of `others` has."""
    names = {group.name for group in others}
    return [group for group in some if group.name not in names]


def _scheduler() -> BackgroundScheduler:
    from apscheduler.schedulers.background import BackgroundScheduler

    defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    return BackgroundScheduler(timezone=timezone.utc, job_defaults=defaults)
