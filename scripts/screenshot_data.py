"""The groups of scripts/screenshots, and eight days of their counts.

Traffic follows the hour of the day. Something is wrong in some groups: errors, a drop, a late rotation, a
stale interval, and no master.
"""

from __future__ import annotations

import math
import random
from itertools import count
from typing import Any, NamedTuple

from event_count_logger.alerts.fields import progress_field
from event_count_logger.alerts.transitions import Progress, fingerprint
from event_count_logger.config import AlertRule, Config, GroupConfig
from event_count_logger.store import Store
from event_count_logger.store.alerts import Field
from event_count_logger.store.results import SessionAction

#: The counts are the same in each run.
SEED = 3

DAY_S, HOUR_S, STEP_S = 86_400, 3600, 300

#: Seconds to wait for Redis, which rotates 10,000 events at once.
PATIENCE_S = 60.0

#: Groups that the master does not rotate, or of which it rotates another interval only.
WITHOUT_MASTER, STALE = "legacy", "backups"


class Trouble(NamedTuple):
    """A time in which events are counted more or less often, by a factor."""

    from_s_ago: float
    to_s_ago: float
    factors: dict[str, float]

    def factor(self, event: str, ago_s: float) -> float:
        if not self.to_s_ago < ago_s <= self.from_s_ago:
            return 1.0
        return self.factors.get(event, self.factors.get("*", 1.0))


class Story(NamedTuple):
    """One group: its settings, the mean counts in five minutes, and its troubles."""

    settings: dict[str, Any]
    rates: dict[str, float]
    troubles: tuple[Trouble, ...] = ()
    days: float = 2.2


def _story(title: str, unit: str, rates: dict[str, float], *troubles: Trouble, **more: Any) -> Story:
    days = more.pop("days", 2.2)
    settings = {
        "title": title,
        "unit": unit,
        "events": list(rates),
        "intervals": ["5m", "1h"],
        "history": "9d",
    }
    return Story({**settings, **more}, rates, troubles, days)


STORIES: dict[str, Story] = {
    "web": _story(
        "Web requests",
        "requests",
        {
            "200": 41_200, "301": 2400, "304": 9800, "400": 130, "401": 420, "403": 60, "404": 1900,
            "429": 25, "500": 14, "502": 6, "503": 3, "504": 4,
        },
        Trouble(860, -HOUR_S, {"500": 260, "502": 90, "200": 0.86}),
        Trouble(3.3 * DAY_S, 3.22 * DAY_S, {"503": 900}),
        days=8.2,
        labels={"200": "200 OK", "404": "404 Not found", "500": "500 Server error", "502": "502 Bad gateway"},
    ),
    "checkout": _story(
        "Checkout", "steps", {"cart": 900, "address": 420, "paid": 260, "declined": 21},
        Trouble(40 * 60, -HOUR_S, {"paid": 0.06, "declined": 5, "cart": 0.7}),
    ),
    "logins": _story(
        "Logins", "logins", {"ok": 640, "wrong password": 70, "locked": 2},
        Trouble(50 * 60, -HOUR_S, {"wrong password": 14}),
    ),
    "api": _story("Public API", "calls", {"v1": 3300, "v2": 17_000, "rejected": 150}),
    "search": _story("Search", "queries", {"found": 5100, "nothing found": 480, "slow": 33}),
    "mail": _story("Mail", "messages", {"sent": 310, "bounced": 7, "deferred": 18}),
    "jobs": _story("Background jobs", "jobs", {"done": 2900, "retried": 140, "failed": 9}),
    "cache": _story("Cache", "look-ups", {"hit": 910_000, "miss": 44_000, "evicted": 3100}),
    "signups": _story("Sign-ups", "people", {"started": 41, "confirmed": 23}),
    "exports": _story("Exports", "files", {"csv": 34, "pdf": 61, "failed": 1}),
    "dns": _story("Name server", "queries", {"A": 22_000, "AAAA": 19_500, "MX": 300, "NXDOMAIN": 2300}),
    "visits": _story("Visits", "visits", {"shop": 310, "blog": 120}, sessions={}),
    STALE: _story("Backups", "files", {"copied": 820, "skipped": 4000, "failed": 0.2}),
    WITHOUT_MASTER: _story("Legacy import", "rows", {"imported": 72_000, "rejected": 320}, intervals=["1h"]),
    "customers": _story(
        "Customers", "requests", {f"customer-{n:05}": 9000 / (n + 3) ** 0.8 for n in range(10_000)},
        days=0.1, history=60, intervals=["5m"],
    ),
}  # fmt: skip

GROUPS = {name: story.settings for name, story in STORIES.items()}

ALERTS: list[dict[str, Any]] = [
    {"name": "server errors", "group": "web", "event": ["500", "502", "503"], "above": 500},
    {"name": "no payments", "group": "checkout", "event": "paid", "below": 40, "for": 3},
    {
        "name": "password guessing",
        "group": "logins",
        "event": "wrong password",
        "above": 300,
        "severity": "warning",
    },
]

#: How long ago each alert began to fire, in seconds.
FIRING_FOR_S = {"server errors": 860, "no payments": 1800, "password guessing": 3000}


def sections(address: dict[str, Any]) -> dict[str, object]:
    """Returns a configuration with all groups."""
    rules = [{**rule, "interval": "5m", "notify": "pager"} for rule in ALERTS]
    return {"redis": address, "groups": GROUPS, "notify": {"pager": {"command": ["true"]}}, "alerts": rules}


def sections_of_master(address: dict[str, Any]) -> dict[str, object]:
    """Returns the configuration of a master that leaves out what should be stale or without a master."""
    groups = {name: settings for name, settings in GROUPS.items() if name != WITHOUT_MASTER}
    return {"redis": address, "groups": {**groups, STALE: {**GROUPS[STALE], "intervals": ["1h"]}}}


def make_past(config: Config) -> None:
    """Count and rotate with the times of the last days."""
    store = Store(config.redis, timeout_s=PATIENCE_S)
    now = store.client.server_time()
    pasts = [_Past(store, config.group(name), story, now) for name, story in STORIES.items()]
    for past in pasts:
        past.make(now)
    for past in pasts:
        past.make(store.client.server_time())  # the first pass has taken some time
    for rule in config.alerts:
        _note_alert(store, config.group(rule.group), rule, now)
    store.close()


class _Past:
    """The past of one group."""

    def __init__(self, store: Store, group: GroupConfig, story: Story, now: float) -> None:
        self._store = store
        self._group = group
        self._story = story
        self._now = now
        self._positions = count()
        self._next = int(now - story.days * DAY_S) // STEP_S * STEP_S
        self._counted_part = 0.0  # of the interval at _next
        self._chance = random.Random(f"{SEED} {group.name}")

    def make(self, until: float) -> None:
        """Count until a time, from where the last call has ended."""
        for start in range(self._next, int(until) + 1, STEP_S):
            if not self._is_asleep(start):
                for interval in self._group.intervals:
                    self._store.rotation.rotate(self._group, interval, start)
            part = min(1.0, (until - start) / STEP_S)
            self._count(start, part - self._counted_part)
            self._counted_part = 0.0 if part == 1 else part
            self._next = start + STEP_S if part == 1 else start
        if self._group.name == "visits":
            self._open_sessions(until)

    def _is_asleep(self, start: float) -> bool:
        """Returns whether no master rotated the group then."""
        ago_s = self._now - start
        return (self._group.name == "exports" and 9000 < ago_s < 11_500) or (
            self._group.name == STALE and ago_s < 900
        )

    def _count(self, start: float, part: float) -> None:
        counts = {event: self._counted(event, start, part) for event in self._story.rates}
        if self._group.sessions:
            counts |= {
                f"{event}:ms": n * 1000 * self._chance.randint(150, 260) for event, n in counts.items()
            }
        found = {event: n for event, n in counts.items() if n}
        at = next(self._positions)
        self._store.commits.commit(self._group, "past", at, at + 1, found, now=start)

    def _counted(self, event: str, start: float, part: float) -> int:
        mean = self._story.rates[event] * part * traffic(start)
        for trouble in self._story.troubles:
            mean *= trouble.factor(event, self._now - start)
        return max(0, round(self._chance.gauss(mean, 0.04 * mean + 0.7 * math.sqrt(mean))))

    def _open_sessions(self, at: float) -> None:
        actions = [SessionAction(f"visitor {n}", "shop", "start", at) for n in range(17)]
        self._store.commits.commit_actions(self._group, actions, now=at)


def traffic(at: float) -> float:
    """Returns a factor for the traffic at a time: low at night, lower on weekends."""
    hour = at % DAY_S / HOUR_S
    day = 0.32 + 1.05 * _bump(hour, 11.5, 3.2) + 1.2 * _bump(hour, 19.5, 2.8)
    weekend = 0.72 if (at - 4 * HOUR_S) // DAY_S % 7 in (2, 3) else 1.0
    return day * weekend


def _bump(hour: float, middle: float, width: float) -> float:
    distance = min(abs(hour - middle), 24 - abs(hour - middle))
    return math.exp(-((distance / width) ** 2))


def _note_alert(store: Store, group: GroupConfig, rule: AlertRule, now: float) -> None:
    """Note when an alert began to fire, as `ecl alert` would have done."""
    end = now // STEP_S * STEP_S
    since = (now - FIRING_FOR_S[rule.name]) // STEP_S * STEP_S + 2 * STEP_S
    noted = Progress(fingerprint(rule), rule.n_in_a_row, since, None, end - STEP_S, end)
    store.alerts.change(group, [], [Field("states", progress_field(rule), str(noted))])
