"""Acknowledgement of a firing alert."""

from __future__ import annotations

from event_count_logger.alerts import transitions
from event_count_logger.alerts.fields import acknowledgement_field, progress_field
from event_count_logger.alerts.notification import time_of
from event_count_logger.alerts.transitions import Acknowledgement
from event_count_logger.config import AlertRule, Config
from event_count_logger.store import Field, Store


class NotFiring(Exception):
    """The alert does not fire, so that there is nothing to acknowledge."""


def acknowledge(config: Config, rule: AlertRule, for_s: float | None) -> str:
    """Silence the repeats of a firing alert; returns a message.

    Args:
        config: The configuration.
        rule: The rule of the alert.
        for_s: Seconds of the silence; None to last until the alert is resolved.

    Raises:
        NotFiring: The alert does not fire.
        StoreError: Redis does not answer.
    """
    store, group = Store(config.redis), config.groups[rule.group]
    while True:
        fields = store.alerts.fields(group, "states")
        stored = fields.get(progress_field(rule), "")
        progress = transitions.parse(stored, rule)
        if progress is None or progress.since is None:
            raise NotFiring(f"alert '{rule.name}' does not fire")
        now = store.client.server_time(group)
        until = None if for_s is None else now + for_s
        silence = Acknowledgement(progress.since, until)
        expected = Field("states", progress_field(rule), stored)
        changed = Field("states", acknowledgement_field(rule), str(silence))
        if store.alerts.change(group, [expected], [changed]):
            ending = "it is resolved" if until is None else time_of(round(until))
            return f"alert '{rule.name}' is acknowledged until {ending}"
