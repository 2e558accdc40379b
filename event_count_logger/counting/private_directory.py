"""Creates and checks directories with mode 0700, and checks the files in them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path


class Kind(Enum):
    """Types of files as in `st_mode`; the values appear in messages."""

    FILE = "a regular file"
    DIRECTORY = "a directory"
    SOCKET = "a socket"
    LINK = "a symbolic link"
    FIFO = "a FIFO"
    DEVICE = "a device"

    @classmethod
    def of(cls, status: os.stat_result) -> Kind:
        """Returns the kind of a file, given its status."""
        return _KINDS.get(stat.S_IFMT(status.st_mode), cls.DEVICE)


_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFLNK: Kind.LINK,
    stat.S_IFIFO: Kind.FIFO,
}


def make(directory: Path) -> None:
    """Create a private directory if it is missing, with missing directories above it (mode 0755).

    Raises:
        OSError: It cannot be created, or is there and not private.
    """
    _make(directory, 0o700)
    check(directory)


def _make(directory: Path, mode: int) -> None:
    """Create a directory and missing ones above it. No umask makes them writable for other users."""
    with suppress(FileExistsError):
        try:
            os.mkdir(directory, mode)
        except FileNotFoundError:
            _make(directory.parent, 0o755)
            os.mkdir(directory, mode)


def check(directory: Path) -> None:
    """Raises OSError unless this is a directory of this user, no symbolic link, with at most mode 0700."""
    status = directory.lstat()
    _check_kind(directory, status, Kind.DIRECTORY)
    _check_owner(directory, status)
    if status.st_mode & 0o077:
        raise OSError(f"{directory} has mode {stat.S_IMODE(status.st_mode):04o}, not 0700")


def make_private_if_empty(directory: Path) -> bool:
    """Set the mode of an empty directory of this user to 0700. Returns whether the mode has changed.

    Raises:
        OSError: It cannot be read.
    """
    status = directory.lstat()
    is_open = stat.S_ISDIR(status.st_mode) and status.st_mode & 0o077
    if not is_open or status.st_uid != os.geteuid() or any(directory.iterdir()):
        return False
    directory.chmod(0o700)
    if any(directory.iterdir()):  # another process has used it meanwhile
        directory.chmod(stat.S_IMODE(status.st_mode))
        return False
    return True


def check_file(path: Path, kind: Kind) -> None:
    """Raises OSError if there is a file of another kind or of another user. A missing file is no error."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    _check_kind(path, status, kind)
    _check_owner(path, status)


def _check_kind(path: Path, status: os.stat_result, expected: Kind) -> None:
    if Kind.of(status) is not expected:
        raise OSError(f"{path} is {Kind.of(status).value}, not {expected.value}")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise OSError(f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}")
