"""How each library is used: one module for each, loaded by scripts/bench_worker.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """How an application counts one event.

    Attributes:
        statement: What is timed; `target` and `each` are local variables in it.
        target: A value.
        items: What `each` goes through, call after call; empty if the statement has no `each`.
    """

    statement: str
    target: Any = None
    items: Sequence[Any] = ()


class Empty:
    """The least that a method in Python can cost."""

    def log(self, event_id: str, count: int = 1) -> None:
        pass


def event_names(number: int) -> list[str]:
    return [f"event{i}" for i in range(number)]


def log_calls(target: Any, events: int) -> Call:
    """`log()` of one event, or of many in turn."""
    return (
        Call("target.log(each)", target, event_names(events))
        if events > 1
        else Call('target.log("e")', target)
    )
