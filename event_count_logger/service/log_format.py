"""Log format of services: standard error, as text lines for people or JSON lines for programs."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Literal

#: Lines for people, or one JSON object a line.
LogFormat = Literal["text", "json"]

#: Characters that could end a line or control a terminal.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Indentation of lines that continue a message, so that none looks like a message of its own.
_INDENT = "    "


def set_up_logging(log_format: LogFormat) -> None:
    """Log everything to standard error: messages of libraries, warnings and uncaught exceptions included."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logging.basicConfig(handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def logs_json() -> bool:
    """Returns whether messages are logged as JSON."""
    return any(isinstance(handler.formatter, _Json) for handler in logging.getLogger().handlers)


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    """Log an uncaught exception in the log format; Python itself would print it as plain text."""
    if not issubclass(kind, SystemExit):
        exception = (kind, error or kind(), traceback)
        logging.getLogger("event_count_logger").critical("Uncaught exception", exc_info=exception)


class _Text(logging.Formatter):
    """Formats a message as one line, and an exception as indented lines; control characters are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)-15s [%(levelname)s] %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(_INDENT + _escaped(line) for line in super().formatException(ei).split("\n"))


class _Json(logging.Formatter):
    """Formats a message as one JSON object in printable ASCII, with the time in the format of RFC 3339."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
