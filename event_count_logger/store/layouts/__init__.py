"""How the counts of a group lie in Redis: one class for each way, all with the same methods."""

from __future__ import annotations

from collections.abc import Mapping

from event_count_logger.config.model import Layout
from event_count_logger.store.layouts.hash_layout import HashLayout
from event_count_logger.store.layouts.key_layout import KeyLayout

#: By name, as in a configuration.
LAYOUTS: Mapping[Layout, type[KeyLayout | HashLayout]] = {"keys": KeyLayout, "hash": HashLayout}

__all__ = ["LAYOUTS", "HashLayout", "KeyLayout"]
