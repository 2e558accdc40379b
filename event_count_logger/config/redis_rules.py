"""What may stand in the section `redis`, and what is said when it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import voluptuous as vol

from event_count_logger.config.checks import a_boolean, a_list, a_number, a_text, optional, show
from event_count_logger.config.environment import as_written
from event_count_logger.config.model import Address, without_password

_REDIS_SCHEMES = ("redis", "rediss", "unix")

#: A user and a password that nothing follows: somebody has forgotten the host.
_NO_PORT = re.compile(r"(//[^/]*?:)(?![0-9]{1,5}(/|$)).*")

_ADDRESS = re.compile(r"\[?([^\s/@\[\]]+)\]?:([0-9]{1,5})")


def _shown(value: object) -> str:
    """A value that may be an address, without the password in it."""
    value = as_written(value)
    return show(_NO_PORT.sub(r"\1***", without_password(value)) if isinstance(value, str) else value)


def _port(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise vol.Invalid(f"{_shown(value)} is not a TCP port (1 to 65535)")
    return int(text)


def _database(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise vol.Invalid(f"{_shown(value)} is not the number of a database (0 or more)")
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


def _directory(value: object) -> str:
    if "://" in a_text(value):
        raise vol.Invalid("is not a directory (an address with :// goes into 'url')")
    return a_text(value)


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
    if usable and parts.scheme != "unix" and "@" in parts._replace(netloc="").geturl():
        raise vol.Invalid("has '/', '?' or '#' in its user or password: write %2F, %3F or %23 there")
    if not usable:
        expected = ", ".join(f"{scheme}://..." for scheme in _REDIS_SCHEMES)
        raise vol.Invalid(f"{_shown(value)} is not an address of Redis (use {expected})")
    if parts.scheme != "unix" and not re.fullmatch("(/[0-9]*)?", parts.path):
        raise vol.Invalid(f"'{parts.path}' in the address is not the number of a database")
    for key, values in parse_qs(parts.query).items():
        if key not in _IN_URL and not (key in TLS and parts.scheme == "rediss"):
            raise vol.Invalid(f"'{key}' cannot stand in the address (a setting beside 'url' may do)")
        if key in REDIS.schema:
            _in_address(key, REDIS.schema[key], values[-1])
    return value


def _address(value: object) -> Address:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise vol.Invalid(f"{_shown(value)} is not an address (use host:port, for example 'redis1:6379')")
    return match[1], _port(match[2])


def _list_of_nodes(value: object) -> list[Any]:
    return a_list(without_password(str(as_written(value))) if isinstance(value, str) else value)


def _some(nodes: list[Address]) -> tuple[Address, ...]:
    if not nodes:
        raise vol.Invalid("is empty: at least one node is needed, for example [redis1:6379]")
    return tuple(dict.fromkeys(nodes))


def _variable(value: object) -> str:
    # It is not shown: it may be the password, in the wrong place.
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value):
        raise vol.Invalid("is not the name of an environment variable")
    return value


def _in_address(key: str, rule: Callable[[object], object], value: str) -> None:
    try:
        rule(int(value) if value.isdecimal() else value)
    except vol.Invalid as error:
        raise vol.Invalid(f"'{key}' in the address: {error}") from error


_seconds = a_number(float, "a number of seconds above 0")

_nodes = vol.All(_list_of_nodes, [_address], _some)

#: Each secret, and the ways to give it.
SECRETS: dict[str, dict[str, Any]] = {
    "username": {"username": optional(_secret), "username_env": optional(_variable)},
    "password": {
        "password": optional(_secret),
        "password_file": optional(a_text),
        "password_env": optional(_variable),
    },
}

_SECRETS: dict[str, Any] = {name: rule for ways in SECRETS.values() for name, rule in ways.items()}

#: Files for TLS.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

#: Given to redis-py's connection as they are, if there is TLS.
TLS: dict[str, Any] = {
    **dict.fromkeys(TLS_FILES, optional(a_text)),
    "ssl_check_hostname": optional(a_boolean),
    "ssl_cert_reqs": optional(
        vol.In(["none", "optional", "required"], msg="is not 'none', 'optional' or 'required'")
    ),
}

#: Given to redis-py's connection as they are.
PASSED_ON = {
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
        "embedded": optional(_directory),
        "socket_timeout": optional(_seconds),
        "socket_connect_timeout": optional(_seconds),
        "cluster": optional(a_boolean),
        "nodes": optional(_nodes),
        "sentinel": lambda value: value,  # see SENTINEL
        "ssl": optional(a_boolean),
        **TLS,
        **_SECRETS,
        **PASSED_ON,
        **NO_EFFECT,
    }
)

_SENTINEL: dict[Any, Any] = {
    vol.Required("nodes", msg="is missing (for example nodes: [sentinel1:26379])"): _nodes,
    vol.Required("service", msg="is missing: what do the sentinels call the master?"): a_text,
    **_SECRETS,
}

SENTINEL = vol.Schema(_SENTINEL)
