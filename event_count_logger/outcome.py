"""Counts how a block or a function ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])


class Outcome:
    """Counts how a block ended: one event when it succeeds, another one when it raises.

    Usable as a context manager, and as a decorator of functions and coroutine functions.
    """

    def __init__(self, log: Callable[[str], object], success: str | None, failure: str | None) -> None:
        """`log` counts an event; see `EventGroup.outcome` for the others."""
        self._log = log
        self._success = success
        self._failure = failure

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        event_id = self._success if kind is None else self._failure
        if event_id is not None:
            self._log(event_id)

    def __call__(self, function: _F) -> _F:
        """The function, with each of its calls counted."""
        if iscoroutinefunction(function):

            @wraps(function)
            async def counted_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast(_F, counted_coroutine)

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast(_F, counted)
