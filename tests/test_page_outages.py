"""The page while Redis, the master or the token goes away, with real servers."""

from __future__ import annotations

import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.fixtures import Start, Write
from tests.groups import group_of
from tests.page_site import SHORT, Ticking, badge, browser, context, page, set_hidden, spans, ticking
from tests.servers import Server, free_port, wait_until


def test_overview_shows_a_dead_master_until_it_is_back(ticking: Ticking, page: Page) -> None:
    page.goto(f"http://127.0.0.1:{ticking.port}/")
    ticks = page.locator("#sections [data-group=ticks]")
    expect(ticks.locator(".figure.last b")).not_to_have_text("–")
    expect(ticks.locator(".problems")).to_be_hidden()
    ticking.stop(ticking.master)
    expect(ticks.locator(".problems")).to_contain_text("stale for")
    ticking.start_master()
    expect(ticks.locator(".problems")).to_be_hidden()


def test_overview_keeps_old_figures_while_redis_is_down(ticking: Ticking, page: Page) -> None:
    page.goto(f"http://127.0.0.1:{ticking.port}/")
    ticks = page.locator("#sections [data-group=ticks]")
    expect(ticks.locator(".figure.last b")).not_to_have_text("–")
    ticking.server.kill()
    expect(badge(page, "Not up to date")).to_contain_text(re.compile("Redis .*last update .* ago"))
    expect(page.locator(".layout.outdated")).to_be_visible()
    expect(ticks.locator(".figure.last b")).not_to_have_text("–")
    ticking.server.start()
    expect(page.locator(".badge")).to_have_count(0)

    def shows_a_new_count() -> bool:
        ticking.count({"a": 98_765_432_100})  # in each interval: one of them alone is shown for a second only
        return re.fullmatch(r"0|–", ticks.locator(".figure.last b").inner_text()) is None

    wait_until(shows_a_new_count)


@pytest.mark.parametrize("is_master_gone", [True, False])
def test_history_that_redis_lost_is_no_longer_shown(
    ticking: Ticking, page: Page, is_master_gone: bool
) -> None:
    ticking.count({"a": 5})
    page.goto(f"{ticking.url}&event=a")
    wait_until(lambda: has_intervals(page, 3))
    if is_master_gone:
        ticking.stop(ticking.master)
        ticking.server.client.flushall()
        expect(badge(page, "No finished interval yet")).to_be_visible()
    else:  # intervals finish again before the page asks
        ticking.serving.send_signal(signal.SIGSTOP)
        ticking.server.client.flushall()
        wait_until(lambda: ticking.newest() == 2)
        ticking.count({"a": 7})
        ticking.serving.send_signal(signal.SIGCONT)

    def shows_what_is_kept() -> bool:
        kept = len(
            ticking.store.reads.history(group_of("ticks"), ticking.config.group("ticks").intervals[0], 60)
        )
        return page.locator("#history tbody tr:visible").count() == kept

    wait_until(shows_what_is_kept)


@pytest.mark.parametrize("part", ["", "#group=ticks&interval=1s"])
def test_figures_are_marked_as_old_after_sleep(ticking: Ticking, page: Page, part: str) -> None:
    # The computer sleeps: its clock goes on, performance.now() does not.
    page.add_init_script("const now = Date.now; window.slept = 0; Date.now = () => now() + slept;")
    page.goto(f"http://127.0.0.1:{ticking.port}/{part}")
    expect(page.locator("#overview .row" if not part else "#chart .base").first).to_be_attached()
    ticking.serving.send_signal(signal.SIGSTOP)
    page.evaluate("window.slept = 3_600_000")
    expect(badge(page, "Not up to date")).to_be_visible()
    page.evaluate("window.slept = 7_200_000")  # an answer may have come between the first hour and the stop
    expect(badge(page, "Not up to date")).to_contain_text(re.compile(r"last update [12] h( \d+ min)? ago"))
    expect(page.locator(".layout.outdated")).to_be_visible()
    ticking.serving.send_signal(signal.SIGCONT)
    expect(page.locator(".badge")).to_have_count(0)


def test_page_that_is_seen_again_has_time_for_an_answer(ticking: Ticking, page: Page) -> None:
    page.add_init_script("const now = Date.now; window.slept = 0; Date.now = () => now() + slept;")
    page.goto(ticking.url)
    expect(page.locator("#chart .base")).to_be_attached()
    set_hidden(page, True)
    page.evaluate("window.slept = 3_600_000")
    badges = page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => false, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
            dispatchEvent(new Event("hashchange")); // shows the conditions before an answer can come
            return document.querySelectorAll(".badge").length;
        }"""
    )
    assert badges == 0


def has_intervals(page: Page, n: int) -> bool:
    return len(spans(page)) >= n


def test_four_windows_of_a_browser_stay_up_to_date(
    ticking: Ticking, context: BrowserContext, page: Page
) -> None:
    pages = [page, *(context.new_page() for _ in range(3))]
    for each in pages:
        each.goto(ticking.url, wait_until="commit")
        expect(each.locator("#chart .base")).to_be_attached()
    shown = [len(spans(each)) for each in pages]
    for each, n_before in zip(pages, shown, strict=True):
        wait_until(partial(has_intervals, each, n_before + 3))
        expect(each.locator(".badge")).to_have_count(0)
    for each in pages[1:]:
        each.close()


def test_token_that_is_replaced_while_the_page_is_open_is_asked_for(
    own_server: Server, start: Start, config_file: Write, tmp_path: Path, page: Page
) -> None:
    token, port = tmp_path / "token", free_port()
    file = config_file({"redis": own_server.config, "groups": SHORT})
    start("ecl", "master", file, stderr=None)

    def serve(text: str) -> None:
        token.write_text(text)
        token.chmod(0o600)
        place = f"127.0.0.1:{port}"
        serving.append(start("ecl", "serve", file, "--listen", place, "--token-file", token))
        assert serving[-1].stderr
        assert "Serving" in serving[-1].stderr.readline()

    def give(text: str) -> None:
        form.get_by_label("Token").fill(text)
        page.keyboard.press("Enter")
        expect(form).to_be_hidden()
        expect(page.locator(".badge")).to_have_count(0)

    serving: list[subprocess.Popen[str]] = []
    serve("first")
    form = page.get_by_role("dialog", name="Token")
    page.goto(f"http://127.0.0.1:{port}/")
    expect(form).to_be_visible()
    give("first")
    expect(page.locator("#sections [data-group=ticks]")).to_be_visible()
    for text, part in (("second", ""), ("third", "group=ticks&interval=1s")):
        page.evaluate("part => { location.hash = part; }", part)
        expect(page.locator("#sections" if not part else "#chart")).to_be_visible()
        serving[-1].kill()
        serving[-1].wait()
        serve(text)
        expect(form).to_be_visible()
        give(text)
    expect(page.locator("#chart .base")).to_be_attached()
