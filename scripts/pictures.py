"""Pictures of the documentation, made from a real run.

A server gets two days of counts by real commits and rotations, with the times of those days. Then a master, a
program that counts and `ecl serve` run. The pictures show the page in Chromium, and `ecl top` in tmux.
"""

from __future__ import annotations

import io
import math
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml
from headless import chromium
from long_run import exit_with, run_in_folder
from playwright.sync_api import Browser, expect
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text
from server_process import Valkey, free_port
from server_process import options as server_options

from event_count_logger import EventCountLogger
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.store import Store

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
BIN = Path(sys.executable).parent

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


class Shot(NamedTuple):
    """A picture of the page."""

    name: str
    width: int
    height: int
    scheme: str
    scale: float


SHOTS = (
    Shot("page-light", 1180, 900, "light", 1),
    Shot("page-dark", 1180, 900, "dark", 1),
    Shot("page-phone", 390, 844, "light", 1.5),
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


@contextmanager
def running(*command: object) -> Iterator[subprocess.Popen[str]]:
    """A program, which is terminated at the end of the block."""
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def show_page(browser: Browser, url: str) -> None:
    for shot in SHOTS:
        context = browser.new_context(
            viewport={"width": shot.width, "height": shot.height},
            device_scale_factor=shot.scale,
            color_scheme="dark" if shot.scheme == "dark" else "light",
            locale="en-GB",
            timezone_id="UTC",
        )
        page = context.new_page()
        page.goto(f"{url}#group=requests&interval=5m")
        expect(page.get_by_role("row", name="not found")).to_be_visible()
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
    address = {"host": "127.0.0.1", "port": free_port()}
    os.environ["ECL_SPOOL_DIR"] = str(folder / "spool")
    config_file = folder / "ecl.yml"
    config_file.write_text(yaml.safe_dump({"redis": address, "groups": GROUPS}, sort_keys=False))
    options = {"port": address["port"], "bind": "127.0.0.1", "save": "", "logfile": folder / "server.log"}
    server = Valkey(server_options(options), address)
    with ExitStack() as stack:
        stack.callback(server.kill)
        server.start()
        make_past(from_file(config_file))
        stack.enter_context(running(BIN / "ecl_master", config_file))
        stack.enter_context(running(sys.executable, __file__, config_file))
        serve = stack.enter_context(running(BIN / "ecl", "serve", config_file, "--listen", "127.0.0.1:0"))
        assert serve.stderr
        found = re.search(r"http://\S+/", serve.stderr.readline())
        assert found
        browser = stack.enter_context(chromium())
        show_top(browser, config_file, folder)
        show_page(browser, found[0])
    draw_data_flow()
    return []


if __name__ == "__main__":
    if len(sys.argv) == 2:
        count_now(sys.argv[1])
    else:
        exit_with(lambda: run_in_folder("pictures", keep=False, run=run))
