"""The page of `ecl serve` in a real browser, with a real server, master and Redis."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page_site import (
    BIG,
    DAY_S,
    GROUPS,
    HOSTILE,
    Site,
    Ticking,
    badge,
    browser,
    cells,
    context,
    contrast,
    guarded,
    has_no_gap,
    legend,
    names,
    page,
    row,
    set_hidden,
    site,
    sites,
    spans,
    ticking,
    tile,
    use,
)
from tests.servers import wait_until

# Figures


def test_page_shows_the_counts_in_redis(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=web&interval=24h")
    expect(row(page, "Fine")).to_be_visible()
    last, current = (site.server.counts("web", "24h", half) for half in ("last", "cur"))
    assert (last, current["ok"]) == ({"ok": 43_200, "error": 1, "never": 0, "other": BIG}, 54)
    assert cells(page, "Fine") == ["43200", "54", "0.50", str(1000 * DAY_S + 43_200 + 54)]
    assert cells(page, "error") == ["1", "0", "<0.01", "8"]
    assert cells(page, "never") == ["0", "0", "0", "0"]
    assert cells(page, "other")[::3] == [str(BIG), str(BIG)]
    assert tile(page, "last") == str(BIG + 43_201)
    assert row(page, "Fine").get_by_role("rowheader").get_attribute("title") == "ok"
    assert page.locator("#unit").inner_text() == "requests per 24h"
    expect(page).to_have_title(re.compile(r"^\(\d+\) Web · 24h$"))


def test_milliseconds_of_sessions_are_in_no_sum_and_no_row(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=visits")
    expect(row(page, "shop")).to_be_visible()
    assert names(page) == ["shop", "blog"]
    assert cells(page, "shop") == ["3", "1", "2min30s", "4"]
    assert cells(page, "blog") == ["0", "1", "0s", "1"]
    tiles = {name: tile(page, name) for name in ("last", "current", "total", "open", "length")}
    assert tiles == {"last": "3", "current": "2", "total": "5", "open": "1", "length": "2min"}
    expect(page.locator("#chart .legend .name")).to_have_count(1)
    expect(page.locator("#chart .readout")).to_have_text(re.compile(" · 3$"))
    expect(page.get_by_role("columnheader", name="Length")).to_be_visible()


def test_event_with_the_ending_of_session_times_is_plain(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=plain")
    expect(row(page, "shop:ms")).to_be_visible()
    assert tile(page, "last") == "600003"
    assert cells(page, "shop:ms")[0] == "600000"
    expect(page.locator("[data-tile=open]")).to_be_hidden()
    expect(page.get_by_role("columnheader", name="Rate")).to_be_visible()


def test_buckets_of_a_histogram_are_in_no_sum_and_no_row(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=histogram")
    expect(row(page, "r")).to_be_visible()
    assert sorted(names(page)) == ["alone:le:1", "r", "undefined"]
    assert tile(page, "last") == "9"


def test_rate_of_a_late_rotation_uses_the_true_length(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=merged")
    expect(row(page, "a")).to_be_visible()
    assert cells(page, "a")[2] == "1.00"
    expect(page.locator("[data-tile=last] .detail")).to_contain_text("4 d long")


def test_zero_no_counts_yet_and_stale_look_different(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=late")
    expect(badge(page, "Stale")).to_contain_text(re.compile(r"should have ended .+ ago"))
    expect(badge(page, "No finished")).to_have_count(0)
    assert cells(page, "b")[0] == "0"
    expect(page.locator(".group[aria-current] .state")).to_have_text("stale")
    page.goto(f"{site.url}#group=bare")
    expect(badge(page, "No finished interval yet")).to_contain_text("the first interval ends at 00:00")
    expect(badge(page, "Stale")).to_have_count(0)
    assert cells(page, "a") == ["–", "1", "–", "–"]
    page.goto(f"{site.url}#group=fresh")
    expect(badge(page, "No finished interval yet")).to_contain_text("no counts yet")
    expect(page.locator("[data-tile=current] .value")).to_have_text("–")


def test_event_id_with_markup_is_shown_as_text(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=hostile&filter={HOSTILE[0][:4]}")
    expect(page.locator("#filter")).to_have_value("<img")
    expect(page.locator("#events tbody th")).to_have_text(HOSTILE[:1])
    page.locator("#filter").fill("")
    expect(page.locator("#n_events")).to_have_text("5 events")
    shown = {header.text_content() for header in page.locator("#events tbody th").all()}
    assert {*HOSTILE[:4], "é😀 ⟨U+202E⟩"} <= shown
    for n, event_id in enumerate(HOSTILE[:4]):
        assert cells(page, event_id)[0] == str(10 + n)
    expect(page.locator(".legend")).to_contain_text(HOSTILE[1])
    row(page, HOSTILE[0]).click()
    expect(page.locator("#chart .legend .name")).to_have_count(1)
    assert page.locator("#group img, #group script").count() == 0
    expect(page).to_have_title(re.compile(rf"^\(\d+\) {re.escape(HOSTILE[0])} · hostile · 24h$"))


# Alerts


def alert(name: str, **changes: Any) -> dict[str, Any]:
    """Returns a firing alert, as the server answers it."""
    limit = {"kind": "above", "value": 25, "percent": False, "of": []}
    return {
        "name": name,
        "group": "use",
        "interval": "24h",
        "event": ["Fine"],
        "limit": limit,
        "for": 1,
        "severity": "critical",
        "stale": False,
        "state": "firing",
        "value": 30,
        "reason": "",
        "since": None,
        "acknowledged": "acknowledged_until" in changes,
        "acknowledged_until": None,
        **changes,
    }


def test_limit_of_an_alert_is_a_line_in_the_chart_of_its_event(site: Site, page: Page) -> None:
    alerts = [alert("slow"), alert("calm", state="ok", group="web")]
    page.route("**/api/v1/alerts", lambda route: route.fulfill(json={"now": 1.0, "alerts": alerts}))
    page.goto(f"{site.url}#group=use&interval=24h")
    expect(row(page, "Fine")).to_be_visible()
    expect(page.locator("#chart text.limit")).to_have_count(0)
    row(page, "Fine").click()
    expect(page.locator("#chart text.limit")).to_have_text("alert above 25")


# Updates


def test_rotation_updates_the_page_without_reload(ticking: Ticking, page: Page) -> None:
    page.goto(ticking.url)
    expect(page.locator("#chart .base")).to_be_attached()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("window.isTheSamePage = true")
    before = len(spans(page))
    ticking.count({"a": 3})
    expect(row(page, "a")).to_be_visible()
    wait_until(lambda: len(spans(page)) >= before + 3)
    assert has_no_gap(spans(page))
    expect(row(page, "a").locator(".total")).to_have_text("3")  # with the next poll
    expect(page.locator(".badge")).to_have_count(0)
    assert page.evaluate("window.isTheSamePage")
    # The page requests the history again only if the stream is late, as on a busy machine.
    assert len([url for url in asked if url.endswith("/ticks/1s")]) < 3


def test_page_is_stale_while_no_master_rotates(ticking: Ticking, page: Page) -> None:
    page.goto(ticking.url)
    expect(page.locator("#chart .base")).to_be_attached()
    ticking.stop(ticking.master)
    expect(badge(page, "Stale")).to_be_visible()
    first = badge(page, "Stale").inner_text()
    expect(badge(page, "Stale")).not_to_have_text(first)  # the detail shows for how long
    assert page.locator("#announcer").inner_text() == "Stale"  # a screen reader announces it once
    ticking.start_master()
    expect(badge(page, "Stale")).to_have_count(0)


def test_missing_master_is_shown_as_badge(site: Site, page: Page) -> None:
    page.goto(site.url)
    expect(badge(page, "No master")).to_have_class("badge warning")  # as in the overview


def test_redis_outage_keeps_old_counts_until_it_is_back(ticking: Ticking, page: Page) -> None:
    ticking.count({"a": 12_345})
    page.goto(ticking.url)
    expect(row(page, "a").locator(".total")).to_have_text("12\u202f345")
    ticking.server.kill()
    detail = re.compile(r"Redis .+; last update \d+ s ago")
    expect(badge(page, "Not up to date")).to_contain_text(detail)
    expect(page.locator(".layout.outdated")).to_be_visible()
    assert cells(page, "a")[3] == "12345"
    ticking.server.start()
    expect(page.locator(".badge")).to_have_count(0)
    expect(page.locator(".layout.outdated")).to_have_count(0)
    ticking.count({"a": 1})
    expect(row(page, "a").locator(".total")).to_have_text("12\u202f346")


def test_server_restart_leaves_no_gap_in_the_history(ticking: Ticking, page: Page) -> None:
    page.goto(ticking.url)
    expect(page.locator("#chart .base")).to_be_attached()
    ticking.stop(ticking.serving)
    expect(badge(page, "Server unreachable")).to_contain_text(re.compile(r"last update \d+ s ago"))
    before = len(spans(page))
    ticking.start_serving()
    expect(page.locator(".badge")).to_have_count(0)
    wait_until(lambda: len(spans(page)) >= before + 4)
    assert has_no_gap(spans(page))


def test_event_source_without_event_resumes_where_its_stream_began(ticking: Ticking, page: Page) -> None:
    wait_until(lambda: ticking.newest() > 0)
    ticking.stop(ticking.master)
    before = ticking.newest()
    page.goto(f"http://127.0.0.1:{ticking.port}/healthz")
    begun = stream_beginnings(page)
    page.evaluate(
        """() => {
            const source = new EventSource("/api/v1/groups/ticks/1s/stream");
            window.ids = [];
            source.addEventListener("interval", (event) => window.ids.push(event.lastEventId));
        }"""
    )
    wait_until(lambda: page.evaluate("true") and begun(), what="the stream sends its first position")
    ticking.stop(ticking.serving)
    ticking.start_master()
    wait_until(lambda: ticking.newest() > before + 1)
    ticking.start_serving()
    ids = wait_until(lambda: page.evaluate("() => window.ids"))
    assert int(ids[0].partition("-")[2]) == before + 1


def stream_beginnings(page: Page) -> Callable[[], set[str]]:
    """Return a function that returns the streams which have received data."""
    streams: set[str] = set()
    received: set[str] = set()

    def note_stream(response: dict[str, Any]) -> None:
        if response["type"] == "EventSource":
            streams.add(response["requestId"])

    network = page.context.new_cdp_session(page)
    network.on("Network.responseReceived", note_stream)
    network.on("Network.dataReceived", lambda data: received.add(data["requestId"]))
    network.send("Network.enable")
    return lambda: streams & received


def test_hidden_page_sends_no_request_until_it_is_visible(ticking: Ticking, page: Page) -> None:
    page.goto(ticking.url)
    expect(page.locator("#chart .base")).to_be_attached()
    set_hidden(page, True)
    newest = ticking.newest()  # what was under way when the page was hidden comes before the next interval
    wait_until(lambda: page.evaluate("true") and ticking.newest() > newest)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before, newest = len(spans(page)), ticking.newest()
    wait_until(lambda: page.evaluate("true") and ticking.newest() > newest + 2, what="more intervals end")
    assert (asked, len(spans(page))) == ([], before)
    set_hidden(page, False)
    wait_until(lambda: len(spans(page)) >= before + 3)
    assert has_no_gap(spans(page))


# The first request


def overviews_asked(page: Page) -> list[str]:
    """Returns who sent each request for the overview: `link` for the browser, `fetch` for the script."""
    return list(
        page.evaluate(
            """() => performance.getEntriesByType("resource")
                .filter(({ name }) => name.endsWith("/api/v1/overview"))
                .map(({ initiatorType }) => initiatorType)"""
        )
    )


def open_after(page: Page, url: str, ms: int) -> None:
    """Open the page, for whose script this many milliseconds have passed."""
    page.add_init_script(f"performance.now = () => {ms}")
    page.goto(url)
    expect(page.locator("#sections .row").first).to_be_visible()


def test_answer_that_the_browser_preloads_is_the_first_one_shown(site: Site, page: Page) -> None:
    open_after(page, site.url, 999)
    assert overviews_asked(page) == ["link"]


def test_preloaded_answer_that_has_become_old_is_not_shown(site: Site, page: Page) -> None:
    open_after(page, site.url, 1000)
    assert overviews_asked(page) == ["link", "fetch"]


def test_return_to_the_page_shows_no_stored_overview(ticking: Ticking, page: Page) -> None:
    page.goto(f"http://127.0.0.1:{ticking.port}/")
    expect(page.locator("#sections .row")).to_be_visible()
    page.goto("about:blank")
    ticking.stop(ticking.serving)
    page.go_back()
    expect(badge(page, "Server unreachable")).to_contain_text("retrying")
    assert page.locator("#sections .row").count() == 0


def test_page_of_a_server_with_a_token_preloads_no_answer(guarded: Site, page: Page) -> None:
    page.goto(guarded.url)
    expect(page.get_by_role("dialog", name="Token")).to_be_visible()
    assert set(overviews_asked(page)) == {"fetch"}


# Token


def test_wrong_token_is_rejected_and_right_token_is_kept(guarded: Site, page: Page) -> None:
    page.goto(f"{guarded.url}#group=web&interval=24h")
    form = page.get_by_role("dialog", name="Token")
    form.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(form.get_by_role("alert")).to_have_text("The server rejected this token.")
    assert page.locator("#events tbody tr").count() == 0
    form.get_by_label("Token").fill("correct-horse")
    form.get_by_role("button").click()
    expect(form).to_be_hidden()
    expect(row(page, "Fine").locator(".current")).to_have_text("54")
    page.reload()
    expect(row(page, "Fine")).to_be_visible()
    expect(form).to_be_hidden()
    assert "correct-horse" not in page.url + page.evaluate("JSON.stringify(localStorage)")


# Use


def test_page_is_usable_with_the_keyboard_only(use: None, page: Page) -> None:
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("E")
    listed = page.locator("#events tbody th")
    expect(listed).to_have_text(["e9", "Fine", "error", "e10", "never"])
    page.keyboard.type("rr")
    expect(listed).to_have_text(["error"])
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).to_have_value("")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#events")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("[aria-selected=true] th")).to_have_text("Fine")
    assert page.locator("#events").get_attribute("aria-activedescendant") == "row-1"
    expect(page.locator("#chart .legend li").first).to_have_text(re.compile("Fine *30"))
    page.keyboard.press("End")
    expect(page.locator("[aria-selected=true] th")).to_have_text("never")
    page.keyboard.press("Escape")
    expect(page.locator("[aria-selected=true]")).to_have_count(0)


def test_tab_key_reaches_every_control_with_visible_focus(use: None, page: Page) -> None:
    reached = []
    for _ in range(40 + len(GROUPS)):
        page.keyboard.press("Tab")
        name, outline, width_px = page.evaluate(
            """() => {
                const { activeElement: at } = document;
                const { outlineStyle, outlineWidth } = getComputedStyle(at);
                const name = at === document.body ? null : at.id || at.textContent;
                return [name, outlineStyle, parseFloat(outlineWidth)];
            }"""
        )
        if name:  # no name: the focus has left the page
            reached.append(name)
            assert (outline != "none", width_px >= 1) == (True, True), name
    assert {"theme", "24h", "48h", "filter", "events", "Event", "Total"} <= set(reached)


def test_address_holds_group_interval_filter_and_order(use: None, page: Page) -> None:
    page.get_by_role("columnheader", name="Event").get_by_role("button").click()
    expect(page.locator("#events tbody th")).to_have_text(["e9", "e10", "error", "Fine", "never"])
    expect(page.get_by_role("columnheader", name="Event")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("columnheader", name="Last").get_by_role("button").click()
    page.get_by_role("columnheader", name="Last").get_by_role("button").click()
    page.locator("#filter").fill("e")
    page.get_by_role("link", name="48h").click()
    expect(page.locator("#unit")).to_have_text("events per 48h")
    expect(page).to_have_url(re.compile("#group=use&interval=48h&filter=e&sort=last$"))
    page.go_back()
    expect(page.locator("#unit")).to_have_text("events per 24h")
    page.reload()
    expect(page.locator("#filter")).to_have_value("e")
    expect(page.locator("#events tbody th").last).to_have_text("e9")


def test_chart_cursor_reads_out_each_interval(use: None, page: Page) -> None:
    chart = page.get_by_role("slider", name="Finished intervals")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute(
        "aria-valuetext", re.compile(r"00:00 – .*00:00 · 100, e9 40, e10 10, error 20, Fine 30")
    )
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 50)
    expect(page.locator("#chart .cursor")).to_have_attribute("width", re.compile(r"\d"))
    expect(page.locator("#chart .readout")).to_contain_text("· 100")


def test_other_group_or_interval_replaces_the_chart(use: None, page: Page) -> None:
    expect(legend(page)).to_have_text(["e9", "e10", "error", "Fine"])
    page.evaluate("location.hash = 'group=late&interval=24h'")
    expect(page.locator("#title")).to_have_text("late")
    expect(legend(page)).to_have_text(["a"])
    page.evaluate("location.hash = 'group=use&interval=48h'")
    expect(page.locator("#unit")).to_have_text("events per 48h")
    expect(page.locator("#figures")).to_be_visible()
    expect(legend(page)).not_to_have_text(["a"])
    page.evaluate("location.hash = 'group=fresh'")
    expect(badge(page, "No finished interval yet")).to_be_visible()
    expect(legend(page)).to_have_count(0)


def test_unknown_group_is_named(use: None, page: Page) -> None:
    expect(page).to_have_title(re.compile("use · 24h"))
    page.evaluate("location.hash = 'group=nothing'")
    expect(page.get_by_text("Group 'nothing' does not exist.")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(\d+\) Event counts$"))


def test_unknown_interval_is_named(use: None, page: Page) -> None:
    page.evaluate("location.hash = 'group=use&interval=9s'")
    expect(page.get_by_text("Group 'use' has no interval '9s'.")).to_be_visible()
    expect(page.locator("#group")).to_be_hidden()
    page.evaluate("location.hash = 'group=use&interval=48h'")
    expect(page.locator("#unit")).to_have_text("events per 48h")
    expect(page.locator("#missing")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_page_fits_the_width_of_the_window(use: None, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    expect(page.locator("#figures")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_theme_is_kept_after_reload(use: None, page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    switch = page.get_by_role("button", name="Colours")
    switch.click()
    expect(switch).to_have_accessible_name("Colours: light")
    assert page.evaluate(background) == light
    switch.click()
    assert page.evaluate(background) != light
    page.reload()
    expect(switch).to_have_accessible_name("Colours: dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(use: None, page: Page, scheme: Any) -> None:
    """At least 4.5 to 1: www.w3.org/TR/WCAG22/#contrast-minimum."""
    page.emulate_media(color_scheme=scheme)
    pairs = [
        *((text, ground) for text in ("ink", "muted", "faint") for ground in ("paper", "surface", "raised")),
        *((text, ground) for text in ("ink", "muted", "accent") for ground in ("surface", "accent-wash")),
        ("warning", "warning-wash"),
        ("alarm", "alarm-wash"),
        ("alarm", "surface"),
    ]
    poor = [(*pair, ratio) for pair in pairs if (ratio := contrast(page, *pair)) < 4.5]
    assert poor == []


# Size


def test_table_of_10000_events_scrolls_and_filters(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=many")
    expect(page.locator("#n_events")).to_have_text("10\u202f000 events")
    expect(page.locator(".legend .name").last).to_have_text("9\u202f994 other events")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#events tbody th").last).to_have_text("customer:00000")
    assert page.locator("#events tbody tr").count() < 60
    for pixels in (-400, 120, -9000):
        before = names(page)[-1]
        page.evaluate("pixels => scrollBy(0, pixels)", pixels)
        expect(page.locator("#events tbody th").last).not_to_have_text(before)
        numbers = [int(name.rpartition(":")[2]) for name in names(page)]
        assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
    page.keyboard.press("/")
    page.keyboard.type("99 r:0")
    expect(page.locator("#n_events")).to_have_text("280 of 10\u202f000 events")
    for place, name in enumerate(["customer:09999", "customer:09998"]):
        expect(page.locator("#events tbody th").nth(place)).to_have_text(name)


def test_unchanged_answer_changes_no_element_of_chart_and_table(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=many")
    expect(page.locator("#n_events")).to_have_text("10\u202f000 events")
    expect(page.locator(".legend .name").last).to_have_text("9\u202f994 other events")
    page.evaluate(
        """() => {
            window.changes = [];
            const note = (list) => changes.push(...list.map(({ target }) => target.nodeName));
            const observer = new MutationObserver(note);
            for (const root of document.querySelectorAll("#chart, #events tbody"))
                observer.observe(root, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for _ in range(3):  # the page has shown an answer when the next one arrives
        with page.expect_response(re.compile("/many/24h")):
            pass
    assert page.evaluate("changes") == []


# Modules


PURE: list[tuple[str, str, Any]] = [
    (
        "alerts",
        "m.reasonOf({ value: 0, limit: { kind: 'below', value: 5, percent: true } })",
        "0 %, below 5 %",
    ),
    ("alerts", "m.reasonOf({ limit: null, value: 95, reason: 'no master' })", "no master for 1 min 35 s"),
    (
        "alerts",
        "['*', 'a'].map((event) => m.limitsOf([{ group: 'g', interval: '1m', event: [event], "
        "limit: { kind: 'above', value: 3 } }], { group: 'g', interval: '1m', selected: null, filter: '' })"
        ".length)",
        [1, 0],
    ),
    ("exact_json", "String(m.parseExactly('{\"a\": 9007199254740993}').a)", "9007199254740993"),
    ("exact_json", "m.parseExactly('[1.5, 12345678901234567890.5]')[0]", 1.5),
    ("counts", "String(m.add(9007199254740993n, 1))", "9007199254740994"),
    ("counts", "m.sumOf([1, null, 2])", 3),
    ("event_stream", "m.parseEvent(': keep alive')", None),
    ("event_stream", "m.parseEvent('id: 7\\ndata: a\\r\\ndata:b').data", "a\nb"),
    ("format", "m.formatDuration(59.6)", "1 min"),
    ("format", "m.formatDuration(7265)", "2 h 1 min"),
    ("format", "m.formatRate(9.999)", "10.0"),
    ("format", "m.formatCount(0) + m.formatCount(null) + m.formatCount(1234)", "0–1\u202f234"),
    ("route", "m.formatRoute(m.parseRoute('#group=a%26b&sort=event'))", "#group=a%26b&sort=event"),
    ("range", "m.stepOf({ since: 0, until: 253402300799, range: null, length_s: 604800 }, 9) < 360e6", True),
    ("route", "m.parseRoute('#sort=-nonsense').sort.column", "last"),
    ("route", "m.parseRoute('#since=-5&until=99999999999999').since", None),
    ("route", "m.parseRoute('#since=0&until=253402300799').until", 253402300799),
    ("route", "m.parseRoute(`#filter=${'a'.repeat(9999)}&q=${'b'.repeat(9999)}`).filter.length", 1000),
    ("route", "m.parseRoute(`#q=${'b'.repeat(9999)}`).q.length", 200),
    (
        "selection",
        "m.sorted([[null, 0], [1, 1], [2, 2]].map(([last, rank]) => ({ last, rank })), "
        "{ column: 'last', descending: true }).map((row) => row.last)",
        [2, 1, None],
    ),
    (
        "conditions",
        "m.conditionsOf({ problem: { status: 503, message: 'too many requests' }, age_s: 3 })[0].detail",
        "too many requests; last update 3 s ago",
    ),
    (
        "conditions",
        "m.conditionsOf({ problem: null, answer: { last: null, current: { start: 0 }, length_s: 60, "
        "overdue_s: 5 } })[0].detail",
        "the first interval has not ended yet",
    ),
    (
        "conditions",  # a week that begins on Monday
        "m.conditionsOf({ problem: null, answer: { last: null, current: { start: 345600 }, length_s: 604800, "
        "offset_s: 345600, overdue_s: 0 } })[0].detail.includes(new Intl.DateTimeFormat(undefined, "
        "{ day: 'numeric', month: 'short' })"
        ".format(950400000))",
        True,
    ),
    (
        "format",
        "m.formatSpan(950400000, 950400000 + 604800, 0).match(/[0-9]+:[0-9]+/g).length === 2 && "
        "m.formatSpan(950400000, 950400000 + 604800, 0).includes(m.formatDate(950400000 + 604800))",
        True,
    ),
]


def test_pure_functions_return_the_expected_values(use: None, page: Page) -> None:
    for module, expression, expected in PURE:
        found = page.evaluate(f"import('/static/{module}.js').then((m) => {expression})")
        assert found == expected, f"{module}: {expression}"


def test_event_stream_in_chunks_of_any_size_is_parsed_alike(use: None, page: Page) -> None:
    read = page.evaluate(
        """async () => {
            const { eventsOf } = await import("/static/event_stream.js");
            const text = ": hello\\n\\nevent: interval\\nid: 7\\ndata: é\\n\\ndata: cut";
            const bytes = new TextEncoder().encode(text);
            const read = [];
            for (let size = 1; size < bytes.length; size += 1) {
                const body = new ReadableStream({
                    start(controller) {
                        for (let at = 0; at < bytes.length; at += size) {
                            controller.enqueue(bytes.slice(at, at + size));
                        }
                        controller.close();
                    },
                });
                const events = [];
                for await (const event of eventsOf(body)) events.push(event);
                read.push(JSON.stringify(events));
            }
            return [...new Set(read)];
        }"""
    )
    assert read == ['[null,{"event":"interval","id":"7","data":"é"}]']
