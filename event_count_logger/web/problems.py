"""Errors as problem documents (RFC 9457), which say nothing that is not for everybody."""

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
from typing_extensions import NotRequired, TypedDict

from event_count_logger.errors import NotConfigured, Rejected, StoreError, Unauthorized
from event_count_logger.logs import Log

_log = Log("event_count_logger.web")

MEDIA_TYPE = "application/problem+json"

#: Seconds after which to ask again while Redis is away.
_RETRY_LATER = {"Retry-After": "1"}

#: Characters; what is longer repeats what was asked.
_LONGEST_DETAIL = 500

#: Characters that are kept of the end of a longer one, which says what is wrong with what was asked.
_END_OF_DETAIL = 200


class Problem(TypedDict):
    """What went wrong; `field` is the place in the body, such as `events.req1`, if it is about one."""

    type: str
    title: str
    status: int
    detail: str
    field: NotRequired[str]


class Refusal(Exception):
    """Something is wrong with a request; see `problem`."""

    def __init__(self, status: int, detail: str, field: str = "") -> None:
        self.status = status
        self.field = field
        super().__init__(f"{field}: {detail}" if field else detail)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, field: str = "") -> Response:
    """A response that tells what went wrong."""
    document: Problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _shortened(detail),
    }
    if field:
        document["field"] = field[:_LONGEST_DETAIL]
    return Response(json.dumps(document), status, dict(headers or {}), MEDIA_TYPE)


def _shortened(detail: str) -> str:
    if len(detail) <= _LONGEST_DETAIL:
        return detail
    return f"{detail[: _LONGEST_DETAIL - _END_OF_DETAIL - 3]}...{detail[-_END_OF_DETAIL:]}"


@contextmanager
def refusing(status: int, field: str) -> Iterator[None]:
    """Refuse a request for what a `ValueError` says of one of its fields."""
    try:
        yield
    except ValueError as error:
        raise Refusal(status, str(error), field) from error


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors, for the OpenAPI description of a route."""
    content = {MEDIA_TYPE: {"schema": TypeAdapter(Problem).json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def tell_problems(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(NotConfigured, _unknown)
    app.add_exception_handler(Rejected, _redis_refuses)
    app.add_exception_handler(Unauthorized, _redis_refuses)
    app.add_exception_handler(StoreError, _redis_away)
    app.add_exception_handler(asyncio.TimeoutError, _redis_away)
    app.add_exception_handler(OverflowError, _no_room)
    app.add_exception_handler(Exception, _mistake)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


async def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{fault['loc'][0]} '{fault['loc'][-1]}': {fault['msg']}" for fault in error.errors()]
    return problem(422, "; ".join(faults))


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem(error.status, str(error), field=error.field)


async def _unknown(request: Request, error: Exception) -> Response:
    return problem(404, str(error))


async def _redis_away(request: Request, error: Exception) -> Response:
    return problem(503, "Redis does not answer", _RETRY_LATER)


async def _redis_refuses(request: Request, error: Exception) -> Response:
    _log.warning("%s", error)
    refused = "tell" if request.method == "GET" else "count"
    return problem(503, f"Redis refuses to {refused}, and the log of this server says why", _RETRY_LATER)


async def _no_room(request: Request, error: Exception) -> Response:
    return problem(503, str(error), _RETRY_LATER)


async def _mistake(request: Request, error: Exception) -> Response:
    return problem(500, "the server has made a mistake, which its log tells")
