"""Compressed log files: their names, and readers of their content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import IO, TYPE_CHECKING, Protocol

from event_count_logger.installation import how_to_install

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Bytes that are read at once, decompressed.
_BLOCK = 1 << 17

#: Suffixes of compressed files that cannot be read.
_UNREADABLE = (".lz4", ".zip", ".z", ".lzma", ".br", ".7z")


class Reader(Protocol):
    """The content of a compressed file, from its start to its end."""

    def read1(self, size: int = ..., /) -> bytes:
        """Returns the next bytes, b'' at the end."""

    def close(self) -> None:
        """Close the reader."""


def _open_zstd(file: IO[bytes]) -> Reader:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            reader: Reader = import_module(name).ZstdFile(file)
        except ImportError:
            continue
        return reader
    raise OSError(0, f"Python before 3.14 reads .zst with another package: {how_to_install('zstd')}")


_OPENERS: dict[str, Callable[[IO[bytes]], Reader]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".zst": _open_zstd,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


class _File(io.RawIOBase):
    """An open file with a position of its own, which others that use the same descriptor do not move."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        n = os.preadv(self._file, [buffer], self._position)
        self._position += n
        return n


class Damaged(Exception):
    """The content of a compressed file ends early."""


class Archive:
    """The content of a compressed file, read block by block; closed by `close`."""

    def __init__(self, path: str, file: int) -> None:
        """Reads an open file from its start.

        Args:
            path: Its path, which shows the kind of compression.
            file: Its descriptor, which the caller closes.

        Raises:
            OSError: No decompressor for such files is installed.
        """
        self._reader = _OPENERS[_suffix(path)](io.BufferedReader(_File(file)))

    def read(self) -> bytes:
        """Returns the next bytes of the content, b'' at its end.

        Raises:
            Damaged: The file is cut off or corrupt; the bytes before this place were returned.
        """
        try:
            return self._reader.read1(_BLOCK)
        except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise Damaged(str(error)) from error
        except Exception as error:
            if type(error).__name__ == "ZstdError":  # of an optional module
                raise Damaged(str(error)) from error
            raise

    def close(self) -> None:
        """Free the memory of the reader."""
        self._reader.close()


def is_compressed(path: str) -> bool:
    """Returns whether the name of a file is one of a compressed file."""
    return path.lower().endswith((*_OPENERS, *_UNREADABLE))


def is_readable(path: str) -> bool:
    """Returns whether the content of a compressed file can be read, by its name."""
    return _suffix(path) in _OPENERS


def uncompressed(path: str) -> str:
    """Returns the path that a file had before it was compressed."""
    return path[: path.rindex(".")] if is_compressed(path) else path


def _suffix(path: str) -> str:
    return path[path.rfind(".") :].lower()
