"""This library, or event-count-logger 1.1, which has the same names: whichever this process imports."""

from __future__ import annotations

import importlib
from typing import Any

import redis

import event_count_logger
from bench_parts.libraries import Call, event_names, log_calls
from event_count_logger import EventCountLogger, EventCountLoggerMaster

INTERVALS = ("1h", "2h", "3h", "4h")
NEVER_S = 3600


class Library:
    def __init__(self, kind: str, port: int, folder: str) -> None:
        self._redis: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        self._ours = kind != "1.1"
        self._folder = folder
        self._kept: list[EventCountLogger] = []
        if (
            kind == "native"
            and not importlib.import_module("event_count_logger.counting.implementation").NATIVE
        ):
            raise ImportError("not built")
        if kind == "1.1" and hasattr(event_count_logger, "__path__"):
            raise ImportError("a package was imported, and 1.1 is a module")

    def group(self, name: str, events: list[str], intervals: int = 2, **settings: Any) -> Any:
        """Returns a group with these declared events. `settings` are those of a configuration."""
        config: dict[str, Any] = {"events": events, "intervals": list(INTERVALS[:intervals]), **settings}
        options: dict[str, Any] = {}
        if self._ours:
            config["max_events"] = 2 * len(events)
            options["spool_dir"] = self._folder
        logger = EventCountLogger({name: config}, self._redis, log_level="WARNING", **options)
        self._kept.append(logger)
        return logger[name]

    def call(self, name: str, events: int, intervals: int) -> Call:
        """Returns a call by its name.

        `log` and `inc` use a cached group, `direct` a direct one, and `at-once` one with `sync_interval: 0`.
        `incr` is that of redis-py.
        """
        if name == "incr":
            return Call('target.incr("e")', redis.Redis(**self._redis))
        cached: dict[str, int] = {"sync_interval": NEVER_S}
        settings = {"direct": {}, "at-once": {"sync_interval": 0}}.get(name, cached)
        names = event_names(events) if events > 1 else ["e"]
        group = self.group(f"{name}-{events}-{intervals}", names, intervals, **settings)
        if name != "inc":
            return log_calls(group, events)
        counters = [group.counter(event_id) for event_id in names]
        return Call("each.inc()", None, counters) if events > 1 else Call("target.inc()", counters[0])

    def count_each(self, names: list[str], sync_interval: float = 60) -> Any:
        """Make a cached group; returns the function that counts an event in it."""
        return self.group("counted", names, sync_interval=sync_interval).log

    def master(self, group: str, interval: str) -> EventCountLoggerMaster:
        """Returns a master of a group of dynamic events."""
        config = {group: {"events": [], "intervals": [interval], "auto_declare_events": True}}
        return EventCountLoggerMaster(config, self._redis, "WARNING")
