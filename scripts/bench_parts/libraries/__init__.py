"""Uses of the libraries that are compared: one module for each, loaded by scripts/bench_worker.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A statement by which an application counts one event.

    Attributes:
        statement: Python code. `target` and `each` are local variables in it.
        target: Value of `target`.
        items: Values of `each`, one per call in turn; empty if the statement has no `each`.
    """

    statement: str
    target: Any = None
    items: Sequence[Any] = ()


class Empty:
    """An object with an empty method: the lowest cost of a call in Python."""

    def log(self, event_id: str, count: int = 1) -> None:
        pass


def event_names(number: int) -> list[str]:
    return [f"event{i}" for i in range(number)]


def log_calls(target: Any, events: int) -> Call:
    """Returns a `log()` of one event, or of many in turn."""
    return (
        Call("target.log(each)", target, event_names(events))
        if events > 1
        else Call('target.log("e")', target)
    )
