"""Checks of this machine for `ecl check`: counting in C or Python, and the spool directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from event_count_logger.config import Config
from event_count_logger.config.spool_directories import PARENTS, default_spool_dir
from event_count_logger.counting import implementation, spool_file

#: Types of file systems in memory.
_IN_MEMORY = ("tmpfs", "ramfs")


def counting_fact() -> str:
    """Returns a line about counting in C or in Python, with this installation and environment, and why."""
    if implementation.NATIVE:
        return f"counting: {implementation.implementation()}"
    return f"counting: {implementation.implementation()} ({implementation.WHY_NOT_NATIVE})"


def spool_facts(config: Config) -> list[str]:
    """Returns a line for each directory in which processes of this user create spool files."""
    kinds = {directory: _file_system(directory) for directory in _chosen(config)}
    return [f"spool directory: {each}{f' ({kind})' if kind else ''}" for each, kind in kinds.items()]


def spool_problems(config: Config) -> Iterator[str]:
    """Yield a sentence for each spool directory that cannot be used."""
    chosen = _chosen(config)
    for directory in config.spool_dirs:
        try:
            spool_file.find(directory)
            if directory in chosen:
                _check_writable(directory)
        except OSError as error:
            if directory in chosen:
                yield f"counts are kept in memory, and lost when a process is killed: {error}"
            else:
                yield f"spool files are not recovered: {error}"


def spool_warning(config: Config) -> str | None:
    """Returns a warning if spool files are on a disk because shared memory cannot be used; else None."""
    directory, shared_memory = default_spool_dir(), PARENTS[0]
    is_default = directory in _chosen(config) and not os.environ.get("ECL_SPOOL_DIR")
    if not is_default or str(directory.parent) == shared_memory:
        return None
    kind = _file_system(directory)
    if kind is None or kind in _IN_MEMORY:
        return None
    return (
        f"{shared_memory} cannot be written to: spool files are in {directory}, and counting writes to a "
        f"disk (mount a tmpfs at {shared_memory}, or name a directory with spool_dir)"
    )


def _chosen(config: Config) -> list[Path]:
    directories = {group.spool_directory for group in config.groups.values()}
    return sorted(directory for directory in directories if directory)


def _check_writable(directory: Path) -> None:
    """Raise OSError if no spool file can be created in a directory, or in its nearest existing parent."""
    existing = _existing(directory)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"{existing} cannot be written to")
    try:
        spool_file.check_room(existing)
    except OSError as error:
        raise OSError(f"no spool file can be created in {existing}: {error.strerror}") from error


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _file_system(directory: Path) -> str | None:
    """Returns the type of the file system of a directory that may not exist yet; None if unknown."""
    try:
        device = _existing(directory).stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return None
    for mount in mounts.splitlines():
        fields, _, rest = mount.partition(" - ")
        if fields.split()[2] == f"{os.major(device)}:{os.minor(device)}":
            return rest.split()[0]
    return None
