"""Screenshots of every view of the page, on four sizes of screens, light and dark, from a real run.

    scripts/screenshots FOLDER
    scripts/screenshots FOLDER --view 'overview*' --width 390 --scheme dark

Writes FOLDER/VIEW-WIDTH-SCHEME.png. The counts take half a minute to make; to look again and again:

    scripts/screenshots FOLDER --view nothing --keep
    scripts/screenshots FOLDER --view group-live --url http://127.0.0.1:PORT/
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from headless import chromium
from long_run import exit_with
from page_run import BIN, redis, running, serving, write_config
from playwright.sync_api import Browser, Page
from screenshot_data import make_past, sections, sections_of_master
from screenshot_views import VIEWS

from event_count_logger.config import from_file

#: Height of the window, by its width.
SIZES = {390: 844, 768: 1024, 1440: 900, 3840: 2160}
SCHEMES = ("light", "dark")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where to write the pictures")
    parser.add_argument("--view", default="*", help="name or pattern: " + ", ".join(VIEWS))
    parser.add_argument("--width", type=int, choices=SIZES, help="only this width")
    parser.add_argument("--scheme", choices=SCHEMES, help="only this scheme")
    parser.add_argument("--whole", action="store_true", help="the whole page, not only the window")
    parser.add_argument("--url", help="address of a page that is served already")
    parser.add_argument("--keep", action="store_true", help="serve the page until Ctrl-C")
    return parser.parse_args()


def take(browser: Browser, url: str, chosen: argparse.Namespace) -> None:
    """Take all chosen pictures."""
    for name in fnmatch.filter(VIEWS, chosen.view):
        for width in [chosen.width] if chosen.width else SIZES:
            for scheme in [chosen.scheme] if chosen.scheme else SCHEMES:
                with opened(browser, width, scheme) as page:
                    VIEWS[name].open(page, url)
                    path = chosen.folder / f"{name}-{width}-{scheme}.png"
                    page.screenshot(path=path, full_page=chosen.whole)


@contextmanager
def opened(browser: Browser, width: int, scheme: str) -> Iterator[Page]:
    """An empty page of that size; errors of its scripts are printed."""
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.on("pageerror", lambda error: print(f"{page.url}: {error}", file=sys.stderr))
    try:
        yield page
    finally:
        context.close()


@contextmanager
def shop() -> Iterator[str]:
    """The page with all groups, a master and Redis. Yields its address."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecl-screenshots-")))
        os.environ["ECL_SPOOL_DIR"] = str(folder / "spool")
        address = stack.enter_context(redis(folder))
        config_file = write_config(folder / "ecl.yml", sections(address))
        make_past(from_file(config_file))
        of_master = write_config(folder / "master.yml", sections_of_master(address))
        stack.enter_context(running(BIN / "ecl_master", of_master))
        yield stack.enter_context(serving(config_file))


def main() -> None:
    chosen = arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with nullcontext(chosen.url) if chosen.url else shop() as url, chromium() as browser:
        take(browser, url, chosen)
        if chosen.keep:
            print(f"Serving {url}", flush=True)
            signal.pause()


if __name__ == "__main__":
    exit_with(main)
