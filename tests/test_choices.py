"""Messages about a name that is not configured list the configured ones."""

from __future__ import annotations

import pytest

from event_count_logger import NotConfigured
from event_count_logger.config import from_dicts
from event_count_logger.config.choices import choices


@pytest.mark.parametrize(
    ("wanted", "names", "shown"),
    [
        ("reqests", ["http", "requests", "other"], " (configured: requests, http, other)"),
        ("zzz", ["b", "a"], " (configured: b, a)"),
        ("15m", ["1h", "5m"], " (configured: 5m, 1h)"),
        ("x", [], ""),
    ],
)
def test_similar_names_are_listed_first(wanted: str, names: list[str], shown: str) -> None:
    assert choices(wanted, names) == shown


def test_at_most_twelve_names_are_listed() -> None:
    listed = choices("x", [f"g{n}" for n in range(1, 1016)])
    assert listed == " (configured: g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, g11, g12 and 1,003 more)"


def test_unknown_group_error_lists_no_hidden_group() -> None:
    groups = {
        "web": {"events": ["ok"], "intervals": ["5m"]},
        "secret": {"events": ["ok"], "intervals": ["5m"], "hidden": True},
    }
    with pytest.raises(NotConfigured, match=r"Group 'x' not found in configuration \(configured: web\)$"):
        from_dicts(groups).group("x")
