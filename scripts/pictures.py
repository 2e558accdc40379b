"""Pictures of the documentation, made from a real run.

A server gets two days of counts by real commits and rotations, with the times of those days. Then a master, a
program that counts and `ecl serve` run. The pictures show the page in Chromium, and `ecl top` in tmux.
"""

from __future__ import annotations

import io
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from headless import chromium
from long_run import exit_with, run_in_folder
from page_run import BIN, redis, running, serving, write_config
from playwright.sync_api import Browser, expect
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text
from screenshots import shop

from event_count_logger import EventCountLogger
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.store import Store

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"

#: The counts are the same in each run.
SEED = 2

GROUPS = {
    "requests": {
        "title": "Web requests",
        "unit": "requests",
        "events": ["ok", "redirect", "not_found", "failed"],
        "labels": {"not_found": "not found"},
        "intervals": ["5m", "1h"],
    },
    "logins": {"title": "Logins", "events": ["ok", "wrong_password", "locked"], "intervals": ["5m"]},
    "jobs": {"title": "Jobs", "events": ["done", "retried", "failed"], "intervals": ["5m", "1h"]},
}

#: Mean number of events per 5 minutes.
RATES = {
    "requests": {"ok": 5200, "redirect": 610, "not_found": 240, "failed": 12},
    "logins": {"ok": 140, "wrong_password": 22, "locked": 1},
    "jobs": {"done": 900, "retried": 45, "failed": 6},
}

PAST_S = 2 * 24 * 3600
STEP_S = 300
COLUMNS, LINES = 104, 12
#: `ecl top` shows rates of what it has seen itself.
TOP_S = 12

#: `{code}` is the screen.
_HTML = """
<body style="margin: 0">
<pre style="margin: 0; padding: 14px 18px; background: #191919; color: #d9d9d9; font: 15px/1.3 monospace;
    width: max-content">{code}</pre>
"""


GROUP, OVERVIEW = "group=requests&interval=5m", ""


class Shot(NamedTuple):
    """A picture of the page. `hash` is the part of the address behind `#`."""

    name: str
    hash: str
    width: int
    height: int
    scheme: str
    scale: float


#: Pictures of the groups of scripts/screenshots, which have problems.
OVERVIEWS = (
    Shot("overview-light", OVERVIEW, 1180, 820, "light", 1),
    Shot("overview-phone", OVERVIEW, 390, 844, "dark", 1.5),
)

SHOTS = (
    Shot("page-light", GROUP, 1180, 900, "light", 1),
    Shot("page-dark", GROUP, 1180, 900, "dark", 1),
    Shot("page-phone", GROUP, 390, 844, "light", 1.5),
)


def count_now(config_file: str) -> None:
    """Count as a program would do, until it is terminated."""
    chance = random.Random(SEED)
    with EventCountLogger.from_file(config_file) as logger:
        while True:
            for group, rates in RATES.items():
                for event, rate in rates.items():
                    logger[group].log(event, round(rate / STEP_S * chance.uniform(0.5, 1.5)))
            time.sleep(0.5)


def make_past(config: Config) -> None:
    """Count and rotate with the times of the last days."""
    store, chance = Store(config.redis), random.Random(SEED)
    now = int(store.client.server_time())
    first = now - PAST_S - now % STEP_S
    for position, start in enumerate(range(first, now, STEP_S)):
        for group in config.groups.values():
            for interval in group.intervals:
                store.rotation.rotate(group, interval, start)
            counts = counts_of(group, start, min(1, (now - start) / STEP_S), chance)
            store.commits.commit(group, "past", position, position + 1, counts, now=start)
    store.close()


def counts_of(group: GroupConfig, start: float, part: float, chance: random.Random) -> dict[str, int]:
    """Returns counts that follow the hour of the day; an hour ago there was trouble for ten minutes.

    Args:
        start: Start of the interval, Unix seconds.
        part: Part of the interval that is over, at most 1.
    """
    day = 1 + 0.6 * math.sin(2 * math.pi * start / 86_400)
    trouble = 40 if 3000 < time.time() - start < 3900 else 1
    return {
        event: round(rate * part * day * chance.uniform(0.9, 1.1) * (trouble if event == "failed" else 1))
        for event, rate in RATES[group.name].items()
    }


def show_page(browser: Browser, url: str, shots: Iterable[Shot]) -> None:
    for shot in shots:
        context = browser.new_context(
            viewport={"width": shot.width, "height": shot.height},
            device_scale_factor=shot.scale,
            color_scheme="dark" if shot.scheme == "dark" else "light",
            locale="en-GB",
            timezone_id="UTC",
        )
        page = context.new_page()
        page.goto(f"{url}#{shot.hash}")
        shown = page.get_by_role("row", name="not found") if shot.hash else page.locator(".row").first
        expect(shown).to_be_visible(timeout=20_000)
        page.screenshot(path=PICTURES / f"{shot.name}.png")
        context.close()


def show_top(browser: Browser, config_file: Path, folder: Path) -> None:
    """Run `ecl top` in tmux, and draw what its screen shows."""
    tmux = ["tmux", "-u", "-f", "/dev/null", "-S", str(folder / "tmux")]
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    command = ["new-session", "-d", *size, str(BIN / "ecl"), "top", str(config_file)]
    subprocess.run([*tmux, *command], env=environ, check=True)
    try:
        time.sleep(TOP_S)
        subprocess.run([*tmux, "send-keys", "Enter"], check=True)
        time.sleep(1)
        capture = subprocess.run(
            [*tmux, "capture-pane", "-e", "-p"], env=environ, check=True, capture_output=True
        )
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(capture.stdout.decode()))
    page = browser.new_page()
    page.set_content(console.export_html(theme=DIMMED_MONOKAI, inline_styles=True, code_format=_HTML))
    page.locator("pre").screenshot(path=PICTURES / "top.png")
    page.close()


def draw_data_flow() -> None:
    dot = ["dot", "-Tsvg", "-o", str(PICTURES / "data-flow.svg"), str(PICTURES / "data-flow.dot")]
    subprocess.run(dot, check=True)


def run(folder: Path) -> list[str]:
    os.environ["ECL_SPOOL_DIR"] = str(folder / "spool")
    with ExitStack() as stack:
        address = stack.enter_context(redis(folder))
        config_file = write_config(folder / "ecl.yml", {"redis": address, "groups": GROUPS})
        make_past(from_file(config_file))
        stack.enter_context(running(BIN / "ecl_master", config_file))
        stack.enter_context(running(sys.executable, __file__, config_file))
        url = stack.enter_context(serving(config_file))
        browser = stack.enter_context(chromium())
        show_top(browser, config_file, folder)
        show_page(browser, url, SHOTS)
    with shop() as url, chromium() as browser:
        show_page(browser, url, OVERVIEWS)
    draw_data_flow()
    return []


if __name__ == "__main__":
    if len(sys.argv) == 2:
        count_now(sys.argv[1])
    else:
        exit_with(lambda: run_in_folder("pictures", keep=False, run=run))
