"""A process of scripts/bench that uses one library. Each line of its input is a request in JSON."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench_parts.coroutines import Coroutines, log_times
from bench_parts.footprint import files_kb, idle, memory_kb
from bench_parts.libraries import Call, Empty, event_names, log_calls
from bench_parts.stopwatch import PauseWatch, Stopwatch

MODULES = {
    "prometheus": "prometheus",
    "prometheus multi-process": "prometheus",
    "statsd": "statsd_udp",
    "opentelemetry": "opentelemetry_sdk",
}


class Worker:
    """Answers requests: each public method is one."""

    def __init__(self, kind: str, port: str, folder: str) -> None:
        module = importlib.import_module(f"bench_parts.libraries.{MODULES.get(kind, 'event_count_logger')}")
        self._library = module.Library(kind, int(port), folder)
        self._is_previous = kind == "1.1"
        self._folder = folder
        self._stopwatches: dict[str, Stopwatch] = {}
        self._groups: dict[int, Any] = {}
        self._coroutines: Coroutines | None = None

    def sample(
        self,
        call: str,
        base: str,
        events: int,
        intervals: int,
        threads: int,
        sample_ms: float,
        clock: str = "perf_counter_ns",
    ) -> tuple[float, float]:
        """Returns nanoseconds per call of `base` and then of `call`, by a clock of the module `time`."""

        def stopwatch(name: str) -> Stopwatch:
            key = json.dumps([name, events, intervals, threads, clock])
            if key not in self._stopwatches:
                timed = self._call(name, events, intervals)
                self._stopwatches[key] = Stopwatch(timed, threads, sample_ms, getattr(time, clock))
            return self._stopwatches[key]

        return stopwatch(base).sample(), stopwatch(call).sample()

    def _call(self, name: str, events: int, intervals: int) -> Call:
        if name == "loop":
            return Call("pass")
        if name == "empty":
            return log_calls(Empty(), events)
        call: Call = self._library.call(name, events, intervals)
        return call

    def sync(self, changed: int, among: int) -> float:
        """Returns the milliseconds of a sync of `changed` changed counters in a group of `among` events."""
        group = self._group(among)
        for name in event_names(changed):
            group.log(name)
        answers: list[bool | None] = []
        took = _ms(lambda: answers.append(group.sync()))
        if answers == [False]:
            raise RuntimeError("a sync was not confirmed in time")
        return took

    def pause(self, changed: int) -> tuple[float, float, float]:
        """Returns milliseconds: the longest pauses of log() without and with a sync, and the sync itself."""
        group = self._group(changed)
        names = event_names(changed)
        for name in names:
            group.log(name)
        watch = PauseWatch(group.log, names[0])
        with_sync, took = watch.longest_ms(group.sync)
        without, _ = watch.longest_ms(lambda: time.sleep(took / 1000))
        return without, with_sync, took

    def memory(self, events: int) -> int:
        """Returns the kilobytes that a group takes once each of its events was counted, files included."""
        names = event_names(events)
        gc.collect()
        before = memory_kb()
        log = self._library.count_each(names)
        for name in names:
            log(name)
        time.sleep(0.5)  # a background thread may start and connect
        return memory_kb() - before + files_kb(self._folder)

    def idle(self, seconds: float, sync_interval: float = 60) -> tuple[float, int]:
        """Returns the result of `footprint.idle`, called one second after counting."""
        self._library.count_each(["e"], sync_interval)("e")
        time.sleep(1)
        return idle(seconds)

    def log_times(self, group: str, events: list[str], in_loop: bool) -> list[int]:
        """Returns `coroutines.log_times` of a direct group in a loop, or of `sync_interval: 0` without."""
        settings = {} if in_loop else {"sync_interval": 0}
        return log_times(self._library.group(group, events, **settings), events, in_loop)

    def first_call_us(self, group: str) -> float:
        """See `Coroutines`. Makes the direct group of `longest_calls_us` and `expected`."""
        events = ["warm-up", "e", "visit"]
        self._coroutines = Coroutines(self._library.group(group, events, sessions={}))
        return self._coroutines.first_call_us()

    def longest_calls_us(self, seconds: float) -> dict[str, float]:
        """See `Coroutines`."""
        assert self._coroutines
        return self._coroutines.longest_calls_us(seconds)

    def expected(self) -> dict[str, int]:
        """See `Coroutines`."""
        assert self._coroutines
        return self._coroutines.expected()

    def rotate(self, group: str, interval: str) -> float:
        """Returns the milliseconds of a rotation by version 1.1, which has no public method for it."""
        master = self._library.master(group, interval)
        return _ms(lambda: master._process(group, interval))

    def read(self, group: str, interval: str) -> tuple[float, int]:
        """Returns the milliseconds of a read, and the number of events in the last interval."""
        read = self._library.master(group, interval)[group].get_counts
        took = _ms(lambda: read(interval))
        return took, len(read(interval))

    def _group(self, events: int) -> Any:
        """Returns a cached group, each event of which was counted and sent once."""
        if events not in self._groups:
            self._groups[events] = group = self._library.group(
                f"synced-{events}", event_names(events), sync_interval=3600
            )
            # 1.1 makes all counters at the start, and sends them one by one.
            if not self._is_previous:
                for name in event_names(events):
                    group.log(name)
                while not group.sync():
                    pass
        return self._groups[events]


def _ms(action: Callable[[], Any]) -> float:
    begin = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - begin) / 1e6


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print: only answers go to standard output
    try:
        worker = Worker(*sys.argv[1:])
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers)
        return
    print("{}", file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(worker, request.pop("do"))(**request)), file=answers)


if __name__ == "__main__":
    main()
