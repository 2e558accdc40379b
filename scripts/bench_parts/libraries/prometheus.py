"""prometheus_client; in its multi-process mode if PROMETHEUS_MULTIPROC_DIR is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import Counter

from bench_parts.libraries import Call, event_names


class Library:
    def __init__(self, kind: str, port: int, folder: str) -> None:
        self._counter = Counter("events", "Events by name", ["event"])

    def call(self, name: str, events: int, intervals: int) -> Call:
        """Returns a call on a child that is looked up once, or that each call looks up."""
        if events == 1:
            return Call("target.inc()", self._counter.labels("e"))
        return Call("target.labels(each).inc()", self._counter, event_names(events))

    def count_each(self, names: list[str]) -> Callable[[str], Any]:
        return lambda name: self._counter.labels(name).inc()
