"""A pool of child processes that match lines.

Parent and worker share a piece of memory with room for two chunks, and two pipes. The parent copies a chunk
into the memory and sends its slice through the request pipe. The worker sends the tally back through the
result pipe:

    parent  -- chunk -->   shared memory   -- lines -->   worker
    parent  -- slice -->   request pipe    ---------->    worker
    parent  <- tally ---   result pipe     <----------    worker

A worker ends when its request pipe is closed, so it also ends when the parent is killed.
"""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, NoReturn

from event_count_logger.config import TailConfig
from event_count_logger.sources.tail.formats.text_format import LARGEST_CHUNK
from event_count_logger.sources.tail.matching import Matcher
from event_count_logger.sources.tail.rules.tally import Tally
from event_count_logger.sources.tail.rules.time_limit import TimeLimit

#: Workers of a pool. More of them would wait for the process that reads the file.
_MOST_WORKERS = 4

#: Chunks that a worker has at once: the current one, and the next one, so that it does not wait.
_CHUNKS_PER_WORKER = 2

#: Descriptors of the write ends of all request pipes of this process, those of other pools included.
_request_pipes: set[int] = set()


class WorkerPool:
    """Child processes that match the chunks of files."""

    def __init__(self, n_cores: int, config: TailConfig, matcher: Matcher) -> None:
        """Starts the workers; `matcher` takes over the chunks of workers that are killed."""
        self._workers = [_Worker(config, matcher) for _ in range(min(_MOST_WORKERS, n_cores))]

    def tallies(self, chunks: Iterable[bytes], constants: Mapping[str, str]) -> Iterator[Tally]:
        """Match chunks; returns their tallies in the order of the chunks.

        Args:
            chunks: Complete lines of one file.
            constants: Values that all lines of the file have in common, by name.
        """
        busy: deque[_Worker] = deque()
        for number, chunk in enumerate(chunks):
            if len(busy) == _CHUNKS_PER_WORKER * len(self._workers):
                yield busy.popleft().result()
            worker = self._workers[number % len(self._workers)]
            worker.submit(chunk, constants)
            busy.append(worker)
        while busy:
            yield busy.popleft().result()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()


class _Request(NamedTuple):
    """A chunk to match: its part of the memory, and the constants of its file."""

    part: slice
    constants: Mapping[str, str]


class _Worker:
    """A child process, seen from its parent."""

    def __init__(self, config: TailConfig, matcher: Matcher) -> None:
        self._matcher = matcher
        self._memory = mmap.mmap(-1, _CHUNKS_PER_WORKER * LARGEST_CHUNK)
        self._pending: deque[_Request] = deque()
        self._n_submitted = 0
        read_requests, write_requests = os.pipe()
        read_results, write_results = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            # A request pipe reaches its end only when no process has its write end open.
            for each in (write_requests, *_request_pipes):
                os.close(each)
            _run_worker(config, self._memory, read_requests, write_results)
        os.close(read_requests)
        os.close(write_results)
        _request_pipes.add(write_requests)
        self._requests, self._results = os.fdopen(write_requests, "wb"), os.fdopen(read_results, "rb")

    def submit(self, chunk: bytes, constants: Mapping[str, str]) -> None:
        """Send a chunk of a file with these constants to the worker."""
        begin = self._n_submitted % _CHUNKS_PER_WORKER * LARGEST_CHUNK
        request = _Request(slice(begin, begin + len(chunk)), constants)
        self._memory[request.part] = chunk
        self._n_submitted += 1
        self._pending.append(request)
        with suppress(BrokenPipeError):  # the worker was killed: result() matches the chunk
            pickle.dump(request, self._requests)
            self._requests.flush()

    def result(self) -> Tally:
        """Wait for the tally of the oldest chunk; match the chunk here if the worker was killed."""
        request = self._pending.popleft()
        try:
            tally: Tally = pickle.load(self._results)
        except (EOFError, pickle.UnpicklingError):
            return self._matcher.tally(self._memory[request.part], request.constants)
        return tally

    def close(self) -> None:
        """End the worker and wait for its end."""
        _request_pipes.remove(self._requests.fileno())
        with suppress(BrokenPipeError):
            self._requests.close()
        os.waitpid(self._pid, 0)
        self._results.close()
        self._memory.close()


def _run_worker(config: TailConfig, memory: mmap.mmap, requests: int, results: int) -> NoReturn:
    """Match chunks until the request pipe is closed, then end this process."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the parent handles them
        gc.disable()  # matching makes no reference cycles, and collections take a twentieth of the time
        matcher = Matcher(config, TimeLimit())
        with open(requests, "rb") as incoming, open(results, "wb") as tallies, suppress(EOFError):
            while True:
                request: _Request = pickle.load(incoming)
                pickle.dump(matcher.tally(memory[request.part], request.constants), tallies)
                tallies.flush()
        status = 0
    finally:
        os._exit(status)  # skips the exit handlers of the parent
