"""From one configuration to the next while programs run: pure functions of both."""

from __future__ import annotations

from dataclasses import replace

from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.model import Config

#: Settings that say where the counts of a group are.
_WHERE = ("key_prefix", "n_shards", "layout")


def usable_at_once(old: Config, new: Config) -> tuple[Config, list[str]]:
    """The new configuration, except for what cannot be changed before the next start.

    Returns:
        What to go on with, and what stays as it was, such as `redis` or `groups.web`.
    """
    groups = {name: _where_it_was(old.groups.get(name), group) for name, group in new.groups.items()}
    kept = ["redis"] if new.redis != old.redis else []
    kept += [f"groups.{name}" for name, group in groups.items() if group != new.groups[name]]
    return replace(new, redis=old.redis, groups=groups), kept


def changes(old: Config, new: Config) -> list[str]:
    """What is different, in words."""
    both = old.groups.keys() & new.groups.keys()
    groups = {
        "added": new.groups.keys() - both,
        "removed": old.groups.keys() - both,
        "changed": {name for name in both if old.groups[name] != new.groups[name]},
    }
    of_groups = [f"groups {word}: {', '.join(sorted(names))}" for word, names in groups.items() if names]
    sections = ("serve", "grafana", "tail")
    return of_groups + [f"{each} changed" for each in sections if getattr(old, each) != getattr(new, each)]


def _where_it_was(old: GroupConfig | None, new: GroupConfig) -> GroupConfig:
    return replace(new, **{name: getattr(old, name) for name in _WHERE}) if old else new
