"""Creates, locks, finds and reads spool files.

An exclusive `flock` on a file says that its process lives: the kernel releases it when the process ends, in
any way. Only the holder of the lock writes.

    GROUP.SOURCE.new    incomplete: its process is creating it, or was killed meanwhile
    GROUP.SOURCE.ecl    locked: its process counts. Not locked: its process has ended, see `recovery`
    *.ecl.bad           set aside, because the file cannot be used
"""

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

#: Suffix of a file that is not complete, and suffix added to one that was set aside.
_NEW_SUFFIX, _BAD_SUFFIX = ".new", ".bad"

#: Characters of the group's name at the beginning of a file's name, at most.
_LONGEST_PREFIX = 64

#: The least bytes of the first extent, and the most of any extent. Until then the file doubles in size: large
#: steps save system calls, small ones memory.
_FIRST_EXTENT, _LARGEST_EXTENT = 1024, 1 << 20

#: The most bytes of a header.
_LONGEST_HEADER = 1 << 16

#: Mappings without a file descriptor of their own, from Python 3.13 on.
_MAPPING: dict[str, bool] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


#: `O_NONBLOCK`: opening a FIFO would block.
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Errors of opening links, directories, sockets and devices.
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV)

_SIZE = HeaderWord.SIZE

#: Seconds after which an incomplete file was left by a killed process.
_UNFINISHED_S = 60.0


class InUse(Exception):
    """Another process holds the lock of the file."""


#: File offset of the descriptors that this process holds. A number that other code has closed, and that now
#: belongs to another file, has another offset. `lseek` takes a quarter of the time of `fstat`.
_OFFSET = 0x65636C01


class SpoolFile:
    """A spool file whose lock this process holds; a `Storage` of cells.

    Attributes:
        path: Path of the file.
        contents: The mapped contents.
    """

    def __init__(self, path: Path, descriptors: list[int], contents: SpoolContents) -> None:
        """Owns two descriptors of separate `open` calls: the first has the lock, the second is for mapping.

        A mapping keeps a copy of its descriptor, which cannot be closed. With one `open` call for both, that
        copy would keep the lock.
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
        """The part of the header that never changes."""
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
        # No function is called from here to the append: a signal handler that grows the file runs before or
        # after. If it ran before, its cells are in this memory, and a second extent would use it again.
        if words[_SIZE] == offset:
            words[_SIZE] = offset + size
            extents.append(extent)
        return extents[-1]

    def is_held(self) -> bool:
        """Returns whether the lock is held. Other code of this process may close all descriptors."""
        try:
            lock, mapped = self._descriptors
            return os.lseek(lock, 0, os.SEEK_CUR) == os.lseek(mapped, 0, os.SEEK_CUR) == _OFFSET
        except (OSError, ValueError):
            return False

    def relock(self) -> None:
        """Open and lock the file again, after its descriptors were closed.

        Raises:
            InUse: Another process has taken the file over.
            FileNotFoundError: Another process has sent all of it and deleted it.
            Damaged: The file cannot be used.
            OSError: The file cannot be opened.
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
        """Returns whether the file was deleted: no process can find it after this one has ended."""
        return self.is_held() and os.fstat(self._descriptors[0]).st_nlink == 0

    def delete(self) -> None:
        """Delete the file, which holds nothing unsent, and release the lock."""
        with suppress(OSError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Release the lock: other processes may now take the file over."""
        _close(self._descriptors, self._identity)

    def leave_to_parent(self, number: int) -> None:
        """In a child process: close the inherited lock, and detach the memory shared with the parent."""
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
    """Returns device and inode of an open descriptor; None if it was closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _close(descriptors: list[int], identity: tuple[int, int] | None) -> None:
    """Close descriptors, except numbers that were closed by other code and now belong to other files."""
    with suppress(IndexError):  # a signal handler may close them meanwhile
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
    """Create a file, and its directory if that is missing.

    Args:
        directory: Directory of the file.
        group: Name of the group.
        intervals: Names of its intervals.
        redis: The database that the counts are for; see `Description`.
        prefix: Prefix of the keys of the counts; '' for the name of the group.
        redis_layout: Layout of the counts in Redis.

    Raises:
        OSError: The file cannot be created, or the directory is not private.
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
    """Returns the mapped memory of a new file, with header and first extent."""
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
    """Returns a part of a file as memory. Its space is reserved: a write to a full disk would be a SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, offset, size)
    else:
        os.pwrite(file, bytes(size), offset)
    return memoryview(mmap.mmap(file, size, offset=offset, **_MAPPING))


def check_room(directory: Path) -> None:
    """Raises OSError unless a new file of the usual size fits into a directory. Uses a temporary file."""
    with tempfile.TemporaryFile(dir=directory) as file:
        _reserve(file.fileno(), 0, mmap.PAGESIZE)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUse from error


@contextmanager
def _descriptors() -> Iterator[list[int]]:
    """A list of descriptors, which are closed if the block raises."""
    descriptors: list[int] = []
    try:
        yield descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def find(directory: Path) -> list[Path]:
    """Returns the spool files in a directory; none if it is missing.

    Raises:
        OSError: The directory cannot be read, or is not private.
    """
    return [directory / entry.name for entry in entries(directory)]


def entries(directory: Path, suffix: str = _SUFFIX) -> list[os.DirEntry[str]]:
    """Returns the directory entries of spool files, sorted by name. Opens none of the files.

    Raises:
        OSError: The directory cannot be read, or is not private.
    """
    try:
        private_directory.check(directory)
        with os.scandir(directory) as listed:
            found = [entry for entry in listed if entry.name.endswith(suffix)]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda entry: entry.name)


def remove_unfinished(directory: Path) -> None:
    """Delete incomplete files, whose process was killed while it created them. They have no counts.

    Raises:
        OSError: The directory cannot be read, or is not private.
    """
    for entry in entries(directory, _NEW_SUFFIX):
        with suppress(OSError):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _UNFINISHED_S:
                os.unlink(entry.path)


def take_over(path: Path) -> SpoolFile:
    """Lock the file of a process that has ended.

    Raises:
        InUse: Another process holds the lock.
        Damaged: The file cannot be used.
        FileNotFoundError: Another process has sent all of it and deleted it.
        OSError: The file cannot be opened.
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
    """Rename a file that cannot be used to `*.bad`, which recovery ignores. Returns the new path."""
    aside = path.with_name(path.name + _BAD_SUFFIX)
    path.rename(aside)
    return aside


class SpoolReader:
    """A read-only view of a spool file. Its process may be counting in it, and is not slowed down."""

    def __init__(self, path: Path) -> None:
        """Raises Damaged or OSError if the file cannot be opened."""
        self._descriptor = _open(path)

    def description(self) -> Description:
        """Read the description, and only the header of the file.

        Raises:
            Damaged: Not a spool file.
        """
        return spool_format.read_description(self._beginning())

    def size(self) -> int:
        """Returns the size of the file in bytes."""
        return os.fstat(self._descriptor).st_size

    def contents(self) -> SpoolContents:
        """Returns a copy of the current contents. Works also if the file was deleted after it was opened.

        Raises:
            Damaged: The file cannot be used.
        """
        size = spool_format.size_in_use(self._beginning())
        data = bytearray(min(size, self.size()))
        os.preadv(self._descriptor, [data], 0)
        return spool_format.read(memoryview(data))

    def _beginning(self) -> memoryview:
        return memoryview(os.pread(self._descriptor, _LONGEST_HEADER, 0))

    def is_held(self) -> bool:
        """Returns whether a process holds the lock: the one that counts in it, or one that recovers it."""
        try:
            _lock(self._descriptor, fcntl.LOCK_SH)
        except InUse:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Close the file."""
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
            raise Damaged(f"it is not a regular file ({error.strerror})") from error
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size:
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Damaged("it is not a regular file")
    raise Damaged("it is empty" if not status.st_size else f"it belongs to user {status.st_uid}")
