"""The default directories for spool files of a user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: Parents of the directory, the best first: memory, then directories of every system. The list must be the
#: same in every process, or files are not found. TMPDIR is not in it, because it may differ.
PARENTS = ("/dev/shm", "/tmp", "/var/tmp")


def default_spool_dir() -> Path:
    """Returns `ECL_SPOOL_DIR` of the environment, else a directory in the first parent that is writable."""
    named = os.environ.get("ECL_SPOOL_DIR")
    if named:
        return Path(named).absolute()
    writable = (parent for parent in PARENTS if os.access(parent, os.W_OK | os.X_OK))
    return _in(next(writable, "/tmp"))


def default_spool_dirs() -> list[Path]:
    """Returns each directory that `default_spool_dir` may return in another process of this user.

    `/dev/shm` may be read-only for some processes, or for some time. Directories of other users are left out:
    any user can create them in `/tmp`.
    """
    chosen = default_spool_dir()
    if os.environ.get("ECL_SPOOL_DIR"):
        return [chosen]
    return [chosen, *(each for each in map(_in, PARENTS) if each != chosen and _is_own(each))]


def _in(parent: str) -> Path:
    return Path(parent) / f"event-count-logger-{os.geteuid()}"


def _is_own(directory: Path) -> bool:
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
