"""What may stand in the section `tail`, and what is said when it is not."""

from __future__ import annotations

import re
import time
from datetime import timezone, tzinfo

import voluptuous as vol

from event_count_logger import keys
from event_count_logger.config.checks import (
    a_line,
    a_list,
    a_mapping,
    a_template,
    a_text,
    optional,
    show,
    slip_of,
)
from event_count_logger.config.model import GroupConfig, has_year
from event_count_logger.config.templates import Template


def _pattern(value: object) -> re.Pattern[str]:
    text = a_text(value)
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise vol.Invalid(f"{show(value)} is not a regular expression: {error}") from error


def _placeholder(value: object) -> Template:
    template = a_template(value)
    if len(template.names) != 1 or any(template.texts):
        raise vol.Invalid(f"{show(value)} is not one placeholder, such as '{{bytes}}'")
    return template


def _zone(value: object) -> tzinfo:
    from zoneinfo import ZoneInfo

    name = a_text(value)
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise vol.Invalid(f"'{name}' is not a time zone (use for example Europe/Berlin)") from error


def _action(value: object) -> object:
    msg = f"{show(value)} is not start, heartbeat or end"
    return vol.In(["start", "heartbeat", "end"], msg=msg)(value)


def _time_format(value: object) -> str:
    text = a_text(value)
    format = text if has_year(text) else f"%Y {text}"  # days cannot be read without a year
    try:
        time.strptime(time.strftime(format, (2000, 1, 1, 0, 0, 0, 5, 1, 0)), format)
    except (ValueError, re.error) as error:
        raise vol.Invalid(f"'{text}' is not a format of times (see Python's strptime): {error}") from error
    return text


#: An entry of the section `tail`.
TAIL = vol.Schema(
    {
        vol.Required("file", msg="is missing (the path of a log file, with * for several)"): a_text,
        vol.Required("group", msg="is missing (the group that the lines are counted in)"): a_text,
        vol.Required("rules", msg="is missing (what is counted)"): a_list,
        "source": optional(a_line),
    }
)

TAIL_RULE = vol.Schema(
    {
        vol.Required("match", msg="is missing (a regular expression)"): _pattern,
        "events": optional(vol.All(a_list, [a_template], lambda events: tuple(dict.fromkeys(events)))),
        "counts": optional(a_mapping("event IDs to numbers such as '{bytes}'", a_template, _placeholder)),
        "session": optional(lambda value: value),  # see TAIL_SESSION
        "time": optional(lambda value: value),  # see TAIL_TIME
    }
)

TAIL_SESSION = vol.Schema(
    {
        vol.Required("id", msg="is missing (such as '{pid}')"): a_template,
        "event": optional(a_template),
        vol.Required("action", msg="is missing (start, heartbeat or end)"): _action,
    }
)

TAIL_TIME = vol.Schema(
    {
        vol.Required("value", msg="is missing (such as '{time}')"): a_template,
        vol.Required("format", msg="is missing (as of Python's strptime)"): _time_format,
        "zone": optional(_zone),
    }
)


def static_event_fault(event_id: str, group: GroupConfig) -> str | None:
    """Why an event that is always the same cannot be counted in a group; None if it can."""
    fault = keys.event_id_fault(event_id)
    if fault:
        return f"{show(event_id)} is not an event ID: it {fault}"
    if group.auto_declare_events or event_id in group.events:
        return None
    meant = slip_of(event_id, group.events)
    hint = f" (did you mean '{meant}'?)" if meant else ""
    return f"'{event_id}' is not an event of group '{group.name}'{hint}"
