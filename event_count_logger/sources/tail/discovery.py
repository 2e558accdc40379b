"""Which log files there are, what they were called before, and how they are told apart."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field

#: Bytes of the beginning of a file that are compared.
_HEAD = 1024

#: Bytes before the position that are compared.
_TAIL = 64

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".z", ".lzma", ".br", ".7z")

#: What rotation puts behind the name of a file, and what it puts before the name's own suffix.
_ROTATED = re.compile(r"[0-9][^/]*|old|prev")
_ROTATED_BEFORE_SUFFIX = re.compile(
    r"[.-][0-9]{8}[0-9_.:-]*|[.-][0-9]{4}-[0-9]{2}-[0-9]{2}[0-9_.:-]*|\.[0-9]{1,3}"
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How a file begins, and what stands before a position in it.

    Attributes:
        head: As many of the first 1024 bytes as there are before the position.
        tail: The last 64 of those before the position.
    """

    head: bytes = b""
    tail: bytes = b""

    @classmethod
    def of(cls, file: int, offset: int) -> Fingerprint:
        """That of an open file at a position."""
        n = min(_TAIL, offset)
        return cls(os.pread(file, min(_HEAD, offset), 0), os.pread(file, n, offset - n))

    def after(self, data: bytes) -> Fingerprint:
        """That at the position behind `data`, which follow this one."""
        return Fingerprint((self.head + data[:_HEAD])[:_HEAD], (self.tail + data[-_TAIL:])[-_TAIL:])

    @property
    def digest(self) -> str:
        """A short text that differs when the fingerprint does."""
        return hashlib.blake2b(self.tail + self.head, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class FileCheckpoint:
    """How far a file was read.

    Attributes:
        path: Where a file with this name is written; rotation may have given it another name since then.
        device: Of the file.
        inode: Of the file.
        generation: Tells it from others that are given the same inode later; 0 if that is not known.
        offset: Bytes that were read.
        modified: When it was, Unix seconds.
        digest: Of its fingerprint there.
        is_done: Whether it had been rotated, and was read to its end.
    """

    path: str
    device: int
    inode: int
    generation: int
    offset: int
    modified: float
    digest: str
    is_done: bool = False

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position of a source: how far each of its files was read.

    Attributes:
        number: Of commits, so that no position comes twice.
        done: When the last modified of the files was modified that were read and are gone, Unix seconds.
        marks: Of the files that are there.
        machine: Identity of the machine that has the files; see machine_id.py.
    """

    number: int = 0
    done: float = 0.0
    marks: tuple[FileCheckpoint, ...] = ()
    machine: str = ""

    @classmethod
    def parse(cls, position: str) -> Checkpoint:
        """From its text.

        Raises:
            ValueError: It is not one.
        """
        try:
            number, done, marks, machine = json.loads(position)
            return cls(int(number), float(done), tuple(FileCheckpoint(*mark) for mark in marks), str(machine))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{position[:60]!r} is not a position in log files") from error

    def __str__(self) -> str:
        marks = [astuple(mark) for mark in self.marks]
        return json.dumps((self.number, self.done, marks, self.machine), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was seen.

    Attributes:
        path: Where.
        written_as: The path at which it is or was written: another one if it has been rotated.
        matches: Whether the pattern means it.
        is_meant: Whether it is one of those, or was rotated from one; else its name only begins like that,
            and it may be a copy, or it has an inode that was read, which may have been given anew.
        status: As the system tells.
    """

    path: str
    written_as: str
    matches: bool
    is_meant: bool
    status: os.stat_result

    @property
    def is_rotated(self) -> bool:
        """Whether it has another name than when it was written."""
        return self.path != self.written_as

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.status.st_dev, self.status.st_ino

    def may_come_from(self, path: str) -> bool:
        """Whether it may have been made of what was written at that path."""
        is_rotated_from_it = self.is_rotated and self.written_as == path
        return is_rotated_from_it or self.path.startswith((f"{path}.", f"{path}-"))


@dataclass(slots=True)
class Listing:
    """What was seen in one look.

    Attributes:
        sightings: The files.
        is_sharp: Whether nothing was renamed meanwhile, so that none can have been overlooked.
        closed: Directories that are there but cannot be read, and why.
    """

    sightings: list[FoundFile] = field(default_factory=list)
    is_sharp: bool = True
    closed: dict[str, OSError] = field(default_factory=dict)


def look(pattern: str, known: Iterable[FileCheckpoint]) -> Listing:
    """See the files that a pattern means, what they were rotated to, and what may be a copy of them."""
    matches = {os.path.realpath(path) for path in glob.glob(pattern, recursive=True)}
    matches = {path for path in matches if not is_compressed(path)}
    if not glob.has_magic(pattern):
        matches.add(os.path.realpath(pattern))
    names_in: defaultdict[str, set[str]] = defaultdict(set)
    for path in matches.union(mark.path for mark in known):
        directory, name = os.path.split(path)
        names_in[directory].add(name)
    inodes = {mark.inode for mark in known}
    view = Listing()
    for directory, names in names_in.items():
        for entry in _entries(directory, view):
            if not is_compressed(entry.name) or entry.inode() in inodes:
                _see(entry, names, matches, inodes, view)
    return view


def _entries(directory: str, view: Listing) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        view.closed[directory] = error
        return []


def _see(
    entry: os.DirEntry[str], names: set[str], matches: set[str], inodes: set[int], view: Listing
) -> None:
    written_as, is_rotated = _written_as(entry.name, names)
    is_known = entry.inode() in inodes
    if written_as is None and not is_known:
        return
    try:
        status = entry.stat()
    except OSError as error:
        if isinstance(error, PermissionError) and not entry.is_symlink():
            view.closed[os.path.dirname(entry.path)] = error
            return
        view.is_sharp &= entry.is_symlink()  # it has just gone, or got another name
        return
    view.is_sharp &= entry.is_symlink() or status.st_ino == entry.inode()
    if stat.S_ISREG(status.st_mode):
        path = os.path.join(os.path.dirname(entry.path), written_as or entry.name)
        is_match = entry.path in matches
        is_meant = is_match or (is_rotated and not is_compressed(entry.name))
        view.sightings.append(FoundFile(entry.path, path, is_match, is_meant, status))


def _written_as(name: str, names: set[str]) -> tuple[str | None, bool]:
    """The one of `names` under which a file was written, and whether it is clear that it was rotated."""
    begins_with = None
    for separator in re.finditer("[.-]", name):
        before, after = name[: separator.start()], name[separator.end() :]
        if before in names and _ROTATED.fullmatch(after):
            return before, True
        middle, dot, suffix = after.rpartition(".")
        if f"{before}{dot}{suffix}" in names and _ROTATED_BEFORE_SUFFIX.fullmatch(separator[0] + middle):
            return f"{before}{dot}{suffix}", True
        if before in names:
            begins_with = begins_with or before
    return (name, False) if name in names else (begins_with, False)


def is_compressed(path: str) -> bool:
    """Whether a file is of no use, because what it was made of has been read before."""
    return path.lower().endswith(_COMPRESSED)
