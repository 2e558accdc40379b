"""Payloads of the Grafana panel macropower-analytics-panel, which reports sessions of dashboards.

Format: github.com/MacroPower/macropower-analytics-panel, src/payload.ts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from event_count_logger.config import Config, SessionsConfig, Template
from event_count_logger.config.checks import LONGEST_S
from event_count_logger.config.session_actions import ACTIONS, ActionName
from event_count_logger.errors import NotConfigured

#: `uid` of a dashboard that was never saved.
_UNSAVED = "new"


#: Longest gap that counts in full with `timeout: auto`, in heartbeat intervals; as in the panel's own server
#: (server/payload/payload.go).
_AUTO_TIMEOUT = 1.25


class MissingValue(ValueError):
    """A payload has no usable value at `path`."""

    def __init__(self, path: str, reason: str = "is neither a string nor a number") -> None:
        self.path = path
        super().__init__(reason)


def destination(config: Config, payload: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the names of the group and event that count the session of a payload.

    Raises:
        NotConfigured: `grafana.group` is not set, and not exactly one group has sessions.
        MissingValue: The payload lacks a value that the names contain.
    """
    group, event = config.grafana.group, config.grafana.event
    return _render(group, payload) if group else _only_group(config), _render(event, payload)


def action_name(payload: Mapping[str, Any]) -> ActionName | None:
    """Returns the action of the session; None if the panel sent another type."""
    return next((name for name in ACTIONS if name == payload.get("type")), None)


def timeout_s(sessions: SessionsConfig, payload: Mapping[str, Any]) -> float | None:
    """Returns the timeout of the session of a payload, in seconds; None for that of the group."""
    interval_s: Any = (payload.get("options") or {}).get("heartbeatInterval")
    if not sessions.is_auto or isinstance(interval_s, bool) or not isinstance(interval_s, int | float):
        return None
    return _AUTO_TIMEOUT * interval_s if 0 < interval_s <= LONGEST_S else None


def is_saved(payload: Mapping[str, Any]) -> bool:
    """Returns whether the dashboard was ever saved."""
    return bool(payload["dashboard"].get("uid") != _UNSAVED)


def as_line(payload: Mapping[str, Any], with_variables: bool) -> str:
    """Returns a payload as JSON in printable ASCII: it cannot break or forge a log line."""
    logged = {name: value for name, value in payload.items() if with_variables or name != "variables"}
    return json.dumps(logged).replace("\x7f", "\\u007f")


def _render(template: Template, payload: Mapping[str, Any]) -> str:
    rendered = template.render([_value(payload, name) for name in template.names])
    if not rendered:
        raise MissingValue(template.names[0], "is empty")
    return rendered


def _value(payload: Any, path: str) -> str:
    for step in path.split("."):
        payload = payload.get(step) if isinstance(payload, Mapping) else None
    if isinstance(payload, bool) or not isinstance(payload, str | int | float):
        raise MissingValue(path)
    return str(payload)


def _only_group(config: Config) -> str:
    names = [group.name for group in config.groups.values() if group.sessions]
    if len(names) != 1:
        raise NotConfigured(
            f"{len(names) or 'no'} groups have the setting 'sessions': set 'grafana.group' to the one that "
            "counts dashboards"
        )
    return names[0]
