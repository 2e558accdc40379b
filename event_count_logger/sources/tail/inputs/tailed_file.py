"""One open log file, read line by line from its saved offset."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator, Mapping

from event_count_logger.sources.tail.formats.framing import Lines, Until
from event_count_logger.sources.tail.formats.text_format import LONGEST_LINE, MARK_BYTES, Text, TextFormat
from event_count_logger.sources.tail.inputs.discovery import HEAD, FileCheckpoint, Fingerprint, FoundFile

#: Bytes of a usual chunk: some hundred lines, which stay in the cache of the processor.
_CHUNK = 1 << 17

#: Multiple of the bytes of a character in any encoding.
_ALIGNMENT = 4

#: Seconds without new data after which the last record is complete although only the next one shows its end.
_IDLE_S = 5.0

#: FS_IOC_GETVERSION: reads a `long` from the file system, command 1 of group 'v'.
_GET_GENERATION = 2 << 30 | struct.calcsize("l") << 16 | ord("v") << 8 | 1


class TailedFile:
    """An open log file; closed by `close`.

    Attributes:
        path: Path under which the file is or was written.
        identity: Device and inode.
        generation: Generation of the inode; 0 if unknown.
        text: Encoding and framing of the file; None while it is too short to show them.
        offset: Bytes read so far, up to the end of a record, or to a forced end; see framing.py.
        size: Size of the file when its content was last checked.
        constants: Values of placeholders for the path of the file and its parts.
        captures: Those of them that only a symbolic link shows.
        n_skipped: Lines and records that were too long; the caller counts them and resets the number.
        is_rotated: True if the file was renamed by rotation.
        is_final: True if the last line is complete without a newline, because nothing is written any more.
        is_copied: True if a copy is open at the same offset: an incomplete last record counts there.
        is_at_end: True if the last read found nothing more.
        is_deleted: True if the file has no name any more.
        is_truncated: True if the bytes that were read are gone from the file.
        error: Error of the last read, if it failed.
        modified: Time of the last modification that was read, Unix seconds; never in the future.
    """

    def __init__(self, path: str, file: int, offset: int, format: TextFormat) -> None:
        """Takes ownership of an open file descriptor."""
        status = os.fstat(file)
        self.path = path
        self.text: Text | None = None
        self._format = format
        self.identity = (status.st_dev, status.st_ino)
        self.generation = _generation(file)
        self.offset = offset
        self.size = status.st_size
        self.constants: Mapping[str, str] = {}
        self.captures: Mapping[str, str] = {}
        self.n_skipped = 0
        self.error: OSError | None = None
        self.is_rotated = self.is_at_end = self.is_deleted = self.is_truncated = False
        self.is_final = self.is_copied = False
        self.modified = _modified(status)
        self._file = file
        self._fingerprint = Fingerprint.of(file, offset)
        self._end_state = (-1, -1)  # size and modification time when the last read found nothing more
        self._end_at = 0.0  # time of that read, as `time.monotonic()`
        self._end_until = Until.RECORD  # of that read
        self._may_be_inside = offset > 0  # the offset may stand inside a record that was counted
        self._is_cut = False  # only the first lines of the record were taken, because it is too long
        self._scanned = 0  # the line at `offset` has no line feed before this offset

    @classmethod
    def open(
        cls, found: FoundFile, format: TextFormat, *, at_end: bool = False, offset: int = 0
    ) -> TailedFile:
        """Open a file at an offset, but not behind its end; or at the end of its last complete line.

        Raises:
            OSError: The file cannot be opened, or was replaced.
        """
        file = open_file(found)
        begin = end_of_lines(file, format) if at_end else min(offset, os.fstat(file).st_size)
        return cls(found.original_path, file, begin, format)

    @classmethod
    def reopen(cls, found: FoundFile, checkpoint: FileCheckpoint, format: TextFormat) -> TailedFile | None:
        """Open a file at the offset of a checkpoint; return None if the content before it is different.

        Raises:
            OSError: The file cannot be opened, or was replaced.
        """
        file = cls(checkpoint.path, open_file(found), checkpoint.offset, format)
        file.captures = checkpoint.captures
        is_reused = file.identity == checkpoint.identity and file.generation != checkpoint.generation
        has_content = file.size >= checkpoint.offset and file.checkpoint.digest == checkpoint.digest
        if has_content and not is_reused:
            return file
        file.close()
        return None

    @property
    def checkpoint(self) -> FileCheckpoint:
        """Checkpoint at the current offset."""
        return FileCheckpoint(
            self.path,
            *self.identity,
            self.generation,
            self.offset,
            self.modified,
            self._fingerprint.digest,
            self.is_rotated and self.is_read,
            self.captures,
        )

    @property
    def is_read(self) -> bool:
        """True if everything was read that was found by the last read."""
        return self.offset == self.size

    @property
    def n_unread(self) -> int:
        """Unread bytes."""
        return self.size - self.offset

    @property
    def is_intact(self) -> bool:
        """True if the bytes that were read are still in the file."""
        return self._is_intact_up_to(self.offset)

    @property
    def is_complete(self) -> bool:
        """True if the last read found nothing more, not even an incomplete line."""
        return self.is_at_end and (self.is_copied or self._end_until == Until.FILE)

    @property
    def is_finished(self) -> bool:
        """True if the file is deleted and read to its end; an incomplete last record may be in a copy."""
        is_at_end = self.is_deleted and self.is_at_end and self.is_intact  # it may have been truncated before
        return is_at_end and (self.is_read or self.is_copied)

    def check_deletion(self) -> None:
        """Update `is_deleted`."""
        self.is_deleted = os.fstat(self._file).st_nlink == 0

    @property
    def head(self) -> bytes:
        """The first 1024 bytes."""
        return os.pread(self._file, HEAD, 0)

    def has_content(self, n: int, fingerprint: Fingerprint) -> bool:
        """Returns whether the first `n` bytes of the content have a fingerprint."""
        return os.fstat(self._file).st_size >= n and Fingerprint.of(self._file, n) == fingerprint

    def starts_like(self, file: int) -> bool:
        """Returns whether another open file is a copy of this one, or of its first bytes."""
        n = os.fstat(file).st_size  # read first: a copy in the making grows
        return self.has_content(n, Fingerprint.of(file, n))

    def chunks(self, most: int, until: Until = Until.RECORD) -> Iterator[bytes]:
        """Yield complete records in chunks, up to the last one or about `most` bytes.

        Reading ends early when the file turns out to be truncated, and on an error; see `error`.

        Args:
            most: Number of bytes.
            until: The last bytes that are read. Without new data for 5 s, the last complete line is read.
        """
        try:
            yield from self._chunks(most, until)
        except OSError as error:
            self.error = error

    def _chunks(self, most: int, until: Until) -> Iterator[bytes]:
        last = self.offset + most
        status = os.fstat(self._file)
        state = (status.st_size, status.st_mtime_ns)
        self.is_at_end = state == self._end_state
        if self.is_at_end:
            is_idle = time.monotonic() > self._end_at + _IDLE_S
            until = max(until, Until.FILE if self.is_final else Until.LINE if is_idle else until)
        until = Until.RECORD if self.is_copied else until
        if self.is_at_end and until <= self._end_until:
            return
        while self.offset < last:
            chunk = self._read(until)
            if chunk is None:
                if not self.is_at_end:
                    self._end_at = time.monotonic()
                self._end_state, self._end_until = state, until
                return
            yield chunk

    def close(self) -> None:
        """Close the file descriptor."""
        os.close(self._file)

    def _read(self, until: Until) -> bytes | None:
        """Read the next records; return b'' for bytes that are not counted, None at the end."""
        if self.text is None:
            is_whole = until == Until.FILE or self.offset > 0
            self.text = self._format.text(os.pread(self._file, MARK_BYTES, 0), is_whole)
        if self.text is None:
            return self._take(b"")
        framing = self.text.framing
        for size in (_CHUNK, self.text.largest):
            data = os.pread(self._file, size, self.offset)
            if self._may_be_inside and data and (n := framing.begin(self._before(), data)):
                is_cut = self._is_cut
                if self._take(data[:n], is_forced=True) is None:
                    return None
                self.n_skipped += is_cut
                return b""
            end = framing.end(data)
            if end:
                return self._take(data[:end])
            if len(data) < size:
                return self._take(data[: framing.forced_end(data, until)], is_forced=True)
        end = framing.end_of_lines(data)
        if not end:
            return self._skip_line(framing, until)
        lines = self._take(data[:end], is_forced=True)
        self._is_cut = lines is not None
        return lines

    def _before(self) -> bytes:
        """Returns the bytes before the offset."""
        n = min(self.offset, LONGEST_LINE)
        return os.pread(self._file, n, self.offset - n)

    def _take(self, data: bytes, is_forced: bool = False) -> bytes | None:
        """Advance the offset by data; return its text, or None if there is nothing to take."""
        if not self._is_intact_up_to(self.offset + len(data)) or not data or not self.text:
            return None
        text = self.text.utf8(data, is_first=self.offset == 0)
        if not text:  # only a byte order mark
            return None
        self._advance(self._fingerprint.after(data), len(data), is_forced)
        return text

    def _skip_line(self, framing: Lines, until: Until) -> bytes | None:
        """Skip a line that is too long, without keeping it in memory; return None if its end is missing."""
        position = max(self._scanned, self.offset)
        end = 0
        while not end:
            data = os.pread(self._file, LONGEST_LINE, position)
            end = framing.end_of_line(data)
            n = end or framing.whole(data)
            if not n:
                break
            position += n
        fingerprint = Fingerprint.of(self._file, position)
        if not self._is_intact_up_to(position):
            return None
        if not end and until < Until.FILE:
            self._scanned = position
            return None
        self._advance(fingerprint, position - self.offset, is_forced=True)
        self.n_skipped += 1
        return b""

    def _advance(self, fingerprint: Fingerprint, n: int, is_forced: bool) -> None:
        self._fingerprint = fingerprint
        self.offset += n
        self._may_be_inside, self._is_cut = is_forced, False

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


def end_of_lines(file: int, format: TextFormat) -> int:
    """Returns the end of the last complete line; the end of the file if no line ends in its last MiB."""
    text = format.text(os.pread(file, MARK_BYTES, 0))
    if text is None:
        return 0
    size = os.fstat(file).st_size
    begin = max(0, size - LONGEST_LINE) // _ALIGNMENT * _ALIGNMENT
    data = os.pread(file, size - begin, begin)
    return begin + (text.framing.end_of_lines(data) or (begin and text.framing.whole(data)))


def _modified(status: os.stat_result) -> float:
    # A time in the future, of a clock that was wrong, would make later files look older than this one.
    return min(status.st_mtime, time.time())
