"""Discovery of log files: their names before and after rotation, and their fingerprints."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, field

from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.sources.tail.inputs.compression import is_compressed, is_readable, uncompressed

#: Bytes at the start of a file that its fingerprint contains.
HEAD = 1024

#: Bytes before an offset that the fingerprint at this offset contains.
_TAIL = 64

#: Suffixes that rotation appends to a file name, and those that it inserts before the name's own suffix.
_ROTATED = re.compile(r"[0-9][^/]*|old|prev")
_ROTATED_BEFORE_SUFFIX = re.compile(
    r"[.-][0-9]{8}[0-9_.:-]*|[.-][0-9]{4}-[0-9]{2}-[0-9]{2}[0-9_.:-]*|\.[0-9]{1,3}"
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The first bytes of a file, and the last bytes before an offset in it.

    Attributes:
        head: The first 1024 bytes; fewer if the offset is smaller.
        tail: The last 64 bytes before the offset.
    """

    head: bytes = b""
    tail: bytes = b""

    @classmethod
    def of(cls, file: int, offset: int) -> Fingerprint:
        """Returns the fingerprint of an open file at an offset."""
        n = min(_TAIL, offset)
        return cls(os.pread(file, min(HEAD, offset), 0), os.pread(file, n, offset - n))

    def after(self, data: bytes) -> Fingerprint:
        """Returns the fingerprint at the offset behind `data`, which starts at the offset of this one."""
        return Fingerprint((self.head + data[:HEAD])[:HEAD], (self.tail + data[-_TAIL:])[-_TAIL:])

    @property
    def digest(self) -> str:
        """A hash of the fingerprint, 16 hexadecimal digits."""
        return hashlib.blake2b(self.tail + self.head, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class FileCheckpoint:
    """The saved offset of one file, with the facts by which the file is found again.

    Attributes:
        path: Path under which the file is written; rotation may have renamed the file since.
        device: Device number of the file.
        inode: Inode number of the file.
        generation: Generation of the inode, which differs when the number is reused; 0 if unknown.
        offset: Bytes read so far.
        modified: Time of the last modification that was read, Unix seconds.
        digest: Digest of the fingerprint at the offset.
        is_done: True if the file had been rotated and was read to its end.
        captures: What the pattern captures from a symbolic link to the file; empty if `path` shows it.
    """

    path: str
    device: int
    inode: int
    generation: int
    offset: int
    modified: float
    digest: str
    is_done: bool = False
    captures: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position of a source that tails files, stored in Redis as a JSON list:

        [number, done_until, [FILE, ...], machine]
        FILE: [path, device, inode, generation, offset, modified, digest, is_done, captures]

    `captures` is left out if it is empty.

    Attributes:
        number: Number of the commit, which makes each position unique.
        done_until: Latest modification time of the files that were read and are gone, Unix seconds. A rotated
            file that is not newer was read before.
        files: Checkpoints of the files that exist or are looked for.
        machine: Identity of the machine that has the files; see machine_id.py.
    """

    number: int = 0
    done_until: float = 0.0
    files: tuple[FileCheckpoint, ...] = ()
    machine: str = ""

    @classmethod
    def parse(cls, position: str) -> Checkpoint:
        """Read what `str()` gives.

        Raises:
            ValueError: The text is not a checkpoint.
        """
        try:
            number, done_until, files, machine = json.loads(position)
            checkpoints = tuple(FileCheckpoint(*file) for file in files)
            return cls(int(number), float(done_until), checkpoints, str(machine))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{position[:60]!r} is not a position in log files") from error

    def __str__(self) -> str:
        files = [astuple(file)[: None if file.captures else -1] for file in self.files]
        return json.dumps((self.number, self.done_until, files, self.machine), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that one scan has found.

    Attributes:
        path: Current path of the file.
        original_path: Path under which the file is or was written; differs from `path` after rotation.
        matches: True if the pattern matches the current path.
        is_input: True if the pattern matches the original path. If not, the file may be a copy, because its
            name only starts like that of an input. Or it has the inode of a file that was read, which may be
            reused.
        status: Result of `stat`.
    """

    path: str
    original_path: str
    matches: bool
    is_input: bool
    status: os.stat_result

    @property
    def is_rotated(self) -> bool:
        """True if the file was renamed after it was written."""
        return self.path != self.original_path

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.status.st_dev, self.status.st_ino

    def may_come_from(self, path: str) -> bool:
        """Returns whether the file may be a renamed or copied version of the file once written at `path`."""
        is_rotated_from_it = self.is_rotated and self.original_path == path
        return is_rotated_from_it or self.path.startswith((f"{path}.", f"{path}-"))


@dataclass(slots=True)
class Listing:
    """The result of one scan.

    Attributes:
        files: Files found.
        is_stable: True if no file was renamed during the scan, so that none can have been missed.
        unreadable: Directories that exist but cannot be read, with the error.
        captures: Path of each file that the pattern matches, with what it captures from the path before
            symbolic links in it are resolved.
    """

    files: list[FoundFile] = field(default_factory=list)
    is_stable: bool = True
    unreadable: dict[str, OSError] = field(default_factory=dict)
    captures: dict[str, Mapping[str, str]] = field(default_factory=dict)


def discover(pattern: PathPattern, known: Collection[FileCheckpoint], with_archives: bool = False) -> Listing:
    """Find files that match a pattern or have a checkpoint, their rotated versions and possible copies.

    Compressed files are left out, because their content was read before, except for those with a checkpoint.
    With `with_archives`, those that match the pattern are inputs, too.
    """
    listing = Listing()
    is_single = not glob.has_magic(pattern.glob)
    for path in [pattern.glob] if is_single else glob.glob(pattern.glob, recursive=True):
        captures = pattern.captures(path)
        if captures is not None and (is_single or with_archives or not is_compressed(path)):
            listing.captures[os.path.realpath(path)] = captures
    matches = set(listing.captures)
    names_in: defaultdict[str, set[str]] = defaultdict(set)
    for path in matches.union(file.path for file in known):
        directory, name = os.path.split(path)
        names_in[directory].add(uncompressed(name))
    inodes = {file.inode for file in known}
    for directory, names in names_in.items():
        for entry in _entries(directory, listing):
            is_archive = with_archives and entry.path in matches and is_readable(entry.name)
            if not is_compressed(entry.name) or is_archive or entry.inode() in inodes:
                _add(entry, names, matches, inodes, listing)
    return listing


def captures_of(pattern: PathPattern, path: str) -> Mapping[str, str]:
    """Returns what a pattern captures from the resolved path of a file that may not exist."""
    directory, name = os.path.split(path)
    for each in (directory, *glob.glob(os.path.dirname(pattern.glob), recursive=True)):
        captures = pattern.captures(os.path.join(each, name))
        if captures is not None and os.path.realpath(each) == directory:
            return captures
    return {}


def _entries(directory: str, listing: Listing) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        listing.unreadable[directory] = error
        return []


def _add(
    entry: os.DirEntry[str], names: set[str], matches: set[str], inodes: set[int], listing: Listing
) -> None:
    """Add a directory entry to the listing if it is an input, a possible copy of one, or a known inode."""
    original_name, is_rotated = _original_name(uncompressed(entry.name), names)
    is_known = entry.inode() in inodes
    if original_name is None and not is_known:
        return
    try:
        status = entry.stat()
    except OSError as error:
        if isinstance(error, PermissionError) and not entry.is_symlink():
            listing.unreadable[os.path.dirname(entry.path)] = error
            return
        listing.is_stable &= entry.is_symlink()  # otherwise the file was deleted or renamed during the scan
        return
    listing.is_stable &= entry.is_symlink() or status.st_ino == entry.inode()
    if stat.S_ISREG(status.st_mode):
        path = os.path.join(os.path.dirname(entry.path), original_name or entry.name)
        is_match = entry.path in matches
        is_input = is_match or (is_rotated and not is_compressed(entry.name))
        listing.files.append(FoundFile(entry.path, path, is_match, is_input, status))


def _original_name(name: str, names: set[str]) -> tuple[str | None, bool]:
    """Returns the one of `names` under which a file was written, and whether its name proves a rotation."""
    starts_with = None
    for separator in re.finditer("[.-]", name):
        before, after = name[: separator.start()], name[separator.end() :]
        if before in names and _ROTATED.fullmatch(after):
            return before, True
        middle, dot, suffix = after.rpartition(".")
        if f"{before}{dot}{suffix}" in names and _ROTATED_BEFORE_SUFFIX.fullmatch(separator[0] + middle):
            return f"{before}{dot}{suffix}", True
        if before in names:
            starts_with = starts_with or before
    return (name, False) if name in names else (starts_with, False)
