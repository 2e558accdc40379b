"""Log files as the input of a tail: their checkpoint is the position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from event_count_logger.config import TailConfig
from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.absence import absence
from event_count_logger.sources.tail.inputs.archive_file import ArchiveFile
from event_count_logger.sources.tail.inputs.discovery import Checkpoint
from event_count_logger.sources.tail.inputs.machine_id import identity
from event_count_logger.sources.tail.inputs.protocols import ForeignPosition
from event_count_logger.sources.tail.inputs.registry import Registry
from event_count_logger.sources.tail.inputs.tailed_file import TailedFile


class FileInput:
    """The files of one entry. It implements `Input`."""

    is_repeatable = True

    descriptors: Collection[int] = ()

    def __init__(
        self,
        config: TailConfig,
        format: TextFormat,
        warn_once: Callable[[str, str], None],
        once: bool,
        from_start: bool,
    ) -> None:
        """With `once` and `from_start`, compressed files that the pattern matches are read, too."""
        with_archives = once and from_start
        self._from_start = from_start
        self._config = config
        self._warn_once = warn_once
        self._pattern = PathPattern(config.file)
        self._with_archives = with_archives
        self._registry = Registry(self._pattern, format, warn_once, with_archives)
        self._committed = self._next = Checkpoint()

    @property
    def source_id(self) -> str:
        """Name of its position in Redis."""
        return self._config.source_id

    @property
    def number(self) -> int:
        """Number of the last commit."""
        return self._committed.number

    @property
    def is_complete(self) -> bool:
        """True if no file is missing."""
        return self._registry.is_complete

    @property
    def n_unread(self) -> int:
        """Unread bytes of the open files."""
        return sum(file.n_unread for file in self._registry.files.values())

    @property
    def absence(self) -> str:
        """The reason why no file is read; '' if any is."""
        return "" if self._registry.files else absence(self._pattern, self._with_archives)

    def begin(self, position: str) -> None:
        """Open the files at their stored offsets."""
        self._committed = Checkpoint.parse(position) if position else Checkpoint()
        if position:
            self._check_machine(self._committed)
            self._registry.resume(self._committed)
        else:
            self._registry.begin(self._from_start)

    def parts(self) -> Iterator[TailedFile]:
        """Yield all files, after a scan."""
        files = self._registry.files
        self._registry.scan()
        for file in tuple(files.values()):
            if files.get(file.identity) is file:  # `begin` may have replaced all files meanwhile
                yield file
                self._warn(file)

    def next_position(self, is_needed: bool) -> str:
        """Returns the checkpoint of the open files."""
        checkpoint = self._registry.checkpoint(self.number + 1)
        if not is_needed and checkpoint.files == self._committed.files:
            return ""
        self._next = replace(checkpoint, machine=identity(self._pattern.glob))
        return str(self._next)

    def committed(self) -> None:
        """Take the last `next_position` as committed."""
        self._committed = self._next

    def check_moved(self, stored: str) -> None:
        """Check a newer checkpoint, whose files must exist here.

        A checkpoint of another process of this machine has the same files. Without this check, two machines
        with the same identity would alternate, each reading its files from their start.
        """
        checkpoint = Checkpoint.parse(stored)
        is_newer = checkpoint.number >= self.number
        has_known = is_newer and self._registry.recognizes(self._committed)  # not after a truncation
        if has_known and not self._registry.recognizes(checkpoint):
            raise self._foreign

    def close(self) -> None:
        """Close all files; lines that were not committed are read again later."""
        self._registry.close()

    @property
    def _foreign(self) -> ForeignPosition:
        return ForeignPosition(self._config.name, self._config.source)

    def _warn(self, file: TailedFile) -> None:
        path = file.path
        if file.error:
            self._warn_once(path, f"{path} cannot be read: {file.error.strerror}")
        if isinstance(file, ArchiveFile) and file.damage:
            self._warn_once(
                file.found_path, f"{file.found_path} is damaged: {file.damage}; counted up to there"
            )
        if file.text and file.text.is_guessed:
            encoding = file.text.framing.encoding.upper()
            self._warn_once(
                f"{path} encoding",
                f"{path} is not UTF-8: its byte order mark shows {encoding}, as which it is read "
                "(set 'encoding: utf-16')",
            )

    def _check_machine(self, checkpoint: Checkpoint) -> None:
        """Raise ForeignPosition for a checkpoint of another machine.

        A checkpoint whose files exist here is accepted: this machine may have got another identity.
        """
        here = identity(self._pattern.glob)
        is_foreign = checkpoint.machine and here and checkpoint.machine != here
        if is_foreign and not self._registry.recognizes(checkpoint):
            raise self._foreign
