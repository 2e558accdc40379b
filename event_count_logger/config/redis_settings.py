"""The settings of the section `redis`, and of the sentinels in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from event_count_logger.config.checks import (
    Check,
    Invalid,
    Mismatch,
    anything,
    boolean,
    check,
    check_each,
    items,
    nested,
    one_of,
    or_zero,
    path,
    seconds,
    show,
    text,
)
from event_count_logger.config.credentials import credentials_table, without_password
from event_count_logger.config.environment import FromEnvironment, as_written
from event_count_logger.config.settings import Setting, Table, section, setting, settings_of

DEFAULT_PORT = 6379

#: Seconds for one answer from Redis. A shorter time limits the wait of `log()`, a longer one suits slower
#: networks. Too short a time costs a repeated request, never a wrong count.
_DEFAULT_TIMEOUT_S = 2.0

#: Host and TCP port.
Address = tuple[str, int]

_SCHEMES = ("redis", "rediss", "unix")

#: A user and a password without a host after them.
_NO_PORT = re.compile(r"(//[^/]*?:)(?![0-9]{1,5}(/|$)).*")

_ADDRESS = re.compile(r"\[?([^\s/@\[\]]+)\]?:([0-9]{1,5})")

#: Options that redis-py takes from the query of a URL. They override no setting beside the URL.
_IN_URL = ("client_name", "db", "health_check_interval", "protocol", "socket_keepalive")


def _show(value: object) -> str:
    """Returns a value that may be a URL for messages, without its password."""
    value = as_written(value)
    return show(_NO_PORT.sub(r"\1***", without_password(value)) if isinstance(value, str) else value)


@check("a TCP port (1 to 65535)", show=_show)
def _port(value: object) -> int:
    if (
        isinstance(value, bool)
        or not re.fullmatch("[0-9]{1,5}", str(value))
        or not 0 < int(str(value)) < 65536
    ):
        raise Mismatch
    return int(str(value))


@check("the number of a database (0 or more)", show=_show)
def _database(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise Mismatch
    return int(str(value))


@check("a mapping of numbers to numbers")
def _socket_options(value: object) -> dict[int, int]:
    if not isinstance(value, Mapping) or not all(isinstance(n, int) for pair in value.items() for n in pair):
        raise Mismatch
    return dict(value)


@check("a host name or address")
def _host(value: object) -> str:
    host = text(value)
    if re.search(r"[/@\s]", host):
        raise Invalid("is not the name of a host (an address with :// goes into 'url')")
    return host


@check("a directory")
def _directory(value: object) -> Path:
    if "://" in text(value):
        raise Invalid("is not a directory (an address with :// goes into 'url')")
    return path(value)


@check("an address", "use host:port, for example 'redis1:6379'", show=_show)
def _address(value: object) -> Address:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise Mismatch
    return match[1], _port(match[2])


@check("a list", kind="a list of addresses (host:port)")
def _nodes(value: object) -> tuple[Address, ...]:
    nodes = items(without_password(str(as_written(value))) if isinstance(value, str) else value)
    if not nodes:
        raise Invalid("is empty: at least one node is needed, for example [redis1:6379]")
    return tuple(dict.fromkeys(check_each(enumerate(nodes), _address)))


@check("a URL: redis://, rediss:// or unix://")
def _url(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("is not a string")
    try:
        parts = urlsplit(value)
        named = parts.path if parts.scheme == "unix" else parts.hostname
        usable = parts.scheme in _SCHEMES and bool(named) and parts.port != 0
        usable &= value.startswith(f"{parts.scheme}://")
    except ValueError:
        usable = False
    if usable and parts.scheme != "unix" and "@" in parts._replace(netloc="").geturl():
        raise Invalid("has '/', '?' or '#' in its user or password: write %2F, %3F or %23 there")
    if not usable:
        expected = ", ".join(f"{scheme}://..." for scheme in _SCHEMES)
        raise Invalid(f"{_show(value)} is not an address of Redis (use {expected})")
    if parts.scheme != "unix" and not re.fullmatch("(/[0-9]*)?", parts.path):
        raise Invalid(f"{_show_part(value, parts.path)} in the address is not the number of a database")
    for key, values in parse_qs(parts.query).items():
        if key not in _IN_URL and not (key in TLS and parts.scheme == "rediss"):
            raise Invalid(
                f"{_show_part(value, key)} cannot stand in the address (a setting beside 'url' may do)"
            )
        if key in REDIS:
            _check_in_url(key, _show_part(value, values[-1]), values[-1])
    return str(value)


def _show_part(url: str, part: str) -> str:
    """Returns a part of a URL for messages; the whole URL if it has values of variables."""
    return _show(url) if isinstance(url, FromEnvironment) else show(part)


def _check_in_url(key: str, shown: str, value: str) -> None:
    """Check a setting in a URL, where a number is text, as in an environment variable."""
    try:
        REDIS[key].check(FromEnvironment(value, shown.strip("'")))
    except Invalid as error:
        raise Invalid(f"'{key}' in the address: {error}") from error


@section
class SentinelConfig:
    """The sentinels, from which the address of the current primary comes.

    Attributes:
        options: Further options of redis-py's connections to the sentinels.
    """

    nodes: tuple[Address, ...] = setting(
        _nodes, example="[sentinel1:26379]", since="2.0", meaning="Addresses of the sentinels."
    )
    service: str = setting(
        text,
        example="mymaster",
        since="2.0",
        meaning="Name of the primary and its replicas at the sentinels.",
    )
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@section
class RedisConfig:
    """The address of Redis: `url`, `embedded`, `sentinel`, host and port, or the nodes of a cluster.

    Attributes:
        options: Further options of redis-py's connections.
    """

    host: str = setting(
        _host, default="localhost", since="1.1", meaning="Host name or address of the server."
    )
    port: int = setting(_port, default=DEFAULT_PORT, since="1.1", meaning="TCP port of the server.")
    db: int = setting(_database, default=0, since="1.1", meaning="Number of the database.")
    url: str | None = setting(
        _url,
        default=None,
        repr=False,
        since="2.0",
        meaning="Address of the server, in place of `host`, `port` and `db`.",
    )
    embedded: Path | None = setting(
        _directory,
        default=None,
        since="2.0",
        meaning="Directory of an embedded server, which `ecl_master` starts. It is relative to the "
        "configuration, and needs the extra `embedded`.",
    )
    cluster: bool = setting(
        boolean,
        default=False,
        since="2.0",
        meaning="The server is a cluster. All keys of a group, or of one shard of it, are then on one node.",
    )
    nodes: tuple[Address, ...] = setting(
        _nodes,
        default=(),
        since="2.0",
        meaning="Some nodes of the cluster. They give the addresses of all others.",
    )
    sentinel: SentinelConfig | None = setting(
        nested,
        default=None,
        since="2.0",
        meaning="Sentinels, which give the address of the current primary.",
    )
    ssl: bool = setting(
        boolean, default=False, since="1.1", meaning="Connect with TLS. A URL with `rediss://` does, too."
    )
    socket_timeout: float = setting(
        seconds,
        default=_DEFAULT_TIMEOUT_S,
        unit="seconds",
        since="1.1",
        meaning="Seconds to wait for one answer, also in a direct `log()`. With `durability: fsync`, it may "
        "wait longer for the disk. Too short a time costs a repeated request, never a wrong count.",
    )
    socket_connect_timeout: float = setting(
        seconds,
        default=_DEFAULT_TIMEOUT_S,
        default_text="`socket_timeout`",
        unit="seconds",
        since="1.1",
        meaning="Seconds to wait for a connection.",
    )
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def location(self) -> str:
        """The address of Redis for people, without any password."""
        if self.embedded:
            return f"unix://{self.socket_path}"
        if self.cluster:
            return f"cluster {_written(self.nodes)}"
        if self.sentinel:
            return f"'{self.sentinel.service}' of sentinels {_written(self.sentinel.nodes)}"
        if self.url:
            return without_password(self.url)
        return f"{self.host}:{self.port}/{self.db}"

    @property
    def identity(self) -> str:
        """Identifies the database without secrets; the same for all ways to write its address.

        A cluster is identified by the nodes in the configuration, and a primary of sentinels by its name.
        """
        if self.embedded:
            return f"unix:{self.socket_path}/{self.db}"
        if self.cluster:
            return "cluster:" + ",".join(sorted(f"{_canonical(host)}:{port}" for host, port in self.nodes))
        if self.sentinel:
            return f"sentinel:{self.sentinel.service}/{self.db}"
        if not self.url:
            return f"{_canonical(self.host)}:{self.port}/{self.db}"
        parts = urlsplit(self.url)
        is_socket = parts.scheme == "unix"
        in_path = "" if is_socket else parts.path.strip("/")
        db = int(parse_qs(parts.query).get("db", [in_path or "0"])[-1])
        if is_socket:
            return f"unix:{unquote(parts.path)}/{db}"
        return f"{_canonical(parts.hostname or '')}:{parts.port or DEFAULT_PORT}/{db}"

    @property
    def socket_path(self) -> Path:
        """The unix socket of the embedded server."""
        assert self.embedded
        return self.embedded / "valkey.sock"


def _canonical(host: str) -> str:
    return "localhost" if host in ("127.0.0.1", "::1") else host.lower()


def _written(nodes: tuple[Address, ...]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in nodes)


#: Ways to give user name and password.
CREDENTIALS = credentials_table("AUTH", "1.1")

#: Files for TLS, as options of redis-py's connections.
TLS_FILES: Table = {
    "ssl_ca_certs": Setting(
        path,
        "CA bundle (PEM) used to verify the server's certificate.",
        "1.1",
        default_text="the CA bundle of the system",
    ),
    "ssl_certfile": Setting(path, "Client certificate (PEM).", "1.1"),
    "ssl_keyfile": Setting(path, "Private key (PEM) of the client certificate.", "1.1"),
}

#: Options of redis-py's connections with TLS.
TLS: Table = {
    **TLS_FILES,
    "ssl_check_hostname": Setting(
        boolean,
        "Verify that the server's certificate is for its host name.",
        "1.1",
        default_text="redis-py's default",
    ),
    "ssl_cert_reqs": Setting(
        one_of("none", "optional", "required"),
        "Verification of the server's certificate.",
        "1.1",
        default_text="redis-py's default",
    ),
}


def _passed_on(accept: Check[Any], meaning: str) -> Setting:
    return Setting(accept, meaning, "1.1", default_text="redis-py's default")


#: Options passed on to redis-py's connections.
PASSED_ON: Table = {
    "client_name": _passed_on(text, "Name of the connections in `CLIENT LIST`."),
    "health_check_interval": _passed_on(
        or_zero(seconds, "a number of seconds, 0 or more"),
        "Idle time after which redis-py sends PING before it uses a connection again.",
    ),
    "socket_keepalive": _passed_on(boolean, "Use TCP keepalive (`SO_KEEPALIVE`)."),
    "socket_keepalive_options": _passed_on(
        _socket_options, "Options of TCP keepalive, by their numbers in the operating system."
    ),
    "protocol": _passed_on(one_of(2, 3), "Version of the Redis protocol (RESP)."),
    **dict.fromkeys(
        (
            "credential_provider",
            "lib_name",
            "lib_version",
            "redis_connect_func",
            "parser_class",
            "socket_read_size",
            "socket_type",
        ),
        _passed_on(
            anything, "Passed on to redis-py's connection. For programs, whose values may be objects."
        ),
    ),
}

#: Settings without effect, accepted because configurations of version 1.1 have them. Replies are always
#: decoded in the same way, and a repeated request is counted once.
NO_EFFECT: Table = dict.fromkeys(
    ("decode_responses", "encoding", "encoding_errors", "retry", "retry_on_error", "retry_on_timeout"),
    Setting(anything, "No effect.", "1.1"),
)

REDIS: Table = {**settings_of(RedisConfig), **TLS, **CREDENTIALS, **PASSED_ON, **NO_EFFECT}

SENTINEL: Table = {**settings_of(SentinelConfig), **credentials_table("AUTH", "2.0")}
