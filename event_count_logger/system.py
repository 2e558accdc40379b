"""The operating system that counting needs: one with fork() and flock()."""

from __future__ import annotations

import os
import sys
from importlib import import_module


def require() -> None:
    """Raises ImportError with the systems that will do, unless this is one of them."""
    missing = []
    try:
        import_module("fcntl")
    except ImportError:
        missing.append("the module fcntl")
    if not hasattr(os, "register_at_fork"):
        missing.append("os.register_at_fork")
    if missing:
        raise ImportError(
            "event-count-logger needs Python on Linux, macOS or another POSIX system: "
            f"this one, on {sys.platform}, lacks {' and '.join(missing)}"
        )
