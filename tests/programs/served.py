"""A WSGI application that counts each request, for the servers of tests/test_process_models.py.

Environment: REDIS is the section `redis` of the configuration, as JSON. GROUPS is the prefix of the names of
its groups. LOG_AT_IMPORT is '1' to log an event at import.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from event_count_logger import EventCountLogger

SETTINGS: dict[str, Any] = {
    "events": ["request", "import", "hook"],
    "intervals": ["1h"],
    "auto_declare_events": True,
}
PREFIX = os.environ["GROUPS"]
ecl = EventCountLogger(
    {f"{PREFIX}-direct": SETTINGS, f"{PREFIX}-cached": {**SETTINGS, "sync_interval": 1}},
    json.loads(os.environ["REDIS"]),
    "INFO",
)
GROUPS = [ecl[f"{PREFIX}-direct"], ecl[f"{PREFIX}-cached"]]


def log(event: str) -> None:
    """Count an event in the direct group and in the cached one."""
    for group in GROUPS:
        group.log(event)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Count a request, also by pid. Answers with the pid and the seconds that log() took."""
    began = time.monotonic()
    log("request")
    log(f"process_{os.getpid()}")
    body = f"{os.getpid()} {time.monotonic() - began}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


if os.environ.get("LOG_AT_IMPORT") == "1":
    log("import")
