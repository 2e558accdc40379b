"""The paths of the server: routes, the guard and the limits of requests refer to these."""

from __future__ import annotations

#: Paths that return counts.
GROUPS = "/api/v1/groups"
GROUP = f"{GROUPS}/{{group}}"
COUNTS = f"{GROUP}/{{interval}}"
STREAM = f"{COUNTS}/stream"
ALERTS = "/api/v1/alerts"
OVERVIEW = "/api/v1/overview"
OVERVIEW_STREAM = f"{OVERVIEW}/stream"
SEARCH = "/api/v1/search"
ANNOTATIONS = "/api/v1/annotations"
ANNOTATION = f"{ANNOTATIONS}/{{id}}"
METRICS = "/metrics"

#: Paths that count. Pages of allowed origins may send requests only to these.
EVENTS = f"{GROUP}/events"
SESSIONS = f"{GROUP}/sessions"
PANEL = "/write"  # as the panel's own server has it
COUNTING = (EVENTS, SESSIONS, PANEL)

#: State of the server: answered without a token, and under any load.
LIVENESS = "/healthz"
READINESS = "/readyz"
STATE = (LIVENESS, READINESS)

#: The page and its files: answered without a token, because they hold no data.
PAGE = "/"
STATIC = "/static/"
