"""Routes that return counts, as JSON and as streams."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from event_count_logger.reading import history_positions
from event_count_logger.reading.times import InvalidTime
from event_count_logger.store import HistoryPosition
from event_count_logger.web import alerts, paths, representations
from event_count_logger.web.problems import described, problem
from event_count_logger.web.queries import MOST_INTERVALS, Queries, Selection
from event_count_logger.web.security import BEARER
from event_count_logger.web.streams import Hub, Stream

_History = Annotated[
    int | None,
    Query(
        ge=0,
        le=MOST_INTERVALS,
        description="Number of finished intervals, the newest ones; default: 60, or all of a range.",
    ),
]
_Since = Annotated[
    str | None,
    Query(description="First start in `history`: Unix seconds, ISO 8601, or a time before now such as `2h`."),
]
_Until = Annotated[str | None, Query(description="First start after those in `history`.")]
_After = Annotated[str | None, Query(description="Start after this position, or time in Unix seconds.")]
_LastEventId = Annotated[
    str | None, Header(description="Position to resume after; takes precedence over `after`.")
]


def router(queries: Queries, hub: Hub) -> APIRouter:
    """Returns the routes of groups, counts, streams and alerts."""
    api = _Api(queries, hub)
    routes = APIRouter(dependencies=[BEARER], responses=described(401, 503))
    events = {"text/event-stream": {"schema": TypeAdapter(representations.FinishedInterval).json_schema()}}
    of_stream = described(400, 404) | {200: {"description": "`interval`: its data", "content": events}}
    add = routes.add_api_route
    add(paths.GROUPS, api.groups, response_model=representations.Groups)
    add(paths.COUNTS, api.counts, response_model=representations.Counts, responses=described(404, 422))
    add(paths.STREAM, api.stream, response_class=Response, responses=of_stream)
    add(paths.ALERTS, api.alerts, response_model=alerts.Alerts)
    return routes


class _Api:
    """Handlers of these routes."""

    def __init__(self, queries: Queries, hub: Hub) -> None:
        self._queries = queries
        self._hub = hub

    async def groups(self) -> Response:
        """Returns all groups that are not hidden, and the masters."""
        return _json(await self._queries.groups())

    async def alerts(self) -> Response:
        """Returns the state of each alert, in the order of the configuration."""
        return _json(await self._queries.alerts())

    async def counts(
        self,
        group: str,
        interval: str,
        history: _History = None,
        since: _Since = None,
        until: _Until = None,
    ) -> Response:
        """Returns the last and the current interval, all-time totals and history."""
        chosen = self._queries.group(group)
        selection = Selection(history, since, until)
        try:
            found = await self._queries.counts(chosen, self._queries.interval(chosen, interval), selection)
        except InvalidTime as error:
            return problem(422, str(error))
        return _json(found)

    async def stream(
        self, group: str, interval: str, after: _After = None, last_event_id: _LastEventId = None
    ) -> Response:
        """Streams each interval when it finishes, once and in order."""
        chosen = self._queries.group(group)
        chosen_interval = self._queries.interval(chosen, interval)
        try:
            position = _position("after", after)
            # A browser that reconnects sends the URL of its first request, with the old `after`.
            position = _position("Last-Event-ID", last_event_id) or position
        except ValueError as error:
            return problem(400, str(error))
        return _EventStream(await self._hub.open(chosen, chosen_interval, position))


class _EventStream(StreamingResponse):
    """A response that closes its stream even if sending fails."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.chunks(), media_type="text/event-stream")
        # Turns off the buffering of nginx (nginx.org/en/docs/http/ngx_http_proxy_module.html).
        self.headers["X-Accel-Buffering"] = "no"
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


def _json(document: bytes) -> Response:
    return Response(document, media_type="application/json")


def _position(name: str, text: str | None) -> HistoryPosition | None:
    try:
        return None if text is None else history_positions.parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
