"""Identity of this machine: positions of `ecl tail` contain it, so that other machines do not use them."""

from __future__ import annotations

import glob
import hashlib
import os
from contextlib import suppress

#: Files with the machine ID; see machine-id(5) and dbus-uuidgen(1). A container can mount that of its host.
_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")

#: Hexadecimal digits of the ID, and bytes of its digest. machine-id(5) asks programs not to publish the ID.
_ID_DIGITS, _DIGEST_BYTES = 32, 8


def identity(pattern: str) -> str:
    """Returns a digest of the machine ID; without an ID, as in many containers, a digest of the directory.

    Args:
        pattern: Absolute path of log files, which may contain wildcards.

    Returns:
        16 hexadecimal digits; '' if there is neither an ID nor a directory.
    """
    id = _machine_id() or _directory_id(pattern)
    if not id:
        return ""
    return hashlib.blake2b(id.encode(), digest_size=_DIGEST_BYTES, person=b"ecl tail").hexdigest()


def _machine_id() -> str:
    """Returns the machine ID; '' if there is none."""
    for path in _FILES:
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            id = file.read(_ID_DIGITS + 1).strip()
            if len(id) == _ID_DIGITS:
                return id
    return ""


def _directory_id(pattern: str) -> str:
    """Returns file system and inode of the directory before the first wildcard; '' if there is none."""
    directory = os.path.dirname(pattern)
    while glob.has_magic(directory):
        directory = os.path.dirname(directory)
    try:
        return f"{os.statvfs(directory).f_fsid} {os.stat(directory).st_ino}"
    except OSError:
        return ""
