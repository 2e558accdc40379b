"""How to reach Redis, as the section `redis` says it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from event_count_logger.config.checks import check
from event_count_logger.config.model import DEFAULT_PORT, Address, RedisConfig, SentinelConfig
from event_count_logger.config.redis_rules import (
    NO_EFFECT,
    PASSED_ON,
    REDIS,
    SECRETS,
    SENTINEL,
    TLS,
    TLS_FILES,
)
from event_count_logger.config.report import Place, Report

_PLACE = ("redis",)

#: What can say where Redis is.
_WAYS = ("url", "embedded", "sentinel", "nodes", "host", "port")


def check_redis(section: object, report: Report, base: Path) -> RedisConfig:
    """What a section says; paths in it are relative to `base`."""
    values = check(REDIS, section, _PLACE, report, strict=True)
    if not values:
        return RedisConfig()
    _check_way(values, report)
    _check_tls(values, report)
    options = {key: values.pop(key) for key in (*PASSED_ON, *TLS) if key in values}
    for name in TLS_FILES:
        if name in options:
            options[name] = _file(options[name], (*_PLACE, name), report, base)
    options |= _secrets(values, _PLACE, report, base)
    if "embedded" in values:
        values["embedded"] = base / os.path.expanduser(values["embedded"])
    if "sentinel" in values:
        values["sentinel"] = _sentinel(values["sentinel"], report, base)
    if values.get("cluster"):
        values.setdefault("nodes", (_start_node(values),))
    if "socket_timeout" in values:
        values.setdefault("socket_connect_timeout", values["socket_timeout"])
    return RedisConfig(**{key: values[key] for key in values if key not in NO_EFFECT}, options=options)


def _check_way(values: Mapping[str, Any], report: Report) -> None:
    ways = [way for way in _WAYS if way in values]
    if len(ways) > 1 and ways != ["host", "port"]:
        report((*_PLACE, ways[1]), f"is given beside '{ways[0]}': only one of them can say where Redis is")
    if "url" in values and "db" in values:
        report((*_PLACE, "db"), "is given beside 'url': write it into the address, as in redis://host:6379/1")
    if values.get("cluster"):
        _check_cluster(values, ways, report)
    elif "nodes" in values:
        report((*_PLACE, "nodes"), "are the nodes of a cluster: it needs 'cluster: true' beside it")


def _check_cluster(values: Mapping[str, Any], ways: list[str], report: Report) -> None:
    for way in ("embedded", "sentinel"):
        if way in ways:
            report((*_PLACE, way), "is given beside 'cluster: true': such a server is no cluster")
    if values.get("db"):
        report((*_PLACE, "db"), f"{values['db']} is not in a cluster, which has database 0 only")
    if "url" in values:
        parts = urlsplit(values["url"])
        if parts.scheme == "unix":
            report((*_PLACE, "url"), "is the address of a unix socket, by which no cluster can be reached")
        elif parts.path.strip("/0"):
            report(
                (*_PLACE, "url"),
                f"'{parts.path}' in the address is not in a cluster, which has database 0 only",
            )


def _start_node(values: Mapping[str, Any]) -> Address:
    if "url" not in values:
        return values.get("host", "localhost"), values.get("port", DEFAULT_PORT)
    parts = urlsplit(values["url"])
    return parts.hostname or "localhost", parts.port or DEFAULT_PORT


def _check_tls(values: Mapping[str, Any], report: Report) -> None:
    url = values.get("url", "")
    if url and values.get("ssl") and not url.startswith("rediss:"):
        report((*_PLACE, "ssl"), "is given beside 'url': write rediss:// in place of redis://")
    if values.get("ssl") and "embedded" in values:
        report((*_PLACE, "ssl"), "is given beside 'embedded': a unix socket needs no TLS")
    if values.get("ssl") or url.startswith("rediss:"):
        return
    for name in TLS:
        if name in values:
            report((*_PLACE, name), "has no effect without TLS: it needs 'ssl: true' beside it")


def _sentinel(section: object, report: Report, base: Path) -> SentinelConfig | None:
    place = (*_PLACE, "sentinel")
    values = check(SENTINEL, section, place, report, strict=True)
    if values is None:
        return None
    # Not those of the database: sentinels have users of their own.
    options = {"username": None, "password": None, **_secrets(values, place, report, base)}
    return SentinelConfig(values["nodes"], values["service"], options)


def _secrets(values: dict[str, Any], place: Place, report: Report, base: Path) -> dict[str, str]:
    """User and password, taken out of `values`, and out of where else they may be."""
    secrets: dict[str, str] = {}
    for name, ways in SECRETS.items():
        given = {way: values.pop(way) for way in ways if way in values}
        if len(given) > 1:
            first, second, *_ = given
            report(
                (*place, second), f"is given beside '{first}': only one of them can say what the {name} is"
            )
        for way, value in given.items():
            secret = _secret(way, value, place, report, base)
            if secret is not None:
                secrets[name] = secret
    return secrets


def _secret(way: str, value: str, place: Place, report: Report, base: Path) -> str | None:
    if way.endswith("_env"):
        if value not in os.environ:
            report((*place, way), "names an environment variable that is not set")
        return os.environ.get(value)
    if way.endswith("_file"):
        path = _file(value, (*place, way), report, base)
        try:
            return Path(path).read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError):
            return None
    return value


def _file(name: str, place: Place, report: Report, base: Path) -> str:
    """The path of a file that must be there."""
    path = base / os.path.expanduser(name)
    try:
        path.open("rb").close()
    except OSError as error:
        report(place, f"'{path}' cannot be read: {error.strerror}")
    return str(path)
