"""The bodies of requests: JSON of known forms, which the OpenAPI description shows."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Request
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect
from typing_extensions import NotRequired, TypedDict

from event_count_logger.config.checks import show
from event_count_logger.sources.sessions import LATEST_S
from event_count_logger.web.origins import PAGE
from event_count_logger.web.problems import Refusal

_T = TypeVar("_T")

#: Bytes of a body.
LARGEST_BODY = 1 << 20

#: The greatest integer that every program reads from JSON as it is (RFC 8259, section 6).
_LARGEST_COUNT = 2**53 - 1

#: Events in one request.
_MOST_EVENTS = 10_000

#: pydantic's own are about Python.
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "expected no such field",
    "dict_type": "expected an object",
    "list_type": "expected a list",
}

_STRICT = ConfigDict(strict=True, extra="forbid")
_AS_SENT = ConfigDict(strict=True, extra="allow")

_Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]
_Time = Annotated[float, Field(ge=0, lt=LATEST_S)]
_Object = dict[str, Any] | None


class Events(TypedDict):
    """How often events have happened."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    events: Annotated[dict[str, _Count], Field(max_length=_MOST_EVENTS)]


class Action(TypedDict):
    """What happened to a session, and when in Unix seconds; `event` may be left out at its end."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    id: Annotated[str, Field(min_length=1)]
    event: NotRequired[Annotated[str, Field(min_length=1)]]
    action: Literal["start", "heartbeat", "end"]
    time: NotRequired[_Time]


class Payload(TypedDict):
    """What Grafana's panel sends, as far as anything here depends on it; see sources/dashboards.py."""

    __pydantic_config__ = _AS_SENT  # type: ignore[misc]

    uuid: Annotated[str, Field(min_length=1)]
    type: NotRequired[str | None]
    time: _Time
    dashboard: dict[str, Any]
    host: NotRequired[_Object]
    user: NotRequired[_Object]
    options: NotRequired[_Object]
    variables: NotRequired[list[dict[str, Any]] | None]


class Form(Generic[_T]):
    """A form of bodies.

    Attributes:
        description: For `openapi_extra` of a route.
    """

    def __init__(
        self, type: type[_T], example: dict[str, Any], invalid: int, any_media_type: bool = False
    ) -> None:
        """`invalid` is the status for JSON of another form."""
        self._adapter: TypeAdapter[_T] = TypeAdapter(type)
        self._invalid = invalid
        self._any_media_type = any_media_type
        content = {"schema": self._adapter.json_schema(), "example": example}
        self.description = {"requestBody": {"required": True, "content": {"application/json": content}}}

    async def read(self, request: Request) -> _T:
        """The body of a request.

        Raises:
            Refusal: It is too large, no JSON, or of another form.
        """
        if not self._any_media_type:
            _check_media_type(request)
        document = _parse(await _content(request))
        try:
            return self._adapter.validate_python(document)
        except ValidationError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: ValidationError) -> Refusal:
        first, *others = error.errors(include_url=False)
        given = "" if first["type"] == "missing" else f", not {show(first['input'])}"
        more = f" (and {len(others)} more)" if others else ""
        field = ".".join(str(step) for step in first["loc"])
        return Refusal(self._invalid, f"{_WORDS.get(first['type'], first['msg'])}{given}{more}", field)


EVENTS = Form(Events, {"events": {"req1": 3, "error": 1}}, invalid=422)
ACTION = Form(
    Action, {"id": "visit 1", "event": "shop", "action": "start", "time": 1764000000.5}, invalid=422
)
#: The panel declares JSON, but browsers take that for plain text where it sends to another origin.
PAYLOAD = Form(
    Payload,
    {
        "uuid": "5b1c9b0e",
        "type": "start",
        "time": 1764000000,
        "dashboard": {"name": "Night shift", "uid": "b1"},
    },
    invalid=400,
    any_media_type=True,
)


def _check_media_type(request: Request) -> None:
    """A form on any page can send plain text to anywhere, so only pages that may count can send that."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_beacon = media_type == "text/plain" and request.scope[PAGE] is not None
    if media_type != "application/json" and not is_beacon:
        raise Refusal(415, f"Content-Type: expected application/json, not {media_type!r}")


async def _content(request: Request) -> bytes:
    too_large = Refusal(413, f"the body is larger than {LARGEST_BODY} bytes")
    if int(request.headers.get("content-length", 0)) > LARGEST_BODY:
        raise too_large
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BODY:
                raise too_large
    except ClientDisconnect as error:
        raise Refusal(400, "the body ends early") from error
    return bytes(content)


def _parse(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float
        )
    except UnicodeDecodeError as error:
        raise Refusal(400, "the body is not UTF-8") from error
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Refusal(400, "the body is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{reprlib.repr(repeated)} is given twice")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{reprlib.repr(text)} is too large a number")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
