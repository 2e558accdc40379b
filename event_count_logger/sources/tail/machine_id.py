"""Identity of this machine, by which `ecl tail` tells its own positions from those of another machine."""

from __future__ import annotations

import glob
import hashlib
import os
from contextlib import suppress

#: See machine-id(5) and dbus-uuidgen(1). In a container, mount the file of its host.
_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")

#: Hexadecimal digits of the ID, and bytes of the digest: machine-id(5) asks not to give the ID itself away.
_ID_DIGITS, _DIGEST_BYTES = 32, 8


def identity(pattern: str) -> str:
    """Returns a digest of the machine's ID; without one, as in many containers, of the directory.

    Args:
        pattern: Absolute path of log files, which may contain wildcards.

    Returns:
        16 hexadecimal digits; '' if there is neither an ID nor a directory.
    """
    fact = _machine_id() or _place(pattern)
    if not fact:
        return ""
    return hashlib.blake2b(fact.encode(), digest_size=_DIGEST_BYTES, person=b"ecl tail").hexdigest()


def _machine_id() -> str:
    """Returns the ID; '' if there is none."""
    for path in _FILES:
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            id = file.read(_ID_DIGITS + 1).strip()
            if len(id) == _ID_DIGITS:
                return id
    return ""


def _place(pattern: str) -> str:
    """Returns file system and inode of the directory before the first wildcard; '' if there is none."""
    directory = os.path.dirname(pattern)
    while glob.has_magic(directory):
        directory = os.path.dirname(directory)
    try:
        return f"{os.statvfs(directory).f_fsid} {os.stat(directory).st_ino}"
    except OSError:
        return ""
