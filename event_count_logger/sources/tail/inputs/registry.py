"""The open log files of one entry of the section `tail`.

A file is known by its device and inode. Its state changes with each scan of the directories:

    state      what the file is                      next state, and what leads there
    ---------  ------------------------------------  --------------------------------------------------------
    new        found by a scan, not read before      open: no file is missing and it is no copy of an open one
                                                     (a rotated file that was read before is ignored)
    open       in `Registry.files`, being read       rotated: a scan finds it under another name
                                                     deleted: it has no name any more
                                                     missing: its content was truncated or replaced
                                                     closed: no scan finds it and an hour passes without data
    rotated    open under a rotated name             as open (`is_done` once it is read to its end)
    deleted    open without a name                   closed: 10 s without data, and read to its end with a
                                                     last line that is incomplete
    missing    has a checkpoint, but no open file:   open: a scan finds the file, or a copy with the same
               after a restart or a truncation       fingerprint
                                                     lost: three stable scans in at least 0.2 s find neither
    closed     read to its end                       -
    lost       given up, with a warning              -

A scan is stable if no file was renamed meanwhile. While a file is missing, new files are not opened: one of
them may be the missing file under another name, and its lines would be counted twice. A missing file is not
lost while its directory, or a file that may be the missing one, cannot be read: in
this case, new files are opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.logs import counted
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.archive_file import ArchiveFile
from event_count_logger.sources.tail.inputs.compression import is_compressed, is_readable
from event_count_logger.sources.tail.inputs.discovery import (
    Checkpoint,
    FileCheckpoint,
    FoundFile,
    Listing,
    captures_of,
    discover,
)
from event_count_logger.sources.tail.inputs.tailed_file import TailedFile, end_of_lines, open_file

#: Seconds and stable scans for which a missing file is looked for.
_SEARCH_S = 0.2
_SCANS = 3

#: Seconds after which an unstable scan counts as stable: in some directories files are renamed all the time.
_UNSTABLE_S = 3.0

#: Seconds without new data after which a deleted file is closed. A program may still write to it.
_DELETED_S = 10.0

#: The same for a file that was moved to a place where no scan finds it.
_MOVED_S = 3600.0

_Found = dict[tuple[int, int], FoundFile]


@dataclass(slots=True)
class _MissingFile:
    """A file that is not where its checkpoint says.

    Attributes:
        checkpoint: Checkpoint of the file.
        n_unread: Unread bytes that the file had behind the offset; None if unknown.
        n_scans: Stable scans that did not find the file.
        is_unreadable: True if its directory, or a file that may be the missing one, cannot be read now.
        since: Start of the search, as `time.monotonic()`.
    """

    checkpoint: FileCheckpoint
    n_unread: int | None = None
    n_scans: int = 0
    is_unreadable: bool = False
    since: float = field(default_factory=time.monotonic)


class Registry:
    """The open files of one entry and their offsets, updated by `scan`.

    Attributes:
        files: Open files by device and inode.
    """

    def __init__(
        self,
        pattern: PathPattern,
        format: TextFormat,
        warn_once: Callable[[str, str], None],
        with_archives: bool = False,
    ) -> None:
        """`begin` or `resume` opens the first files.

        Args:
            pattern: Absolute path of the files.
            format: Encoding and framing of the files.
            warn_once: Logs a warning; see `Admission.warn_once`.
            with_archives: Also open compressed files that match the pattern.
        """
        self.files: dict[tuple[int, int], TailedFile] = {}
        self._pattern = pattern
        self._format = format
        self._with_archives = with_archives
        self._captures: Mapping[str, Mapping[str, str]] = {}  # of the paths that the last scan has found
        self._warn_once = warn_once
        self._done_until = 0.0
        self._missing: list[_MissingFile] = []
        self._is_stable = True  # the last scan was stable, or counts as stable
        self._stable_at = time.monotonic()  # time of the last scan that was stable

    @property
    def is_complete(self) -> bool:
        """True if another scan would find nothing more."""
        is_truncated = any(file.is_truncated for file in self.files.values())
        return self._is_stable and not self._is_waiting and not is_truncated

    @property
    def _is_waiting(self) -> bool:
        """True if a file is missing that a further scan may find."""
        return not all(missing.is_unreadable for missing in self._missing)

    def checkpoint(self, number: int) -> Checkpoint:
        """Returns the offsets of all files, for the commit of that number."""
        missing = (file.checkpoint for file in self._missing)
        # A file that was not read, or is deleted, is left out: another file would be mistaken for it later.
        # A deleted file stays as long as a copy of it may exist that the last scan did not open.
        is_settled = self._is_stable and not self._is_waiting
        finished = [file for file in self.files.values() if is_settled and file.is_finished]
        present = (file.checkpoint for file in self.files.values() if file.offset and file not in finished)
        done_until = max([self._done_until, *(file.modified for file in finished)])
        return Checkpoint(number, done_until, (*missing, *present))

    def begin(self, from_start: bool) -> None:
        """Open the files of a new source, at their start or end; rotated files are opened at their end."""
        self._reset()
        for _ in range(_SCANS):  # one scan may miss a file that is being renamed, which would look new later
            for found in sorted(self._discover(()).files, key=lambda each: is_compressed(each.path)):
                is_new = found.is_input and found.identity not in self.files
                if is_new and not self._is_copied_archive(found):
                    self._open(found, at_end=not (from_start and found.matches))
        self.files = dict(sorted(self.files.items(), key=lambda item: item[1].modified))

    def resume(self, checkpoint: Checkpoint) -> None:
        """Find the files of a checkpoint, and open them at their offsets."""
        self._reset()
        self._done_until = checkpoint.done_until
        self._missing = [_MissingFile(file) for file in checkpoint.files]
        self.scan()

    def recognizes(self, checkpoint: Checkpoint) -> bool:
        """Returns whether any file of a checkpoint exists here."""
        for file in checkpoint.files:
            for candidate in _candidates(file, self._discover((file,)).files):
                with suppress(OSError):
                    reopened = self._reopen(candidate, file)
                    if reopened:
                        reopened.close()
                        return True
        return False

    def _discover(self, known: Collection[FileCheckpoint]) -> Listing:
        listing = discover(self._pattern, known, self._with_archives)
        self._captures = listing.captures
        return listing

    def scan(self) -> None:
        """Scan the directories: update the state of all files, and open new ones."""
        for file in tuple(self.files.values()):
            file.check_deletion()  # before the scan, which then finds all copies made before the deletion
            if file.is_truncated:
                self._missing.append(_MissingFile(file.checkpoint, file.size - file.offset))
                self._close_file(file)
        known = [missing.checkpoint for missing in self._missing]
        known += [file.checkpoint for file in self.files.values()]  # also of those that leave the checkpoint
        listing = self._discover(known)
        found = {each.identity: each for each in listing.files}
        now = time.monotonic()
        self._stable_at = now if listing.is_stable else self._stable_at
        self._is_stable = listing.is_stable or now > self._stable_at + _UNSTABLE_S
        new = {identity: found[identity] for identity in found.keys() - self.files.keys()}
        for directory, error in listing.unreadable.items():
            self._warn_unreadable(directory, error)
        unreadable: set[tuple[int, int]] = set()
        for missing in self._missing:
            missing.is_unreadable = os.path.dirname(missing.checkpoint.path) in listing.unreadable
        self._missing = [each for each in self._missing if not self._is_resolved(each, new, unreadable)]
        self._follow_names(found, listing)
        if not self._is_waiting:  # otherwise a new file may be a missing one
            self._open_new({identity: new[identity] for identity in new.keys() - unreadable})
        self._close_gone(found, listing.unreadable)

    def _follow_names(self, found: _Found, listing: Listing) -> None:
        """Update the paths of open files, because a file may be created under one name and get another."""
        names = {(each.identity, each.original_path) for each in listing.files}
        for identity in found.keys() & self.files.keys():
            file, each = self.files[identity], found[identity]
            file.is_rotated = each.is_rotated
            # The copies of a truncated file have its earlier name.
            if each.is_input and (identity, file.path) not in names and file.is_intact:
                file.path = each.original_path
                self._set_constants(file)

    def close(self) -> None:
        """Close all files."""
        for file in tuple(self.files.values()):
            self._close_file(file)

    def _reset(self) -> None:
        self.close()
        self._done_until, self._missing = 0.0, []

    def _close_file(self, file: TailedFile) -> None:
        file.close()
        del self.files[file.identity]

    def _open(self, found: FoundFile, *, at_end: bool = False, offset: int = 0) -> None:
        with self._warning_if_unreadable(found.path):
            if is_readable(found.path):
                self._add(ArchiveFile(found, self._format))
            else:
                self._add(TailedFile.open(found, self._format, at_end=at_end, offset=offset))

    def _reopen(self, found: FoundFile, checkpoint: FileCheckpoint) -> TailedFile | None:
        kind = ArchiveFile if is_readable(found.path) else TailedFile
        return kind.reopen(found, checkpoint, self._format)

    def _add(self, file: TailedFile) -> None:
        self._set_constants(file)
        self.files[file.identity] = file

    def _set_constants(self, file: TailedFile) -> None:
        path = file.path
        captures = self._captures.get(path)
        if captures is None:  # there is no file at the path now, or no link to it
            captures = file.captures or captures_of(self._pattern, path)
        file.captures = captures if captures != (self._pattern.captures(path) or {}) else {}
        file.constants = {"file": path, "file.name": os.path.basename(path), **captures}

    def _is_resolved(self, missing: _MissingFile, new: _Found, unreadable: set[tuple[int, int]]) -> bool:
        """Search the new files for a missing one or its copy; return whether the search is over.

        A candidate that cannot be opened is added to `unreadable`.
        """
        for candidate in _candidates(missing.checkpoint, new.values()):
            try:
                reopened = self._reopen(candidate, missing.checkpoint)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._warn_unreadable(candidate.path, error)
                missing.is_unreadable = True
                unreadable.add(candidate.identity)
                continue
            if reopened:
                self._add(reopened)
                del new[reopened.identity]
                return True
        if missing.is_unreadable:
            return False
        missing.n_scans += self._is_stable
        is_lost = missing.n_scans >= _SCANS and time.monotonic() >= missing.since + _SEARCH_S
        if is_lost:
            self._give_up(missing)
        return is_lost

    def _give_up(self, missing: _MissingFile) -> None:
        """Log the unread lines of a lost file."""
        file = missing.checkpoint
        if missing.n_unread:
            are = "is" if missing.n_unread == 1 else "are"
            lost = f"{counted(missing.n_unread, 'byte')} after byte {file.offset} {are} not counted"
            self._warn_once(f"{file}", f"{file.path} was truncated before it was read: {lost}")
        elif missing.n_unread is None:
            self._done_until = max(self._done_until, file.modified)
            if not file.is_done:
                lost = f"lines written after byte {file.offset}, if any, are not counted"
                self._warn_once(f"{file}", f"{file.path} is missing or has other content than before: {lost}")

    def _open_new(self, new: _Found) -> None:
        # Files with shorter names first: those with longer names may be copies of them.
        for found in sorted(new.values(), key=lambda each: (len(each.path), each.status.st_mtime)):
            if not found.is_input or (found.is_rotated and not self._is_stable):
                continue
            if found.is_rotated and found.status.st_mtime <= self._done_until:
                self._warn_if_archive(found)
            elif not self._is_copy(found):
                self._open(found)

    def _warn_if_archive(self, found: FoundFile) -> None:
        if is_compressed(found.path):
            self._warn_once(
                found.path,
                f"{found.path} is not read: its lines were counted before it was compressed, or are as old "
                "as lines that were counted (an entry with another 'source' would count all of them)",
            )

    def _is_copied_archive(self, found: FoundFile) -> bool:
        """Returns whether a compressed file has the content of a file that is open, or cannot be read."""
        if not is_readable(found.path):
            return False
        with self._warning_if_unreadable(found.path), closing(ArchiveFile(found, self._format)) as archive:
            others = [
                other
                for other in self.files.values()
                if other.path == archive.path or found.may_come_from(other.path)
            ]
            return any(archive.has_content_of(other) for other in others)
        return True

    def _is_copy(self, found: FoundFile) -> bool:
        """Returns whether an open file has the same content, or may have it."""
        if is_readable(found.path):
            return self._is_copied_archive(found)
        others = [other for other in self.files.values() if found.may_come_from(other.path)]
        if not others:
            return False
        modified = found.status.st_mtime
        with self._warning_if_unreadable(found.path), _closing(open_file(found)) as file:
            for other in others:
                # A renamed file is not copied any more, but the next file may start with the same lines.
                if (not other.is_rotated or modified <= other.modified) and other.starts_like(file):
                    # Once the deleted file is closed, nothing else shows that its copy was read.
                    if other.is_deleted and other.offset >= end_of_lines(file, self._format):
                        self._open(found, offset=other.offset)
                        other.is_copied = True
                    return True
            # If an open file was truncated meanwhile, its content cannot be compared: the next scan decides.
            return not all(other.is_intact for other in others)
        return True

    def _close_gone(self, found: Container[tuple[int, int]], unreadable: Container[str]) -> None:
        """Close files that are deleted or moved away, read to their end, and without new data for long."""
        now = time.time()
        for file in tuple(self.files.values()):
            longest_s = _DELETED_S if file.is_deleted else _MOVED_S
            is_quiet = file.is_at_end and now - file.modified > longest_s
            may_exist = file.identity in found or os.path.dirname(file.path) in unreadable
            is_gone = file.is_deleted or not may_exist
            file.is_final = is_quiet and (is_gone or file.is_rotated)
            if is_quiet and is_gone and file.is_complete:
                self._done_until = max(self._done_until, file.modified)
                self._close_file(file)

    @contextmanager
    def _warning_if_unreadable(self, path: str) -> Iterator[None]:
        """Log once that a file cannot be read; a file that does not exist is no warning."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warn_unreadable(path, error)

    def _warn_unreadable(self, path: str, error: OSError) -> None:
        self._warn_once(path, f"{path} cannot be read: {error.strerror}")


def _candidates(checkpoint: FileCheckpoint, files: Iterable[FoundFile]) -> list[FoundFile]:
    """Returns the files that may be the one of a checkpoint, or a copy of it; the most likely first."""
    # Device numbers may change when the machine restarts, so only inodes are compared.
    candidates = [
        file
        for file in files
        if file.status.st_ino == checkpoint.inode or file.may_come_from(checkpoint.path)
    ]
    return sorted(candidates, key=lambda each: (each.status.st_ino != checkpoint.inode, each.status.st_mtime))


@contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)
