"""The forms of request bodies: JSON schemas, their validation and their OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Request
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError
from typing_extensions import NotRequired, TypedDict

from event_count_logger.config.checks import show
from event_count_logger.config.session_actions import ActionName
from event_count_logger.sources.sessions import LATEST_S
from event_count_logger.web.cors import ORIGIN
from event_count_logger.web.json_body import BodyReader
from event_count_logger.web.problems import HTTPProblem

_T = TypeVar("_T")

#: Most events, or variables of a dashboard, in one request; and the number of them validated at once.
_MOST_ENTRIES, _PART = 10_000, 100

#: Most fields at the top level of a document.
_MOST_FIELDS = 100

#: Largest integer that every JSON parser reads exactly (RFC 8259, section 6).
_LARGEST_COUNT = 2**53 - 1

#: Messages for errors that pydantic describes in terms of Python, by their type.
_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "expected no such field",
    "dict_type": "expected an object",
    "list_type": "expected a list",
    "string_pattern_mismatch": "expected no control characters",
}

_STRICT = ConfigDict(strict=True, extra="forbid")
_AS_SENT = ConfigDict(strict=True, extra="allow")

_Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]
_Time = Annotated[float, Field(ge=0, lt=LATEST_S)]
_Object = dict[str, Any] | None

_WITHOUT_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"
_Tag = Annotated[str, Field(min_length=1, max_length=50, pattern=_WITHOUT_CONTROL)]


def _in_parts(value: Any, validate: Callable[[Any], Any]) -> Any:
    """Validate entries in parts, and stop at the first part with an error.

    pydantic collects all errors of what it validates at once, and each takes 1 KB of memory.
    """
    if not isinstance(value, dict | list) or len(value) <= _PART:
        return validate(value)
    if len(value) > _MOST_ENTRIES:
        raise PydanticCustomError("too_long", f"expected at most {_MOST_ENTRIES} entries")
    if isinstance(value, list):
        return [each for at in range(0, len(value), _PART) for each in validate(value[at : at + _PART])]
    entries, valid = iter(value.items()), {}
    while part := dict(islice(entries, _PART)):
        valid.update(validate(part))
    return valid


_IN_PARTS = WrapValidator(_in_parts)


class Events(TypedDict):
    """Counts of events."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    events: Annotated[dict[str, _Count], Field(max_length=_MOST_ENTRIES), _IN_PARTS]


class Action(TypedDict):
    """An action of a session; `time` is in Unix seconds, default now. The action `end` needs no `event`."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    id: Annotated[str, Field(min_length=1)]
    event: NotRequired[Annotated[str, Field(min_length=1)]]
    action: ActionName
    time: NotRequired[_Time]


class Note(TypedDict):
    """An annotation of a group, or of all groups; times are in Unix seconds, `time` is now by default."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    text: Annotated[str, Field(min_length=1, max_length=500, pattern=_WITHOUT_CONTROL)]
    time: NotRequired[_Time]
    end: NotRequired[_Time]
    group: NotRequired[Annotated[str, Field(min_length=1)]]
    tags: NotRequired[Annotated[list[_Tag], Field(max_length=10)]]


class Payload(TypedDict):
    """A payload of Grafana's panel, with the fields that are used; see sources/grafana_panel.py."""

    __pydantic_config__ = _AS_SENT  # type: ignore[misc]

    uuid: Annotated[str, Field(min_length=1)]
    type: NotRequired[str | None]
    time: _Time
    dashboard: dict[str, Any]
    host: NotRequired[_Object]
    user: NotRequired[_Object]
    options: NotRequired[_Object]
    variables: NotRequired[Annotated[list[dict[str, Any]], _IN_PARTS] | None]


class Form(Generic[_T]):
    """A form of request bodies.

    Attributes:
        description: Value of `openapi_extra` for a route.
    """

    def __init__(
        self, type: type[_T], example: dict[str, Any], invalid: int, any_media_type: bool = False
    ) -> None:
        """Takes a type that pydantic validates.

        Args:
            type: Type of the result.
            example: Example for the OpenAPI description.
            invalid: Status of the answer to JSON of another form.
            any_media_type: Accept any `Content-Type`.
        """
        self._adapter: TypeAdapter[_T] = TypeAdapter(type)
        self._invalid = invalid
        self._any_media_type = any_media_type
        described = {"schema": self._adapter.json_schema(), "example": example}
        self.description = {"requestBody": {"required": True, "content": {"application/json": described}}}

    async def read(self, request: Request, body_reader: BodyReader) -> _T:
        """Read the body of a request.

        Raises:
            HTTPProblem: The body is too large, not JSON, or of another form.
            OverflowError: Too many large bodies are being received.
        """
        if not self._any_media_type:
            _check_media_type(request)
        return await body_reader.read(request, self._validate)

    def _validate(self, document: Any) -> _T:
        if isinstance(document, dict) and len(document) > _MOST_FIELDS:
            raise HTTPProblem(self._invalid, f"expected at most {_MOST_FIELDS} fields")
        try:
            return self._adapter.validate_python(document)
        except ValidationError as error:
            problem = self._problem(error)
        raise problem  # outside of `except`: its context would keep the whole document in memory

    def _problem(self, error: ValidationError) -> HTTPProblem:
        first, *others = error.errors(include_url=False)
        given = "" if first["type"] == "missing" else f", not {show(first['input'])}"
        more = f" (and {len(others)} more)" if others else ""
        field = ".".join(str(step) for step in first["loc"])
        return HTTPProblem(self._invalid, f"{_MESSAGES.get(first['type'], first['msg'])}{given}{more}", field)


EVENTS = Form(Events, {"events": {"req1": 3, "error": 1}}, invalid=422)
ACTION = Form(
    Action, {"id": "visit 1", "event": "shop", "action": "start", "time": 1764000000.5}, invalid=422
)
NOTE = Form(Note, {"text": "deploy 1.2", "group": "web", "time": 1764000000, "tags": ["deploy"]}, invalid=422)
#: Any media type: browsers send the panel's JSON as plain text if the server has another origin.
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
    """Reject other media types than JSON; accept plain text from pages of allowed origins.

    An HTML form on any page can send plain text to any server, so plain text from other senders is rejected.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_beacon = media_type == "text/plain" and request.scope[ORIGIN] is not None
    if media_type != "application/json" and not is_beacon:
        raise HTTPProblem(415, f"Content-Type: expected application/json, not {media_type!r}")
