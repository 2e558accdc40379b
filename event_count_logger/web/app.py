"""The ASGI application: all routes behind the access control (`Guard`) and the limits of requests."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from event_count_logger.web import (
    annotation_api,
    api,
    grafana,
    ingest,
    monitoring,
    openapi,
    overview_api,
    page,
)
from event_count_logger.web.connections import ConnectionLimits
from event_count_logger.web.json_body import BodyReader
from event_count_logger.web.overview_feed import OverviewFeed
from event_count_logger.web.problems import add_error_handlers
from event_count_logger.web.queries import VERSION, Queries
from event_count_logger.web.recorder import Recorder
from event_count_logger.web.security import Access, Guard
from event_count_logger.web.streams import Hub

#: Size in bytes of the smallest compressed answer, and the gzip level: higher levels take much longer.
_SMALLEST_TO_COMPRESS, _COMPRESSION = 1024, 3


def create_app(
    queries: Queries,
    hub: Hub,
    overview: OverviewFeed,
    recorder: Recorder,
    session_log: grafana.SessionLog,
    access: Access,
    connections: ConnectionLimits,
) -> Guard:
    """Returns the application.

    Args:
        queries: Reads counts and states.
        hub: Opens streams of intervals.
        overview: Opens streams of the overview.
        recorder: Counts events and sessions.
        session_log: Logs the payloads of dashboards.
        access: Rules of access.
        connections: Limits of requests.
    """
    app = create_routes(queries, hub, overview, recorder, session_log, has_token=access.token is not None)
    return Guard(connections.limited(app), access)


def create_routes(
    queries: Queries,
    hub: Hub,
    overview: OverviewFeed,
    recorder: Recorder,
    session_log: grafana.SessionLog,
    has_token: bool,
) -> FastAPI:
    """Returns the routes, without access control; see `create_app`."""
    # FastAPI's pages that show the OpenAPI description load scripts from other hosts, so they are off.
    app = FastAPI(
        title="Event Count Logger", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    add_error_handlers(app)
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_TO_COMPRESS, compresslevel=_COMPRESSION)
    body_reader = BodyReader()
    app.include_router(ingest.router(recorder, body_reader))
    app.include_router(grafana.router(recorder, body_reader, session_log))
    app.include_router(api.router(queries, hub))
    app.include_router(overview_api.router(overview, queries))
    app.include_router(annotation_api.router(queries, recorder, body_reader))
    app.include_router(monitoring.router(queries))
    app.include_router(page.router(has_token))
    openapi.describe(app)
    return app
