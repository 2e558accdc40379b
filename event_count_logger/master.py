"""The master: rotates every interval of every group when its time is over."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from event_count_logger.config import Config, GroupConfig
from event_count_logger.counters.recovery import Recovery
from event_count_logger.embedded import EmbeddedServer
from event_count_logger.errors import Rejected, StoreError, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.logger import EventCountLogger
from event_count_logger.store import MasterInfo, Rotation, Store, prune_every_s

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

#: Seconds until a rotation that failed is tried again.
_RETRY_S = 1.0

#: Seconds between looks for spool files whose process was killed. An idle look costs about as much as opening
#: each file.
_RECOVER_S = 3.0

#: Seconds between signs that this master is there.
_HEARTBEAT_S = 5.0

#: Seconds until a signal is noticed that came in the very moment in which the main thread fell asleep: Python
#: runs the handler when that wakes up.
_MISSED_SIGNAL_S = 1.0

#: Seconds after a boundary at which to rotate: the server's clock is a little behind what it said.
_AFTER_BOUNDARY_S = 0.002


class EventCountLoggerMaster(EventCountLogger):
    """The service that ends intervals. Several may run at once: a rotation happens once."""

    def __init__(
        self,
        cfg_groups: Mapping[str, Any],
        cfg_redis: Mapping[str, Any] | None = None,
        log_level: str | int = "INFO",
    ) -> None:
        """See `EventCountLogger`."""
        super().__init__(cfg_groups, cfg_redis, log_level)

    def _use(self, config: Config, log_level: str | int) -> None:
        super()._use(config, log_level)
        self._counters = Store(config.redis, self.log)
        self._recovery = Recovery(config, self._counters, self.log)
        # Not an Event: a signal handler that sets it, in the thread that waits for it, may wait for itself.
        self._stop_requests: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._planning = threading.Lock()
        self._failing: set[tuple[GroupConfig, Interval]] = set()
        self._obstacles: set[str] = set()
        self._is_untold = False
        self._info = MasterInfo(socket.gethostname(), os.getpid(), version("event-count-logger"), time.time())

    def run(self) -> None:
        """Rotate until `stop()` is called, or KeyboardInterrupt or SystemExit is raised.

        Intervals whose time was over before are ended at once; Redis may be away at any time.

        Raises:
            EmbeddedServerError: The configuration asks for an embedded server, which cannot be started.
        """
        embedded = (
            EmbeddedServer(self.config.redis, self.log) if self.config.redis.embedded else nullcontext()
        )
        with embedded:
            self.log.info("ECL Master starting")
            self._rotate_until_stopped()
        self.log.info("ECL Master stopped")

    def stop(self) -> None:
        """Let `run()` return when what it is doing is done. Signal handlers and threads may call it."""
        self._stopping = True
        self._stop_requests.put(None)

    def rotate_due(self) -> None:
        """End every interval whose time is over, once; before that, send what killed processes have left.

        Raises:
            Unavailable: Redis does not answer.
            Rejected: It refused some; the others were ended all the same.
        """
        for _ in self._recovery.run():
            pass
        rejected = None
        for group in self.config.groups.values():
            for shard in group.shards:
                with suppress(
                    Rejected
                ):  # what is in the way of sources is in the way of counting, which tells
                    self._prune(shard)
            for interval in group.intervals:
                try:
                    self._rotate(group, interval, merging=logging.INFO)
                except Rejected as error:
                    rejected = rejected or error
        if rejected:
            raise rejected

    def _rotate_until_stopped(self) -> None:
        scheduler = _scheduler()
        for group in self.config.groups.values():
            for interval in group.intervals:
                scheduler.add_job(self._rotate_on_and_on, args=[scheduler, group, interval])
            for shard in group.shards:
                scheduler.add_job(self._prune_on_and_on, args=[scheduler, shard])
        scheduler.add_job(self._recover_on_and_on, args=[scheduler])
        scheduler.add_job(self._tell_on_and_on, args=[scheduler])
        scheduler.start()
        try:
            while not self._stopping:
                with suppress(Empty):
                    self._stop_requests.get(timeout=_MISSED_SIGNAL_S)
        except (KeyboardInterrupt, SystemExit):
            self.stop()
        finally:
            with self._planning:
                self._stopping = True
            scheduler.remove_all_jobs()  # it must not hand one out while it shuts down
            scheduler.shutdown()
            with suppress(StoreError):
                self._counters.forget_master(self.config.groups.values(), self._info)

    def _rotate_on_and_on(
        self, scheduler: BackgroundScheduler, group: GroupConfig, interval: Interval
    ) -> None:
        """Rotate if it is time, and plan the next look for when it will be, by the server's clock."""
        wait_s = _RETRY_S
        try:
            wait_s = self._rotate(group, interval).until_next_s + _AFTER_BOUNDARY_S
            self._failing.discard((group, interval))
        except Unavailable:
            pass  # the store has told it
        except Rejected as error:
            if (group, interval) not in self._failing:
                self.log.warning(
                    "Group '%s', interval '%s': not rotated: %s", group.name, interval.name, error
                )
            self._failing.add((group, interval))
        finally:
            self._plan(scheduler, wait_s, self._rotate_on_and_on, group, interval)

    def _recover_on_and_on(self, scheduler: BackgroundScheduler) -> None:
        """Send what killed processes of this machine have left, and plan the next look."""
        try:
            for _ in self._recovery.run():
                if self._stopping:
                    return
        except Unavailable:
            pass  # the store has told it
        finally:
            self._plan(scheduler, _RECOVER_S, self._recover_on_and_on)

    def _prune_on_and_on(self, scheduler: BackgroundScheduler, shard: GroupConfig) -> None:
        """Forget processes that have ended, and plan the next look."""
        try:
            self._prune(shard)
        except StoreError:
            pass  # told by the store, or, where a key is in the way, by whoever counts
        finally:
            self._plan(scheduler, prune_every_s(shard), self._prune_on_and_on, shard)

    def _prune(self, shard: GroupConfig) -> None:
        n = self._counters.prune(shard)
        if n:
            self.log.info("Group '%s': forgot the positions of %d processes that have ended", shard.name, n)

    def _tell_on_and_on(self, scheduler: BackgroundScheduler) -> None:
        """Say that this master is there, and plan to say so again."""
        try:
            self._counters.note_master(self.config.groups.values(), self._info)
        except Unavailable:
            pass  # the store has told it
        except Rejected as error:
            if not self._is_untold:
                self.log.warning("It cannot be noted that this master is there: %s", error)
            self._is_untold = True
        finally:
            self._plan(scheduler, _HEARTBEAT_S, self._tell_on_and_on)

    def _plan(
        self, scheduler: BackgroundScheduler, wait_s: float, job: Callable[..., None], *args: object
    ) -> None:
        when = datetime.now(timezone.utc) + timedelta(seconds=wait_s)
        with self._planning:
            if not self._stopping:
                scheduler.add_job(job, "date", run_date=when, args=[scheduler, *args])

    def _rotate(self, group: GroupConfig, interval: Interval, merging: int = logging.WARNING) -> Rotation:
        """Rotate if it is time; `merging` is the log level at which several intervals in one are told."""
        rotation = self._counters.rotate(group, interval)
        if rotation.outcome == "restarted":
            self.log.warning(
                "Group '%s', interval '%s': began in the future, so the clock of Redis was wrong; it begins "
                "anew, without losing counts",
                group.name,
                interval.name,
            )
        if rotation.start is not None and rotation.end is not None:
            merged = round((rotation.end - rotation.start) / interval.length_s)
            self.log.log(
                logging.INFO if merged <= 1 else merging,
                "Group '%s', interval '%s': rotated %s to %s%s",
                group.name,
                interval.name,
                _utc(rotation.start),
                _utc(rotation.end),
                f"; {merged} intervals in one, because no master was running" if merged > 1 else "",
            )
        for key in set(rotation.obstacles) - self._obstacles:
            self.log.warning("Key %s holds something else than it should: it is left as it is", key)
        self._obstacles.update(rotation.obstacles)
        return rotation


def _scheduler() -> BackgroundScheduler:
    from apscheduler.schedulers.background import BackgroundScheduler

    defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    return BackgroundScheduler(timezone=timezone.utc, job_defaults=defaults)


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
