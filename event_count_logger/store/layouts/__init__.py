"""How the counts of a group lie in Redis: one class for each way, all with the same methods."""

from __future__ import annotations

from collections.abc import Mapping

from event_count_logger.config.values import Layout
from event_count_logger.store.layouts.hash import HashLayout
from event_count_logger.store.layouts.keys import KeyLayout

#: By name, as in a configuration.
LAYOUTS: Mapping[Layout, type[KeyLayout | HashLayout]] = {"keys": KeyLayout, "hash": HashLayout}

__all__ = ["LAYOUTS", "HashLayout", "KeyLayout"]
