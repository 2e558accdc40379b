"""What may stand in each section but `tail`, and what is said when it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

import voluptuous as vol

from event_count_logger import keys
from event_count_logger.config.checks import (
    a_boolean,
    a_duration,
    a_line,
    a_list,
    a_mapping,
    a_number,
    a_template,
    a_text,
    an_event_id,
    optional,
    quoting_hint,
    show,
)
from event_count_logger.config.values import without_password
from event_count_logger.intervals import Interval

#: Finished intervals; about a year of 5 minutes. All of them are in the memory of Redis.
_LONGEST_HISTORY = 100_000

_REDIS_SCHEMES = ("redis", "rediss", "unix")

#: An origin as browsers send it (html.spec.whatwg.org, section "Origins"), and the ports that they leave out.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def group_name_fault(name: object) -> str | None:
    """What keeps a key from being the name of a group; None if nothing does."""
    if not isinstance(name, str):
        return f"{show(name)} is not a string{quoting_hint(name)}"
    if not keys.GROUP_NAME.fullmatch(name):
        return f"'{name}' is not a group name (use letters, digits, '_', '-' and '.')"
    return None


def _interval(value: object) -> Interval:
    if not isinstance(value, str):
        raise vol.Invalid(f"{show(value)} is not an interval (use <number><s|m|h>, for example 5m)")
    try:
        return Interval.parse(value)
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def _or_zero(check: Callable[[object], float]) -> Callable[[object], float]:
    """0 means that there is no limit; it needs no unit then."""
    return lambda value: 0.0 if value in (0, "0", "0s", "0m", "0h") else check(value)


def _distinct(intervals: list[Interval]) -> tuple[Interval, ...]:
    if not intervals:
        raise vol.Invalid("is empty: a group needs at least one interval, for example [5m]")
    by_length: dict[int, Interval] = {}
    for position, interval in enumerate(intervals):
        other = by_length.setdefault(interval.length_ms, interval)
        if other is not interval:
            raise vol.Invalid(f"'{interval.name}' is as long as '{other.name}'", path=[position])
    return tuple(intervals)


def _port(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise vol.Invalid(f"{show(value)} is not a TCP port (1 to 65535)")
    return int(text)


def _database(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise vol.Invalid(f"{show(value)} is not the number of a database (0 or more)")
    return int(str(value))


def _secret(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise vol.Invalid("is not a string: put it in quotes")
    return str(value)


def _socket_options(value: object) -> dict[int, int]:
    if not isinstance(value, Mapping) or not all(isinstance(n, int) for pair in value.items() for n in pair):
        raise vol.Invalid(f"{show(value)} is not a mapping of numbers to numbers")
    return dict(value)


def _host(value: object) -> str:
    host = a_text(value)
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
    origin = a_text(value).lower()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise vol.Invalid(f"{show(value)} is not an origin (use scheme://host or scheme://host:port)")
    scheme = origin.partition(":")[0]
    return origin.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _origins(value: list[str]) -> tuple[str, ...]:
    if "*" in value and len(value) > 1:
        raise vol.Invalid("has '*', which allows all origins, and others beside it")
    return tuple(value)


def _in_address(key: str, rule: Callable[[object], object], value: str) -> None:
    try:
        rule(int(value) if value.isdecimal() else value)
    except vol.Invalid as error:
        raise vol.Invalid(f"'{key}' in the address: {error}") from error


_seconds = a_number(float, "a number of seconds above 0")

_positive = a_number(int, "a whole number above 0")

_history = a_number(int, f"a whole number from 0 to {_LONGEST_HISTORY}", lowest=-1, highest=_LONGEST_HISTORY)

#: For all groups when they stand beside the section `groups`, for one when they stand in it.
SPOOL = vol.Schema({"spool": optional(a_boolean), "spool_dir": optional(a_text)})

GROUP = vol.Schema(
    {
        vol.Required("intervals", msg="is missing (for example intervals: [5m])"): vol.All(
            a_list, [_interval], _distinct
        ),
        "events": optional(vol.All(a_list, [an_event_id], lambda events: tuple(dict.fromkeys(events)))),
        "auto_declare_events": optional(a_boolean),
        "sync_interval": optional(_seconds),
        "sync_limit": optional(_positive),
        "max_events": optional(_positive),
        "history": optional(_history),
        "totals": optional(a_boolean),
        "expire_after": optional(a_duration),
        "layout": optional(vol.In(["keys", "hash"], msg="is not 'keys' or 'hash'")),
        "hidden": optional(a_boolean),
        "title": optional(a_line),
        "unit": optional(a_line),
        "labels": optional(a_mapping("event IDs to labels", an_event_id, a_line)),
        "sessions": lambda value: {} if value is None else value,  # see SESSIONS
        **SPOOL.schema,
    }
)

SESSIONS = vol.Schema(
    {
        "timeout": optional(_or_zero(a_duration)),
        "expire_after": optional(a_duration),
        "max_sessions": optional(a_number(int, "a whole number, 0 or more", lowest=-1)),
    }
)

SERVE = vol.Schema({"allowed_origins": optional(vol.All(a_list, [_origin], _origins))})

GRAFANA = vol.Schema({"group": optional(a_template), "event": optional(a_template)})

#: Given to redis-py's connection as they are.
PASSED_ON = {
    "username": optional(_secret),
    "password": optional(_secret),
    "client_name": optional(a_text),
    "health_check_interval": optional(a_number(float, "a number of seconds, 0 or more", lowest=-1)),
    "socket_keepalive": optional(a_boolean),
    "socket_keepalive_options": optional(_socket_options),
    "protocol": optional(vol.In([2, 3], msg="is not 2 or 3")),
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
        "host": optional(_host),
        "port": optional(_port),
        "db": optional(_database),
        "url": optional(_url),
        "embedded": optional(a_text),
        "socket_timeout": optional(_seconds),
        "socket_connect_timeout": optional(_seconds),
        **PASSED_ON,
        **NO_EFFECT,
    }
)
