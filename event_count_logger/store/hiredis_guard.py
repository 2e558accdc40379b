"""Keeps hiredis, the parser in C, out of all interpreters of a process but the main one.

hiredis 3.5 has one pointer for the whole process: to the module of the interpreter that imported it last.
When that interpreter ends, the next connection of another one crashes the process. redis-py works without it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module


def _is_main_interpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # the second one before CPython 3.13
        with suppress(ImportError):
            interpreters = import_module(name)
            return bool(interpreters.get_current() == interpreters.get_main())
    return True


if not _is_main_interpreter():
    sys.modules.setdefault("hiredis", None)  # type: ignore[arg-type]  # its import fails
