"""A compressed log file, read from its start; offsets and fingerprints are those of its content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress

from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.compression import Archive, Damaged
from event_count_logger.sources.tail.inputs.discovery import HEAD, FileCheckpoint, Fingerprint, FoundFile
from event_count_logger.sources.tail.inputs.record_buffer import RecordBuffer
from event_count_logger.sources.tail.inputs.tailed_file import TailedFile, open_file


class ArchiveFile(TailedFile):
    """An open compressed file. Its content does not change, so it ends with its last byte.

    Attributes:
        found_path: Path under which the file was opened.
        damage: The reason why the content ends early; '' if it does not, or its end was not reached yet.
    """

    def __init__(self, found: FoundFile, format: TextFormat) -> None:
        """Opens a file that a scan has found.

        Raises:
            OSError: The file cannot be opened, or was replaced, or no decompressor for it is installed.
        """
        super().__init__(found.original_path, open_file(found), 0, format)
        try:
            self._archive = Archive(found.path, self._file)
        except OSError:
            super().close()
            raise
        self.is_rotated = found.is_rotated
        self.damage = ""
        self.found_path = found.path
        self._buffer = RecordBuffer(format, self._take_fingerprint)
        self._head = b""
        self._rest = b""  # bytes behind the offset that were decompressed
        self._done: FileCheckpoint | None = None  # its checkpoint, if an earlier process has read all of it

    @classmethod
    def reopen(cls, found: FoundFile, checkpoint: FileCheckpoint, format: TextFormat) -> ArchiveFile | None:
        """Open a file at the offset of a checkpoint; return None if the content before it is different.

        Raises:
            OSError: As for the constructor.
        """
        if found.status.st_mtime < checkpoint.modified - 1:  # compressing keeps the time, perhaps in seconds
            return None
        archive = cls(found, format)
        archive.captures = checkpoint.captures
        if archive._resume(checkpoint):
            return archive
        archive.close()
        return None

    @property
    def checkpoint(self) -> FileCheckpoint:
        """Checkpoint at the current offset."""
        return self._done or super().checkpoint

    @property
    def is_read(self) -> bool:
        """True if everything was read."""
        return self.is_at_end and not self.damage

    @property
    def is_complete(self) -> bool:
        """True if the last read found nothing more."""
        return self.is_at_end

    @property
    def is_intact(self) -> bool:
        """True: a compressed file does not change."""
        return True

    @property
    def n_unread(self) -> int:
        """Compressed bytes, as long as not all is read."""
        return 0 if self.is_at_end else self.size

    @property
    def head(self) -> bytes:
        """The first 1024 bytes."""
        if not self._head:
            self._head = self._content(HEAD)[1].head
        return self._head

    def starts_like(self, file: int) -> bool:
        """Returns whether an open file that is not compressed has the content of this one, or its start."""
        n = os.fstat(file).st_size
        found = Fingerprint.of(file, n)
        return found.head == self.head[: len(found.head)] and self._content(n) == (n, found)

    def has_content_of(self, other: TailedFile) -> bool:
        """Returns whether another open file has the content of this one, perhaps with more behind it."""
        if not self.head or other.head[: len(self.head)] != self.head:  # mostly: decompresses only a block
            return False
        return other.has_content(*self._content())

    def has_content(self, n: int, fingerprint: Fingerprint) -> bool:
        """Returns whether the content has `n` bytes with a fingerprint."""
        return self._content() == (n, fingerprint)

    def close(self) -> None:
        """Close the file."""
        self._archive.close()
        super().close()

    def _chunks(self, most: int, until: Until) -> Iterator[bytes]:
        last = self.offset + most
        while self.offset < last and not self.is_at_end:
            data = self._read_block()
            until = Until.RECORD if data or self.damage else Until.FILE
            yield from self._buffer.take(data, until)
            self.n_skipped += self._buffer.n_skipped
            self._buffer.n_skipped = 0
            self.text = self._buffer.text
            self.is_at_end = not data

    def _read_block(self) -> bytes:
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        try:
            return self._archive.read()
        except Damaged as error:
            self.damage = f"{error}"
            return b""

    def _take_fingerprint(self, data: bytes) -> None:
        self._fingerprint = self._fingerprint.after(data)
        self.offset += len(data)

    def _resume(self, checkpoint: FileCheckpoint) -> bool:
        """Go to the offset of a checkpoint; return False if the content before it is different."""
        is_same = self.identity == checkpoint.identity and self.generation == checkpoint.generation
        if is_same and checkpoint.is_done and self.modified == checkpoint.modified:
            self._done, self.offset, self.is_at_end = checkpoint, checkpoint.offset, True
            return True
        with suppress(Damaged):
            while self.offset < checkpoint.offset and (data := self._archive.read()):
                n = checkpoint.offset - self.offset
                self._buffer.skip(data[:n])
                self._rest = data[n:]
        return self.offset == checkpoint.offset and self._fingerprint.digest == checkpoint.digest

    def _content(self, most: int | None = None) -> tuple[int, Fingerprint]:
        """Returns the size and fingerprint of the content, or of its first bytes."""
        n, fingerprint = 0, Fingerprint()
        with closing(Archive(self.found_path, self._file)) as archive, suppress(Damaged):
            while (most is None or n < most) and (data := archive.read()):
                data = data if most is None else data[: most - n]
                fingerprint = fingerprint.after(data)
                n += len(data)
        return n, fingerprint
