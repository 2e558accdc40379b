"""Sites for tests of the page, a browser to open them in, and functions that read the page.

A test file imports the fixtures that it uses.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from event_count_logger.config import Config, from_dicts
from event_count_logger.intervals import Interval
from event_count_logger.store import SessionAction, Store
from tests.browsers import chromium
from tests.conftest import BIN
from tests.days import let_midnight_pass
from tests.fixtures import Start, Write
from tests.groups import group_of
from tests.servers import Server, free_port

expect.set_options(timeout=20_000)


DAY = Interval.parse("24h")
DAY_S = 86_400

#: Longest duration of a test, in seconds.
LONGEST_TEST_S = 40

HOSTILE = [
    "<img src=x onerror=\"document.title='taken'\">",
    "\"><script>document.title='taken'</script>",
    "__proto__",
    "constructor",
    "é😀 \u202e",
]
BIG = 2**53 + 1
#: The intervals are too long to end during a test.
GROUPS: dict[str, Any] = {
    "web": {
        "events": ["ok", "error", "never"],
        "auto_declare_events": True,
        "intervals": ["24h", "48h"],
        "title": "Web",
        "unit": "requests",
        "labels": {"ok": "Fine"},
    },
    "use": {"events": ["Fine", "error", "e10", "e9", "never"], "intervals": ["24h", "48h"]},
    "late": {"events": ["a", "b"], "intervals": ["24h"]},
    "merged": {"events": ["a"], "intervals": ["24h"]},
    "hostile": {"auto_declare_events": True, "intervals": ["24h"]},
    "visits": {"events": ["shop", "blog"], "intervals": ["24h"], "sessions": {}, "unit": "visits"},
    "plain": {"events": ["shop", "shop:ms"], "intervals": ["24h"]},
    "histogram": {"auto_declare_events": True, "intervals": ["24h"]},
    "bare": {"events": ["a"], "intervals": ["24h"], "history": 0, "totals": False},
    "fresh": {"events": ["a"], "intervals": ["24h"]},
    "long": {"events": ["a", "b", "c d"], "intervals": ["15m"], "history": "9d", "labels": {"a": "Apples"}},
    "many": {"events": [f"customer:{number:05}" for number in range(10_000)], "intervals": ["24h"]},
}
#: The interval is short enough to end several times during a test.
SHORT = {"ticks": {"auto_declare_events": True, "intervals": ["1s"], "history": 60}}


def make_past(config: Config) -> None:
    """Count on past days, and rotate as a master would have done."""
    store = Store(config.redis)
    let_midnight_pass(store)
    today = int(DAY.start_of(store.client.server_time()))
    commits = count()

    def count_on_day(group: str, days_ago: int, counts: dict[str, int]) -> None:
        now = today - days_ago * DAY_S
        for interval in config.group(group).intervals:
            store.rotation.rotate(config.group(group), interval, now)
        at = next(commits)
        store.commits.commit(config.group(group), str(at), 0, 1, counts, now=now)

    count_on_day("web", 2, {"ok": 1000 * DAY_S, "error": 7})
    count_on_day("web", 1, {"ok": DAY_S // 2, "error": 1, "other": BIG})
    count_on_day("web", 0, {"ok": 54})
    count_on_day("use", 1, {"Fine": 30, "error": 20, "e10": 10, "e9": 40})
    count_on_day("use", 0, {})
    count_on_day("late", 2, {"a": 1})
    count_on_day("late", 1, {})
    count_on_day("merged", 4, {"a": 4 * DAY_S})
    count_on_day("merged", 0, {})
    count_on_day("hostile", 1, {event_id: 10 + number for number, event_id in enumerate(HOSTILE)})
    count_on_day("hostile", 0, {})
    for group in ("visits", "plain"):
        count_on_day(group, 2, {})
        count_on_day(group, 1, {"shop": 3, "shop:ms": 600_000})
        count_on_day(group, 0, {"shop": 1})
    visits = config.group("visits")
    visit = SessionAction("visitor", "blog", "start", store.client.server_time())
    store.commits.commit_actions(visits, [visit], now=today)
    count_on_day("bare", 0, {"a": 1})
    count_on_day("histogram", 2, {})
    count_on_day("histogram", 1, {"undefined": 1, "r": 5, "r:le:0.5": 2, "r:le:1": 4, "alone:le:1": 3})
    count_on_day("histogram", 0, {})
    events = config.group("many").events
    for days_ago in range(5, 0, -1):
        count_on_day(
            "many", days_ago, {event_id: days_ago + number for number, event_id in enumerate(events)}
        )
    count_on_day("many", 0, {})
    make_quarters(config, store, today)
    store.close()


def make_quarters(config: Config, store: Store, today: int) -> None:
    """Count in each quarter of an hour of the eight days before today; "c d" on the last of them only."""
    group = config.group("long")
    n_quarters = 8 * 96
    for number in range(n_quarters):
        now = today - (n_quarters - number) * 900
        store.rotation.rotate(group, group.intervals[0], now)
        counts = {"a": 1 + number % 10, "b": number, **({"c d": 5} if number >= 7 * 96 else {})}
        store.commits.commit(group, str(number), 0, 1, counts, now=now)
    store.rotation.rotate(group, group.intervals[0], today)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Site]]:
    """Returns a function that returns the site for the next test; after midnight, it is another one."""
    made: list[Site] = []

    def of_today() -> Site:
        if not made or made[-1].day_ends():
            directory = tmp_path_factory.mktemp("site")
            server = Server("valkey", directory)
            make_past(from_dicts(GROUPS, server.config))
            made.append(Site(server, directory))
        return made[-1]

    yield of_today
    for each in made:
        each.stop()
        each.server.kill()


@pytest.fixture
def site(sites: Callable[[], Site]) -> Site:
    """`ecl serve` with all groups and their history. Tests do not change them."""
    return sites()


class Site:
    """A running `ecl serve` of GROUPS."""

    def __init__(self, server: Server, directory: Path, *options: object) -> None:
        self.server = server
        self.file = directory / "serve.yml"
        self.file.write_text(yaml.safe_dump({"redis": server.config, "groups": GROUPS}, sort_keys=False))
        command = [BIN / "ecl", "serve", self.file, "--listen", "127.0.0.1:0", *options]
        self._process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        line = self._process.stderr.readline()
        address = re.search(r"http://\S+/", line)
        assert address, line
        self.url = address[0]
        self._day = self._now() // DAY_S

    def _now(self) -> int:
        with self.server.client as client:
            return int(client.time()[0])

    def day_ends(self) -> bool:
        """Returns whether the day on which it was made is over, or ends before a test could."""
        return (self._now() + LONGEST_TEST_S) // DAY_S > self._day

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A cache of files for all pages of a module."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", color_scheme="light")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page without errors in the console, without requests to other hosts, and with no settings stored."""
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    hosts: set[str | None] = set()

    def listen(message: ConsoleMessage) -> None:
        # Chromium logs each HTTP error. Some tests cause them.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    yield page
    if page.url != "about:blank":
        page.evaluate("localStorage.clear()")
    page.close()
    assert errors == []
    assert hosts <= {"127.0.0.1"}


def row(page: Page, name: str) -> Locator:
    return page.locator("#events tbody tr").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def cells(page: Page, name: str) -> list[str]:
    """Return last, current, rate and total of one event; of a range its sum, rate and total."""
    texts = row(page, name).locator("td.figure:not(.change)").all_inner_texts()
    return ["".join(text.split()) for text in texts]


def names(page: Page) -> list[str]:
    return page.locator("#events tbody th").all_inner_texts()


def badge(page: Page, text: str) -> Locator:
    return page.locator(".badge").filter(has_text=text)


def tile(page: Page, name: str) -> str:
    return "".join(page.locator(f"[data-tile={name}] .value").inner_text().split())


@pytest.fixture
def use(site: Site, page: Page) -> None:
    """Open the page of a group with counts."""
    page.goto(f"{site.url}#group=use&interval=24h")
    expect(page.locator("#events tbody tr").first).to_be_visible()


@pytest.fixture
def guarded(site: Site, tmp_path: Path) -> Iterator[Site]:
    """A site that requires a token."""
    token_file = tmp_path / "token"
    token_file.write_text("correct-horse\n")
    token_file.chmod(0o600)
    guarded = Site(site.server, tmp_path, "--token-file", token_file)
    yield guarded
    guarded.stop()


@pytest.fixture
def ticking(own_server: Server, start: Start, config_file: Write) -> Iterator[Ticking]:
    ticking = Ticking(own_server, start, config_file({"redis": own_server.config, "groups": SHORT}))
    yield ticking
    ticking.store.close()


class Ticking:
    """A master with an interval of 1 s, and `ecl serve`. Tests stop and start both."""

    def __init__(self, server: Server, start: Start, file: Path) -> None:
        self.server = server
        self.config = from_dicts(SHORT, server.config)
        self.store = Store(self.config.redis)
        self.port = free_port()
        self._start = start
        self._file = file
        self._sent = 0
        self.start_master()
        self.start_serving()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/#group=ticks&interval=1s"

    def start_master(self) -> None:
        self.master = self._start("ecl", "master", self._file, stderr=None)

    def start_serving(self) -> None:
        self.serving = self._start("ecl", "serve", self._file, "--listen", f"127.0.0.1:{self.port}")
        assert self.serving.stderr
        assert "Serving" in self.serving.stderr.readline()

    def count(self, counts: dict[str, int]) -> None:
        intervals = self.config.group("ticks").intervals
        self.store.commits.commit(group_of("ticks", intervals), "test", self._sent, self._sent + 1, counts)
        self._sent += 1

    def newest(self) -> int:
        """Return the number of the last finished interval; 0 for none."""
        finished = self.store.reads.history(group_of("ticks"), self.config.group("ticks").intervals[0], 1)
        return finished[0].position.number if finished else 0

    def stop(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait(60)


def spans(page: Page) -> list[tuple[float, float]]:
    """Return the left and right edge of each finished interval in the chart."""
    path = page.locator("#chart .base").get_attribute("d") or ""
    return [(float(left), float(right)) for left, right in re.findall(r"M(\S+) \S+H([^M]+)", path)]


def has_no_gap(drawn: list[tuple[float, float]]) -> bool:
    return all(abs(right - left) < 5 for (_, right), (left, _) in zip(drawn, drawn[1:], strict=False))


def legend(page: Page) -> Locator:
    return page.locator("#chart .legend .name")


def set_hidden(page: Page, is_hidden: bool) -> None:
    """Hide or show the page. A headless browser has no other tab to switch to."""
    page.evaluate(
        """isHidden => {
            Object.defineProperty(document, "hidden", { get: () => isHidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def contrast(page: Page, text: str, ground: str) -> float:
    def luminance(name: str) -> float:
        colour = page.evaluate(
            """name => {
                const probe = document.body.appendChild(document.createElement("i"));
                probe.style.color = `var(--${name})`;
                const { color } = getComputedStyle(probe);
                probe.remove();
                return color;
            }""",
            name,
        )
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(text), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def violations(page: Page, part: str | None = None) -> list[str]:
    """Returns what axe finds in the page, or in a part of it."""
    found = Axe().run(page, context=part)
    return [
        f"{each['id']}: {node['html']}" for each in found.response["violations"] for node in each["nodes"]
    ]
