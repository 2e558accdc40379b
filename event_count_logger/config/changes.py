"""Differences between two configurations, for programs that reload their configuration."""

from __future__ import annotations

from dataclasses import replace

from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.model import Config

#: Fields that decide in which keys the counts of a group are.
_KEYS = ("key_prefix", "n_shards", "layout")


def usable_at_once(old: Config, new: Config) -> tuple[Config, list[str]]:
    """Returns the new configuration, with the old values of parts that only a restart can change.

    Also returns the names of these parts, such as `redis` or `groups.web`.
    """
    groups = {name: _with_old_keys(old.groups.get(name), group) for name, group in new.groups.items()}
    kept = ["redis"] if new.redis != old.redis else []
    kept += [f"groups.{name}" for name, group in groups.items() if group != new.groups[name]]
    return replace(new, redis=old.redis, groups=groups), kept


def changes(old: Config, new: Config) -> list[str]:
    """Returns the differences as phrases, such as `groups added: web`."""
    both = old.groups.keys() & new.groups.keys()
    groups = {
        "added": new.groups.keys() - both,
        "removed": old.groups.keys() - both,
        "changed": {name for name in both if old.groups[name] != new.groups[name]},
    }
    of_groups = [f"groups {word}: {', '.join(sorted(names))}" for word, names in groups.items() if names]
    sections = ("serve", "grafana", "tail", "export", "notify", "alerts")
    return of_groups + [f"{each} changed" for each in sections if getattr(old, each) != getattr(new, each)]


def _with_old_keys(old: GroupConfig | None, new: GroupConfig) -> GroupConfig:
    return replace(new, **{name: getattr(old, name) for name in _KEYS}) if old else new
