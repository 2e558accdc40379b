"""What each setting may be, and what is said when it is not."""

from __future__ import annotations

import difflib
import os
import re
import reprlib
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timezone, tzinfo
from typing import Any
from urllib.parse import parse_qs, urlsplit

import voluptuous as vol

from event_count_logger import keys
from event_count_logger.config.places import Place, Report
from event_count_logger.config.values import GroupConfig, without_password
from event_count_logger.intervals import Interval, parse_duration
from event_count_logger.templates import Template

#: Values may be of any size, and refer to themselves.
_brief = reprlib.Repr()
_brief.maxlevel = 1
_brief.maxstring = _brief.maxother = _brief.maxlong = 60

#: Seconds; what the operating system can wait for.
_LONGEST_S = 1e9

#: Finished intervals; about a year of 5 minutes. All of them are in the memory of Redis.
_LONGEST_HISTORY = 100_000

_REDIS_SCHEMES = ("redis", "rediss", "unix")

#: An origin as browsers send it (html.spec.whatwg.org, section "Origins"), and the ports that they leave out.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def show(value: object) -> str:
    """A value as its author would recognise it, in one short line."""
    if value is None:
        return "an empty value"
    return str(value).lower() if isinstance(value, bool) else _brief.repr(value)


def group_name_fault(name: object) -> str | None:
    """What keeps a key from being the name of a group; None if nothing does."""
    if not isinstance(name, str):
        return f"{show(name)} is not a string{_quoting_hint(name)}"
    if not keys.GROUP_NAME.fullmatch(name):
        return f"'{name}' is not a group name (use letters, digits, '_', '-' and '.')"
    return None


def _quoting_hint(value: object) -> str:
    if isinstance(value, bool):
        return ": YAML reads on, off, yes and no as true and false; put it in quotes"
    if isinstance(value, int | float):
        return f": put it in quotes, '{value}'"
    if isinstance(value, Mapping):
        return ": YAML reads 'a: b' as a mapping; put it in quotes"
    return ""


def _event_id(value: object) -> str:
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not a string{_quoting_hint(value)}")
    fault = keys.event_id_fault(value)
    if fault:
        raise vol.Invalid(f"{show(value)} is not an event ID: it {fault}")
    return str(value)


def _interval(value: object) -> Interval:
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not an interval (use <number><s|m|h>, for example 5m)")
    try:
        return Interval.parse(value)
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def _duration(value: object) -> float:
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not a length of time (use <number><s|m|h>, for example '72h')")
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise vol.Invalid(str(error)) from error
    if not 0 < seconds <= _LONGEST_S:
        raise vol.Invalid(f"{show(value)} is not above 0 and at most {int(_LONGEST_S // 3600)}h")
    return seconds


def _or_zero(check: Callable[[object], float]) -> Callable[[object], float]:
    """0 means that there is no limit; it needs no unit then."""
    return lambda value: 0.0 if value in (0, "0", "0s", "0m", "0h") else check(value)


def _line(value: object) -> str:
    text = _text(value)
    if not text.isprintable():
        raise vol.Invalid(f"{show(value)} contains control characters")
    return text


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise vol.Invalid(f"{show(value)} is not a mapping of event IDs to labels")
    labels = {}
    for event_id, label in value.items():
        try:
            labels[_event_id(event_id)] = _line(label)
        except vol.Invalid as error:
            raise vol.Invalid(error.msg, path=[event_id]) from error
    return labels


def _list(value: object) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        hint = f" (write [{value}] for a single one)" if isinstance(value, str | int | float) else ""
        raise vol.Invalid(f"{show(value)} is not a list{hint}")
    return list(value)


def _distinct(intervals: list[Interval]) -> tuple[Interval, ...]:
    if not intervals:
        raise vol.Invalid("is empty: a group needs at least one interval, for example [5m]")
    by_length: dict[int, Interval] = {}
    for position, interval in enumerate(intervals):
        other = by_length.setdefault(interval.length_ms, interval)
        if other is not interval:
            raise vol.Invalid(f"'{interval.name}' is as long as '{other.name}'", path=[position])
    return tuple(intervals)


def _number(kind: type, what: str, lowest: float = 0, highest: float = _LONGEST_S) -> Callable[[object], Any]:
    def check(value: object) -> Any:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not lowest < value <= highest or kind(value) != value:  # type: ignore[operator]
            raise vol.Invalid(f"{show(value)} is not {what}")
        return kind(value)

    return check


def _optional(check: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else check(value)


def _port(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise vol.Invalid(f"{show(value)} is not a TCP port (1 to 65535)")
    return int(text)


def _database(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise vol.Invalid(f"{show(value)} is not the number of a database (0 or more)")
    return int(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str | os.PathLike):
        raise vol.Invalid(f"{show(value)} is not a string{_quoting_hint(value)}")
    if not str(value).strip():
        raise vol.Invalid(f"{show(value)} is empty")
    return str(value)


def _secret(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise vol.Invalid("is not a string: put it in quotes")
    return str(value)


def _socket_options(value: object) -> dict[int, int]:
    if not isinstance(value, Mapping) or not all(isinstance(n, int) for pair in value.items() for n in pair):
        raise vol.Invalid(f"{show(value)} is not a mapping of numbers to numbers")
    return dict(value)


def _host(value: object) -> str:
    host = _text(value)
    if re.search(r"[/@\s]", host):
        raise vol.Invalid("is not the name of a host (an address with :// goes into 'url')")
    return host


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise vol.Invalid("is not a string")
    try:
        parts = urlsplit(value)
        named = parts.path if parts.scheme == "unix" else parts.hostname
        usable = parts.scheme in _REDIS_SCHEMES and bool(named) and parts.port != 0
        usable &= value.startswith(f"{parts.scheme}://")
    except ValueError:
        usable = False
    if not usable:
        expected = ", ".join(f"{scheme}://..." for scheme in _REDIS_SCHEMES)
        raise vol.Invalid(f"'{without_password(value)}' is not an address of Redis (use {expected})")
    if parts.scheme != "unix" and not re.fullmatch("(/[0-9]*)?", parts.path):
        raise vol.Invalid(f"'{parts.path}' in the address is not the number of a database")
    for key, values in parse_qs(parts.query).items():
        if key not in _IN_URL and not key.startswith("ssl_"):
            raise vol.Invalid(f"'{key}' cannot stand in the address (a setting beside 'url' may do)")
        if key in REDIS.schema:
            _in_address(key, REDIS.schema[key], values[-1])
    return value


def _origin(value: object) -> str:
    origin = _text(value).lower()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise vol.Invalid(f"{show(value)} is not an origin (use scheme://host or scheme://host:port)")
    scheme = origin.partition(":")[0]
    return origin.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _origins(value: list[str]) -> tuple[str, ...]:
    if "*" in value and len(value) > 1:
        raise vol.Invalid("has '*', which allows all origins, and others beside it")
    return tuple(value)


def _template(value: object) -> Template:
    try:
        return Template.parse(_line(value))
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def _in_address(key: str, rule: Callable[[object], object], value: str) -> None:
    try:
        rule(int(value) if value.isdecimal() else value)
    except vol.Invalid as error:
        raise vol.Invalid(f"'{key}' in the address: {error}") from error


_seconds = _number(float, "a number of seconds above 0")
_positive = _number(int, "a whole number above 0")
_history = _number(int, f"a whole number from 0 to {_LONGEST_HISTORY}", lowest=-1, highest=_LONGEST_HISTORY)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool | str) and value not in (0, 1):
        raise vol.Invalid(f"{show(value)} is not true or false")
    return bool(vol.Boolean(msg=f"{show(value)} is not true or false")(value))


#: For all groups when they stand beside the section `groups`, for one when they stand in it.
SPOOL = vol.Schema({"spool": _optional(_boolean), "spool_dir": _optional(_text)})

GROUP = vol.Schema(
    {
        vol.Required("intervals", msg="is missing (for example intervals: [5m])"): vol.All(
            _list, [_interval], _distinct
        ),
        "events": _optional(vol.All(_list, [_event_id], lambda events: tuple(dict.fromkeys(events)))),
        "auto_declare_events": _optional(_boolean),
        "sync_interval": _optional(_seconds),
        "sync_limit": _optional(_positive),
        "max_events": _optional(_positive),
        "history": _optional(_history),
        "totals": _optional(_boolean),
        "expire_after": _optional(_duration),
        "hidden": _optional(_boolean),
        "title": _optional(_line),
        "unit": _optional(_line),
        "labels": _optional(_labels),
        "sessions": lambda value: {} if value is None else value,  # see SESSIONS
        **SPOOL.schema,
    }
)

SESSIONS = vol.Schema(
    {
        "timeout": _optional(_or_zero(_duration)),
        "expire_after": _optional(_duration),
        "max_sessions": _optional(_number(int, "a whole number, 0 or more", lowest=-1)),
    }
)


def _pattern(value: object) -> re.Pattern[str]:
    text = _text(value)
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise vol.Invalid(f"{show(value)} is not a regular expression: {error}") from error


def _placeholder(value: object) -> Template:
    template = _template(value)
    if len(template.names) != 1 or any(template.texts):
        raise vol.Invalid(f"{show(value)} is not one placeholder, such as '{{bytes}}'")
    return template


def _counts(value: object) -> dict[Template, Template]:
    if not isinstance(value, Mapping):
        raise vol.Invalid(f"{show(value)} is not a mapping of event IDs to numbers such as '{{bytes}}'")
    counts = {}
    for event, number in value.items():
        try:
            counts[_template(event)] = _placeholder(number)
        except vol.Invalid as error:
            raise vol.Invalid(error.msg, path=[event]) from error
    return counts


def _zone(value: object) -> tzinfo:
    from zoneinfo import ZoneInfo

    name = _text(value)
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise vol.Invalid(f"'{name}' is not a time zone (use for example Europe/Berlin)") from error


def _action(value: object) -> object:
    msg = f"{show(value)} is not start, heartbeat or end"
    return vol.In(["start", "heartbeat", "end"], msg=msg)(value)


def _time_format(value: object) -> str:
    text = _text(value)
    try:
        time.strptime(time.strftime(text, (2000, 1, 1, 0, 0, 0, 5, 1, 0)), text)
    except (ValueError, re.error) as error:
        raise vol.Invalid(f"'{text}' is not a format of times (see Python's strptime): {error}") from error
    return text


def _action(value: object) -> object:
    if value not in ("start", "heartbeat", "end"):
        raise vol.Invalid(f"{show(value)} is not start, heartbeat or end")
    return value


#: An entry of the section `tail`.
TAIL = vol.Schema(
    {
        vol.Required("file", msg="is missing (the path of a log file, with * for several)"): _text,
        vol.Required("group", msg="is missing (the group that the lines are counted in)"): _text,
        vol.Required("rules", msg="is missing (what is counted)"): _list,
        "source": _optional(_line),
    }
)

TAIL_RULE = vol.Schema(
    {
        vol.Required("match", msg="is missing (a regular expression)"): _pattern,
        "events": _optional(vol.All(_list, [_template], lambda events: tuple(dict.fromkeys(events)))),
        "counts": _optional(_counts),
        "session": _optional(lambda value: value),  # see TAIL_SESSION
        "time": _optional(lambda value: value),  # see TAIL_TIME
    }
)

TAIL_SESSION = vol.Schema(
    {
        vol.Required("id", msg="is missing (such as '{pid}')"): _template,
        "event": _optional(_template),
        vol.Required("action", msg="is missing (start, heartbeat or end)"): _action,
    }
)

TAIL_TIME = vol.Schema(
    {
        vol.Required("value", msg="is missing (such as '{time}')"): _template,
        vol.Required("format", msg="is missing (as of Python's strptime)"): _time_format,
        "zone": _optional(_zone),
    }
)

SERVE = vol.Schema({"allowed_origins": _optional(vol.All(_list, [_origin], _origins))})

GRAFANA = vol.Schema({"group": _optional(_template), "event": _optional(_template)})

#: Given to redis-py's connection as they are.
PASSED_ON = {
    "username": _optional(_secret),
    "password": _optional(_secret),
    "client_name": _optional(_text),
    "health_check_interval": _optional(_number(float, "a number of seconds, 0 or more", lowest=-1)),
    "socket_keepalive": _optional(_boolean),
    "socket_keepalive_options": _optional(_socket_options),
    "protocol": _optional(vol.In([2, 3], msg="is not 2 or 3")),
    **dict.fromkeys(("credential_provider", "lib_name", "lib_version", "redis_connect_func"), object),
    **dict.fromkeys(("parser_class", "socket_read_size", "socket_type"), object),
}
#: Accepted because configurations have them, though nothing here depends on them: what is text is known,
#: and a commit is repeated, and counted once, in any case.
NO_EFFECT = dict.fromkeys(
    ("decode_responses", "encoding", "encoding_errors", "retry", "retry_on_error", "retry_on_timeout"), object
)
#: What redis-py takes from the query of an address, and does not override what is set or needed here.
_IN_URL = ("client_name", "db", "health_check_interval", "protocol", "socket_keepalive")
REDIS = vol.Schema(
    {
        "host": _optional(_host),
        "port": _optional(_port),
        "db": _optional(_database),
        "url": _optional(_url),
        "embedded": _optional(_text),
        "socket_timeout": _optional(_seconds),
        "socket_connect_timeout": _optional(_seconds),
        **PASSED_ON,
        **NO_EFFECT,
    }
)


def check(
    schema: vol.Schema, section: object, place: Place, report: Report, *, strict: bool
) -> dict[str, Any] | None:
    """What the schema makes of a section, without what is empty; None if that fails.

    A key that is not known is a problem; unless `strict`, only one that looks like a slip is fatal,
    because configurations in use may carry keys of their own.
    """
    if not isinstance(section, Mapping):
        # What stands in place of settings may be an address with a password.
        what = "is" if strict else f"{show(section)} is"
        report(place, f"{what} not a mapping of settings")
        return None
    known = [str(key) for key in schema.schema]
    names = {key: key.replace("-", "_") if isinstance(key, str) else key for key in section}
    for key, name in names.items():
        if key != name and name in section:
            report((*place, name), f"is given twice, also as '{key}'")
    section = {names[key]: value for key, value in section.items()}
    for key in [key for key in section if key not in known]:
        meant = slip_of(key, known)
        hint = f"did you mean '{meant}'?" if meant else f"known here: {', '.join(known)}"
        report((*place, key), f"is not known ({hint})", fatal=strict or bool(meant))
        del section[key]
    try:
        return {key: value for key, value in schema(section).items() if value is not None}
    except vol.MultipleInvalid as error:
        for each in error.errors:
            report((*place, *(getattr(step, "schema", step) for step in each.path)), each.msg)
        return None


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


def slip_of(key: object, known: Iterable[str]) -> str | None:
    """The known key that was probably meant by one that is not known."""
    return next(iter(difflib.get_close_matches(str(key), known, 1, 0.75)), None)
