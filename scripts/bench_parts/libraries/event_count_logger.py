"""This library and event-count-logger 1.1: the same names, whichever of them this process can import."""

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
        self._redis = {"host": "127.0.0.1", "port": port}
        self._ours = kind != "1.1"
        self._folder = folder
        self._kept: list[EventCountLogger] = []
        if (
            kind == "native"
            and not importlib.import_module("event_count_logger.counting.implementation").NATIVE
        ):
            raise ImportError("not built")
        if kind == "1.1" and hasattr(event_count_logger, "__path__"):
            raise ImportError("what is here is a package, and 1.1 was a module")

    def group(self, name: str, events: list[str], intervals: int = 2, **settings: Any) -> Any:
        """A group with these events declared; `settings` as in a configuration."""
        config = {"events": events, "intervals": list(INTERVALS[:intervals]), **settings}
        options = {}
        if self._ours:
            config["max_events"] = 2 * len(events)
            options["spool_dir"] = self._folder
        logger = EventCountLogger({name: config}, self._redis, log_level="WARNING", **options)
        self._kept.append(logger)
        return logger[name]

    def call(self, name: str, events: int, intervals: int) -> Call:
        """The call `log` or `inc` on a cached group; `direct` for log() without cache; `at-once` for log()
        with `sync_interval: 0`; `incr` of redis-py.
        """
        if name == "incr":
            return Call('target.incr("e")', redis.Redis(**self._redis))
        settings = {"direct": {}, "at-once": {"sync_interval": 0}}.get(name, {"sync_interval": NEVER_S})
        names = event_names(events) if events > 1 else ["e"]
        group = self.group(f"{name}-{events}-{intervals}", names, intervals, **settings)
        if name != "inc":
            return log_calls(group, events)
        counters = [group.counter(event_id) for event_id in names]
        return Call("each.inc()", None, counters) if events > 1 else Call("target.inc()", counters[0])

    def count_each(self, names: list[str], sync_interval: float = 60) -> Any:
        """Make a cached group, and give the function that counts an event in it."""
        return self.group("counted", names, sync_interval=sync_interval).log

    def master(self, group: str, interval: str) -> EventCountLoggerMaster:
        """For a group of dynamic events."""
        config = {group: {"events": [], "intervals": [interval], "auto_declare_events": True}}
        return EventCountLoggerMaster(config, self._redis, "WARNING")
