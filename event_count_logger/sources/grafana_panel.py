"""Sessions of Grafana's dashboards, as the panel macropower-analytics-panel tells of them.

Format: github.com/MacroPower/macropower-analytics-panel, src/payload.ts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from event_count_logger.config import Config, Template
from event_count_logger.config.session_actions import ACTIONS, ActionName
from event_count_logger.errors import NotConfigured

#: The `uid` of a dashboard that was never saved.
_UNSAVED = "new"


class MissingValue(ValueError):
    """A payload has no usable value at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__("is neither a string nor a number")


def destination(config: Config, payload: Mapping[str, Any]) -> tuple[str, str]:
    """The group that a payload is for, and the event that its session is counted as.

    Raises:
        NotConfigured: The configuration does not say which group.
        MissingValue: The payload lacks what their names are made of.
    """
    group, event = config.grafana.group, config.grafana.event
    return _filled(group, payload) if group else _only_group(config), _filled(event, payload)


def action_name(payload: Mapping[str, Any]) -> ActionName | None:
    """What happened to the session; None if the payload says something else."""
    return next((name for name in ACTIONS if name == payload.get("type")), None)


def is_saved(payload: Mapping[str, Any]) -> bool:
    """Whether the dashboard is more than a draft."""
    return bool(payload["dashboard"].get("uid") != _UNSAVED)


def as_line(payload: Mapping[str, Any], with_variables: bool) -> str:
    """A payload as JSON of printable ASCII, so that nothing in it can look like another line."""
    shown = {name: value for name, value in payload.items() if with_variables or name != "variables"}
    return json.dumps(shown).replace("\x7f", "\\u007f")


def _filled(template: Template, payload: Mapping[str, Any]) -> str:
    return template.render([_value(payload, name) for name in template.names])


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
            f"{len(names) or 'no'} groups have the setting 'sessions': the setting 'grafana.group' must say "
            "which one counts dashboards"
        )
    return names[0]
