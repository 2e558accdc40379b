"""Cross-origin requests: pages of allowed origins may count (fetch.spec.whatwg.org, section "CORS").

Browsers set the header `Origin`, and no page can change it. Other programs can send any origin: these checks
protect against foreign pages, not against foreign programs.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Scope

from event_count_logger.logs import Log
from event_count_logger.web import paths
from event_count_logger.web.problems import problem

#: Patterns of the paths that count, compiled by the router's own function. A path that only the router
#: matches, such as one with a line feed at its end, would be open to pages of any origin.
_COUNTING = [compile_path(path)[0] for path in paths.COUNTING]

#: Seconds for which browsers may cache the answer to a preflight request.
_MAX_AGE_S = 600

#: Most rejected origins that are logged, each once.
_MOST_WARNINGS = 100

#: Key in the scope of a request. Its value is the allowed origin of the page that sent the request, or None.
ORIGIN = "event_count_logger.origin"

_log = Log("event_count_logger.web")


class Origins:
    """Checks the origins of pages that count."""

    def __init__(self, allowed: Collection[str]) -> None:
        """`allowed` contains origins, or '*' for all."""
        self._allowed = frozenset(allowed)
        self._warned: set[str] = set()

    def counting_origin(self, scope: Scope) -> str | None:
        """Returns the origin of a foreign page that wants to count; None for any other request.

        A page of this server is foreign only if its origin is allowed: it then gets the same headers.
        """
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or scope["method"] not in ("POST", "OPTIONS"):
            return None
        if not any(pattern.match(scope["path"]) for pattern in _COUNTING):
            return None
        is_own = origin.partition("://")[2] == headers.get("host", "").lower()
        return None if is_own and not self._allow(origin) else origin

    def early_response(self, scope: Scope, origin: str) -> Response | None:
        """Returns an error for a forbidden origin, the answer to a preflight request, or else None."""
        if not self._allow(origin):
            self._warn(origin)
            return problem(403, f"pages of {origin} may not count here; see serve.allowed_origins")
        return _preflight() if scope["method"] == "OPTIONS" else None

    def headers_for(self, origin: str | None) -> dict[str, str]:
        """Returns the headers that let a page of an allowed origin read the answer.

        Credentials are allowed because `navigator.sendBeacon` cannot send JSON without them. The server
        ignores them.
        """
        if origin is None or not self._allow(origin):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Retry-After",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Vary": "Origin",
        }

    def _allow(self, origin: str) -> bool:
        return "*" in self._allowed or origin in self._allowed

    def _warn(self, origin: str) -> None:
        """Log a rejected origin, because browsers hide the answer from the page."""
        if origin not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(origin)
            _log.warning("Pages of %.200r may not count here; see serve.allowed_origins", origin)


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Content-Type, Idempotency-Key",
            "Access-Control-Max-Age": str(_MAX_AGE_S),
        },
    )
