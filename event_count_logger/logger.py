"""`EventCountLogger`: reads a configuration and makes the event groups of an application."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar, get_args, overload

from event_count_logger import config as configuration
from event_count_logger.config import Config, GroupConfig
from event_count_logger.counting import syncer
from event_count_logger.counting.recovery import Recovery
from event_count_logger.dummy_group import DUMMY_EVENT_GROUP
from event_count_logger.group import EventGroup
from event_count_logger.groups.in_use import InUse
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.logs import Log
from event_count_logger.reading.group_reader import AsyncGroupReader, GroupReader
from event_count_logger.reading.reader import Reader
from event_count_logger.store import Store, confirmation_s

#: Treatment of a group that is not configured, by `ecl[name]` and `get_group`.
Missing: TypeAlias = Literal["raise", "warn"]

_Logger = TypeVar("_Logger", bound="EventCountLogger")

#: All loggers of this process.
in_use: InUse[EventCountLogger] = InUse()


class EventCountLogger:
    """Makes event groups from a configuration; usually one per process.

    Starts and connects nothing before the first count or read. As a context manager, it calls `close` at the
    end of the block.

    Example:
        with EventCountLogger.from_file("ecl.yml") as ecl:
            ecl["requests"].log("ok", 2)
            print(ecl.reader("requests").current("5m").counts["ok"])  # 2

    Attributes:
        config (Config): The configuration in use.
        log (logging.LoggerAdapter): The logger `EventCountLogger` of `logging`, which never raises.
        log_level (str | int): Level of that logger, and of those of the groups.
        missing (Missing): Treatment of groups that are not configured.
    """

    def __init__(
        self,
        cfg_groups: Mapping[str, Any],
        cfg_redis: Mapping[str, Any] | None = None,
        log_level: str | int = "WARNING",
        *,
        missing: Missing = "warn",
        **settings: Any,
    ) -> None:
        """Use a configuration in dictionaries; see `from_file` for one in a file.

        Args:
            cfg_groups: Settings of each group, by the name of the group.
            cfg_redis: Settings of the connection to Redis; localhost:6379 if None.
            log_level: Level of the loggers `EventCountLogger` and `EventGroup(NAME)`.
            missing: What `ecl[name]` and `get_group` do about a group that is not configured: "warn" logs a
                warning, and the events of the group are not counted; "raise" raises NotConfigured.
            settings: `spool` (False: counts are kept in memory only), `spool_dir`, `durability`
                and `source_ttl`, for all groups.

        Raises:
            ConfigError: The configuration has problems; all of them are listed.
            ValueError: `missing` has another value.
        """
        self._use(configuration.from_dicts(cfg_groups, cfg_redis, **settings), log_level, missing)

    @classmethod
    def from_file(
        cls: type[_Logger],
        path: str | os.PathLike[str],
        log_level: str | int = "WARNING",
        *,
        missing: Missing = "warn",
    ) -> _Logger:
        """Use the sections `groups` and `redis` of a YAML file.

        Args:
            path: Path of the file.
            log_level: Level of the loggers `EventCountLogger` and `EventGroup(NAME)`.
            missing: Treatment of groups that are not configured: "warn" or "raise".

        Raises:
            ConfigError: The file has problems; all of them are listed.
            ValueError: `missing` has another value.
        """
        return cls.from_config(configuration.from_file(path), log_level, missing=missing)

    @classmethod
    def from_config(
        cls: type[_Logger], config: Config, log_level: str | int = "WARNING", *, missing: Missing = "warn"
    ) -> _Logger:
        """Use a configuration that was read and checked before.

        Args:
            config: A configuration, as from `config.from_file`.
            log_level: See `from_file`.
            missing: See `from_file`.
        """
        made = cls.__new__(cls)
        cls._use(made, config, log_level, missing)
        return made

    def _use(self, config: Config, log_level: str | int, missing: Missing) -> None:
        if missing not in get_args(Missing):
            raise ValueError(f"missing must be 'raise' or 'warn', not {missing!r}")
        self.config = config
        self.missing: Missing = missing
        self.log = Log("EventCountLogger")
        self.log.setLevel(log_level)
        self.log_level = log_level
        timeout_s = config.redis.socket_timeout
        # A direct log() may wait for another thread and then for Redis: half of the time-out each.
        self._store = Store(config.redis, self.log, timeout_s / 2)
        self._reading_store = Store(config.redis)
        self._reader = Reader(self._reading_store)
        self._recovery = Recovery(config, self._store, self.log)
        self._groups: dict[str, EventGroup] = {}
        self._missing: set[str] = set()
        for problem in config.warnings:
            self.log.warning("Configuration: %s", problem)
        in_use.add(self)

    def dump_config(self) -> str:
        """Returns the configuration as text without passwords, for debugging."""
        redis, groups = self.config.redis.location, dict(self.config.groups)
        return f"EventCountLogger configuration:\nredis: {redis}\ngroups: {groups}\n"

    @overload
    def get_group(self, name: str, dummy: Literal[True], warn: bool = True) -> EventGroup: ...

    @overload
    def get_group(self, name: str, dummy: bool = False, warn: bool = True) -> EventGroup | None: ...

    def get_group(self, name: str, dummy: bool = False, warn: bool = True) -> EventGroup | None:
        """Returns the event group of this name, the same object each time.

        Args:
            name: Name of the group.
            dummy: Return a `DummyEventGroup` instead of None if the group is not configured.
            warn: Log a warning if the group is not configured, once for each name.

        Raises:
            NotConfigured: The group is not configured, with `missing="raise"` and without `dummy`.
        """
        group = self._groups.get(name)
        if group is not None:
            return group
        config = self.config.groups.get(name)
        if config is not None:
            return self._groups.setdefault(name, self._make_group(config))
        if self.missing == "raise" and not dummy:
            self.config.group(name)  # raises NotConfigured
        if warn and name not in self._missing:
            self._missing.add(name)
            self.log.warning("Event group '%s' is not configured: its events are not counted", name)
        return self._dummy(name) if dummy else None

    def __getitem__(self, name: str) -> EventGroup:
        """Returns the event group of this `name`, or a `DummyEventGroup` if it is not configured.

        Example:
            requests = ecl["requests"]

        Raises:
            NotConfigured: The group is not configured, with `missing="raise"`.
        """
        return self.get_group(name, dummy=self.missing == "warn") or self._dummy(name)

    def _make_group(self, config: GroupConfig) -> EventGroup:
        # The current commit of another thread must be confirmed first.
        timeout_s = self.config.redis.socket_timeout + 2 * confirmation_s(config)
        return RedisEventGroup(config, self._store, self._reader, self._recovery, timeout_s, self.log_level)

    def _dummy(self, name: str) -> EventGroup:
        return DUMMY_EVENT_GROUP

    def reader(self, group: str) -> GroupReader:
        """Returns a reader of the counts of the configured `group`.

        Raises:
            NotConfigured: The group is not configured.
        """
        return GroupReader(self.config.group(group), self._reading_store)

    def async_reader(self, group: str) -> AsyncGroupReader:
        """Returns a reader of the counts of the configured `group` for asyncio.

        Raises:
            NotConfigured: The group is not configured.
        """
        return AsyncGroupReader(self.reader(group))

    def close(self, timeout: float = syncer.FLUSH_TIMEOUT_S) -> None:
        """Send all counts and close the connections. What is logged later is counted, too, and sent at once.

        Counts that cannot be sent in time are kept and retried until the process ends.

        Args:
            timeout: Time limit in seconds.
        """
        groups = [group for group in list(self._groups.values()) if isinstance(group, RedisEventGroup)]
        senders = [sender for group in groups for sender in group.senders]
        for sender in syncer.current().close(senders, timeout):
            unsent = sender.describe_unsent()
            if unsent:  # otherwise, the background thread has sent them meanwhile
                self.log.warning(
                    "Closed with %s of group '%s' unsent: retried until the process ends",
                    unsent,
                    sender.config.name,
                )
        self._store.close()
        self._reading_store.close()

    def __enter__(self: _Logger) -> _Logger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
