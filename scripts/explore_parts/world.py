"""Everything that outlives a process: Redis, requests under way, and files. Faults are injected here.

Before each write of a word to a file and before each request of the process in focus, the chooser decides
about faults. All other processes, and the end of a run, are `calm`: every request is answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from event_count_logger.config import from_dicts
from event_count_logger.errors import Unavailable
from event_count_logger.store import Store
from explore_parts.chooser import Chooser
from explore_parts.server import Server, counts, words_of

#: Count of one call of `log()` by the other thread of the process.
OTHER_THREAD_LOGS = 7

#: Outcomes of a request. A late one gets no answer, and reaches Redis at some later time.
_ANSWERS = (
    "answered",
    "lost",
    "done without answer",
    "late",
    "done without answer, and late",
    "late, killed",
)


class Killed(BaseException):
    """The process in focus was killed."""


class AlreadyExplored(BaseException):
    """Another run was in the same state."""


class _Commit(NamedTuple):
    """A request that changed Redis: the data before it, and its source."""

    before: dict[str, Any]
    source: str


class World:
    """One run.

    Attributes:
        chooser: Chooses the faults.
        server: Redis.
        logged: Counts per event.
        may_forget: Redis may forget its last changes.
        may_reject: Redis may begin and cease to reject event `b`.
        other_thread: Logs an event in the process that counts; None while it has no cell.
        has_forgotten: Redis has forgotten changes.
        was_killed: A process was killed, or ended with unsent counts.
        unnoticed: No process has looked at Redis since it forgot changes.
        silent: A loss may never be reported.
        messages: Reported losses.
    """

    def __init__(self, server: Server, directory: Path) -> None:
        self.chooser = Chooser(0)
        self.server = server
        self.directory = directory
        self.config = from_dicts(
            {
                "g": {
                    "auto_declare_events": True,
                    "intervals": ["1h"],
                    "sync_interval": 1,
                    "spool_dir": str(directory),
                }
            }
        )
        self.group = self.config.groups["g"]
        self.store: Store  # set when requests are intercepted
        self.now = 0.0
        self.begin_program()

    def begin_program(self) -> None:
        """Begin with another program, and forget all explored states."""
        self._explored: dict[bytes, int] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a run with no counts, no data and no requests under way."""
        self.server.data = {}
        self.server.rejected = set()
        self.logged: Counter[str] = Counter()
        self.may_forget = self.may_reject = False
        self.other_thread: Callable[[], None] | None = None
        self._late: list[bytes] = []
        self._commits: list[_Commit] = []
        self.has_forgotten = False
        self.was_killed = False
        self.unnoticed = self.silent = False
        self.messages: list[str] = []
        self.look_at_next_process()

    def look_at_next_process(
        self, source: Callable[[], str] = lambda: "", rival: Callable[[], None] | None = None
    ) -> None:
        """Put another process in focus: it gets the faults from now on.

        Args:
            source: The ID of its source.
            rival: Another process that may try to recover the same file.
        """
        self._source, self._rival, self._is_calm = source, rival, False
        self._is_in_doubt = False

    def remove_files(self) -> None:
        """Remove all files of a run."""
        for path in self.directory.iterdir():
            path.unlink()

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Inject no faults in the block."""
        before, self._is_calm = self._is_calm, True
        try:
            yield
        finally:
            self._is_calm = before

    # Steps of a process

    def before_step(self, place: str) -> None:
        """Inject faults before a write to a file or a request."""
        while not self._is_calm:
            options = ["go on", "killed"]
            options += ["other thread logs"] if self.other_thread else []
            options += ["rival recovers"] if self._rival else []
            happening = self.chooser.choose(place, options)
            if happening == "go on":
                return
            if happening == "killed":
                self._kill()
            with self.calm():
                (self.other_thread if happening == "other thread logs" else self._rival)()  # type: ignore[misc]

    def request(self, request: bytes) -> Any:
        """Send a request; returns its answer."""
        place = " ".join(_title(request))
        self.before_step(place)
        self._redis_changes(place)
        answer = "answered" if self._is_calm else self.chooser.choose(place, _ANSWERS)
        reply = None
        if answer.startswith(("answered", "done")):
            reply = self._do(request)
            self.silent |= self.unnoticed and reply is not None and answer != "answered"
        if "late" in answer:
            self._late.append(request)
        if "killed" in answer:
            self._kill()
        if answer != "answered":
            self._is_in_doubt = True
            raise Unavailable("redis", answer)
        if not (self.was_killed or self._cannot_reveal_loss(place)):
            self.unnoticed = False
        return reply

    def _cannot_reveal_loss(self, place: str) -> bool:
        """Returns True if the answer to a request cannot reveal to a process that Redis has lost data.

        While a copy of a request may be under way, a process waits for the answer to its next commit.
        """
        return place == "HDEL" or (place == "HGET" and self._is_in_doubt)

    def _kill(self) -> None:
        self.was_killed = True
        self._is_calm = True  # a killed process runs no `finally` or `except` blocks
        raise Killed

    def between_steps(self, memory: object) -> None:
        """End the run if another one was in the same state and had as many faults left.

        Everything that can follow was explored from there. `memory` is the part of the state that is not in
        the world.

        Raises:
            AlreadyExplored: Another run was there.
        """
        if self.chooser.is_repeating:
            return
        state = blake2b(repr((memory, self._state())).encode(), digest_size=16).digest()
        if self._explored.get(state, -1) >= self.chooser.faults_left:
            raise AlreadyExplored
        self._explored[state] = self.chooser.faults_left

    def _state(self) -> object:
        files = [(path.name, path.read_bytes()) for path in sorted(self.directory.iterdir())]
        commits = [(_frozen(commit.before), commit.source) for commit in self._commits if self.may_forget]
        doubts = self.unnoticed, self.silent, self._is_in_doubt
        flags = self.has_forgotten, self.was_killed, *doubts, bool(self.messages)
        server = _frozen(self.server.data), self.server.rejected, self.server.now
        return files, commits, flags, server, sorted(self._late), sorted(self.logged.items())

    # Faults of Redis

    def _do(self, request: bytes) -> Any:
        before = self.server.copy()
        reply = self.server.answer(request)
        if self.server.data != before:
            self._commits.append(_Commit(before, _source(request)))
        return reply

    def _redis_changes(self, place: str) -> None:
        while not self._is_calm:
            options = ["as before", *(f"request {n} arrives late" for n in range(len(self._late)))]
            if self.may_reject:
                options.append("b is rejected" if not self.server.rejected else "b is accepted")
            if self.may_forget and self._commits:
                options += ["forgets the last request", "forgets all"]
            change = self.chooser.choose(place, options)
            if change == "as before":
                return
            if change.endswith("late"):
                reply = self._do(self._late.pop(int(change.split()[1])))
                self.silent |= self.unnoticed and reply is not None  # no process gets the answer
            elif change.startswith("b is"):
                self.reject(change == "b is rejected")
            else:
                self._forget(1 if "last" in change else len(self._commits))

    def reject(self, is_rejected: bool) -> None:
        """Let Redis reject event `b` from now on, or accept it again."""
        self.server.rejected = {"g:1h:cur:b"} if is_rejected else set()

    def _forget(self, n: int) -> None:
        """Restart Redis without its last changes. Requests under way end with their connections."""
        dropped = self._commits[-n:]
        del self._commits[-n:]
        self.server.data = dropped[0].before
        self._late.clear()
        self.has_forgotten = self.unnoticed = True
        self.silent |= self.was_killed or any(commit.source != self._source() for commit in dropped)

    def late_requests_arrive(self) -> None:
        """Execute all requests under way."""
        while self._late:
            self._do(self._late.pop())

    # Checks at the end of a run

    def fault(self) -> str:
        """Returns a description of a wrong end state; an empty string if the run was exact."""
        counted = counts(self.server.data, "g:1h:cur:")
        lost = counted.pop("@lost", 0)
        logged = dict(self.logged)
        if files := sorted(path.name for path in self.directory.iterdir() if path.suffix != ".new"):
            return f"files are left: {files}"
        if not self.has_forgotten:
            if counted != logged or lost:
                return f"logged {logged}, counted {counted}, lost {lost}"
            return f"no count was lost, but a loss was reported: {self.messages[0]}" if self.messages else ""
        total, limit = sum(counted.values()) + lost, sum(logged.values())
        if total > limit or counted.keys() - logged.keys() or any(logged[e] < counted[e] for e in counted):
            return f"logged {logged}, counted {counted} and lost {lost}, which is more"
        if total < limit and not (self.silent or self.unnoticed or self.was_killed):
            return f"logged {logged}, counted {counted} and lost {lost}, which is less"
        return ""


def _frozen(data: dict[str, Any]) -> object:
    return sorted((key, sorted(value) if isinstance(value, set) else value) for key, value in data.items())


def _title(request: bytes) -> Sequence[str]:
    """Returns the name of a request in reports."""
    words = words_of(request)
    if words[0] != "EVALSHA":
        return words[:1]
    at = 3 + int(words[2])
    return ["EVALSHA", *words[at + 1 : at + 3]]  # of a commit: the positions before and after it


def _source(request: bytes) -> str:
    words = words_of(request)
    return words[3 + int(words[2])] if words[0] == "EVALSHA" else ""
