"""A configuration of gunicorn, by which each worker logs an event right after it was forked."""

from __future__ import annotations

from typing import Any


def post_fork(server: Any, worker: Any) -> None:
    """Log in the worker, before its class of workers has patched anything."""
    from tests.programs import served

    served.log("hook")
