"""Reasons why an entry has nothing to read, for `ecl tail --once` and `ecl check`."""

from __future__ import annotations

import errno
import glob
import os
import stat

from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.sources.tail.inputs.compression import is_compressed, is_readable


def absence(pattern: PathPattern, with_archives: bool = False) -> str:
    """Returns the reason why there is no file to read; '' if there is one.

    Args:
        pattern: Pattern of the files.
        with_archives: Compressed files are read.
    """
    if not glob.has_magic(pattern.glob):
        return _fault(pattern.glob, with_archives)
    found = glob.glob(pattern.glob, recursive=True)
    paths = [path for path in found if pattern.captures(path) is not None]
    faults = [fault for path in paths if (fault := _fault(path, with_archives))]
    if len(faults) < len(paths):
        return ""
    return faults[0] if faults else f"no file matches {pattern}"


def _fault(path: str, with_archives: bool) -> str:
    """Returns the reason why a file cannot be read; '' if it can."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{path}: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"{path} is a directory, not a log file ({path}/* are its files)"
    if stat.S_ISFIFO(mode):
        return ""
    if not stat.S_ISREG(mode):
        return f"{path} is not a regular file"
    if not os.access(path, os.R_OK):
        return f"{path}: {os.strerror(errno.EACCES)}"
    if is_compressed(path) and not is_readable(path):
        return f"{path} is compressed, and only .gz, .zst, .bz2 and .xz can be read"
    if is_compressed(path) and not with_archives:
        return f"{path} is compressed, and read only with --once --from start"
    return ""
