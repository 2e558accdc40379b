"""Measurements of the memory of this process: by the kernel, by the C library, and by Python."""

from __future__ import annotations

import array
import ctypes
import gc
import re
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_parts.footprint import memory_kb

#: The package in whose objects and modules containers are measured.
_OURS = "event_count_logger"

_CONTAINERS = (dict, list, set, deque, array.array)

_ROOT = str(Path(__file__).resolve().parents[2])


def memory() -> dict[str, int]:
    """Returns sizes in KB, and numbers:

    anonymous: memory that belongs to this process alone.
    malloc used, malloc free: parts of the heaps of the C library.
    heaps: number of these heaps; several threads share one.
    blocks: allocations of Python objects that are in use, after a garbage collection.
    """
    anonymous = memory_kb()
    used, free = _malloc_kb()
    gc.collect()
    return {
        "anonymous": anonymous,
        "malloc used": used,
        "malloc free": free,
        "heaps": _heaps(),
        "threads": threading.active_count(),
        "blocks": sys.getallocatedblocks(),
    }


class _Mallinfo(ctypes.Structure):
    """See mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


_LIBC = ctypes.CDLL(None)


def _malloc_kb() -> tuple[int, int]:
    try:
        mallinfo = _LIBC.mallinfo2
    except AttributeError:  # glibc before 2.33, and others
        return 0, 0
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return (found.uordblks + found.hblkhd) // 1024, found.fordblks // 1024


def _heaps() -> int:
    """Returns the number of heaps of the C library; see malloc_info(3)."""
    try:
        _LIBC.malloc_info  # noqa: B018 - other C libraries lack it
    except AttributeError:
        return 0
    _LIBC.fopen.restype = ctypes.c_void_p
    with tempfile.NamedTemporaryFile() as file:
        stream = ctypes.c_void_p(_LIBC.fopen(file.name.encode(), b"w"))
        _LIBC.malloc_info(0, stream)
        _LIBC.fclose(stream)
        return len(re.findall(rb"<heap nr=", file.read()))


def details() -> dict[str, dict[str, int]]:
    """Returns bytes by line of code, and numbers of objects by type and by attribute."""
    gc.collect()
    objects = gc.get_objects()
    return {
        "bytes allocated at": _lines(),
        "objects of type": dict(Counter(map(_type_name, objects))),
        "entries in": dict(_entries(objects)),
    }


def _lines() -> dict[str, int]:
    lines = tracemalloc.take_snapshot().statistics("lineno")
    return {f"{_short(line.traceback[0].filename)}:{line.traceback[0].lineno}": line.size for line in lines}


def _short(file: str) -> str:
    return re.sub(r"^.*/(site-packages|python3\.\d+)/", "", file.removeprefix(f"{_ROOT}/"))


def _type_name(each: object) -> str:
    return f"{type(each).__module__}.{type(each).__qualname__}"


def _entries(objects: list[Any]) -> Counter[str]:
    """Returns sizes of containers that are attributes of objects of this library, or names in its modules."""
    found: Counter[str] = Counter()
    for each in objects:
        if _type_name(each).startswith(_OURS):
            for name, value in _attributes(each):
                if isinstance(value, _CONTAINERS):
                    found[f"{_type_name(each)}.{name}"] += len(value)
    for module in [*sys.modules.values()]:
        if getattr(module, "__name__", "").startswith(_OURS):
            for name, value in [*vars(module).items()]:
                if isinstance(value, _CONTAINERS):
                    found[f"{module.__name__}.{name}"] = len(value)
    return found


def _attributes(each: object) -> Iterator[tuple[str, object]]:
    names = {name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())}
    for name in (names | {*getattr(each, "__dict__", ())}) - {"__dict__", "__weakref__"}:
        yield name, getattr(each, name, None)
