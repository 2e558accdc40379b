"""Access control: token, host names, origins and size limits of requests, and security headers of answers."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fastapi import Security
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from event_count_logger.config import Config
from event_count_logger.web import paths
from event_count_logger.web.cors import ORIGIN, Origins
from event_count_logger.web.framing import LONGEST_HEAD
from event_count_logger.web.problems import problem
from event_count_logger.web.unread import draining, has_body

#: For the OpenAPI description only: the guard checks the token.
BEARER = Security(HTTPBearer(auto_error=False, description="Needed if the server was given a token."))

#: Features of browsers that the page does not use.
_FEATURES = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen",
    "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone", "midi",
    "payment", "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "usb",
    "xr-spatial-tracking",
)  # fmt: skip

#: Headers of every answer (developer.mozilla.org/docs/Web/HTTP/Headers). The page loads nothing from other
#: hosts, runs only scripts from its own files, and cannot be embedded in other pages.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
}

#: A request target in absolute form, without its query.
_WHOLE_ADDRESS = re.compile(rb"(?i:https?)://(?P<authority>[^/@]+)(?P<path>/.*)?", re.DOTALL)

#: Most bytes of a token, and of a request target (path and query).
_LONGEST_TOKEN, _LONGEST_TARGET = 4096, 8 << 10


def read_token(path: Path) -> str:
    """Returns the token in a file of one line.

    Raises:
        OSError: The file cannot be read.
        ValueError: Other users may access the file, or it contains no token.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o007:
            raise ValueError(f"{path}: other users may access this file; use chmod o= {path}")
        token = file.read(_LONGEST_TOKEN + 1).strip()
    if not token or len(token) > _LONGEST_TOKEN or not all(33 <= byte < 127 for byte in token):
        raise ValueError(f"{path}: expected one line with a token of printable ASCII without spaces")
    return token.decode()


@dataclass(frozen=True, slots=True)
class Access:
    """Rules of access.

    Attributes:
        token: Token required by all paths except the page and the state of the server; None for no token.
        any_host: True to accept any host name, False for names of this machine only.
        allowed_origins: Origins whose pages may count without the token; '*' for any.
    """

    token: str | None = None
    any_host: bool = False
    allowed_origins: Collection[str] = ()


class Guard:
    """ASGI middleware that checks each request and adds headers to each answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """See `create_app`."""
        self._app = app
        self._any_host = access.any_host
        self._expected = None if access.token is None else f"Bearer {access.token}".encode()
        self._origins = Origins(access.allowed_origins)

    def use(self, config: Config) -> None:
        """Use the allowed origins of another configuration."""
        self._origins = Origins(config.serve.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see asgi.readthedocs.io."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        scope = _in_origin_form(scope)
        origins = self._origins
        origin = origins.counting_origin(scope)
        is_head, is_ended = scope["method"] == "HEAD", False
        receive, send = draining(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            nonlocal is_ended
            if is_ended:
                return
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
                headers.update(origins.headers_for(origin))
            elif is_head:  # a stream would never end by itself
                is_ended, message = True, {"type": "http.response.body"}
            await send(message)

        answer = self._refusal(scope, origin) or self._app
        # Routes exist for GET only; HEAD is answered like GET, without the body.
        method = "GET" if is_head else scope["method"]
        await answer({**scope, "method": method, ORIGIN: origin}, receive, send_with_headers)

    def _refusal(self, scope: Scope, origin: str | None) -> Response | None:
        headers = Headers(scope=scope)
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST_TARGET:
            return problem(414, f"the address is longer than {_LONGEST_TARGET} bytes")
        if sum(map(len, chain(*scope["headers"]))) > LONGEST_HEAD:
            return problem(431, f"the headers are longer than {LONGEST_HEAD} bytes")
        if not self._any_host and not _is_this_machine(headers.get("host", "localhost")):
            return problem(421, "this server answers to names of this machine only; see --without-token")
        if origin is not None:
            return self._origins.early_response(scope, origin)
        if not self._is_authorized(scope["path"], headers.get("authorization", "")):
            detail = "the header 'Authorization: Bearer TOKEN' is missing, or the token is wrong"
            return problem(401, detail, {"WWW-Authenticate": "Bearer"})
        # A route without GET answers 405 also to a request with a body.
        if has_body(scope) and scope["method"] in ("GET", "HEAD") and scope["path"] != paths.PANEL:
            return problem(400, f"a {scope['method']} request has no body", {"Connection": "close"})
        return None

    def _is_authorized(self, path: str, authorization: str) -> bool:
        is_open = path in (paths.PAGE, *paths.STATE) or path.startswith(paths.STATIC)
        if self._expected is None or is_open:
            return True
        scheme, _, token = authorization.partition(" ")
        given = f"{scheme.capitalize()} {token.strip()}"
        return hmac.compare_digest(given.encode(), self._expected)


def _in_origin_form(scope: Scope) -> Scope:
    """Convert a target in absolute form, such as `http://host/path`, to a path and the header `Host`.

    The host of the target replaces the header (RFC 9112, section 3.2.2).
    """
    match = _WHOLE_ADDRESS.fullmatch(scope["raw_path"])
    if not match:
        return scope
    path = match["path"] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    headers.append((b"host", match["authority"]))
    return {**scope, "raw_path": path, "path": unquote(path.decode()), "headers": headers}


def _is_this_machine(host: str) -> bool:
    """Returns whether the header `Host` names the loopback interface.

    This stops DNS rebinding: a web site whose name resolves to 127.0.0.1 could read answers in a browser.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
