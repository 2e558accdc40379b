"""Reading of JSON bodies in bounded time and memory.

A large body is parsed in a thread, so that other requests are answered meanwhile. The number of large bodies
in memory is limited.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from itertools import chain
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from event_count_logger.web.problems import HTTPProblem

_T = TypeVar("_T")

#: Most bytes of a body.
LARGEST_BODY = 1 << 20

#: Most values in a body. Each takes at least 50 bytes of memory.
_MOST_VALUES = 20_000

#: Most levels of nested objects and lists.
_DEEPEST = 32

#: Too many digits: the time to parse an integer grows with the square of its length.
_LONG_NUMBER = re.compile(rb"[0-9]{1001}")

#: Bytes up to which a body is parsed without a thread, in about a millisecond.
_SMALL_BODY = 16 << 10

#: Most larger bodies in memory; one of them at a time is parsed.
_MOST_LARGE_BODIES = 32


class BodyReader:
    """Receives and parses the bodies of requests."""

    def __init__(self) -> None:
        self._parsing = ThreadPoolExecutor(1, "parse")
        self._large_bodies = asyncio.Semaphore(_MOST_LARGE_BODIES)

    async def read(self, request: Request, convert: Callable[[Any], _T]) -> _T:
        """Read the body of a request.

        Args:
            request: The request.
            convert: Converts the parsed document to the result; called in a thread if the body is large.

        Raises:
            HTTPProblem: The body is too large, compressed, or not JSON.
            OverflowError: Too many large bodies are being received.
        """
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise HTTPProblem(415, f"Content-Encoding: expected none, not {reprlib.repr(encoding)}")
        async with AsyncExitStack() as stack:
            content = await self._receive(request, stack)
            if len(content) <= _SMALL_BODY:
                return convert(_parse(content))
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._parsing, lambda: convert(_parse(content)))

    async def _receive(self, request: Request, stack: AsyncExitStack) -> bytes:
        """Receive a body. A large one takes a slot, which the exit of the stack frees."""
        content = bytearray()
        size = int(request.headers.get("content-length", 0))
        is_large = False
        chunks = request.stream()
        try:
            while True:
                if size > LARGEST_BODY:
                    raise HTTPProblem(413, f"the body is larger than {LARGEST_BODY} bytes")
                if size > _SMALL_BODY and not is_large:
                    is_large = True
                    await stack.enter_async_context(self._slot())
                content += await anext(chunks)
                size = max(size, len(content))
        except StopAsyncIteration:
            return bytes(content)
        except ClientDisconnect as error:
            raise HTTPProblem(400, "the body ends early") from error

    def close(self) -> None:
        """Stop the parser thread."""
        self._parsing.shutdown()

    def _slot(self) -> asyncio.Semaphore:
        if self._large_bodies.locked():
            raise OverflowError(
                f"the server is receiving {_MOST_LARGE_BODIES} bodies of more than {_SMALL_BODY} bytes"
            )
        return self._large_bodies


def _parse(content: bytes) -> Any:
    _check_number_of_values(content)
    if _LONG_NUMBER.search(content):
        raise HTTPProblem(400, "the body has more than 1000 digits in a row")
    document = _document(content)
    _check_depth(document)
    return document


def _check_number_of_values(content: bytes) -> None:
    """Reject a body with too many values before parsing it, by the number of commas outside of strings."""
    if content.count(b",") <= _MOST_VALUES:
        return
    without_escapes = content.replace(rb"\\", b"").replace(rb"\"", b"")
    outside_strings = without_escapes.split(b'"')[::2]
    if sum(part.count(b",") for part in outside_strings) > _MOST_VALUES:
        raise HTTPProblem(413, f"the body has more than {_MOST_VALUES} values")


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(_DEEPEST):
        entries = chain.from_iterable(map(_entries, level))
        level = [entry for entry in entries if isinstance(entry, dict | list)]
        if not level:
            return
    raise HTTPProblem(400, "the body is nested too deeply")


def _entries(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _document(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_object, parse_constant=_reject_constant, parse_float=_float
        )
    except UnicodeDecodeError as error:
        raise HTTPProblem(400, "the body is not UTF-8") from error
    except ValueError as error:
        raise HTTPProblem(400, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise HTTPProblem(400, "the body is nested too deeply") from error


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


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
