"""Counts as an application with types does. Strict type checkers read this program; it is never run."""

from __future__ import annotations

import asyncio

from typing_extensions import assert_type

from event_count_logger import Counter, EventCountLogger, EventGroup, Outcome, Session
from event_count_logger.testing import RecordingEventCountLogger, capture_counts


def use(group: EventGroup) -> None:
    counter: Counter = group.counter("ok")
    counter.inc(2)
    session: Session = group.session("visitor 17", "ok")
    session.heartbeat()
    outcome: Outcome = group.outcome("ok", "failed")
    with outcome:
        group.log("ok", 3)


ecl = EventCountLogger.from_file("ecl.yml", missing="raise")
use(ecl["auth"])
use(ecl.get_group("auth", dummy=True))
assert_type(ecl["auth"], EventGroup)
assert_type(ecl.get_group("auth"), EventGroup | None)
assert_type(ecl.get_group("auth", False), EventGroup | None)


@ecl["auth"].outcome("ok", "failed")
def half(number: int, *, unit: str = "") -> float:
    return number / 2


@ecl["auth"].outcome("ok", "failed")
async def text(number: int) -> str:
    return str(half(number, unit="m"))


assert_type(half(3), float)
assert_type(asyncio.run(text(3)), str)

recorded = RecordingEventCountLogger.from_file("ecl.yml")
assert_type(recorded, RecordingEventCountLogger)
use(recorded["auth"])
assert_type(recorded["auth"]["ok"], int)
assert_type(dict(recorded["auth"]), dict[str, int])


def use_all(given: EventCountLogger) -> None:
    use(given["auth"])


use_all(recorded)
with RecordingEventCountLogger({}) as opened:
    assert_type(opened, RecordingEventCountLogger)

with capture_counts() as counts:
    use(counts["auth"])
    assert_type(counts["auth"]["ok"], int)
