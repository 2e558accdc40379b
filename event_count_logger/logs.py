"""A logger whose methods never raise."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from event_count_logger import process

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # not generic at run time before Python 3.11


class Log(_Adapter):
    """A logger that never raises: a handler that fails, for example on a closed file, stops no counting."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """As `logging.Logger.log`; all other methods come here."""
        if process.is_ending():
            return  # a handler's lock may be held by a thread that was stopped for good
        with suppress(Exception):
            super().log(level, msg, *args, **kwargs)
