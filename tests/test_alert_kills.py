"""Repeated kills of `ecl alert` and of Redis while counts cross limits: each crossing is notified."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from event_count_logger.alerts.notification import notification_id
from event_count_logger.alerts.transitions import Kind
from event_count_logger.config import AlertRule, Config, RedisConfig, from_file
from event_count_logger.errors import StoreError
from event_count_logger.store import Store
from tests.fixtures import Start
from tests.servers import Server, wait_until

#: Number of kills, which ECL_ALERT_KILLS in the environment changes, and of finished intervals.
KILLS = int(os.environ.get("ECL_ALERT_KILLS", "3"))
INTERVALS = 100 * KILLS

#: Seconds for all notifications behind the last interval.
SETTLE_S = 100

LIMIT = 10

#: Notifications that wait for the target. More than a thousand would be given up.
MOST_WAITING = 300


class Feed:
    """Finishes intervals of one second of the past, one by one, with counts that cross a limit at random."""

    def __init__(self, config: Config, chance: random.Random) -> None:
        self.group = config.groups["g"]
        self.store = Store(config.redis)
        self.chance = chance
        self.start = float(int(time.time()) - 2 * INTERVALS - 100)
        self.counts: list[int] = []

    def end_of(self, number: int) -> float:
        return self.start + number + 1

    def finish_one(self) -> None:
        number = len(self.counts)
        last = self.counts[-1] if self.counts else 0
        is_above = (last > LIMIT) != (self.chance.random() < 0.1)
        count = self.chance.randrange(LIMIT + 1, 1000) if is_above else self.chance.randrange(LIMIT + 1)
        at = self.start + number + 0.5
        self._until_done(
            lambda: self.store.commits.commit(
                self.group, "feed", number, number + 1, {"error": count, "ok": 100}, at
            )
        )
        rotated = self._until_done(
            lambda: self.store.rotation.rotate(
                self.group, self.group.intervals[0], self.end_of(number) + 0.01
            )
        )
        assert rotated
        self.counts.append(count)

    def _until_done(self, act: Callable[[], Any]) -> Any:
        while True:
            try:
                return act()
            except StoreError:
                time.sleep(0.02)


def expected(feed: Feed, rule: AlertRule) -> Iterator[tuple[str, Kind]]:
    """Yields the notifications of a rule, by a model that is simpler than the code."""
    since: float | None = None
    for number in range(len(feed.counts)):
        row = feed.counts[max(0, number + 1 - rule.n_in_a_row) : number + 1]
        is_whole = len(row) == rule.n_in_a_row and all(count > LIMIT for count in row)
        if since is None and is_whole:
            since = feed.end_of(number)
            yield notification_id(rule, "firing", since), "firing"
        elif since is not None and row[-1] <= LIMIT:
            yield notification_id(rule, "resolved", since), "resolved"
            since = None


def sent(file: Path) -> list[dict[str, Any]]:
    """Returns what the target has received; a line may be cut off by the kill of its writer."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def test_each_crossing_is_notified_with_one_id_through_kills(
    own_server: Server, start: Start, tmp_path: Path, chance: random.Random
) -> None:
    file, config_file = tmp_path / "sent", tmp_path / "ecl.yml"
    program = tmp_path / "page"
    program.write_text(f'#!/bin/sh\nread -r line\nprintf "%s\\n" "$line" >> {file}\n')
    program.chmod(0o755)
    rule = {"group": "g", "event": "error", "above": LIMIT}
    config_file.write_text(
        json.dumps(
            {
                "redis": own_server.config,
                "groups": {"g": {"events": ["ok", "error"], "intervals": ["1s"], "history": INTERVALS + 100}},
                "notify": {
                    "script": {"command": [str(program)], "timeout": "2s"},
                    "hangs": {"command": ["sleep", "20"], "timeout": "2s"},
                },
                "alerts": [
                    {"name": "hanging", **rule, "notify": "hangs"},
                    {"name": "above", **rule, "notify": "script"},
                    {"name": "row", **rule, "for": 3, "notify": ["hangs", "script"]},
                ],
            }
        )
    )
    config = from_file(config_file)
    feed = Feed(config, chance)

    def daemon() -> subprocess.Popen[str]:
        return start("ecl", "alert", config_file, stdout=subprocess.DEVNULL, stderr=log)

    def n_waiting() -> int:
        entries = position.fields(feed.group, "notifications")
        return sum(key.endswith(":script:0") for key in entries)

    with (tmp_path / "log").open("w") as log:
        feed.store.rotation.rotate(feed.group, feed.group.intervals[0], feed.start)
        daemons = [daemon()]
        position = Store(RedisConfig(**own_server.config)).alerts
        wait_until(lambda: "position:1s" in position.fields(feed.group, "states"), what="it follows")
        daemons.append(daemon())
        for _ in range(KILLS):
            for _ in range(INTERVALS // KILLS):
                feed.finish_one()
            wait_until(lambda: n_waiting() < MOST_WAITING, SETTLE_S, "the target keeps pace")
            if chance.random() < 0.3:
                own_server.kill()
                time.sleep(chance.uniform(0, 0.5))
                own_server.start()
            else:
                number = chance.randrange(2)
                daemons[number].kill()
                daemons[number].wait()
                daemons[number] = daemon()
        wanted = {id: (rule.name, kind) for rule in config.alerts[1:] for id, kind in expected(feed, rule)}
        wait_until(
            lambda: wanted.keys() <= {each["id"] for each in sent(file)},
            SETTLE_S,
            what=f"{len(wanted)} notifications are sent",
        )
        for each in daemons:
            each.terminate()
            each.wait(60)
    found = sent(file)
    assert {each["id"]: (each["alert"], each["kind"]) for each in found} == wanted
    again = sum(Counter(each["id"] for each in found).values()) - len(wanted)
    print(f"{INTERVALS} intervals, {KILLS} kills: {len(wanted)} notifications, {again} of them sent again")
    in_order = [each for each in found if each["alert"] == "above"]
    firsts = list(dict.fromkeys(each["id"] for each in in_order))
    assert firsts == [id for id, (name, _) in wanted.items() if name == "above"]
