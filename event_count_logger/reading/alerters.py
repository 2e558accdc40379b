"""Status of the alerters of each group with notifications, as their heartbeats in Redis show it."""

from __future__ import annotations

from dataclasses import dataclass

from event_count_logger.config import Config
from event_count_logger.store import ServiceInfo, Store


@dataclass(frozen=True, slots=True)
class AlerterStatus:
    """Status of the alerters of one group.

    Attributes:
        group: Name of the group.
        n_alerters: Number of alerters with a recent heartbeat.
        fault: The fault of the alerters, such as a target that cannot be reached, if all of them have one;
            else ''.
        hidden: True if the group is hidden.
    """

    group: str
    n_alerters: int
    fault: str = ""
    hidden: bool = False


def examine_alerters(config: Config, store: Store) -> tuple[list[ServiceInfo], list[AlerterStatus]]:
    """Returns the alerters, each once, and the status of each group with a rule that has targets.

    Raises:
        StoreError: Redis does not answer.
    """
    services: dict[str, ServiceInfo] = {}
    found = []
    for name in dict.fromkeys(rule.group for rule in config.alerts if rule.notify):
        group = config.groups[name]
        alerters = [service for service in store.services.of(group) if service.kind == "alert"]
        services |= {each.id: each for each in alerters}
        alive = [alerter for alerter in alerters if alerter.alive]
        fault = "" if any(not each.fault for each in alive) else next((each.fault for each in alive), "")
        found.append(AlerterStatus(name, len(alive), fault, group.hidden))
    return list(services.values()), found
