"""A logger whose methods never raise, and words for log messages."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from event_count_logger import process

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # not generic at run time before Python 3.11


class Log(_Adapter):
    """A logger that never raises: counting continues if a handler fails, for example on a closed file."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """As `logging.Logger.log`; all other methods call this one."""
        if process.is_ending():
            return  # a thread that is frozen for good may hold the lock of a handler
        with suppress(Exception):
            super().log(level, msg, *args, **kwargs)


def counted(number: int, noun: str, ending: str = "s") -> str:
    """Returns a number with its noun, such as `1 master` or `3,471 counts`; `ending` makes the plural."""
    return f"{number:,} {noun}{'' if number == 1 else ending}"


class WarnsOnce(Log):
    """A `Log` that logs each warning about a file once, as long as the file exists.

    Attributes:
        subject: Path of the file or directory that is being checked.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(log.logger.name)
        self.subject = ""
        self._warned: dict[tuple[object, ...], str] = {}  # warning -> subject

    def forget_all_but(self, subjects: Collection[str]) -> None:
        """Forget the warnings about all other files: they are gone."""
        warned = list(self._warned.items())
        self._warned = {warning: subject for warning, subject in warned if subject in subjects}

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """See `Log.log`."""
        # Errors as text: no two error objects are equal, and their frames keep files open.
        args = tuple(str(arg) if isinstance(arg, Exception) else arg for arg in args)
        if level >= logging.WARNING:
            if (msg, *args) in self._warned:
                return
            self._warned[(msg, *args)] = self.subject
        super().log(level, msg, *args, **kwargs)
