"""The service of `ecl alert`: follows all groups with rules, and delivers notifications."""

from __future__ import annotations

import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version

from event_count_logger.alerts.delivery import Delivery
from event_count_logger.alerts.group_alerts import GroupAlerts
from event_count_logger.alerts.outage import Outage
from event_count_logger.alerts.outbox import MemoryOutbox, StoredOutbox
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.errors import NotYet, Rejected, StoreError, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store import ServiceInfo, Store

#: Seconds between heartbeats.
_HEARTBEAT_S = 5.0

#: Seconds between checks of staleness and of repeats, and between looks at an empty outbox, which another
#: process may have filled before it was killed.
_LOOK_S = 5.0

#: Seconds until the next step of a group whose Redis is unavailable, or rejects a request.
_RETRY_S = 1.0

#: The longest pause of the main loop.
_LONGEST_PAUSE_S = 1.0


class Alerter:
    """Evaluates the rules of a configuration until it is closed. For one thread."""

    def __init__(self, config: Config, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._delivery = Delivery(log)
        self._memory = MemoryOutbox()
        self._next_memory_look = 0.0
        self._info = ServiceInfo(
            "alert", socket.gethostname(), os.getpid(), version("event-count-logger"), time.time()
        )
        self._groups: deque[_Scheduled] = deque()
        self._outage = Outage((), {})
        self.use(config)

    def use(self, config: Config) -> None:
        """Use a configuration. A rule that is gone is forgotten; its notifications are still sent."""
        previous = {each.alerts.group.name for each in self._groups if each.alerts.has_rules}
        self._delivery.use(config.notify)
        by_group = _rules_by_group(config)
        self._stop_heartbeats(previous - {group.name for group, rules in by_group.items() if rules})
        self._groups = deque(
            _Scheduled(GroupAlerts(self._store, group, rules, config.notify, self._log))
            for group, rules in by_group.items()
        )
        self._outage.use(config.alerts, config.notify)

    def step(self, alive: Callable[[], object] = lambda: None) -> float:
        """Evaluate and deliver all that is due; returns the seconds until the next step.

        Args:
            alive: Called between groups.
        """
        is_unavailable = False
        for scheduled in self._groups:
            alive()
            if is_unavailable and self._store.client.is_unavailable(scheduled.alerts.group):
                continue  # each request would wait for the time-out
            self._step(scheduled)
            is_unavailable = is_unavailable or self._store.client.is_unavailable(scheduled.alerts.group)
        self._groups.rotate(-1)  # another group tries first next time
        self._watch_for_outage(is_unavailable)
        if is_unavailable:
            return _RETRY_S
        due = min((each.due for each in self._groups), default=0.0)
        return min(max(0.0, due - time.monotonic()), _LONGEST_PAUSE_S)

    def close(self) -> None:
        """End all deliveries, and record that the service has stopped."""
        self._delivery.stop()
        self._stop_heartbeats({each.alerts.group.name for each in self._groups if each.alerts.has_rules})
        self._store.close()

    def _step(self, scheduled: _Scheduled) -> None:
        now = time.monotonic()
        if now < scheduled.not_before:
            return
        with self._handled(scheduled):
            scheduled.has_begun = scheduled.has_begun or scheduled.alerts.begin()
            if not scheduled.alerts.has_rules:
                wait = self._delivery.dispatch(StoredOutbox(self._store, scheduled.alerts.group))
                is_over = scheduled.has_begun and wait is None
                scheduled.not_before = math.inf if is_over else now + min(_LOOK_S, wait or _RETRY_S)
                return
            is_new = False
            if scheduled.next_follow <= now:
                is_new, wait_s = scheduled.alerts.follow()
                scheduled.next_follow = time.monotonic() + wait_s
            if scheduled.next_look <= now:
                scheduled.next_look = now + _LOOK_S
                is_new = scheduled.alerts.look() or is_new
            if is_new or scheduled.next_delivery <= now:
                wait = self._delivery.dispatch(StoredOutbox(self._store, scheduled.alerts.group))
                scheduled.next_delivery = now + min(_LOOK_S, _LOOK_S if wait is None else wait)
            if scheduled.next_heartbeat <= now:
                scheduled.next_heartbeat = now + _HEARTBEAT_S
                self._record(scheduled.alerts)
            scheduled.warned = ""

    @contextmanager
    def _handled(self, scheduled: _Scheduled) -> Iterator[None]:
        """Report errors of Redis, and repeat the step of the group later."""
        try:
            yield
            return
        except (Rejected, NotYet) as error:
            if scheduled.warned != str(error):
                scheduled.warned = str(error)
                self._log.warning(
                    "Alerts of group '%s' are not evaluated, retrying: %s", scheduled.alerts.group.name, error
                )
        except Unavailable:
            pass  # logged by the store
        scheduled.alerts.forget()
        scheduled.not_before = time.monotonic() + _RETRY_S

    def _record(self, alerts: GroupAlerts) -> None:
        self._store.services.record(alerts.group, self._described(alerts))

    def _described(self, alerts: GroupAlerts) -> ServiceInfo:
        failing = ", ".join(map(str, self._delivery.failing))
        fault = f"not sent to target {failing}, retrying" if failing else ""
        info = self._info
        return ServiceInfo(info.kind, info.host, info.pid, info.version, info.since, alerts.positions, fault)

    def _stop_heartbeats(self, names: set[str]) -> None:
        for each in self._groups:
            group = each.alerts.group
            if group.name in names and not self._store.client.is_unavailable(group):
                with suppress(StoreError):  # its heartbeats end anyway
                    self._store.services.record_stop(group, self._described(each.alerts))

    def _watch_for_outage(self, is_unavailable: bool) -> None:
        entries = self._outage.step(is_unavailable, time.time())
        self._memory.add(entries)
        for entry in entries:
            self._log.info("%s", entry.notification.text)
        if entries or self._next_memory_look <= time.monotonic():
            wait = self._delivery.dispatch(self._memory)
            self._next_memory_look = time.monotonic() + (_LOOK_S if wait is None else min(wait, _LOOK_S))


class _Scheduled:
    """The rules of a group, and the times of the next steps by the monotonic clock.

    `not_before` is that of all steps, after an error.
    """

    def __init__(self, alerts: GroupAlerts) -> None:
        self.alerts = alerts
        self.has_begun = False
        self.not_before = 0.0
        self.next_follow = self.next_look = self.next_delivery = self.next_heartbeat = 0.0
        self.warned = ""

    @property
    def due(self) -> float:
        """Time of the next step."""
        return max(self.not_before, min(self.next_follow, self.next_delivery))


def _rules_by_group(config: Config) -> Mapping[GroupConfig, list[AlertRule]]:
    """Returns all groups: the states of those whose rules are gone are removed."""
    rules = config.alerts
    return {group: [rule for rule in rules if rule.group == name] for name, group in config.groups.items()}
