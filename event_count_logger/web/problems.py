"""Errors as problem documents (RFC 9457), without details that are not public."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.routing import Match
from typing_extensions import NotRequired, TypedDict

from event_count_logger.config.checks import show
from event_count_logger.errors import Applied, NotConfigured, StoreError
from event_count_logger.logs import Log
from event_count_logger.web.representations import public_reason

_log = Log("event_count_logger.web")

MEDIA_TYPE = "application/problem+json"

#: Headers of an error that may be over within a second.
RETRY_LATER = {"Retry-After": "1"}

#: Most characters of a detail. Longer ones quote the request.
_LONGEST_DETAIL = 500

#: Characters kept from the end of a longer detail: the end names the fault.
_END_OF_DETAIL = 200


#: Consequence of a failed request that counts, by the attribute `applied` of the error.
_CONSEQUENCES: dict[Applied, str] = {
    "yes": "the request was applied",
    "no": "the request had no effect",
    "unknown": "the request may have been applied",
}


class ProblemDocument(TypedDict):
    """An error.

    `field` is the place of the error in the body, such as `events.req1`. `applied` is present if Redis has
    failed, and shows whether Redis has applied the request.
    """

    type: str
    title: str
    status: int
    detail: str
    field: NotRequired[str]
    applied: NotRequired[Applied]


class HTTPProblem(Exception):
    """An invalid request, answered with a problem document; see `problem`."""

    def __init__(self, status: int, detail: str, field: str = "") -> None:
        self.status = status
        self.field = field
        super().__init__(f"{field}: {detail}" if field else detail)


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    field: str = "",
    applied: Applied | None = None,
) -> Response:
    """Returns a response with a problem document."""
    document: ProblemDocument = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _shortened(detail),
    }
    if field:
        document["field"] = field[:_LONGEST_DETAIL]
    if applied:
        document["applied"] = applied
    return Response(json.dumps(document), status, dict(headers or {}), MEDIA_TYPE)


def _shortened(detail: str) -> str:
    if len(detail) <= _LONGEST_DETAIL:
        return detail
    return f"{detail[: _LONGEST_DETAIL - _END_OF_DETAIL - 3]}...{detail[-_END_OF_DETAIL:]}"


@contextmanager
def as_problem(status: int, field: str) -> Iterator[None]:
    """Convert a `ValueError` about a field of the request to an `HTTPProblem`."""
    try:
        yield
    except ValueError as error:
        raise HTTPProblem(status, str(error), field) from error


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns error responses for the OpenAPI description of a route."""
    content = {MEDIA_TYPE: {"schema": TypeAdapter(ProblemDocument).json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def add_error_handlers(app: FastAPI) -> None:
    """Make the application answer each exception with a problem document."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPProblem, _http_problem)
    app.add_exception_handler(NotConfigured, _not_configured)
    app.add_exception_handler(StoreError, _store_failed)
    app.add_exception_handler(asyncio.TimeoutError, _store_failed)
    app.add_exception_handler(OverflowError, _overloaded)
    app.add_exception_handler(Exception, _internal_error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else error.headers
    return problem(error.status_code, error.detail, headers)


def _allowed(request: Request) -> list[str]:
    """Returns the methods of all routes with the path of a request: starlette names those of one route."""
    return [method for method in ("DELETE", "GET", "HEAD", "POST") if _has_route(request, method)]


def _has_route(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
    return any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)


async def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(422, "; ".join(map(_fault, error.errors())))


def _fault(fault: Mapping[str, Any]) -> str:
    return f"{fault['loc'][0]} '{fault['loc'][-1]}': {fault['msg']}, not {show(fault['input'])}"


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPProblem)
    return problem(error.status, str(error), field=error.field)


async def _not_configured(request: Request, error: Exception) -> Response:
    return problem(404, str(error))


async def _store_failed(request: Request, error: Exception) -> Response:
    # After a timeout, as after an error without an answer, nothing shows whether the request was applied.
    failure = error if isinstance(error, StoreError) else StoreError()
    if failure.retry != "now":
        _log.warning("%s", failure)
    is_read = request.method == "GET"
    parts = [public_reason(failure)]
    if not is_read:
        parts.append(_CONSEQUENCES[failure.applied])
    if failure.retry != "now":
        parts.append("see the server log")
    return problem(503, "; ".join(parts), RETRY_LATER, applied=None if is_read else failure.applied)


async def _overloaded(request: Request, error: Exception) -> Response:
    return problem(503, str(error), RETRY_LATER)


async def _internal_error(request: Request, error: Exception) -> Response:
    return problem(500, "internal error; see the server log")
