"""Heartbeats in Redis of the services that follow finished intervals: exporters and alerters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.store.client import Client
from event_count_logger.store.resp import text
from event_count_logger.store.results import MASTER_ALIVE_S, HistoryPosition

#: Seconds after its last heartbeat when a service is removed.
_FORGOTTEN_AFTER_S = 3600

#: The kinds of services.
Kind = Literal["export", "alert"]


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service, and its progress in one group, as in its last heartbeat.

    Attributes:
        kind: The kind of service.
        host: Name of its machine.
        pid: Its process ID.
        version: Version of this package.
        since: Start of the process, Unix seconds.
        positions: Position of the last interval that it has processed, by the name of the interval.
        fault: The current fault of the service, such as an unreachable database; '' without one.
        seen_s: Seconds since its last heartbeat.
        stopped: Whether it has ended regularly.
        once: Whether it ran once, up to the end of its work.
    """

    kind: Kind
    host: str
    pid: int
    version: str
    since: float
    positions: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    seen_s: float = 0
    stopped: bool = False
    once: bool = False

    @property
    def alive(self) -> bool:
        """Returns whether its heartbeat is recent and it has not stopped."""
        return not self.stopped and self.seen_s < MASTER_ALIVE_S

    @property
    def id(self) -> str:
        """A name that no other service has."""
        return f"{self.kind}:{self.host}:{self.pid}:{self.since:.3f}"

    def position(self, interval: str) -> HistoryPosition | None:
        """Returns the position of the last interval that it has processed; None if there is none."""
        found = self.positions.get(interval)
        return HistoryPosition.parse(found) if found else None


class Services:
    """The services of each group."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def of(self, group: GroupConfig) -> list[ServiceInfo]:
        """Returns the services of a group, oldest first.

        A service that has stopped, or whose last heartbeat is an hour old, is left out once another service
        has sent a heartbeat.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = _key(group)
        values = self._client.ask("HVALS", key, key=key)
        if not values:
            return []
        now = self._client.server_time(group)
        found = [_service_info(text(value), now) for value in values]
        return sorted(filter(None, found), key=lambda service: service.since)

    def record(self, group: GroupConfig, service: ServiceInfo) -> None:
        """Record a heartbeat of a service, with its progress in a group.

        Raises:
            Unavailable: No answer.
            Rejected: Not recorded.
        """
        described = asdict(service)
        del described["seen_s"]
        for name in ("stopped", "once"):
            if not described[name]:
                del described[name]
        arguments = [service.id, json.dumps(described), _FORGOTTEN_AFTER_S]
        self._client.run("heartbeat", [_key(group)], arguments)

    def record_stop(self, group: GroupConfig, service: ServiceInfo) -> None:
        """Record that a service no longer works for a group.

        Raises:
            Unavailable: No answer.
            Rejected: Not recorded.
        """
        self.record(group, replace(service, stopped=True))


def _key(group: GroupConfig) -> str:
    """Returns the key of a group's services. A split group has it in its first shard."""
    return keys.services(group.shard(0).prefix)


def _service_info(value: str, now: float) -> ServiceInfo | None:
    seen, _, described = value.partition(" ")
    try:
        service = ServiceInfo(**json.loads(described), seen_s=max(0.0, now - float(seen)))
        for position in service.positions.values():
            HistoryPosition.parse(position)
        return service
    except (AttributeError, ValueError, TypeError):
        return None  # not recorded by a service
