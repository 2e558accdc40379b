"""The application: all routes behind one guard."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from event_count_logger.web import api, monitoring, page
from event_count_logger.web.problems import tell_problems
from event_count_logger.web.queries import VERSION, Queries
from event_count_logger.web.security import Guard
from event_count_logger.web.streams import Hub

#: Bytes below which an answer is sent as it is, and how hard it is tried above: more takes much longer.
_SMALLEST_TO_COMPRESS, _COMPRESSION = 1024, 3


def create_app(queries: Queries, hub: Hub, token: str | None, any_host: bool) -> ASGIApp:
    """The application.

    Args:
        queries: What it answers from.
        hub: Where its streams come from.
        token: What everything but the page and the state of the server asks for; None for nothing.
        any_host: Whether it answers to any name, or only to those of this machine.
    """
    # The description comes from the code; pages that show it would load their scripts from other hosts.
    app = FastAPI(
        title="Event Count Logger", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    tell_problems(app)
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_TO_COMPRESS, compresslevel=_COMPRESSION)
    app.include_router(api.router(queries, hub))
    app.include_router(monitoring.router(queries))
    app.include_router(page.router())
    return Guard(app, token, any_host)
