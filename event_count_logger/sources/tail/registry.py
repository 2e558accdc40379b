"""Which log files are followed, through all that rotation does to them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from event_count_logger.logs import counted
from event_count_logger.sources.tail.discovery import Checkpoint, FileCheckpoint, FoundFile, look
from event_count_logger.sources.tail.tailed_file import TailedFile, end_of_lines, open_file

#: Seconds for which a file is looked for, and how often while nothing is renamed.
_SEARCH_S = 0.2
_LOOKS = 3

#: Seconds after which a look counts in any case: there are directories in which all seems to be renamed.
_BLURRED_S = 3.0

#: Seconds for which a file that was deleted may be written on by whoever has it open.
_DELETED_S = 10.0

#: The same for a file that was moved to where it is not looked for.
_MOVED_S = 3600.0

_Unknown = dict[tuple[int, int], FoundFile]


@dataclass(slots=True)
class _Search:
    """A file that is not where it was.

    Attributes:
        mark: How far it was read.
        n_unread: Bytes after that which are known to have been there; None if nothing is known.
        n_looks: How often it was looked for while nothing was renamed.
        is_barred: Whether it may be in what cannot be opened for now: it is not given up, nor waited for.
        begun: Since when, as `time.monotonic()`.
    """

    mark: FileCheckpoint
    n_unread: int | None = None
    n_looks: int = 0
    is_barred: bool = False
    begun: float = field(default_factory=time.monotonic)


class Registry:
    """The files of one entry that are there, and how far each was read.

    Attributes:
        files: By device and inode.
    """

    def __init__(self, pattern: str, warn_once: Callable[[str, str], None]) -> None:
        """`warn_once` is told of what cannot be read; see `Admission.warn_once`."""
        self.files: dict[tuple[int, int], TailedFile] = {}
        self._pattern = pattern
        self._warn_once = warn_once
        self._done = 0.0
        self._searches: list[_Search] = []
        self._is_sharp = True  # whether nothing was renamed during the last look
        self._sharp_at = time.monotonic()  # when that was so the last time

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing that another look would find."""
        is_truncated = any(file.is_truncated for file in self.files.values())
        return self._is_sharp and not self._is_searching and not is_truncated

    @property
    def _is_searching(self) -> bool:
        return not all(search.is_barred for search in self._searches)

    def ledger(self, number: int) -> Checkpoint:
        """How far the files were read, as of the commit of that number."""
        lost = (search.mark for search in self._searches)
        # What has not been read, or cannot be found again, would only be taken for something else.
        there = (file.mark for file in self.files.values() if file.offset and not file.is_over)
        done = max([self._done, *(file.modified for file in self.files.values() if file.is_over)])
        return Checkpoint(number, done, (*lost, *there))

    def begin(self, from_start: bool) -> None:
        """Take up what is there when the source is new; rotated files are not read from their start."""
        self._forget_all()
        for _ in range(_LOOKS):  # what is just being renamed in one look would seem to be new later
            for sighting in look(self._pattern, ()).sightings:
                if sighting.is_meant and sighting.identity not in self.files:
                    self._take_up(sighting, at_end=not (from_start and sighting.matches))

    def resume(self, ledger: Checkpoint) -> None:
        """Look for the files that were read before."""
        self._forget_all()
        self._done = ledger.done
        self._searches = [_Search(mark) for mark in ledger.marks]
        self.look()

    def recognizes(self, ledger: Checkpoint) -> bool:
        """Returns whether any of the files that a ledger describes is here."""
        for mark in ledger.marks:
            for sighting in _candidates(mark, look(self._pattern, (mark,)).sightings):
                with suppress(OSError):
                    found = TailedFile.reopen(sighting, mark)
                    if found:
                        found.close()
                        return True
        return False

    def look(self) -> None:
        """See what has become of the files, and take up new ones."""
        for file in tuple(self.files.values()):
            file.note_deletion()  # before the look, which then shows all copies that were made of it
            if file.is_truncated:
                self._searches.append(_Search(file.mark, file.size - file.offset))
                self._drop(file)
        view = look(self._pattern, self.ledger(0).marks)
        seen = {sighting.identity: sighting for sighting in view.sightings}
        now = time.monotonic()
        self._sharp_at = now if view.is_sharp else self._sharp_at
        self._is_sharp = view.is_sharp or now > self._sharp_at + _BLURRED_S
        for identity in seen.keys() & self.files.keys():
            self.files[identity].is_rotated = seen[identity].is_rotated
        unknown = {identity: seen[identity] for identity in seen.keys() - self.files.keys()}
        for directory, error in view.closed.items():
            self._tell(directory, error)
        barred: set[tuple[int, int]] = set()
        for search in self._searches:
            search.is_barred = os.path.dirname(search.mark.path) in view.closed
        self._searches = [search for search in self._searches if not self._ends(search, unknown, barred)]
        if not self._is_searching:  # else a file that seems to be new may be one of those
            self._take_up_new({identity: unknown[identity] for identity in unknown.keys() - barred})
        self._forget_gone(seen, view.closed)

    def close(self) -> None:
        """Let go of all files."""
        for file in tuple(self.files.values()):
            self._drop(file)

    def _forget_all(self) -> None:
        self.close()
        self._done, self._searches = 0.0, []

    def _drop(self, file: TailedFile) -> None:
        file.close()
        del self.files[file.identity]

    def _take_up(self, sighting: FoundFile, at_end: bool = False) -> None:
        with self._telling(sighting.path):
            self.files[sighting.identity] = TailedFile.open(sighting, at_end)

    def _ends(self, search: _Search, unknown: _Unknown, barred: set[tuple[int, int]]) -> bool:
        """Whether a search is over, because the file or a copy of it is among those, or was not found.

        What could have been it, and cannot be opened, is added to `barred`.
        """
        for sighting in _candidates(search.mark, unknown.values()):
            try:
                found = TailedFile.reopen(sighting, search.mark)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._tell(sighting.path, error)
                search.is_barred = True
                barred.add(sighting.identity)
                continue
            if found:
                self.files[found.identity] = found
                del unknown[found.identity]
                return True
        if search.is_barred:
            return False
        search.n_looks += self._is_sharp
        is_over = search.n_looks >= _LOOKS and time.monotonic() >= search.begun + _SEARCH_S
        if is_over:
            self._give_up(search)
        return is_over

    def _give_up(self, search: _Search) -> None:
        mark = search.mark
        if search.n_unread:
            are = "is" if search.n_unread == 1 else "are"
            what = f"{counted(search.n_unread, 'byte')} after byte {mark.offset} {are} not counted"
            self._warn_once(f"{mark}", f"{mark.path} was truncated before it was read: {what}")
        elif search.n_unread is None:
            self._done = max(self._done, mark.modified)
            if not mark.is_done:
                what = f"lines that were written after byte {mark.offset}, if there were any, are not counted"
                self._warn_once(f"{mark}", f"{mark.path} is not there as it was read before: {what}")

    def _take_up_new(self, unknown: _Unknown) -> None:
        # Those with longer names may be copies of those with shorter ones, which must not be overlooked.
        for sighting in sorted(unknown.values(), key=lambda each: (len(each.path), each.status.st_mtime)):
            is_left = sighting.is_rotated and (not self._is_sharp or sighting.status.st_mtime <= self._done)
            if sighting.is_meant and not is_left and not self._is_copy(sighting):
                self._take_up(sighting)

    def _is_copy(self, sighting: FoundFile) -> bool:
        """Whether what stands in a file may have been read, or be about to be read, in another one."""
        others = [other for other in self.files.values() if sighting.may_come_from(other.path)]
        if not others:
            return False
        modified = sighting.status.st_mtime
        with self._telling(sighting.path), _closing(open_file(sighting)) as file:
            for other in others:
                # A file that was renamed is not copied any more, but the next one may begin like it.
                if (not other.is_rotated or modified <= other.modified) and other.begins_like(file):
                    # When it is forgotten, nothing else tells that its copy has been read.
                    if other.is_deleted and other.offset >= end_of_lines(file):
                        self._take_up(sighting, at_end=True)
                    return True
            # One that was truncated in the meantime begins like nothing any more.
            return not all(other.is_intact for other in others)
        return True

    def _forget_gone(self, seen: Container[tuple[int, int]], closed: Container[str]) -> None:
        now = time.time()
        for file in tuple(self.files.values()):
            may_be_there = file.identity in seen or os.path.dirname(file.path) in closed
            longest_s = _DELETED_S if file.is_deleted else math.inf if may_be_there else _MOVED_S
            if file.is_at_end and now - file.modified > longest_s:
                self._done = max(self._done, file.modified)
                self._drop(file)

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        """Tell once that a file cannot be read, if it is there."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            self._tell(path, error)

    def _tell(self, path: str, error: OSError) -> None:
        self._warn_once(path, f"{path} cannot be read: {error.strerror}")


def _candidates(mark: FileCheckpoint, sightings: Iterable[FoundFile]) -> list[FoundFile]:
    """The files that may be the one that was read, or a copy of it; the likeliest first."""
    # The number of a device may be another one after a restart of the machine.
    candidates = [
        sighting
        for sighting in sightings
        if sighting.status.st_ino == mark.inode or sighting.may_come_from(mark.path)
    ]
    return sorted(candidates, key=lambda each: (each.status.st_ino != mark.inode, each.status.st_mtime))


@contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)
