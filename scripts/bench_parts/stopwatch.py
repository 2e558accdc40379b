"""Stopwatches for calls: their time in a loop, the loop included, and the longest pause between two calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import cycle, islice, repeat
from typing import Any

from bench_parts.libraries import Call

_LOOP = """
def loop(n, target, items):
    begin = now()
    for {each}:
        {statement}
    return now() - begin
"""


class Stopwatch:
    """Times one call in samples that take about `sample_ms`."""

    def __init__(
        self, call: Call, threads: int, sample_ms: float, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._call = call
        self._threads = threads
        names: dict[str, Any] = {
            "now": clock,
            "repeat": repeat,
            "cycle": cycle,
            "islice": islice,
        }
        each = "each in islice(cycle(items), n)" if call.items else "_ in repeat(None, n)"
        exec(_LOOP.format(each=each, statement=call.statement), names)
        self._loop = names["loop"]
        self._n = max(1, len(call.items))
        self._run(self._n)  # the first call of an event may make its counter
        sample_ns = sample_ms * 1e6
        while (took_ns := self._run(self._n)) < sample_ns / 4:
            self._n *= 2
        self._n = max(1, round(self._n * sample_ns / took_ns))

    def sample(self) -> float:
        """Returns nanoseconds per call: with several threads, from the first start to the last end."""
        if self._threads == 1:
            return self._run(self._n) / self._n
        share = max(1, self._n // self._threads)
        return self._run_in_threads(share) / (share * self._threads)

    def _run(self, n: int) -> int:
        return int(self._loop(n, self._call.target, self._call.items))

    def _run_in_threads(self, n: int) -> int:
        go = threading.Event()

        def work() -> None:
            go.wait()
            self._run(n)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        begin = time.perf_counter_ns()
        go.set()
        for thread in threads:
            thread.join()
        return time.perf_counter_ns() - begin


class PauseWatch:
    """Counts in a thread without rest, and measures the longest time between two counts."""

    _ASIDE_S = 0.02  #: seconds of counting before and after the action

    def __init__(self, log: Callable[[str], None], event_id: str) -> None:
        self._log = log
        self._event_id = event_id

    def longest_ms(self, action: Callable[[], Any]) -> tuple[float, float]:
        """Returns the longest pause during an action and the time of the action, in milliseconds."""
        stop: list[bool] = []
        longest: list[int] = []
        thread = threading.Thread(target=self._count, args=(stop, longest), daemon=True)
        thread.start()
        time.sleep(self._ASIDE_S)
        begin = time.perf_counter_ns()
        action()
        took_ns = time.perf_counter_ns() - begin
        time.sleep(self._ASIDE_S)
        stop.append(True)
        thread.join()
        return longest[0] / 1e6, took_ns / 1e6

    def _count(self, stop: list[bool], result: list[int]) -> None:
        log, event_id, now = self._log, self._event_id, time.perf_counter_ns
        longest, before = 0, now()
        while not stop:
            log(event_id)
            after = now()
            if after - before > longest:
                longest = after - before
            before = after
        result.append(longest)
