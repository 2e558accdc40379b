"""Answers of `GET /api/v1/overview` about groups that do not exist, for tests of the page."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

#: Time of the answers: 14 November 2023, 22:13:20 UTC.
NOW = 1_700_000_000.0
LENGTH_S = 300.0
N_SLOTS = 48


def answer(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Returns an answer with these rows."""
    return {
        "now": NOW,
        "version": "2.0",
        "revision": "test-1",
        "master_alive": True,
        "groups": rows,
        **changes,
    }


def row(name: str, **changes: Any) -> dict[str, Any]:
    """Returns the row of a group without a problem."""
    start = NOW - NOW % LENGTH_S
    return {
        "name": name,
        "title": name.capitalize(),
        "unit": "events",
        "interval": "5m",
        "length_s": LENGTH_S,
        "intervals": [
            {"name": "5m", "length_s": LENGTH_S, "history": 60},
            {"name": "1h", "length_s": 3600.0, "history": 60},
        ],
        "problem": None,
        "alerts": [],
        "overdue_s": 0,
        "stale": False,
        "master_alive": True,
        "started": True,
        "last": {"start": start - LENGTH_S, "end": start, "sum": 1200},
        "current": {"start": start, "sum": 800},
        "change": {"against": "day", "before": 1000, "ratio": 0.2},
        "trend": trend([1000] * (N_SLOTS - 1) + [1200]),
        "open_sessions": None,
        **changes,
    }


def alert(name: str, **changes: Any) -> dict[str, Any]:
    """Returns a firing alert of a row."""
    return {
        "name": name,
        "severity": "critical",
        "value": 214,
        "since": NOW - 780,
        "interval": "5m",
        "reason": "",
        "limit": {"kind": "above", "value": 100, "percent": False, "of": []},
        **changes,
    }


def trend(counts: Sequence[int | None], **changes: Any) -> dict[str, Any]:
    """Returns a trend that ends with the last interval."""
    start = NOW - NOW % LENGTH_S - LENGTH_S * len(counts)
    return {"start": start, "counts": counts, "merged": [], "usual": [900, 1100], **changes}


def many(n: int) -> list[dict[str, Any]]:
    """Returns rows of groups with different counts, each fortieth with a problem."""
    return [_one_of_many(number, random.Random(number)) for number in range(n)]


def _one_of_many(number: int, chance: random.Random) -> dict[str, Any]:
    mean, phase = 10 ** chance.uniform(0.5, 6), chance.uniform(0, 6)
    counts = [
        round(mean * (1 + 0.6 * math.sin(phase + slot / 7)) * chance.uniform(0.9, 1.1)) for slot in range(49)
    ]
    known = sorted(counts)
    changes: dict[str, Any] = {"title": f"Service {number:03}", "unit": "requests"}
    if number % 40 == 0:
        changes |= {"problem": "alert", "alerts": [alert(f"too many errors {number}")]}
    return row(
        f"service-{number:03}",
        **changes,
        last={**row("")["last"], "sum": counts[-1]},
        current={**row("")["current"], "sum": counts[-1] // 2},
        change={"against": "day", "before": counts[20], "ratio": counts[-1] / max(1, counts[20]) - 1},
        trend=trend([*counts[1:]], usual=[known[4], known[-5]]),
    )
