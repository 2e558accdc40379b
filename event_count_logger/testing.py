"""Tests of code that counts: count in memory, without Redis, files and threads.

    RecordingEventCountLogger   an `EventCountLogger` for code that is given one
    capture_counts()            for code with loggers of its own: what it counts meanwhile is recorded

The pytest plugin of this package has `capture_counts()` as the fixture `ecl`, and as the option `ecl_capture`
for a whole run.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import NoReturn

from event_count_logger import logger
from event_count_logger.config import GroupConfig
from event_count_logger.config.choices import choices
from event_count_logger.errors import NotConfigured
from event_count_logger.groups import redis_group
from event_count_logger.groups.captured_group import capture, release
from event_count_logger.groups.recorded import Recorded
from event_count_logger.groups.recording_group import RecordingGroup, UnconfiguredRecordingGroup
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.logger import EventCountLogger

__all__ = ["CapturedCounts", "RecordingEventCountLogger", "RecordingGroup", "capture_counts"]


class RecordingEventCountLogger(EventCountLogger):
    """An `EventCountLogger` whose groups keep their counts in memory.

    It is made as an `EventCountLogger` is: of dictionaries, or with `from_file`. Of the section `redis`
    nothing is used.

    Example:
        recorded = RecordingEventCountLogger.from_file("ecl.yml")
        recorded["requests"].log("ok")  # in the code under test
        assert recorded["requests"]["ok"] == 1
    """

    def __getitem__(self, name: str) -> RecordingGroup:
        """Returns the group of this name. One that is not configured counts nothing, and has no counts.

        Raises:
            NotConfigured: The group is not configured, with `missing="raise"`.
        """
        group = super().__getitem__(name)
        assert isinstance(group, RecordingGroup)
        return group

    def reader(self, group: str) -> NoReturn:
        """Not available: nothing is in Redis.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{type(self).__name__} has no readers: use recorded[{group!r}]")

    def _make_group(self, config: GroupConfig) -> RecordingGroup:
        return RecordingGroup(config, log_level=self.log_level)

    def _dummy(self, name: str) -> RecordingGroup:
        return UnconfiguredRecordingGroup(name)


class CapturedCounts:
    """The counts that the application logs within a `with` block; see `testing.capture_counts`."""

    def __init__(self) -> None:
        self._recorded: dict[str, Recorded] = {}
        self._groups: dict[GroupConfig, RecordingGroup] = {}

    def __getitem__(self, name: str) -> RecordingGroup:
        """Returns the captured group of this name: a mapping of event ID to count.

        Raises:
            NotConfigured: No logger of the application has a group of this name.
        """
        known = [*list(self._groups), *_configured()]
        groups = [self.group(config) for config in known if config.name == name]
        if not groups:
            names = choices(name, dict.fromkeys(config.name for config in known))
            raise NotConfigured(f"No EventCountLogger of this process has a group '{name}'{names}")
        return groups[0]

    def group(self, config: GroupConfig) -> RecordingGroup:
        """Returns the group that records for all groups of the application with this configuration."""
        recorded = self._recorded.setdefault(config.name, Recorded())
        with _lock:
            if config not in self._groups:
                self._groups[config] = RecordingGroup(config, recorded)
            return self._groups[config]

    def __enter__(self) -> CapturedCounts:
        with _lock:
            _running.append(self)
            _capture_or_release_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            _running.remove(self)
            _capture_or_release_all()


def capture_counts() -> CapturedCounts:
    """Record what the application counts within a `with` block, in place of counting it in Redis.

    This holds for all threads, and for all groups and all objects made of them, whether they were made before
    or within the block. Counts that were logged before are sent as always. After the block, the application
    counts in Redis again. The recorded counts can still be read then.

    Groups with the same name in several loggers are recorded together. The innermost of several blocks
    records. Readers read from Redis as always. A forked process records for itself. A program that the
    application starts is not captured.

    Example:
        with capture_counts() as counts:
            group.log("ok")  # in the code under test
        assert counts["requests"]["ok"] == 1
    """
    return CapturedCounts()


def _configured() -> list[GroupConfig]:
    """Returns the settings of all groups in each logger of the application."""
    loggers = [each for each in logger.in_use.all() if not isinstance(each, RecordingEventCountLogger)]
    return [config for each in loggers for config in each.config.groups.values()]


#: The blocks that are running; the last one records.
_running: list[CapturedCounts] = []

_lock = threading.RLock()


def _capture_or_release(group: RedisEventGroup) -> None:
    with _lock:
        if _running:
            capture(group, _running[-1].group(group.config))
        else:
            release(group)


def _capture_or_release_all() -> None:
    for group in redis_group.in_use.all():
        _capture_or_release(group)


redis_group.in_use.on_add = _capture_or_release
