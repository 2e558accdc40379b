"""Draining of request bodies: the server receives the rest of a body before it closes the connection.

Closing a connection with unread data sends a TCP reset, and the client may lose the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

#: Seconds for which the rest of a body is received after the answer.
_LONGEST_REST_S = 2


def has_body(scope: Scope) -> bool:
    """Returns whether a request has a body."""
    headers = Headers(scope=scope)
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def draining(scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Returns `receive` and `send` that end an answer once the whole body is received, or after 2 s.

    The answer itself is sent at once. The rest of the body is discarded between its last byte and its end.
    """
    if not has_body(scope):
        return receive, send
    is_complete = False

    async def receive_and_check_end() -> Message:
        nonlocal is_complete
        message = await receive()
        is_complete = not message.get("more_body", False)
        return message

    async def drop_rest() -> None:
        while not is_complete:
            await receive_and_check_end()

    async def send_before_rest(message: Message) -> None:
        is_end = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not is_end or is_complete:
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(drop_rest(), _LONGEST_REST_S)
        await send({"type": "http.response.body"})

    return receive_and_check_end, send_before_rest
