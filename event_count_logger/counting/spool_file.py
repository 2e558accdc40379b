"""Spool files: made, held, found and taken over. Whoever has the lock of a file holds it, alone."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import sys
import tempfile
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from event_count_logger import process
from event_count_logger.config import Layout
from event_count_logger.counting import private_directory, spool_format
from event_count_logger.counting.implementation import NATIVE, detach
from event_count_logger.counting.spool_format import Damaged, Description, Extent, HeaderWord, SpoolContents

_SUFFIX = ".ecl"

#: A file that is not yet complete, and one that was set aside.
_NEW_SUFFIX, _BAD_SUFFIX = ".new", ".bad"

#: Characters of a group's name that the names of its files begin with.
_LONGEST_PREFIX = 64

#: Bytes of the first extent, at least, and of any extent, at most. A file doubles in size until then: growing
#: in larger steps saves system calls, in smaller ones memory.
_FIRST_EXTENT, _LARGEST_EXTENT = 1024, 1 << 20

#: Bytes in which each header ends.
_LONGEST_HEADER = 1 << 16

#: A mapping needs no file descriptor of its own; before Python 3.13 it has one all the same.
_MAPPING: dict[str, bool] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


#: `O_NONBLOCK` because opening a FIFO would wait.
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: What opening says of links, directories, sockets and devices.
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV)

_SIZE = HeaderWord.SIZE

#: Seconds after which nobody is making a file any more.
_UNFINISHED_S = 60.0


class InUse(Exception):
    """Another process holds the file."""


#: File offset of the descriptors that this process holds. A descriptor that other code has closed and opened
#: again has another one, which `lseek` tells in a quarter of the time of `fstat`.
_OFFSET = 0x65636C01


class SpoolFile:
    """A file that this process holds. Its lock is free as soon as the process has ended, however it did.

    Attributes:
        path: Where it is.
        contents: What is in it.
    """

    def __init__(self, path: Path, descriptors: list[int], contents: SpoolContents) -> None:
        """Takes over two descriptors, of different openings: one has the lock, the other is for mapping.

        Mappings keep copies of their descriptor that cannot be closed, so that is never the locked one.
        """
        self.path = path
        self.contents = contents
        _mark(descriptors)
        self._descriptors = descriptors
        self._identity = _identity(descriptors[0])
        self._mappings = [contents.words.obj]
        weakref.finalize(self, _close, descriptors, self._identity).atexit = False
        self._process = process.current()
        process.register(self)

    @property
    def description(self) -> Description:
        """What the header says for good."""
        return self.contents.description

    @property
    def source(self) -> str:
        """See `Storage`."""
        return self.contents.description.source

    @property
    def words(self) -> memoryview[int]:
        """See `Storage`."""
        return self.contents.words

    @property
    def extents(self) -> list[Extent]:
        """See `Storage`."""
        return self.contents.extents

    def grow(self) -> Extent:
        """See `Storage`."""
        if not self.is_held():
            raise OSError(f"descriptors of {self.path} were closed")
        words, extents = self.words, self.extents
        offset = words[_SIZE]
        size = min(offset, _LARGEST_EXTENT)
        memory = _reserve(self._descriptors[-1], offset, size)
        self._mappings.append(memory.obj)
        extent = Extent.new(memory)
        # No function is called from here to the append: a signal handler that grows the file comes before or
        # after. One that came before has cells in this memory, which a second extent would give out again.
        if words[_SIZE] == offset:
            words[_SIZE] = offset + size
            extents.append(extent)
        return extents[-1]

    def is_held(self) -> bool:
        """Returns whether no other code of this process has closed the descriptors."""
        try:
            lock, mapped = self._descriptors
            return os.lseek(lock, 0, os.SEEK_CUR) == os.lseek(mapped, 0, os.SEEK_CUR) == _OFFSET
        except (OSError, ValueError):
            return False

    def relock(self) -> None:
        """Open and lock the file again, after other code of this process has closed the descriptors.

        Raises:
            InUse: Another process has taken it over.
            FileNotFoundError: Another process has finished it.
            Damaged: It cannot be used.
            OSError: It cannot be opened.
        """
        self.close()
        with _descriptors() as descriptors:
            descriptors.append(_open(self.path))
            _lock(descriptors[0])
            descriptors.append(_open(self.path))
            if any(_identity(descriptor) != self._identity for descriptor in descriptors):
                raise FileNotFoundError(self.path)
            _mark(descriptors)
            self._descriptors += descriptors

    def is_deleted(self) -> bool:
        """Returns whether the file was deleted, so that no process can find it after the end of this one."""
        return self.is_held() and os.fstat(self._descriptors[0]).st_nlink == 0

    def delete(self) -> None:
        """Remove it, since it holds nothing unsent, and let go of it."""
        with suppress(OSError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of it: from now on others may take it over."""
        _close(self._descriptors, self._identity)

    def leave_to_parent(self, number: int) -> None:
        """In a forked child: give up the lock, and make the parent's memory unreachable."""
        if self._process == number:
            return
        self.close()
        for mapping in self._mappings:
            detach(mapping)


def _mark(descriptors: list[int]) -> None:
    """Set the offsets that `SpoolFile.is_held` expects. Nothing reads or writes at them."""
    for descriptor in descriptors:
        os.lseek(descriptor, _OFFSET, os.SEEK_SET)


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Returns the file of a descriptor; None if it was closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _close(descriptors: list[int], identity: tuple[int, int] | None) -> None:
    """Close descriptors, except those that other code has closed: their numbers may belong to other files."""
    with suppress(IndexError):  # a signal handler may have done the same
        while True:
            descriptor = descriptors.pop()
            if _identity(descriptor) == identity:
                os.close(descriptor)


def create(
    directory: Path,
    group: str,
    intervals: Sequence[str],
    redis: str,
    prefix: str = "",
    redis_layout: Layout = "keys",
) -> SpoolFile:
    """A new file, and its directory if that is missing.

    Args:
        directory: Where to make it.
        group: Name of the group.
        intervals: Names of its intervals.
        redis: Which database the counts are for.
        prefix: What the keys of the counts begin with; '' for the name of the group.
        redis_layout: How the counts of the group lie there.

    Raises:
        OSError: It cannot be made there, or the directory is not private.
    """
    source, now = uuid.uuid4().hex, time.time()
    description = Description(source, group, intervals, redis, os.getpid(), now, prefix, redis_layout, NATIVE)
    path = directory / f"{group[:_LONGEST_PREFIX]}.{description.source}{_SUFFIX}"
    new = path.with_suffix(_NEW_SUFFIX)
    private_directory.make(directory)
    with _descriptors() as descriptors:
        descriptors.append(os.open(new, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            _lock(descriptors[0])
            descriptors.append(os.open(new, _FLAGS))
            memory = _formatted(descriptors[1], description)
            os.rename(new, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
        return SpoolFile(path, descriptors, spool_format.read(memory))


def _formatted(file: int, description: Description) -> memoryview:
    """The memory of a new file, with all that belongs into it."""
    header = spool_format.header(description)
    size = -(-(len(header) + _FIRST_EXTENT) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = _reserve(file, 0, size)
    memory[: len(header)] = header
    Extent.new(memory[len(header) :])
    words = spool_format.changing_words(memory, len(header))
    words[HeaderWord.SENT_UNTIL] = time.monotonic_ns()
    words[HeaderWord.SIZE] = size
    return memory


def _reserve(file: int, offset: int, size: int) -> memoryview:
    """A part of a file as memory; its space is reserved, because without it writing would be a SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, offset, size)
    else:
        os.pwrite(file, bytes(size), offset)
    return memoryview(mmap.mmap(file, size, offset=offset, **_MAPPING))


def check_room(directory: Path) -> None:
    """Raises OSError unless a new file of the usual size fits into a directory; leaves nothing behind."""
    with tempfile.TemporaryFile(dir=directory) as file:
        _reserve(file.fileno(), 0, mmap.PAGESIZE)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUse from error


@contextmanager
def _descriptors() -> Iterator[list[int]]:
    """A list whose descriptors are closed if anything fails."""
    descriptors: list[int] = []
    try:
        yield descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def find(directory: Path) -> list[Path]:
    """The files in a directory; none if it is not there.

    Raises:
        OSError: It cannot be read, or is not private.
    """
    return [directory / entry.name for entry in entries(directory)]


def entries(directory: Path, suffix: str = _SUFFIX) -> list[os.DirEntry[str]]:
    """The same as `find`, as directory entries: listing thousands of files opens none of them.

    Raises:
        OSError: It cannot be read, or is not private.
    """
    try:
        private_directory.check(directory)
        with os.scandir(directory) as listed:
            found = [entry for entry in listed if entry.name.endswith(suffix)]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda entry: entry.name)


def remove_unfinished(directory: Path) -> None:
    """Delete what is left of files whose process was stopped while it made them; nothing was counted yet.

    Raises:
        OSError: The directory cannot be read, or is not private.
    """
    for entry in entries(directory, _NEW_SUFFIX):
        with suppress(OSError):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _UNFINISHED_S:
                os.unlink(entry.path)


def take_over(path: Path) -> SpoolFile:
    """Hold a file whose process has ended.

    Raises:
        InUse: Another process holds it.
        Damaged: It cannot be used.
        FileNotFoundError: Another process has finished it.
        OSError: It cannot be opened.
    """
    with _descriptors() as descriptors:
        descriptors.append(_open(path))
        _lock(descriptors[0])
        descriptors.append(_open(path))
        if not os.path.sameopenfile(*descriptors):
            raise FileNotFoundError(path)
        memory = memoryview(mmap.mmap(descriptors[1], 0, **_MAPPING))
        contents = spool_format.read(memory)
        contents.check()
        return SpoolFile(path, descriptors, contents)


def set_aside(path: Path) -> Path:
    """Give a file that cannot be used another name, under which nobody looks for it; returns that."""
    aside = path.with_name(path.name + _BAD_SUFFIX)
    path.rename(aside)
    return aside


class SpoolReader:
    """A file that somebody may be counting in, looked at from outside: it costs them nothing."""

    def __init__(self, path: Path) -> None:
        """Raises Damaged or OSError for what cannot be looked at."""
        self._descriptor = _open(path)

    def description(self) -> Description:
        """Read the header alone, however large the file is.

        Raises:
            Damaged: It is not a spool file.
        """
        return spool_format.read_description(self._beginning())

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._descriptor).st_size

    def contents(self) -> SpoolContents:
        """What is in it at this moment, also when it has been deleted since.

        Raises:
            Damaged: It cannot be used.
        """
        size = spool_format.size_in_use(self._beginning())
        data = bytearray(min(size, self.size()))
        os.preadv(self._descriptor, [data], 0)
        return spool_format.read(memoryview(data))

    def _beginning(self) -> memoryview:
        return memoryview(os.pread(self._descriptor, _LONGEST_HEADER, 0))

    def is_held(self) -> bool:
        """Whether the process that counts in it is alive, or somebody takes it over."""
        try:
            _lock(self._descriptor, fcntl.LOCK_SH)
        except InUse:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Look no longer."""
        os.close(self._descriptor)

    def __enter__(self) -> SpoolReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise Damaged(f"it is no file ({error.strerror})") from error
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size:
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Damaged("it is no file")
    raise Damaged("it is empty" if not status.st_size else f"it belongs to user {status.st_uid}")
