"""The sessions of one ID, calculated from all of its reports at once: what any order of arrival must give."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence
from itertools import groupby, pairwise

from event_count_logger.config.session_actions import ActionName

Report = tuple[ActionName, float]

ONE_HEARTBEAT: list[ActionName] = ["heartbeat"]


def counted(
    reports: Collection[Report], timeout: float = math.inf, expire_after: float = math.inf
) -> tuple[int, float]:
    """Returns the number of sessions and their time."""
    n, total, is_open, before = 0, 0.0, False, -math.inf
    for at, group in groupby(
        sorted(set(reports), key=lambda report: report[1]), key=lambda report: report[1]
    ):
        names = {name for name, _ in group}
        is_first = at - before > expire_after or n == 0
        was_open = is_open and not is_first
        if was_open and ("start" not in names or "end" in names):
            total += min(at - before, timeout)
        if was_open:
            begins, is_open = {"start", "end"} <= names, "end" not in names or "start" in names
        else:
            begins = is_first or "start" in names
            is_open = begins and "end" not in names
        n += begins
        before = at
    return n, total


def never_falls(arrived: Sequence[Report], timeout: float, expire_after: float) -> bool:
    """Returns whether no report makes the sessions fewer or shorter."""
    found = [counted(arrived[:number], timeout, expire_after) for number in range(len(arrived) + 1)]
    return all(n <= later_n and s <= later_s for (n, s), (later_n, later_s) in pairwise(found))


def some_visits(chance: random.Random, begin: float) -> list[Report]:
    """Returns the reports of an ID that comes back, in the order of their times. Some are missing."""
    reports: list[Report] = []
    at = begin
    for _ in range(chance.randrange(1, 5)):
        names: list[ActionName] = ["start", *ONE_HEARTBEAT * chance.randrange(4), "end"]
        for name in names:
            reports.append((name, at))
            at += chance.choice([0, 1, 5, 10, 30, 90])
        at += chance.choice([0, 20, 70, 200])
    return [report for report in reports if chance.random() < 0.95] or reports


def shuffled(chance: random.Random, reports: Sequence[Report]) -> list[Report]:
    """Returns the reports in another order, sometimes only a little, with some of them repeated."""
    arrived = [*reports, *chance.choices(reports, k=2)]
    late = chance.choice([2, 5, 1000])
    places = [number + chance.uniform(0, late) for number in range(len(arrived))]
    return [report for _, report in sorted(zip(places, arrived, strict=True))]
