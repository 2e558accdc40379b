"""Tags, summaries and examples of the OpenAPI description, which the routes themselves do not have.

Each operation has an entry. Examples are one small installation: the group `web` with the interval `5m`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from event_count_logger.web import paths

#: Tags with the meaning of each.
_TAGS = {
    "count": "Requests that count. They may be repeated, and are counted once.",
    "read": "Counts, groups and alerts. Times are Unix seconds by the clock of Redis.",
    "streams": "Server-sent events, without an end.",
    "monitoring": "State and metrics for other programs.",
}

_DESCRIPTION = (
    "Counts of events per interval of time, exactly. Errors are problem documents (RFC 9457). An answer is "
    "401 without the token that the server may need. It is 503 if Redis is unavailable, or the server is at "
    "one of its limits; `Retry-After` has the seconds to wait."
)

_JSON, _CSV, _EVENTS = "application/json", "text/csv", "text/event-stream"

#: A boundary of the example, and a position in its history.
_START, _END, _POSITION = 1_764_000_000.0, 1_764_000_300.0, "1764000300000-12"

_COUNTS = {"ok": 940, "failed": 3}


@dataclass(frozen=True, slots=True)
class Operation:
    """The words and examples of one operation.

    Attributes:
        tag: One of `_TAGS`.
        summary: A few words.
        answer: Example of an answer, by media type.
        parameters: Examples of parameters by name.
    """

    tag: str
    summary: str
    answer: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)


_GROUP = {"group": "web"}
_INTERVAL = {**_GROUP, "interval": "5m"}

_ALERT = {
    "name": "failures",
    "group": "web",
    "interval": "5m",
    "event": ["failed"],
    "limit": {"kind": "above", "value": 1, "percent": True, "of": ["*"]},
    "for": 2,
    "severity": "critical",
    "stale": False,
    "state": "firing",
    "value": 1.3,
    "reason": "",
    "since": _START,
    "acknowledged": False,
    "acknowledged_until": None,
}

#: The sum of a range.
_SUM = {"start": _START, "end": _END, "covered_s": 300.0, "counts": _COUNTS, "sum": 943}

_COUNTS_ANSWER = {
    "server_time": _END + 12.5,
    "overdue_s": 0,
    **_INTERVAL,
    "length_s": 300.0,
    "offset_s": 0.0,
    "title": "Web",
    "unit": "requests",
    "labels": {"ok": "Successful"},
    "stale": False,
    "n_events": 2,
    "events": ["ok", "failed"],
    "next": None,
    "last": {"start": _START, "end": _END, "counts": _COUNTS},
    "current": {"start": _END, "counts": {"ok": 31, "failed": 0}},
    "totals": {"ok": 90_831, "failed": 217},
    "open_sessions": None,
    "sums": {"last": 943, "current": 31, "total": 91_048, "history": [943]},
    "step_s": None,
    "history": {
        "begin": None,
        "spans": [
            {
                "start": _START,
                "end": _END,
                "position": _POSITION,
                "n_intervals": 1,
                "covered_s": 300.0,
            }
        ],
        "counts": {"ok": [940], "failed": [3]},
    },
    "range": _SUM,
    "top": ["ok"],
    "compared": {"by_s": 86_400.0, "last": _SUM, "range": _SUM, "history": [943]},
}

_ROW = {
    "name": "web",
    "title": "Web",
    "unit": "requests",
    "interval": "5m",
    "length_s": 300.0,
    "intervals": [
        {"name": "5m", "length_s": 300.0, "history": 2016},
        {"name": "1h", "length_s": 3600.0, "history": 720},
    ],
    "problem": None,
    "alerts": [],
    "overdue_s": 0,
    "stale": False,
    "master_alive": True,
    "started": True,
    "last": {"start": _START, "end": _END, "sum": 943},
    "current": {"start": _END, "sum": 31},
    "change": {"against": "day", "before": 1000, "ratio": -0.057},
    "open_sessions": None,
    "trend": {"start": _START, "counts": [943], "merged": [], "usual": None},
}

_NOTE = {"id": "8c5f", "group": "web", "text": "deploy 1.2", "end": None, "tags": ["deploy"]}

#: Each operation, by method and path.
_OPERATIONS = {
    ("post", paths.EVENTS): Operation(
        "count", "Count events", {_JSON: {"committed": True}}, {**_GROUP, "idempotency-key": "order 4711"}
    ),
    ("post", paths.SESSIONS): Operation(
        "count", "Start, continue or end a session", {_JSON: {"committed": True}}, _GROUP
    ),
    ("post", paths.PANEL): Operation("count", "Count the session of a Grafana dashboard", {}),
    ("post", paths.ANNOTATIONS): Operation("count", "Annotate a time", {_JSON: {**_NOTE, "time": _START}}),
    ("delete", paths.ANNOTATION): Operation(
        "count", "Remove an annotation", {}, {"id": _NOTE["id"], **_GROUP}
    ),
    ("get", paths.ANNOTATIONS): Operation(
        "read",
        "Annotations, alerts and irregularities of a time",
        {_JSON: {"now": _END, "annotations": [{**_NOTE, "kind": "note", "start": _START}]}},
        {**_INTERVAL, "since": "2h", "until": "0s"},
    ),
    ("get", paths.GROUPS): Operation(
        "read",
        "All groups and masters",
        {
            _JSON: {
                "server_time": _END,
                "version": "2.0",
                "master_alive": True,
                "masters": [
                    {
                        "host": "app1",
                        "pid": 71,
                        "version": "2.0",
                        "since": _START,
                        "seen_s": 1.2,
                        "alive": True,
                    }
                ],
                "groups": [
                    {
                        "name": "web",
                        "title": "Web",
                        "unit": "requests",
                        "labels": {"ok": "Successful"},
                        "totals": True,
                        "unavailable": False,
                        "master_alive": True,
                        "intervals": [
                            {
                                "name": "5m",
                                "length_s": 300.0,
                                "history": 2016,
                                "overdue_s": 0,
                                "stale": False,
                                "started": True,
                            }
                        ],
                    }
                ],
            }
        },
    ),
    ("get", paths.COUNTS): Operation(
        "read",
        "Counts, totals and history of an interval",
        {
            _JSON: _COUNTS_ANSWER,
            _CSV: f"start,end,event,count\r\n{_START:.0f},{_END:.0f},ok,940\r\n",
        },
        {
            **_INTERVAL,
            "history": 60,
            "since": "24h",
            "until": "2026-11-30T12:00Z",
            "step": "1h",
            "filter": "ok",
            "order": "-last",
            "limit": 100,
            "top": 6,
            "compare": "day",
            "format": "json",
        },
    ),
    ("get", paths.STREAM): Operation(
        "streams",
        "Each interval when it finishes",
        {_EVENTS: f"event: interval\nid: {_POSITION}\ndata: {{}}\n\n"},
        {**_INTERVAL, "after": _POSITION},
    ),
    ("get", paths.ALERTS): Operation("read", "All alerts", {_JSON: {"now": _END, "alerts": [_ALERT]}}),
    ("get", paths.OVERVIEW): Operation(
        "read",
        "All groups at a glance",
        {
            _JSON: {
                "now": _END,
                "version": "2.0",
                "revision": "k3f-17",
                "master_alive": True,
                "groups": [_ROW],
            }
        },
    ),
    ("get", paths.OVERVIEW_STREAM): Operation(
        "streams",
        "Changes of the overview",
        {_EVENTS: "event: overview\nid: k3f-18\ndata: {}\n\n"},
        {"after": "k3f-17"},
    ),
    ("get", paths.SEARCH): Operation(
        "read",
        "Groups and events by words",
        {
            _JSON: {
                "now": _END,
                "groups": [],
                "events": [{**_INTERVAL, "event": "failed", "label": "failed", "last": 3}],
                "n_events": 1,
            }
        },
        {"filter": "web fail", "limit": 50},
    ),
    ("get", paths.METRICS): Operation("monitoring", "Metrics for Prometheus", {}),
    ("get", paths.LIVENESS): Operation("monitoring", "Liveness", {_JSON: {"status": "ok"}}),
    ("get", paths.READINESS): Operation("monitoring", "Readiness", {_JSON: {"ready": True, "problems": []}}),
}


def describe(app: FastAPI) -> None:
    """Add these words and examples to the OpenAPI description of an application."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(description: dict[str, Any]) -> None:
    description["info"]["description"] = _DESCRIPTION
    description["tags"] = [{"name": name, "description": meaning} for name, meaning in _TAGS.items()]
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            _add(_OPERATIONS[method, path], route)


def _add(operation: Operation, route: dict[str, Any]) -> None:
    route["tags"] = [operation.tag]
    route["summary"] = operation.summary
    for parameter in route.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
        if parameter["name"] in operation.parameters:
            parameter["example"] = operation.parameters[parameter["name"]]
    answer = next(
        route["responses"][status] for status in ("200", "201", "204") if status in route["responses"]
    )
    for media_type, example in operation.answer.items():
        answer.setdefault("content", {}).setdefault(media_type, {})["example"] = example


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a parameter that may be missing; a parameter is never null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "anyOf"}}
