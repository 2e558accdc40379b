"""Routes for monitoring: metrics, liveness and readiness."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from event_count_logger.render import openmetrics
from event_count_logger.web import paths, representations
from event_count_logger.web.negotiation import prefers
from event_count_logger.web.problems import described
from event_count_logger.web.queries import Queries
from event_count_logger.web.security import BEARER

_Accept = Annotated[str, Header()]


def router(queries: Queries) -> APIRouter:
    """Returns the routes."""
    monitoring = _Monitoring(queries)
    routes = APIRouter()
    add = routes.add_api_route
    types: dict[str, Any] = {openmetrics.OPENMETRICS_TYPE: {}, openmetrics.PROMETHEUS_TYPE: {}}
    responses = {200: {"content": types}, **described(401, 503)}
    add(
        paths.METRICS, monitoring.metrics, dependencies=[BEARER], response_class=Response, responses=responses
    )
    add(paths.LIVENESS, monitoring.healthz)
    not_ready: dict[int | str, dict[str, Any]] = {503: {"model": representations.Readiness}}
    add(paths.READINESS, monitoring.readyz, response_model=representations.Readiness, responses=not_ready)
    return routes


class _Monitoring:
    """Handlers of these routes."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def metrics(self, accept: _Accept = "") -> Response:
        """Returns the counts of all groups in OpenMetrics, or in the text format of Prometheus."""
        in_openmetrics = prefers(accept, "application/openmetrics-text", "text/plain")
        page = await self._queries.metrics(in_openmetrics)
        media_type = openmetrics.OPENMETRICS_TYPE if in_openmetrics else openmetrics.PROMETHEUS_TYPE
        return Response(page, headers={"Content-Type": media_type, "Vary": "Accept"})

    async def healthz(self) -> dict[str, str]:
        """Answers as long as the server works, independent of Redis."""
        return {"status": "ok"}

    async def readyz(self, response: Response) -> representations.Readiness:
        """Answers 200 if Redis answers and each group has a master that rotates all its intervals in time.

        Counts that processes have not sent are not considered: `ecl status` on their machine shows them.
        """
        readiness = await self._queries.readiness()
        response.status_code = 200 if readiness["ready"] else 503
        return readiness
