"""A context manager and decorator that counts success and failure; see `EventGroup.outcome`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])


class Outcome:
    """Counts one event when a block succeeds, and another one when it raises; see `EventGroup.outcome`.

    A context manager, and a decorator of functions and coroutine functions. It may be used again, and by
    several threads.

    Example:
        @group.outcome("ok", "failed")
        def divide(a, b):
            return a / b


        print(divide(6, 2))  # 3.0
        print(group.get_counts("5m", current=True)["ok"])  # 1
    """

    def __init__(self, log: Callable[[str], object], success: str | None, failure: str | None) -> None:
        """`log` counts an event; see `EventGroup.outcome` for the other parameters."""
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
        """Returns the function, with the outcome of each call counted."""
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
