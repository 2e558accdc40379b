"""A thread that reads samples repeatedly, so that a slow Redis does not block the keyboard."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from event_count_logger.errors import StoreError
from event_count_logger.top.sample import Listing, Sample, Sampler, Target

#: Seconds that leaving the context waits for a read; the thread ends after that read at the latest.
_JOIN_S = 0.2

#: Seconds until the next read after a failed one, at most.
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The last sample of a target or of all targets, and the error since.

    Attributes:
        target: The target; None for all targets.
        found: The last sample; None before the first one.
        error: The error of the last read; None if it succeeded.
        reads: Number of reads of any target, failed ones included.
        next_read_at: Time of the next read, by the monotonic clock.
    """

    target: Target | None
    found: Sample | Listing | None = None
    error: str | None = None
    reads: int = 0
    next_read_at: float = math.inf


class Watcher:
    """A context manager that keeps the answer about one target up to date."""

    def __init__(
        self, sampler: Sampler, target: Target | None, delay_s: float, notify: Callable[[], None]
    ) -> None:
        """Reads begin when the context is entered.

        Args:
            sampler: Reads the samples.
            target: The first target; None for all targets.
            delay_s: Seconds between two reads.
            notify: Called in the thread after each new answer.
        """
        self._sampler = sampler
        self._delay_s = delay_s
        self._notify = notify
        self._answer = Answer(target)
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="ecl-top", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(_JOIN_S)

    @property
    def answer(self) -> Answer:
        """The latest answer."""
        return self._answer

    def look_at(self, target: Target | None) -> None:
        """Change the target, and read it at once; nothing happens if it is the current target."""
        with self._changed:
            if target != self._answer.target:
                self._answer = Answer(target, reads=self._answer.reads)
                self._changed.notify()

    def _run(self) -> None:
        asked = self._answer
        while not self._stopped:
            answer = self._read(asked)
            with self._changed:
                if not self._stopped and answer.target == self._answer.target:
                    self._answer = answer
                    self._notify()
                    self._changed.wait_for(self._superseded(answer), answer.next_read_at - time.monotonic())
                asked = self._answer

    def _superseded(self, answer: Answer) -> Callable[[], bool]:
        return lambda: self._stopped or self._answer is not answer

    def _read(self, before: Answer) -> Answer:
        begin, reads = time.monotonic(), before.reads + 1
        try:
            return Answer(before.target, self._sample(before), None, reads, begin + self._delay_s)
        except StoreError as error:
            retry_at = time.monotonic() + min(self._delay_s, _RETRY_S)
            return replace(before, error=str(error), reads=reads, next_read_at=retry_at)

    def _sample(self, before: Answer) -> Sample | Listing:
        if before.target is None:
            return self._sampler.listing()
        return self._sampler.sample(before.target, before.found if isinstance(before.found, Sample) else None)
