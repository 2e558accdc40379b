"""A configuration of gunicorn with a hook: each worker logs an event directly after the fork."""

from __future__ import annotations

from typing import Any


def post_fork(server: Any, worker: Any) -> None:
    """Log an event in the worker, before its worker class patches the standard library."""
    from tests.programs import served

    served.log("hook")
