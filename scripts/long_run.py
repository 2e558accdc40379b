"""Shared parts of long-running programs: a temporary folder, signals, and the exit status."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def run_in_folder(name: str, keep: bool, run: Callable[[Path], list[str]]) -> int:
    """Run in a temporary folder, and print the problems that the run returns.

    Args:
        name: Part of the name of the folder.
        keep: Keep the folder, and print its path.
        run: Called with the folder.

    Returns:
        The exit status: 1 if there are problems.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"ecl-{name}-"))
    try:
        problems = run(folder)
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(problems) or "exact")
    return 1 if problems else 0


def exit_with(main: Callable[[], int | None]) -> NoReturn:
    """Exit with the status that `main` returns. A signal ends it with SystemExit, so that it cleans up."""
    for number in _SIGNALS:
        signal.signal(number, lambda signum, frame: sys.exit(128 + signum))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
