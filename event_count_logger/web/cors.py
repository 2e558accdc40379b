"""Which pages may count, and what browsers are told about that (fetch.spec.whatwg.org, section "CORS").

The header `Origin`, which no page can change, says whose page sends a request. Programs that are no browsers
can send what they like: this protects against pages, not against programs.
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

#: Made by the router's own function: pages of any origin could send to a path that only the router matches,
#: such as one with a line feed at its end.
_COUNTING = [compile_path(path)[0] for path in paths.COUNTING]

#: Seconds for which browsers need not ask again.
_MAX_AGE_S = 600

#: Origins that are told of in the log, each once.
_MOST_WARNINGS = 100

#: Where in the scope of a request the guard notes the origin of the page that may count.
ORIGIN = "event_count_logger.origin"

_log = Log("event_count_logger.web")


class Origins:
    """The origins whose pages may count."""

    def __init__(self, allowed: Collection[str]) -> None:
        """'*' stands for all."""
        self._allowed = frozenset(allowed)
        self._warned: set[str] = set()

    def counting_origin(self, scope: Scope) -> str | None:
        """The origin of a page that wants to count; None if no page does, or one of this server's own."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or scope["method"] not in ("POST", "OPTIONS"):
            return None
        if not any(pattern.match(scope["path"]) for pattern in _COUNTING):
            return None
        is_own = origin.partition("://")[2] == headers.get("host", "").lower()
        return None if is_own and not self._allow(origin) else origin

    def early_response(self, scope: Scope, origin: str) -> Response | None:
        """What a page of an origin is told in place of what it asks for, if it is."""
        if not self._allow(origin):
            self._warn(origin)
            return problem(403, f"pages of {origin} may not count here (serve.allowed_origins)")
        return _preflight() if scope["method"] == "OPTIONS" else None

    def headers_for(self, origin: str | None) -> dict[str, str]:
        """Let a page read what it is answered, if it may count.

        Credentials are allowed because browsers send JSON with `navigator.sendBeacon` in no other way; the
        server looks at none.
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
        """In the log, because a browser keeps the early_response from its page."""
        if origin not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(origin)
            _log.warning("Pages of %.200r may not count here (serve.allowed_origins)", origin)


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Content-Type, Idempotency-Key",
            "Access-Control-Max-Age": str(_MAX_AGE_S),
        },
    )
