"""Sending with apprise, in a process of its own: `python -m event_count_logger.alerts.apprise_sender`.

The program reads one JSON object with the URL and the notification. It prints the reason of a failure,
without the URL, and exits with 1. Messages of apprise are not printed, because they may contain the URL.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable

import apprise

#: The status of a reply, in messages of apprise.
_STATUS = re.compile(r"error=(\d{3})\b")

_TYPES = {
    "resolved": apprise.NotifyType.SUCCESS,
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
    "test": apprise.NotifyType.INFO,
}


def unusable(urls: Iterable[str]) -> list[int]:
    """Returns the positions of URLs that apprise does not know."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own imports
        return [number for number, url in enumerate(urls) if not apprise.Apprise().add(url)]


def send(url: str, title: str, text: str, kind: str, severity: str) -> str | None:
    """Send a message; returns None, or the reason why it is not confirmed."""
    sender = apprise.Apprise()
    messages = _Statuses()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [messages], False
    if not sender.add(url):
        return "apprise does not know this URL"
    notify_type = _TYPES.get(kind) or _TYPES[severity]
    if sender.notify(text, title, notify_type, body_format=apprise.NotifyFormat.TEXT):
        return None
    return f"HTTP status {messages.status}" if messages.status else "not confirmed by the service"


class _Statuses(logging.Handler):
    """Keeps the last HTTP status in the messages of apprise."""

    status = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take a message."""
        found = _STATUS.search(record.getMessage())
        self.status = found[1] if found else self.status


def main() -> None:
    """Send the message on standard input."""
    given = json.load(sys.stdin)
    reason = send(given["url"], given["title"], given["text"], given["kind"], given["severity"])
    if reason:
        print(reason)
        sys.exit(1)


if __name__ == "__main__":
    main()
