"""Layouts of a group's counts in Redis: one class for each, all with the same methods."""

from __future__ import annotations

from collections.abc import Mapping

from event_count_logger.config import GroupConfig, Layout
from event_count_logger.store.client import Client
from event_count_logger.store.layouts.hash_layout import HashLayout
from event_count_logger.store.layouts.key_layout import KeyLayout

#: By name, as in a configuration.
LAYOUTS: Mapping[Layout, type[KeyLayout | HashLayout]] = {"keys": KeyLayout, "hash": HashLayout}

__all__ = ["LAYOUTS", "HashLayout", "KeyLayout", "layout_of"]


def layout_of(group: GroupConfig, client: Client) -> KeyLayout | HashLayout:
    """Returns the layout of a group, in that database."""
    return LAYOUTS[group.layout](client)
