"""The table of routes on the page of the HTTP API, from the OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from event_count_logger.config import from_dicts
from event_count_logger.store import Store
from event_count_logger.web import app, grafana, overview_feed, queries, recorder, streams

FILE = Path(__file__).resolve().parents[2] / "docs" / "http-api.md"

_TABLE = re.compile(
    r"(?<=^<!-- routes: scripts/reference writes this table from the OpenAPI description -->\n)"
    r".*(?=^<!-- end of routes -->$)",
    re.DOTALL | re.MULTILINE,
)


def page() -> str:
    """Returns the page for docs/http-api.md with a new table."""
    head = "\n| request | result | query and headers | status |\n|---|---|---|---|\n"
    rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows())
    return _TABLE.sub(lambda _: f"{head}{rows}\n", FILE.read_text())


def description() -> dict[str, Any]:
    """Returns the OpenAPI description, without starting a server."""
    config = from_dicts({"web": {"events": ["ok"], "intervals": ["5m"]}})
    store = Store(config.redis)
    routes = app.create_routes(
        queries.Queries(config, store),
        streams.Hub(store),
        overview_feed.OverviewFeed(config, store, queries.VERSION),
        recorder.Recorder(config, store),
        grafana.SessionLog(),
        has_token=False,
    )
    return routes.openapi()


def routes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each route, such as `GET /api/v1/groups/GROUP`, with its description."""
    for path, methods in description()["paths"].items():
        shown = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), path)
        for method, route in methods.items():
            yield f"{method.upper()} {shown}", route


def parameters(route: dict[str, Any]) -> list[str]:
    """Returns the names of the parameters of a route that are not in its path."""
    return [each["name"] for each in route.get("parameters", []) if each["in"] != "path"]


def statuses(route: dict[str, Any]) -> list[str]:
    """Returns the statuses of the answers, without those that FastAPI adds to every route with parameters."""
    return sorted(
        status for status, answer in route["responses"].items() if "HTTPValidationError" not in str(answer)
    )


def _rows() -> Iterator[tuple[str, ...]]:
    for name, route in routes():
        anchor = re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")
        result = route["description"].partition("\n\n")[0].removesuffix(".")
        named = ", ".join(f"`{each}`" for each in parameters(route))
        yield f"[`{name}`](#{anchor})", result, named, ", ".join(statuses(route))
