"""Checks of the section `redis`: settings against each other, and the files and variables they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from event_count_logger.config.credentials import readable, take_credentials
from event_count_logger.config.redis_settings import (
    DEFAULT_PORT,
    NO_EFFECT,
    PASSED_ON,
    REDIS,
    SENTINEL,
    TLS,
    TLS_FILES,
    Address,
    RedisConfig,
    SentinelConfig,
)
from event_count_logger.config.report import Report
from event_count_logger.config.settings import check_section

_PLACE = ("redis",)

#: Settings that give the address of Redis.
_ADDRESSES = ("url", "embedded", "sentinel", "nodes", "host", "port")


def check_redis(given: object, report: Report, base: Path) -> RedisConfig:
    """Returns the values of the section; paths in it are relative to `base`."""
    values = check_section(REDIS, given, _PLACE, report, strict=True)
    if not values:
        return RedisConfig()
    _check_address(values, report)
    _check_tls(values, report)
    options = {key: values.pop(key) for key in (*PASSED_ON, *TLS) if key in values}
    for name in TLS_FILES:
        if name in options:
            options[name] = str(readable(options[name], (*_PLACE, name), report, base))
    options |= take_credentials(values, _PLACE, report, base)
    if "embedded" in values:
        values["embedded"] = base / values["embedded"]
    if "sentinel" in values:
        values["sentinel"] = _sentinel(values["sentinel"], report, base)
    if values.get("cluster"):
        values.setdefault("nodes", (_start_node(values),))
    if "socket_timeout" in values:
        values.setdefault("socket_connect_timeout", values["socket_timeout"])
    return RedisConfig(**{key: values[key] for key in values if key not in NO_EFFECT}, options=options)


def _check_address(values: Mapping[str, Any], report: Report) -> None:
    given = [name for name in _ADDRESSES if name in values]
    if len(given) > 1 and given != ["host", "port"]:
        report(
            (*_PLACE, given[1]), f"is given beside '{given[0]}': only one of them can be the address of Redis"
        )
    if "url" in values and "db" in values:
        report((*_PLACE, "db"), "is given beside 'url': write it into the address, as in redis://host:6379/1")
    if values.get("cluster"):
        _check_cluster(values, given, report)
    elif "nodes" in values:
        report((*_PLACE, "nodes"), "are the nodes of a cluster: 'cluster: true' is needed beside them")


def _check_cluster(values: Mapping[str, Any], given: list[str], report: Report) -> None:
    for name in ("embedded", "sentinel"):
        if name in given:
            report((*_PLACE, name), "is given beside 'cluster: true': such a server is no cluster")
    if values.get("db"):
        shown = report.shown((*_PLACE, "db"), values["db"])
        report((*_PLACE, "db"), f"{shown} is not in a cluster, which has database 0 only")
    if "url" in values:
        parts = urlsplit(values["url"])
        if parts.scheme == "unix":
            report((*_PLACE, "url"), "is the address of a unix socket, which cannot belong to a cluster")
        elif parts.path.strip("/0"):
            shown = report.shown((*_PLACE, "url"), parts.path)
            report((*_PLACE, "url"), f"{shown} in the address is not in a cluster, which has database 0 only")


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
            report((*_PLACE, name), "has no effect without TLS: 'ssl: true' is needed beside it")


def _sentinel(given: object, report: Report, base: Path) -> SentinelConfig | None:
    place = (*_PLACE, "sentinel")
    values = check_section(SENTINEL, given, place, report, strict=True)
    if values is None:
        return None
    # None keeps redis-py from using the credentials of the database: sentinels have users of their own.
    options = {"username": None, "password": None, **take_credentials(values, place, report, base)}
    return SentinelConfig(values["nodes"], values["service"], options)
