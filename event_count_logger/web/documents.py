"""JSON documents with an entity tag, and conditional requests (RFC 9110, sections 8.8.3 and 13.1.2)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

from fastapi import Header, Response

#: Clients keep an answer, and ask each time whether it has changed.
_CACHED = {"Cache-Control": "private, no-cache"}

#: The header of a conditional request.
IfNoneMatch = Annotated[str, Header(description="The `ETag` of an answer that the client has.")]

#: The answer to a client that has the document, for the OpenAPI description of a route.
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since that answer"}}

#: Bytes of an entity tag: equal tags of different documents are then improbable.
_TAG = 12


class Document(NamedTuple):
    """The content of an answer.

    Attributes:
        body: The bytes.
        etag: Weak entity tag: it is the same as long as nothing but unstable fields has changed.
        media_type: The media type.
    """

    body: bytes
    etag: str
    media_type: str = "application/json"


def document(content: Mapping[str, Any], unstable: Collection[str] = ()) -> Document:
    """Returns a document in JSON.

    Args:
        content: The content. Its event IDs may be invalid Unicode, which pydantic would reject.
        unstable: Fields that change without news, such as `now` or `groups.overdue_s`. Dots separate the
            names of nested fields; a list of objects is treated as one object.
    """
    stable = json_bytes(_without(content, unstable))
    head = {name: content[name] for name in unstable if "." not in name}
    is_flat = len(head) == len(unstable) < len(content)
    body = _joined(json_bytes(head), stable) if is_flat else json_bytes(content)
    return Document(body, _etag(stable))


def bytes_document(body: bytes, media_type: str) -> Document:
    """Returns a document of another media type."""
    return Document(body, _etag(body), media_type)


def _joined(head: bytes, rest: bytes) -> bytes:
    """Returns one JSON object with the fields of two; large ones are not encoded twice."""
    return b"%b,%b" % (head[:-1], rest[1:]) if len(head) > 2 else rest


def json_bytes(content: Any) -> bytes:
    """Returns compact JSON."""
    return json.dumps(content, separators=(",", ":")).encode()


def _etag(stable: bytes) -> str:
    """Returns the weak entity tag of some bytes."""
    return f'W/"{blake2b(stable, digest_size=_TAG).hexdigest()}"'


def answer(found: Document, if_none_match: str, headers: Mapping[str, str] | None = None) -> Response:
    """Returns the document, or 304 if the client has it.

    Args:
        found: The document.
        if_none_match: The header of the request.
        headers: More headers of the answer.
    """
    more = {**_CACHED, "ETag": found.etag, **(headers or {})}
    if _has(if_none_match, found.etag):
        return Response(status_code=304, headers=more)
    return Response(found.body, media_type=found.media_type, headers=more)


def _has(if_none_match: str, etag: str) -> bool:
    """Returns whether a header names an entity tag; weak and strong ones are compared alike."""
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return bool(known & {"*", etag.removeprefix("W/")})


def _without(value: Any, fields: Collection[str]) -> Any:
    """Returns a value without some fields."""
    if isinstance(value, list):
        return [_without(each, fields) for each in value]
    nested: dict[str, list[str]] = {}
    for field in fields:
        name, _, rest = field.partition(".")
        nested.setdefault(name, []).append(rest)
    return {
        name: _without(each, nested[name]) if name in nested else each
        for name, each in value.items()
        if "" not in nested.get(name, ())
    }
