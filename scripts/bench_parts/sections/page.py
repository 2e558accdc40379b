"""Times of the page of `ecl serve` in Chromium, sizes of its answers, and memory of many open streams."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from headless import chromium
from page_run import BIN, running, serving, write_config
from playwright.sync_api import Browser

from bench_parts.page_browser import Painted, View, Visitor, keystrokes, scrolling
from bench_parts.page_data import INTERVAL, MANY, WEEK, Sizes, counting, fill
from bench_parts.processes import Bench
from bench_parts.report import Section, Table, Target, at_least, at_most, middle, number
from bench_parts.streams import StreamCosts, measure

TEXT = """\
The page is opened in a headless Chromium of 1440 × 900 pixels on this machine, beside the server, Valkey and
a master. Times are from the navigation until rows with figures fill the screen: "cold" with an empty cache of
the browser, "warm" when the view is opened again. Each is a median of {runs}. "Files" is the time until
the files of the page have arrived, "answer" that of the request for the figures. "CPU" is processor time of
the page until then, which other programs do not change. The overview has {groups} groups. `many` has
{events:,} events with 60 intervals, and `week` has {week:,} intervals of `5m`. "Keystroke" is the time from a
key in the filter of `many` until its rows are on the screen. Frames are counted while its table scrolls.
"Streams" are {streams} clients of the overview and of `week`, while counts change twice per second. A tenth
of them never read."""

FIGURES = 'shows("#events tbody .figure") && document.querySelector("#chart svg path") !== null'

#: Rows of the overview that fill the screen.
_ROWS = 20

#: Keys of the filter: each of them changes the number of events.
KEYS = ["1", "2", "3", "Backspace", "Backspace", "Backspace", "9", "8", "Backspace", "Backspace"]

#: Seconds between two visits. The server keeps an answer for 0.4 s.
PAUSE_S = 0.5


#: Streams that the clients open in turn.
STREAMS = ("/api/v1/overview/stream", f"/api/v1/groups/{WEEK}/{INTERVAL}/stream?after=0")


def views(sizes: Sizes) -> dict[str, View]:
    filled = f"shows('#sections .row:nth-child({min(_ROWS, sizes.groups)}) .last')"
    return {
        "overview": View("", filled, "/api/v1/overview"),
        MANY: View(f"#group={MANY}&interval={INTERVAL}", FIGURES, f"/groups/{MANY}/{INTERVAL}"),
        WEEK: View(f"#group={WEEK}&interval={INTERVAL}&range=7d", FIGURES, f"/groups/{WEEK}/{INTERVAL}"),
    }


@dataclass(frozen=True)
class Visits:
    """The visits of one view."""

    cold: list[Painted]
    warm: list[Painted]

    @property
    def cold_ms(self) -> float | None:
        return _median([each.ms for each in self.cold])

    @property
    def warm_ms(self) -> float | None:
        return _median([each.ms for each in self.warm])

    @property
    def slowest_ms(self) -> float | None:
        times = [each.ms for each in (*self.cold, *self.warm)]
        return None if None in times else max(each for each in times if each is not None)

    @property
    def kb(self) -> float | None:
        return max(each.kb for each in self.cold) or None

    @property
    def sent_kb(self) -> float | None:
        return max(each.sent_kb for each in self.cold) or None


@dataclass(frozen=True)
class Use:
    """Times of keystrokes in the filter, and the frames while the table scrolls."""

    keys: list[float]
    cpu_of_key_ms: float
    frames: dict[str, float]
    cpu_of_frame_ms: float


def _median(times: list[float | None]) -> float | None:
    """Returns the median; None if the figures were not painted once."""
    return None if None in times else median(each for each in times if each is not None)


def run(bench: Bench) -> Section:
    sizes, repeats = Sizes.of(bench.effort), bench.effort.repeats
    n_streams = 500 if repeats > 1 else 20
    with ExitStack() as stack:
        file = stack.enter_context(_counted(bench, sizes))
        costs = _costs(file, n_streams, 10 if repeats > 1 else 1)
        url = stack.enter_context(serving(file))
        browser = stack.enter_context(chromium())
        visits = {name: _visits(browser, url, view, repeats) for name, view in views(sizes).items()}
        use = _use(browser, url, views(sizes)[MANY], 3 if repeats > 1 else 0.5)
    text = TEXT.format(
        runs=repeats, groups=sizes.groups, events=sizes.events, week=sizes.week, streams=n_streams
    )
    targets = [*_targets(visits), *_targets_of_use(use)]
    targets += [at_most(f"memory of ecl serve with {n_streams} streams", costs.mb_most, 200, "MB")]
    tables = [_table(visits), _table_of_use(use), _table_of_streams(n_streams, costs)]
    return Section("Page", text, tables, targets)


@contextmanager
def _counted(bench: Bench, sizes: Sizes) -> Iterator[Path]:
    """Fills the server, and runs a master. Yields the configuration."""
    address = {"host": "127.0.0.1", "port": bench.server.port}
    fill(sizes, address)
    file = write_config(bench.folder / "page.yml", {"redis": address, "groups": sizes.groups_settings()})
    with running(BIN / "ecl", "master", file):
        yield file


def _costs(file: Path, n_streams: int, seconds: float) -> StreamCosts:
    """Returns the costs of streams of a new `ecl serve`, a tenth of which are not read."""
    with running(BIN / "ecl", "serve", file, "--listen", "127.0.0.1:0") as process:
        assert process.stderr
        found = re.search(r"http://\S+?:([0-9]+)/", process.stderr.readline())
        assert found
        with counting(file) as count:
            return measure(process.pid, int(found[1]), STREAMS, n_streams, n_streams // 10, seconds, count)


def _visits(browser: Browser, url: str, view: View, repeats: int) -> Visits:
    cold, warm = [], []
    for _ in range(repeats):
        with closing(Visitor(browser, url, view)) as visitor:
            time.sleep(PAUSE_S)
            cold.append(visitor.open())
            time.sleep(PAUSE_S)
            warm.append(visitor.open())
        if cold[-1].ms is None:
            break  # more visits would take long, too
    return Visits(cold, warm)


def _use(browser: Browser, url: str, view: View, seconds: float) -> Use:
    """Types into the filter, and scrolls for some seconds."""
    with closing(Visitor(browser, url, view)) as visitor:
        visitor.open()
        time.sleep(1)  # until all events are there
        before = visitor.cpu_ms()
        keys = keystrokes(visitor.page, KEYS)
        between = visitor.cpu_ms()
        frames = scrolling(visitor.page, seconds, 90)
        n_frames = frames["rate"] * seconds
        return Use(keys, (between - before) / len(keys), frames, (visitor.cpu_ms() - between) / n_frames)


def _table(visits: dict[str, Visits]) -> Table:
    painted = ("view", "cold ms", "warm ms", "slowest ms", "files ms", "answer ms", "page CPU ms")
    sizes = ("answer KB", "compressed KB", "all KB")
    return Table((*painted, *sizes), [(name, *_cells(each)) for name, each in visits.items()])


def _cells(visits: Visits) -> Iterator[str]:
    for found in (visits.cold_ms, visits.warm_ms, visits.slowest_ms):
        yield "-" if found is None else number(found)
    for name in ("files_ms", "answer_ms", "cpu_ms", "kb", "sent_kb", "all_kb"):
        yield middle([getattr(each, name) for each in visits.cold])


def _targets(visits: dict[str, Visits]) -> Iterator[Target]:
    limits = {"overview": 500, MANY: 1000, WEEK: 500}
    for name, each in visits.items():
        yield at_most(f"first paint of the view `{name}`, cold", each.cold_ms, limits[name], "ms")
        yield at_most(f"first paint of the view `{name}`, warm", each.warm_ms, limits[name], "ms")
    yield at_most("answer to the overview, compressed", visits["overview"].sent_kb, 50, "KB")
    yield at_most(f"first answer about `{MANY}`", visits[MANY].kb, 60, "KB")


def _table_of_use(use: Use) -> Table:
    of_keys = ("keystroke ms", "slowest ms", "CPU ms")
    of_frames = ("frames per s", "95 % of frames ms", "CPU ms of a frame")
    typed = (middle(use.keys), number(max(use.keys)), number(use.cpu_of_key_ms))
    scrolled = (number(use.frames["rate"]), number(use.frames["slow"]), number(use.cpu_of_frame_ms))
    return Table(("use of `many`", *of_keys, *of_frames), [("filter and table", *typed, *scrolled)])


def _table_of_streams(n_streams: int, costs: StreamCosts) -> Table:
    columns = ("ecl serve", "without streams, MB", f"with {n_streams}, MB", "CPU %", "sent MB")
    row = (costs.mb_before, costs.mb_most, 100 * costs.cpu_share, costs.mb_received)
    return Table(columns, [("streams", *map(number, row))])


def _targets_of_use(use: Use) -> Iterator[Target]:
    yield at_most("keystroke in the filter until painted", median(use.keys), 50, "ms")
    yield at_least("scrolling", use.frames["rate"], 55, "frames per s")
