"""Notifications while Redis is unavailable, from the memory of one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from event_count_logger.alerts.addresses import addresses
from event_count_logger.alerts.notification import notification
from event_count_logger.alerts.outbox import Entry
from event_count_logger.alerts.transitions import Kind, Progress, fingerprint
from event_count_logger.config import AlertRule, NotifyConfig

#: Seconds that Redis is unavailable before its stale rules fire.
OUTAGE_AFTER_S = 60.0


class Outage:
    """The outage of Redis, as this process sees it.

    Each address of the stale rules is notified once, in the name of its first rule.
    """

    def __init__(self, rules: Sequence[AlertRule], targets: Mapping[str, NotifyConfig]) -> None:
        self._since: float | None = None
        self._notified: list[tuple[AlertRule, str]] = []
        self.use(rules, targets)

    def use(self, rules: Sequence[AlertRule], targets: Mapping[str, NotifyConfig]) -> None:
        """Use the rules of a configuration; an outage goes on."""
        self._rules = [rule for rule in rules if rule.stale]
        self._targets = targets

    def step(self, unavailable: bool, now: float) -> list[Entry]:
        """Returns new notifications.

        Args:
            unavailable: Whether Redis is unavailable now.
            now: Unix seconds of this machine.
        """
        if not unavailable:
            over, since = self._notified, self._since
            self._notified, self._since = [], None
            return [_entry(rule, to, "resolved", since or now, now) for rule, to in over]
        if self._since is None:
            self._since = now
        if self._notified or now - self._since < OUTAGE_AFTER_S:
            return []
        first = {
            address.id: rule
            for rule in reversed(self._rules)
            for address in addresses(self._targets, rule.notify)
        }
        self._notified = [(rule, to) for to, rule in first.items()]
        return [_entry(rule, to, "firing", self._since, now) for rule, to in self._notified]


def _entry(rule: AlertRule, to: str, kind: Kind, since: float, now: float) -> Entry:
    progress = Progress(fingerprint(rule), 1, since, now - since, since, now, reason="Redis is unavailable")
    return Entry(notification(rule, rule.interval or "", kind, progress, now), to)
