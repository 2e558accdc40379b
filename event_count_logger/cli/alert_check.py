"""`ecl alert --check` and `ecl alert --prometheus-rules`: alerts as other monitoring systems read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from event_count_logger.alerts.status import examine, rules_of
from event_count_logger.cli.base import warn
from event_count_logger.cli.plugin import exit_as_plugin
from event_count_logger.config import AlertRule, Config
from event_count_logger.render import alerts as render
from event_count_logger.render import prometheus_rules
from event_count_logger.store import Store


def check_alerts(config: Config, rules: Sequence[AlertRule] = ()) -> NoReturn:
    """Print the states of alerts in one line, and exit as a plugin of Nagios.

    Args:
        config: The configuration.
        rules: Some of its rules; none for all of them.

    Raises:
        Unavailable: Redis does not answer.
    """
    found = examine(config, Store(config.redis), rules or config.alerts)
    exit_as_plugin(render.state(found), render.sentence(found), render.values(found))


def print_prometheus_rules(config: Config) -> None:
    """Print the rule file of Prometheus, without rules of hidden groups, which have no metrics."""
    rules = rules_of(config, config.shown_groups)
    for rule in config.alerts:
        if rule not in rules:
            warn(f"alert '{rule.name}' is left out: group '{rule.group}' is hidden, and has no metrics")
    print(prometheus_rules.render(config, rules), end="")
