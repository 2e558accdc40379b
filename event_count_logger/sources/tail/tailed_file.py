"""One log file, read on from where it was left."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator

from event_count_logger.sources.tail.discovery import FileCheckpoint, Fingerprint, FoundFile

#: Bytes of the longest line that is matched.
_LONGEST_LINE = 1 << 20

#: Bytes that are read at once at most.
LONGEST_PIECE = _LONGEST_LINE + 1

#: Bytes that are usually read at once: some hundred lines, which stay in the processor's cache.
_PIECE = 1 << 17

#: Read a `long` from the file system: command 1 of its group 'v'.
_GET_GENERATION = 2 << 30 | struct.calcsize("l") << 16 | ord("v") << 8 | 1


class TailedFile:
    """An open log file; closed by `close`.

    Attributes:
        path: At which it is or was written.
        identity: Device and inode.
        generation: Of the inode; 0 if it is not known.
        offset: Bytes that were read, up to the end of a line.
        size: Bytes that it had when it was last intact.
        n_skipped: Lines that were too long; whoever counts them sets it back.
        is_rotated: Whether it has another name by now.
        is_at_end: Whether there was nothing more to read.
        is_deleted: Whether it has no name any more.
        is_truncated: Whether it was found that what was read is not there any more.
        trouble: Why it could not be read on, if there was an error.
        modified: When that was last changed, Unix seconds; not later than it was read.
    """

    def __init__(self, path: str, file: int, offset: int) -> None:
        """Takes an open file over."""
        status = os.fstat(file)
        self.path = path
        self.identity = (status.st_dev, status.st_ino)
        self.generation = _generation(file)
        self.offset = offset
        self.size = status.st_size
        self.n_skipped = 0
        self.trouble: OSError | None = None
        self.is_rotated = self.is_at_end = self.is_deleted = self.is_truncated = False
        self.modified = _modified(status)
        self._file = file
        self._fingerprint = Fingerprint.of(file, offset)
        self._state = (-1, -1)  # size and time of modification when there was nothing more to read
        self._scanned = 0  # up to here there is no end of the line that begins at `offset`

    @classmethod
    def open(cls, sighting: FoundFile, at_end: bool = False) -> TailedFile:
        """Read a file that was seen, from its start, or from the end of its last whole line.

        Raises:
            OSError: It cannot be opened, or is another one by now.
        """
        file = open_file(sighting)
        return cls(sighting.written_as, file, end_of_lines(file) if at_end else 0)

    @classmethod
    def reopen(cls, sighting: FoundFile, mark: FileCheckpoint) -> TailedFile | None:
        """Read on from a mark; None if the file is another one than that which has been read up to there.

        Raises:
            OSError: It cannot be opened, or is another one by now.
        """
        found = cls(mark.path, open_file(sighting), mark.offset)
        is_other = found.identity == mark.identity and found.generation != mark.generation
        if not is_other and found.size >= mark.offset and found.mark.digest == mark.digest:
            return found
        found.close()
        return None

    @property
    def mark(self) -> FileCheckpoint:
        """How far it was read."""
        is_done = self.is_rotated and self.offset == self.size
        digest = self._fingerprint.digest
        return FileCheckpoint(
            self.path, *self.identity, self.generation, self.offset, self.modified, digest, is_done
        )

    @property
    def is_intact(self) -> bool:
        """Whether what was read of it is still there."""
        return self._has(self.offset)

    @property
    def is_over(self) -> bool:
        """Whether it was deleted, and nothing of it is left to be read."""
        return self.is_deleted and self.is_at_end

    def note_deletion(self) -> None:
        """See whether it still has a name."""
        self.is_deleted = os.fstat(self._file).st_nlink == 0

    def begins_like(self, file: int) -> bool:
        """Whether another open file is a copy of this one, or of its beginning."""
        n = os.fstat(file).st_size  # first of all: a copy in the making grows
        return n <= os.fstat(self._file).st_size and Fingerprint.of(file, n) == Fingerprint.of(self._file, n)

    def pieces(self, most: int) -> Iterator[bytes]:
        """Whole lines up to the last one, or about `most` bytes; fewer if truncated or in trouble."""
        try:
            yield from self._pieces(most)
        except OSError as error:
            self.trouble = error

    def _pieces(self, most: int) -> Iterator[bytes]:
        until = self.offset + most
        status = os.fstat(self._file)
        state = (status.st_size, status.st_mtime_ns)
        self.is_at_end = state == self._state
        if self.is_at_end:
            return
        while self.offset < until:
            piece = self._read()
            if piece is None:
                self._state = state
                return
            yield piece

    def close(self) -> None:
        """It is not used any more."""
        os.close(self._file)

    def _read(self) -> bytes | None:
        for size in (_PIECE, LONGEST_PIECE):
            data = os.pread(self._file, size, self.offset)
            lines = data[: data.rfind(b"\n") + 1]
            if lines or len(data) < size:
                break
        else:
            return self._skip_line()
        if not self._has(self.offset + len(data)):
            return None
        self._advance(self._fingerprint.after(lines), len(lines))
        return lines or None

    def _skip_line(self) -> bytes | None:
        """Go to the end of a line that is too long, without keeping it; None if that has not been written."""
        position = max(self._scanned, self.offset + LONGEST_PIECE)
        while data := os.pread(self._file, _LONGEST_LINE, position):
            end = data.find(b"\n") + 1
            position += end or len(data)
            if end:
                break
        fingerprint = Fingerprint.of(self._file, position)
        if not self._has(position):
            return None
        if not data:
            self._scanned = position
            return None
        self._advance(fingerprint, position - self.offset)
        self.n_skipped += 1
        return b""

    def _advance(self, fingerprint: Fingerprint, n: int) -> None:
        self._fingerprint = fingerprint
        self.offset += n

    def _has(self, size: int) -> bool:
        """Whether what was read is still there, and the file is at least that long."""
        status = os.fstat(self._file)
        is_there = status.st_size >= size and Fingerprint.of(self._file, self.offset) == self._fingerprint
        if is_there:
            self.size, self.modified = status.st_size, _modified(status)
        self.is_truncated = not is_there
        return is_there


def open_file(sighting: FoundFile) -> int:
    """A descriptor of the file that was seen.

    Raises:
        OSError: It cannot be opened, or is another one by now.
    """
    file = os.open(sighting.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(file)
    if (status.st_dev, status.st_ino) != sighting.identity:
        os.close(file)
        raise FileNotFoundError(f"{sighting.path} was replaced")
    return file


def _generation(file: int) -> int:
    """See ioctl_iflags(2) and FS_IOC_GETVERSION in linux/fs.h; ext4, XFS and Btrfs have it."""
    answer = bytearray(struct.calcsize("l"))
    try:
        fcntl.ioctl(file, _GET_GENERATION, answer)
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)


def end_of_lines(file: int) -> int:
    """The end of the last whole line; the end of the file where that is too far away."""
    size = os.fstat(file).st_size
    begin = max(0, size - _LONGEST_LINE)
    end = os.pread(file, size - begin, begin).rfind(b"\n") + 1
    return begin + end if end or not begin else size


def _modified(status: os.stat_result) -> float:
    # A clock that was wrong must not make files that come later seem to be older than what was read.
    return min(status.st_mtime, time.time())
