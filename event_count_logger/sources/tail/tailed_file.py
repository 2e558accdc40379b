"""One open log file, read line by line from its saved offset."""

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

#: Bytes of the largest chunk: the longest line and its line feed.
LARGEST_CHUNK = _LONGEST_LINE + 1

#: Bytes of a usual chunk: some hundred lines, which stay in the cache of the processor.
_CHUNK = 1 << 17

#: FS_IOC_GETVERSION: reads a `long` from the file system, command 1 of group 'v'.
_GET_GENERATION = 2 << 30 | struct.calcsize("l") << 16 | ord("v") << 8 | 1


class TailedFile:
    """An open log file; closed by `close`.

    Attributes:
        path: Path under which the file is or was written.
        identity: Device and inode.
        generation: Generation of the inode; 0 if unknown.
        offset: Bytes read so far, up to the end of a line.
        size: Size of the file when its content was last checked.
        n_skipped: Lines that were too long; the caller counts them and resets the number.
        is_rotated: True if the file was renamed by rotation.
        is_at_end: True if the last read found nothing more.
        is_deleted: True if the file has no name any more.
        is_truncated: True if the bytes that were read are gone from the file.
        error: Error of the last read, if it failed.
        modified: Time of the last modification that was read, Unix seconds; never in the future.
    """

    def __init__(self, path: str, file: int, offset: int) -> None:
        """Takes ownership of an open file descriptor."""
        status = os.fstat(file)
        self.path = path
        self.identity = (status.st_dev, status.st_ino)
        self.generation = _generation(file)
        self.offset = offset
        self.size = status.st_size
        self.n_skipped = 0
        self.error: OSError | None = None
        self.is_rotated = self.is_at_end = self.is_deleted = self.is_truncated = False
        self.modified = _modified(status)
        self._file = file
        self._fingerprint = Fingerprint.of(file, offset)
        self._end_state = (-1, -1)  # size and modification time when the last read found nothing more
        self._scanned = 0  # the line at `offset` has no line feed before this offset

    @classmethod
    def open(cls, found: FoundFile, at_end: bool = False) -> TailedFile:
        """Open a file at its start, or at the end of its last complete line.

        Raises:
            OSError: The file cannot be opened, or was replaced.
        """
        file = open_file(found)
        return cls(found.original_path, file, end_of_lines(file) if at_end else 0)

    @classmethod
    def reopen(cls, found: FoundFile, checkpoint: FileCheckpoint) -> TailedFile | None:
        """Open a file at the offset of a checkpoint; return None if the content before it is different.

        Raises:
            OSError: The file cannot be opened, or was replaced.
        """
        file = cls(checkpoint.path, open_file(found), checkpoint.offset)
        is_reused = file.identity == checkpoint.identity and file.generation != checkpoint.generation
        has_content = file.size >= checkpoint.offset and file.checkpoint.digest == checkpoint.digest
        if has_content and not is_reused:
            return file
        file.close()
        return None

    @property
    def checkpoint(self) -> FileCheckpoint:
        """Checkpoint at the current offset."""
        is_done = self.is_rotated and self.offset == self.size
        digest = self._fingerprint.digest
        return FileCheckpoint(
            self.path, *self.identity, self.generation, self.offset, self.modified, digest, is_done
        )

    @property
    def is_intact(self) -> bool:
        """True if the bytes that were read are still in the file."""
        return self._is_intact_up_to(self.offset)

    @property
    def is_finished(self) -> bool:
        """True if the file is deleted and read to its end."""
        return self.is_deleted and self.is_at_end

    def check_deletion(self) -> None:
        """Update `is_deleted`."""
        self.is_deleted = os.fstat(self._file).st_nlink == 0

    def starts_like(self, file: int) -> bool:
        """Returns whether another open file is a copy of this one, or of its first bytes."""
        n = os.fstat(file).st_size  # read first: a copy in the making grows
        return n <= os.fstat(self._file).st_size and Fingerprint.of(file, n) == Fingerprint.of(self._file, n)

    def chunks(self, most: int) -> Iterator[bytes]:
        """Yield complete lines in chunks, up to the last line or about `most` bytes.

        Reading ends early when the file turns out to be truncated, and on an error; see `error`.
        """
        try:
            yield from self._chunks(most)
        except OSError as error:
            self.error = error

    def _chunks(self, most: int) -> Iterator[bytes]:
        until = self.offset + most
        status = os.fstat(self._file)
        state = (status.st_size, status.st_mtime_ns)
        self.is_at_end = state == self._end_state
        if self.is_at_end:
            return
        while self.offset < until:
            chunk = self._read()
            if chunk is None:
                self._end_state = state
                return
            yield chunk

    def close(self) -> None:
        """Close the file descriptor."""
        os.close(self._file)

    def _read(self) -> bytes | None:
        """Read the next complete lines; return b'' for a line that is too long, None at the end."""
        for size in (_CHUNK, LARGEST_CHUNK):
            data = os.pread(self._file, size, self.offset)
            lines = data[: data.rfind(b"\n") + 1]
            if lines or len(data) < size:
                break
        else:
            return self._skip_line()
        if not self._is_intact_up_to(self.offset + len(data)):
            return None
        self._advance(self._fingerprint.after(lines), len(lines))
        return lines or None

    def _skip_line(self) -> bytes | None:
        """Skip a line that is too long, without keeping it in memory; return None if its end is missing."""
        position = max(self._scanned, self.offset + LARGEST_CHUNK)
        while data := os.pread(self._file, _LONGEST_LINE, position):
            end = data.find(b"\n") + 1
            position += end or len(data)
            if end:
                break
        fingerprint = Fingerprint.of(self._file, position)
        if not self._is_intact_up_to(position):
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

    def _is_intact_up_to(self, size: int) -> bool:
        """Returns whether the bytes that were read are unchanged and the file has at least `size` bytes."""
        status = os.fstat(self._file)
        is_intact = status.st_size >= size and Fingerprint.of(self._file, self.offset) == self._fingerprint
        if is_intact:
            self.size, self.modified = status.st_size, _modified(status)
        self.is_truncated = not is_intact
        return is_intact


def open_file(found: FoundFile) -> int:
    """Open a file that a scan has found; return the descriptor.

    Raises:
        OSError: The file cannot be opened, or was replaced.
    """
    file = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(file)
    if (status.st_dev, status.st_ino) != found.identity:
        os.close(file)
        raise FileNotFoundError(f"{found.path} was replaced")
    return file


def _generation(file: int) -> int:
    """Returns the generation of an inode, 0 if unknown; see ioctl_iflags(2). ext4, XFS and Btrfs have it."""
    answer = bytearray(struct.calcsize("l"))
    try:
        fcntl.ioctl(file, _GET_GENERATION, answer)
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)


def end_of_lines(file: int) -> int:
    """Returns the end of the last complete line; the end of the file if no line ends in its last MiB."""
    size = os.fstat(file).st_size
    begin = max(0, size - _LONGEST_LINE)
    end = os.pread(file, size - begin, begin).rfind(b"\n") + 1
    return begin + end if end or not begin else size


def _modified(status: os.stat_result) -> float:
    # A time in the future, of a clock that was wrong, would make later files look older than this one.
    return min(status.st_mtime, time.time())
