"""The figures of the page are those of the API and of Redis, also under random use.

The counts of each group are multiples of a prime number of its own, and so are all their sums. The IDs of its
events begin with its name. A figure under the name of another group is therefore recognised at once.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from playwright.sync_api import Page, expect

from event_count_logger.config import Config, from_dicts
from event_count_logger.reading.reader import Reader
from event_count_logger.reading.times import Range
from event_count_logger.store import Store
from tests.conftest import BIN
from tests.days import DAY, DAY_S, let_midnight_pass
from tests.page_site import browser, context, page
from tests.servers import Server, wait_until

#: Seconds of random use.
SECONDS = float(os.environ.get("ECL_PAGE_SECONDS", "5"))

PRIMES = {"alpha": 10_007, "beta": 20_011, "gamma": 30_011, "live": 40_009}

GROUPS: dict[str, Any] = {
    name: {
        "title": name.capitalize(),
        "auto_declare_events": True,
        "intervals": ["24h", "48h"],
        "history": 30,
    }
    for name in PRIMES
}
GROUPS["live"]["intervals"] = ["1s", "5s"]

#: Finished days of the other groups.
N_DAYS = 6


class RandomSite:
    """`ecl serve` and a master, with groups whose figures are known."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.config: Config = from_dicts(GROUPS, server.config)
        self.store = Store(self.config.redis)
        self._file = folder / "random.yml"
        self._file.write_text(yaml.safe_dump({"redis": server.config, "groups": GROUPS}, sort_keys=False))
        self._positions = dict.fromkeys(GROUPS, 0)
        let_midnight_pass(self.store)
        self.today = DAY.start_of(self.store.client.server_time())
        for name in ("alpha", "beta", "gamma"):
            self._make_past(name)
        self._master = subprocess.Popen([BIN / "ecl", "master", self._file])
        command = f"{BIN / 'ecl'} serve {self._file} --listen 127.0.0.1:0"
        self._serving = subprocess.Popen(command.split(), stderr=subprocess.PIPE, text=True)
        assert self._serving.stderr
        found = re.search(r"http://127.0.0.1:([0-9]+)/", self._serving.stderr.readline())
        assert found
        self.url, self._port = found[0], int(found[1])

    def stop(self) -> None:
        for process in (self._master, self._serving):
            process.kill()
            process.communicate()
        self.store.close()

    def count(self, name: str, factor: int, at: float | None = None) -> None:
        """Count multiples of the prime number of a group."""
        prime = PRIMES[name]
        counts = {f"{name}:{event}": prime * (factor + event) for event in range(1, 8)}
        position = self._positions[name]
        self._positions[name] += 1
        self.store.commits.commit(self.config.group(name), "test", position, position + 1, counts, at)

    def _make_past(self, name: str) -> None:
        group = self.config.group(name)
        for days_ago in range(N_DAYS, -1, -1):
            at = self.today - days_ago * DAY_S
            for interval in group.intervals:
                self.store.rotation.rotate(group, interval, at)
            self.count(name, 10 * days_ago + len(name), at)

    def get(self, path: str, **query: object) -> Any:
        """Returns an answer of the API."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        connection.request("GET", f"/api/v1/{path}?{urlencode(query)}")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def finished(self, name: str, since: float = 0) -> list[dict[str, int]]:
        """Returns the counts of the finished days that Redis has since a time, oldest first."""
        found = Reader(self.store).between(self.config.group(name), DAY, Range(since))
        return [dict(snapshot.counts) for snapshot in found]


@pytest.fixture(scope="module")
def random_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomSite]:
    folder = tmp_path_factory.mktemp("random")
    server = Server("valkey", folder)
    site = RandomSite(server, folder)
    yield site
    site.stop()
    server.kill()


def figures(page: Page, column: str) -> dict[str, int]:
    """Returns the figures of a column of the table, by the ID of the event."""
    found = page.evaluate(
        """column => [...document.querySelectorAll("#events tbody tr")].map((row) =>
            [row.dataset.event, row.querySelector(`.${column}`)?.textContent ?? ""])""",
        column,
    )
    return {event: int(digits) for event, text in found if (digits := re.sub("[^0-9]", "", text))}


def tile(page: Page, name: str) -> int:
    return int(re.sub("[^0-9]", "", page.locator(f"[data-tile={name}] .value").inner_text()))


# Figures


def test_figures_of_a_group_are_those_of_api_and_redis(random_site: RandomSite, page: Page) -> None:
    page.goto(f"{random_site.url}#group=beta&interval=24h")
    last = random_site.server.counts("beta", "24h", "last")
    current = random_site.server.counts("beta", "24h", "cur")
    wait_until(partial(_shows, page, last))
    answer = random_site.get("groups/beta/24h")
    assert figures(page, "last") == answer["last"]["counts"] == last
    assert figures(page, "current") == answer["current"]["counts"] == current
    days = random_site.finished("beta")
    totals = {event: sum(day[event] for day in days) + current[event] for event in last}
    assert figures(page, "total") == answer["totals"] == totals
    assert (tile(page, "last"), tile(page, "current")) == (sum(last.values()), sum(current.values()))
    assert (answer["sums"]["last"], answer["sums"]["current"]) == (sum(last.values()), sum(current.values()))


def test_figures_of_a_range_are_those_of_api_and_redis(random_site: RandomSite, page: Page) -> None:
    since, until = random_site.today - 4 * DAY_S, random_site.today - DAY_S
    page.goto(f"{random_site.url}#group=gamma&interval=24h&since={since:.0f}&until={until:.0f}")
    days = random_site.finished("gamma", since)[:3]
    sums = {event: sum(day[event] for day in days) for event in days[0]}
    wait_until(lambda: figures(page, "sum") == sums)
    answer = random_site.get("groups/gamma/24h", since=since, until=until)
    assert answer["range"]["counts"] == sums
    assert tile(page, "sum") == answer["range"]["sum"] == sum(sums.values())


def test_figures_of_an_event_are_those_of_api_and_redis(random_site: RandomSite, page: Page) -> None:
    page.goto(f"{random_site.url}#group=alpha&interval=24h&event=alpha%3A3")
    counts = [day["alpha:3"] for day in random_site.finished("alpha")]
    rows = page.locator("#history tbody tr td:nth-child(2)")
    expect(rows).to_have_count(len(counts))
    shown = [int(re.sub("[^0-9]", "", text)) for text in rows.all_inner_texts()]
    answer = random_site.get("groups/alpha/24h", history=30)
    assert shown[::-1] == answer["history"]["counts"]["alpha:3"] == counts
    assert tile(page, "last") == counts[-1]


def test_figures_of_the_overview_are_those_of_api_and_redis(random_site: RandomSite, page: Page) -> None:
    page.goto(random_site.url)
    rows = {row["name"]: row for row in random_site.get("overview")["groups"]}
    for name in ("alpha", "beta", "gamma"):
        last = sum(random_site.server.counts(name, "24h", "last").values())
        current = sum(random_site.server.counts(name, "24h", "cur").values())
        assert (rows[name]["last"]["sum"], rows[name]["current"]["sum"]) == (last, current)
        row = page.locator(f"#sections [data-group={name}]")
        for column, count in (("last", last), ("current", current)):
            expect(row.locator(f".figure.{column} b")).to_have_text(re.compile(_spaced(count)))


def _spaced(count: int) -> str:
    """Returns a pattern for a count with any spaces between its digits."""
    return r"\s*".join(str(count))


# Random use

#: Delays each answer at random, so that answers overtake each other.
DELAYED = """(() => {
    let seed = %(seed)d;
    const chance = () => (seed = (seed * 48271) %% 2147483647) / 2147483647;
    const fetched = window.fetch;
    window.fetch = async (...request) => {
        const answer = await fetched(...request);
        if (chance() < 0.7) await new Promise((done) => setTimeout(done, 400 * chance() ** 2));
        return answer;
    };
})()"""

#: Looks at each frame for figures of a group under the name of another one.
WATCHED = """(() => {
    const primes = new Map(Object.entries(%(primes)s));
    const COLUMNS = ["last", "current", "total", "sum"];
    window.foreign = [];
    window.n_looked = 0;
    const shown = (node) => node?.checkVisibility?.() ?? false;
    const find = (selector) => document.querySelectorAll(selector);
    const all = (part, cells) => shown(find(part)[0]) ? find(cells) : [];
    const wrong = (what, text, title) => window.foreign.push(`${title}: ${what} ${text} (${location.hash})`);
    const check = () => {
        if (!shown(document.querySelector("#figures"))) return;
        const title = document.title.split(" · ").at(-2) ?? "";
        const prime = primes.get(title.toLowerCase());
        if (prime === undefined) return;
        window.n_looked += 1;
        const count = (node, what) => {
            const digits = node?.textContent.replace(/[^0-9]/g, "") ?? "";
            if (digits && BigInt(digits) %% BigInt(prime) !== 0n) wrong(what, node.textContent, title);
        };
        const event = (id) => {
            if (id && !id.startsWith(`${title.toLowerCase()}:`)) wrong("event", id, title);
        };
        for (const row of all("#list", "#events tbody tr")) {
            event(row.dataset.event);
            for (const name of COLUMNS) count(row.querySelector(`.${name}`), name);
        }
        for (const name of [...COLUMNS, "highest"]) {
            const tile = document.querySelector(`[data-tile="${name}"]`);
            if (shown(tile)) count(tile.querySelector(".value"), `tile ${name}`);
        }
        for (const name of document.querySelectorAll("#chart .legend .name")) {
            if (name.textContent.includes(":")) event(name.textContent.trim());
        }
        for (const cell of all("#event", "#history td:nth-child(2)")) count(cell, "history");
    };
    const look = () => {
        try { check(); } catch (error) { window.foreign.push(String(error)); }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})()"""


#: Goes back, but never to the empty page before the first view.
BACK = "() => { if (navigation.canGoBack) Promise.allSettled(Object.values(navigation.back())); }"


def random_hash(chance: random.Random) -> str:
    """Returns the address of a random view."""
    name = chance.choice(list(GROUPS))
    parts: dict[str, object] = {"group": name, "interval": chance.choice(GROUPS[name]["intervals"])}
    if chance.random() < 0.5:
        parts["range"] = chance.choice(["1h", "6h", "24h", "7d"])
    if chance.random() < 0.3:
        parts["compare"] = chance.choice(["interval", "day", "week"])
    if chance.random() < 0.25:
        parts["event"] = f"{name}:{chance.randrange(1, 8)}"
    elif chance.random() < 0.2:
        parts["filter"] = chance.choice([":1", name, ":3"])
    if chance.random() < 0.2:
        parts["chart"] = chance.choice(["lines", "share"])
    return f"#{urlencode(parts)}" if chance.random() < 0.85 else "#"


def test_random_switching_never_shows_figures_of_another_group(
    random_site: RandomSite, page: Page, chance: random.Random, seed: int
) -> None:
    page.add_init_script(DELAYED % {"seed": 1 + seed % 2147483646})
    page.add_init_script(WATCHED % {"primes": json.dumps(PRIMES)})
    page.goto(f"{random_site.url}{random_hash(chance)}")
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        random_site.count("live", chance.randrange(1, 1000))
        if chance.random() < 0.15:
            page.evaluate(BACK)
        else:
            page.evaluate("hash => { location.hash = hash; }", random_hash(chance))
        page.wait_for_timeout(chance.choice([0, 0, 20, 80, 200, 500]))
        assert page.evaluate("window.foreign") == []
    for name in ("alpha", "beta", "gamma", "alpha"):
        page.evaluate("hash => { location.hash = hash; }", f"#group={name}&interval=24h")
        wait_until(partial(_shows, page, random_site.server.counts(name, "24h", "last")))
    assert page.evaluate("window.foreign") == []
    assert page.evaluate("window.n_looked") > 0, "the page showed figures"


def _shows(page: Page, last: dict[str, int]) -> bool:
    return figures(page, "last") == last
