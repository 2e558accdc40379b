"""Matches lines in this process or, where there are many, in several."""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NoReturn

from event_count_logger.config import TailRule
from event_count_logger.sources.tail.matching import Matcher, Tally
from event_count_logger.sources.tail.tailed_file import LONGEST_PIECE
from event_count_logger.sources.tail.time_limit import TimeLimit

#: Processes that match. What reads the file keeps up with some.
_MOST_WORKERS = 4

#: Pieces that a worker has at once: one in hand, and one that it need not wait for.
_DEPTH = 2

#: The descriptors through which this process asks its workers, also those of other crews.
_all_requests: set[int] = set()


class WorkerPool:
    """Forked processes that match the pieces of files. They end when this process does, however it does."""

    def __init__(self, n_cores: int, rules: Sequence[TailRule], matcher: Matcher) -> None:
        """`matcher` is for the pieces of workers that were killed."""
        self._workers = [_Worker(rules, matcher) for _ in range(min(_MOST_WORKERS, n_cores))]

    def tallies(self, pieces: Iterable[bytes]) -> Iterator[Tally]:
        """What each piece comes to, in their order."""
        busy: deque[_Worker] = deque()
        for number, piece in enumerate(pieces):
            if len(busy) == _DEPTH * len(self._workers):
                yield busy.popleft().answer()
            worker = self._workers[number % len(self._workers)]
            worker.ask(piece)
            busy.append(worker)
        while busy:
            yield busy.popleft().answer()

    def close(self) -> None:
        """Let the workers end."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """A forked process. It finds what it is to match in memory that it shares with this one."""

    def __init__(self, rules: Sequence[TailRule], matcher: Matcher) -> None:
        self._matcher = matcher
        self._memory = mmap.mmap(-1, _DEPTH * LONGEST_PIECE)
        self._asked: deque[slice] = deque()  # of the memory
        self._n_asked = 0
        its_requests, requests = os.pipe()
        answers, its_answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            for each in (requests, *_all_requests):  # else neither it nor others would see their end
                os.close(each)
            _work(rules, self._memory, its_requests, its_answers)
        os.close(its_requests)
        os.close(its_answers)
        _all_requests.add(requests)
        self._requests, self._answers = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")

    def ask(self, piece: bytes) -> None:
        begin = self._n_asked % _DEPTH * LONGEST_PIECE
        place = slice(begin, begin + len(piece))
        self._memory[place] = piece
        self._n_asked += 1
        self._asked.append(place)
        with suppress(BrokenPipeError):  # it was killed, which answer() notices
            pickle.dump(place, self._requests)
            self._requests.flush()

    def answer(self) -> Tally:
        place = self._asked.popleft()
        try:
            tally: Tally = pickle.load(self._answers)
        except (EOFError, pickle.UnpicklingError):
            return self._matcher.tally(self._memory[place])
        return tally

    def close(self) -> None:
        _all_requests.remove(self._requests.fileno())
        with suppress(BrokenPipeError):
            self._requests.close()
        os.waitpid(self._pid, 0)
        self._answers.close()
        self._memory.close()


def _work(rules: Sequence[TailRule], memory: mmap.mmap, requests: int, answers: int) -> NoReturn:
    """What a worker does, until there can be no more requests."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # they are for the process that reads
        gc.disable()  # nothing here makes cycles, and to look for them takes a twentieth of the time
        matcher = Matcher(rules, TimeLimit())
        with open(requests, "rb") as places, open(answers, "wb") as tallies, suppress(EOFError):
            while True:
                pickle.dump(matcher.tally(memory[pickle.load(places)]), tallies)
                tallies.flush()
        status = 0
    finally:
        os._exit(status)  # nothing of the process that it was forked from is to be done again
