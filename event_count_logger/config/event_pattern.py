"""Patterns of event IDs, in which `*` stands for any text."""

from __future__ import annotations

import re
from collections.abc import Iterable


def compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    """Returns an expression for event IDs that match one of the patterns."""
    return re.compile("|".join(".*".join(map(re.escape, each.split("*"))) for each in patterns), re.DOTALL)
