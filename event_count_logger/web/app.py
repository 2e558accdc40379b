"""The routes: which question is asked where, and in which form it is answered."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Response, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import TypeAdapter
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from event_count_logger.render import openmetrics
from event_count_logger.store import Position
from event_count_logger.web import answers, assets
from event_count_logger.web.negotiation import prefers
from event_count_logger.web.problems import described, problem, tell_problems
from event_count_logger.web.queries import VERSION, Queries
from event_count_logger.web.security import Guard
from event_count_logger.web.streams import Hub, Stream

#: Bytes below which an answer is sent as it is, and how hard it is tried above: more takes much longer.
_SMALLEST_TO_COMPRESS, _COMPRESSION = 1024, 3

#: More finished intervals than any history holds.
_MOST_HISTORY = 1_000_000

#: For the OpenAPI description only; the guard looks at the token.
_BEARER = Security(HTTPBearer(auto_error=False, description="Needed if the server was given a token."))

_History = Annotated[
    int | None, Query(ge=0, le=_MOST_HISTORY, description="Finished intervals; all there are if not given.")
]
_After = Annotated[str | None, Query(description="Position behind which to begin.")]
_LastEventId = Annotated[str | None, Header(description="The same, as browsers send it.")]
_Accept = Annotated[str, Header()]


def create_app(queries: Queries, hub: Hub, token: str | None) -> ASGIApp:
    """The application.

    Args:
        queries: What it answers from.
        hub: Where its streams come from.
        token: What everything but the page and the state of the server asks for; None for nothing.
    """
    # The description comes from the code; pages that show it would load their scripts from other hosts.
    app = FastAPI(
        title="Event Count Logger", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    tell_problems(app)
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_TO_COMPRESS, compresslevel=_COMPRESSION)
    app.include_router(_api(_Api(queries, hub)))
    app.include_router(_monitoring(_Monitoring(queries)))
    app.include_router(_page(_Page()))
    return Guard(app, token)


def _api(api: _Api) -> APIRouter:
    router = APIRouter(prefix="/api/v1", dependencies=[_BEARER], responses=described(401, 503))
    events = {"text/event-stream": {"schema": TypeAdapter(answers.FinishedInterval).json_schema()}}
    told = described(400, 404) | {200: {"description": "`interval`: its data", "content": events}}
    add, of_interval = router.add_api_route, "/groups/{group}/{interval}"
    add("/groups", api.groups, response_model=answers.Groups)
    add(of_interval, api.counts, response_model=answers.Counts, responses=described(404, 422))
    add(f"{of_interval}/stream", api.stream, response_class=Response, responses=told)
    return router


class _Api:
    """Counts."""

    def __init__(self, queries: Queries, hub: Hub) -> None:
        self._queries = queries
        self._hub = hub

    async def groups(self) -> Response:
        """All groups, and the masters."""
        return _json(await self._queries.groups())

    async def counts(self, group: str, interval: str, history: _History = None) -> Response:
        """The last finished and the running interval, totals and history."""
        chosen = self._queries.group(group)
        return _json(await self._queries.counts(chosen, self._queries.interval(chosen, interval), history))

    async def stream(
        self, group: str, interval: str, after: _After = None, last_event_id: _LastEventId = None
    ) -> Response:
        """Each interval as it finishes, once and in order."""
        chosen = self._queries.group(group)
        chosen_interval = self._queries.interval(chosen, interval)
        try:
            position = _position("after", after)
            # When a browser connects again, the address is still that of the first time.
            position = _position("Last-Event-ID", last_event_id) or position
        except ValueError as error:
            return problem(400, str(error))
        return _EventStream(await self._hub.open(chosen, chosen_interval, position))


class _EventStream(StreamingResponse):
    """Sends a stream, and closes it however that ends."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.chunks(), media_type="text/event-stream")
        # nginx would otherwise hold events back (nginx.org/en/docs/http/ngx_http_proxy_module.html).
        self.headers["X-Accel-Buffering"] = "no"
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


def _monitoring(monitoring: _Monitoring) -> APIRouter:
    router = APIRouter()
    add = router.add_api_route
    types: dict[str, Any] = {openmetrics.OPENMETRICS_TYPE: {}, openmetrics.PROMETHEUS_TYPE: {}}
    responses = {200: {"content": types}, **described(401, 503)}
    add("/metrics", monitoring.metrics, dependencies=[_BEARER], response_class=Response, responses=responses)
    add("/healthz", monitoring.healthz)
    not_ready: dict[int | str, dict[str, Any]] = {503: {"model": answers.Readiness}}
    add("/readyz", monitoring.readyz, response_model=answers.Readiness, responses=not_ready)
    return router


class _Monitoring:
    """What other programs watch."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def metrics(self, accept: _Accept = "") -> Response:
        """All groups in OpenMetrics, or in the text format of Prometheus."""
        in_openmetrics = prefers(accept, "application/openmetrics-text", "text/plain")
        page = await self._queries.metrics(in_openmetrics)
        media_type = openmetrics.OPENMETRICS_TYPE if in_openmetrics else openmetrics.PROMETHEUS_TYPE
        return Response(page, headers={"Content-Type": media_type, "Vary": "Accept"})

    async def healthz(self) -> dict[str, str]:
        """Whether the server works; it says nothing about Redis."""
        return {"status": "ok"}

    async def readyz(self, response: Response) -> answers.Readiness:
        """Whether Redis answers, a master is alive, and no interval is overdue."""
        readiness = await self._queries.readiness()
        response.status_code = 200 if readiness["ready"] else 503
        return readiness


def _page(page: _Page) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", page.index)
    router.add_api_route("/static/{name}", page.asset)
    return router


class _Page:
    """The page's files."""

    def __init__(self) -> None:
        self._assets = assets.load()

    async def index(self) -> Response:
        return await self.asset("index.html")

    async def asset(self, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise HTTPException(404)
        # To be asked for again each time: a new version may bring new files.
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": "no-cache"})


def _json(document: bytes) -> Response:
    return Response(document, media_type="application/json")


def _position(name: str, text: str | None) -> Position | None:
    try:
        return None if text is None else Position.parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
