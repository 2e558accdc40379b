"""RESP, the protocol of Redis: encoding of requests, and conversion of the values in replies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from event_count_logger.intervals import Interval


def packed(words: Iterable[str | int]) -> str:
    """Returns words as a request has them (redis.io/docs/latest/develop/reference/protocol-spec).

    The result is text, so that a request is encoded once. The number before each word counts its bytes.
    """
    texts = list(map(str, words))
    packed = "".join([f"${len(word)}\r\n{word}\r\n" for word in texts])
    if packed.isascii():
        return packed
    return "".join([f"${len(encoded(word))}\r\n{word}\r\n" for word in texts])


@lru_cache(maxsize=1000)
def packed_one(word: int) -> str:
    """Returns `packed` of one number, from a cache. Most batches have the count 1."""
    return packed((word,))


def request(*words: str | int) -> bytes:
    """Returns a command with its arguments, packed."""
    return encoded(f"*{len(words)}\r\n{packed(words)}")


class BlockingRequest(bytes):
    """A request whose reply the server delays, such as WAITAOF.

    Attributes:
        timeout_s: Seconds for the reply, instead of the time-out of the connection.
    """

    timeout_s: float

    @classmethod
    def request(cls, timeout_s: float, *words: str | int) -> BlockingRequest:
        """Returns a command with its arguments, packed."""
        waiting = cls(request(*words))
        waiting.timeout_s = timeout_s
        return waiting


def ms(now: float | None) -> str | int:
    """Returns Unix seconds in milliseconds, as scripts expect them; '' for None: the server's clock."""
    return "" if now is None else int(now * 1000)


def length(interval: Interval) -> str:
    """Returns the length of an interval, and the offset of its boundaries, as boundary.lua expects them."""
    return f"{interval.length_ms}+{interval.offset_ms}" if interval.offset_ms else str(interval.length_ms)


def seconds(text: bytes) -> float | None:
    """Returns the Unix seconds in a key; None if it holds no number."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def count(text: bytes) -> int | None:
    """Returns the count in a key; None if it holds no number."""
    try:
        return int(text)
    except ValueError:
        return None


def pairs(reply: Any) -> Mapping[bytes, Any]:
    """Returns a map in a reply, which is a list of keys and values in version 2 of the protocol."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def text(data: bytes) -> str:
    """Decode any bytes, so that `encoded` returns the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def encoded(value: str | int) -> bytes:
    """Encode a string or number for a request."""
    return str(value).encode("utf-8", "surrogateescape")
