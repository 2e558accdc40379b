"""The requirements of this package: the platform, and the extras."""

from __future__ import annotations

import os
import sys
from importlib import import_module


def require_platform() -> None:
    """Raises ImportError unless this is a system with fork() and flock()."""
    missing = []
    try:
        import_module("fcntl")
    except ImportError:
        missing.append("the module fcntl")
    if not hasattr(os, "register_at_fork"):
        missing.append("os.register_at_fork")
    if missing:
        raise ImportError(
            "event-count-logger needs Python on Linux (on Windows: in WSL), macOS or another POSIX system: "
            f"this one, on {sys.platform}, lacks {' and '.join(missing)}"
        )


def how_to_install(extra: str) -> str:
    """Returns the command that installs an extra, such as `server`, for messages."""
    return (
        f"install the extra '{extra}': pip install '.[{extra}]' in a checkout, or, when 2.0 is on the "
        f"package index, pip install 'event-count-logger[{extra}]>=2'"
    )
