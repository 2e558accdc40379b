"""The view of one group or event in a real browser: ranges, comparisons, downloads and copies."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, Request, Route, expect

from event_count_logger.config import from_dicts
from event_count_logger.store import Store
from tests.conftest import BIN, needs_debian
from tests.page_site import (
    DAY_S,
    GROUPS,
    Site,
    browser,
    cells,
    context,
    names,
    page,
    row,
    site,
    sites,
    tile,
    violations,
)
from tests.servers import wait_until

THIN = "\u202f"


def history(site: Site, since: float, until: float) -> dict[str, int]:
    """Returns the sums in Redis of the group `long` over the intervals that begin in a range."""
    group = from_dicts(GROUPS, site.server.config).group("long")
    with_store = Store(from_dicts(GROUPS, site.server.config).redis)
    sums: dict[str, int] = {}
    for entry in with_store.reads.between(group, group.intervals[0], since, until):
        for event, count in entry.counts.items():
            sums[event] = sums.get(event, 0) + count
    with_store.close()
    return sums


def answer(site: Site, query: str, place: str = "long/15m") -> Any:
    with urlopen(f"{site.url}api/v1/groups/{place}?{query}") as response:
        return json.load(response)


@pytest.fixture
def midnight(site: Site) -> int:
    """The end of the history of the group `long`."""
    return int(answer(site, "history=1")["last"]["end"])


def test_figures_of_each_range_are_those_of_api_and_redis(site: Site, page: Page, midnight: int) -> None:
    for begin, end in ((DAY_S, 0), (2 * 3600, 3600), (8 * DAY_S, 0)):
        since, until = midnight - begin, midnight - end
        page.goto(f"{site.url}#group=long&since={since}&until={until}&compare=day&sort=event")
        stored = history(site, since, until)
        expect(page.locator("[data-tile=sum] .value")).to_have_text(
            re.compile(rf"^{re.escape(f'{sum(stored.values()):,}'.replace(',', THIN))}$")
        )
        assert names(page) == ["Apples", "b", "c d"]
        shown = {event: cells(page, name)[0] for event, name in (("a", "Apples"), ("b", "b"), ("c d", "c d"))}
        assert shown == {event: str(stored.get(event, 0)) for event in shown}
        found = answer(site, f"since={since}&until={until}&compare=day&limit=10")
        assert found["range"]["counts"] == stored
        before = found["compared"]["range"]
        expect(page.locator("[data-tile=change] .detail")).to_contain_text(
            f"{before['sum']:,}".replace(",", THIN) if before else "no counts a day before"
        )


def test_server_sums_a_long_range_in_steps(site: Site, page: Page, midnight: int) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.url}#group=long&since={midnight - 8 * DAY_S}&until={midnight}")
    expect(page.locator("#extent .step")).to_have_text("bars of 1 h")
    queries = [parse_qs(urlsplit(url).query) for url in asked if "/long/15m?" in url and "since" in url]
    assert {query["step"][0] for query in queries} == {"1h"}
    assert tile(page, "sum") == str(sum(history(site, midnight - 8 * DAY_S, midnight).values()))


def test_range_beyond_the_history_says_so(site: Site, page: Page, midnight: int) -> None:
    gaps = page.locator("#extent .gaps")
    page.goto(f"{site.url}#group=long&since={midnight - 30 * DAY_S}&until={midnight}")
    expect(gaps).to_have_text(re.compile(r"^No history before \d+ \w+, 00:00\. The server keeps [^.]+\.$"))
    expect(page.locator("#chart .gap")).to_have_count(0)
    expect(page.locator("#chart .missing")).to_have_count(0)
    page.goto(f"{site.url}#group=long&since={midnight - 60 * DAY_S}&until={midnight - 30 * DAY_S}")
    expect(gaps).to_contain_text("No history before")
    expect(page.locator("[data-tile=sum] .value")).to_have_text("–")
    page.goto(f"{site.url}#group=long")
    expect(page.locator("[data-tile=sum]")).to_be_hidden()
    expect(gaps).to_be_hidden()


def test_back_returns_from_a_range_and_from_an_event(site: Site, page: Page, midnight: int) -> None:
    page.goto(f"{site.url}#group=long&since={midnight - DAY_S}&until={midnight}")
    expect(page.locator("[data-tile=sum] .value")).to_be_visible()
    whole = tile(page, "sum")
    dates = page.locator("#dates")
    dates.locator("summary").click()
    expect(dates.locator(".zone")).to_have_text("Times of UTC")
    dates.get_by_label("From").fill("2026-01-02T03:00:00")
    dates.get_by_label("To", exact=True).fill("2026-01-02T02:00:00")
    dates.get_by_role("button", name="Show").click()
    expect(dates.get_by_role("alert")).to_have_text("The end must be after the start.")
    dates.get_by_label("To", exact=True).fill("2026-01-02T04:00:00")
    page.keyboard.press("Enter")
    expect(page.locator("#extent .gaps")).to_contain_text("No history before")
    expect(page).to_have_url(re.compile("since=1767322800&until=1767326400"))
    page.go_back()
    expect(page.locator("[data-tile=sum] .value")).to_have_text(re.compile(r"\d"))
    assert tile(page, "sum") == whole
    row(page, "Apples").click()
    expect(page.locator("#title")).to_have_text("Apples")
    expect(page).to_have_title(re.compile("Apples · long · 15m$"))
    page.go_back()
    expect(page.locator("#title")).to_have_text("long")


def test_view_of_an_event_has_its_own_figures(site: Site, page: Page, midnight: int) -> None:
    page.goto(f"{site.url}#group=long&since={midnight - DAY_S}&until={midnight}&compare=day")
    expect(row(page, "c d")).to_be_visible()
    page.locator("#events").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_be_focused()
    opened = page.locator("#title").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("#list")).to_be_visible()
    expect(page.locator("[aria-selected=true] th")).to_have_text(opened)
    page.goto(f"{site.url}#group=long&since={midnight - DAY_S}&until={midnight}&compare=day&event=c+d")
    expect(page.locator("#history tbody tr")).to_have_count(96)
    assert tile(page, "sum") == str(5 * 96)
    expect(page.locator("[data-tile=change] .value")).to_have_text("new")
    expect(page.locator("[data-tile=first] .value")).to_have_text(re.compile("00:00$"))
    expect(page.locator("[data-tile=first] .detail")).to_contain_text("in the kept history")
    expect(page.locator("#history tbody tr").first.locator("td")).to_have_text(["5", "<0.01", "new"])
    expect(page.locator("#chart .legend .name")).to_have_text(["c d"])
    expect(page.locator("#chart .legend .line_name")).to_have_text(["a day before"])
    page.goto(f"{site.url}#group=long&event=absent")
    expect(page.locator("#event .message")).to_have_text("No counts of 'absent' are known in this group.")
    expect(page.locator("#history")).to_be_hidden()
    expect(page.locator("#tiles")).to_be_hidden()


def test_sum_of_an_event_without_history_is_unknown(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=bare&interval=24h&event=a&range=24h")
    expect(page.locator("[data-tile=sum] .detail")).to_have_text("no interval")
    assert tile(page, "sum") == "–"


def test_view_of_sessions_shows_their_mean_length(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=visits&event=shop")
    newest = page.locator("#history tbody tr").first
    expect(newest.locator("td").nth(0)).to_have_text("3")
    expect(newest.locator("td").nth(1)).to_have_text("3 min 20 s")
    assert [tile(page, name) for name in ("last", "total", "length")] == ["3", "4", "2min30s"]
    expect(page.locator("[data-tile=open]")).to_be_hidden()  # of all events together only


def test_filter_applies_to_tiles_chart_and_table(site: Site, page: Page, midnight: int) -> None:
    page.goto(f"{site.url}#group=long&since={midnight - DAY_S}&until={midnight}&compare=day&filter=appl")
    found = answer(site, f"since={midnight - DAY_S}&until={midnight}&compare=day&filter=appl")
    expect(page.locator("#events tbody th")).to_have_text(["Apples"])
    assert tile(page, "sum") == str(found["range"]["sum"]) == cells(page, "Apples")[0]
    assert tile(page, "total") == str(found["sums"]["total"])
    expect(page.locator("#chart .legend li").first).to_contain_text("Apples")
    page.locator("#filter").fill("")
    whole = answer(site, f"since={midnight - DAY_S}&until={midnight}")["range"]["sum"]
    expect(page.locator("[data-tile=sum] .value")).to_have_text(f"{whole:,}".replace(",", THIN))


def test_change_is_against_the_chosen_time(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=web&interval=24h&sort=-change")
    expect(row(page, "Fine")).to_be_visible()
    change = row(page, "Fine").locator(".change")
    expect(change).to_have_text(re.compile(r"^−(99\.9|>99)\s?%$"))
    words = f"43{THIN}200, against 86{THIN}400{THIN}000 at 00:00 on"
    expect(change).to_have_attribute("title", re.compile(f"^{words}"))
    expect(row(page, "other").locator(".change")).to_have_text("new")
    expect(page.locator("#events tbody th").first).to_have_text("other")
    page.get_by_label("Compare with").select_option("none")
    expect(page.locator("[data-tile=change]")).to_be_hidden()
    expect(page.get_by_role("columnheader", name="Change")).to_be_hidden()
    expect(page).to_have_url(re.compile("compare=none"))


def test_late_answer_of_another_group_is_never_shown(site: Site, page: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile("/use/24h"), hold)
    page.goto(f"{site.url}#group=use&interval=24h")
    expect(page.locator("#title")).to_have_text("use")
    expect(page.locator("#figures")).to_be_hidden()
    page.evaluate("location.hash = 'group=visits'")
    expect(row(page, "shop")).to_be_visible()
    wait_until(lambda: page.evaluate("true") and held, what="the request is noted")
    for route in held:
        route.continue_()
    page.evaluate("location.hash = 'group=visits&range=7d'")
    expect(page.locator("[data-tile=sum]")).to_be_visible()
    assert names(page) == ["shop", "blog"]
    expect(page.locator("#title")).to_have_text("visits")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_group_and_event(site: Site, page: Page, midnight: int, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site.url}#group=long&since={midnight - 2 * DAY_S}&until={midnight + DAY_S}&compare=day")
    expect(row(page, "Apples")).to_be_visible()
    for menu in ("#dates", "#copy"):
        page.locator(f"{menu} summary").click()
        assert violations(page) == []
    page.keyboard.press("Escape")
    copied(page, "curl")
    row(page, "Apples").click()
    expect(page.locator("#history tbody tr").first).to_be_visible()
    assert violations(page) == []


def test_chosen_parts_are_outlined_in_forced_colours(site: Site, page: Page) -> None:
    page.emulate_media(forced_colors="active")
    page.goto(f"{site.url}#group=web&interval=48h&range=7d")
    for chosen in ("#ranges [aria-current]", "#intervals [aria-current]", "#groups [aria-current]"):
        expect(page.locator(chosen)).to_have_css("outline-style", "solid")


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
def test_group_and_event_fit_the_width_of_the_window(
    site: Site, page: Page, midnight: int, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    for event in ("", "&event=a"):
        page.goto(f"{site.url}#group=long&since={midnight - DAY_S}&until={midnight}{event}")
        expect(page.locator("[data-tile=sum] .value")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_first_rows_of_many_events_come_first(site: Site, page: Page) -> None:
    asked: list[dict[str, list[str]]] = []

    def note(request: Request) -> None:
        if "/many/24h?" in request.url:
            asked.append(parse_qs(urlsplit(request.url).query))

    page.on("request", note)
    page.goto(f"{site.url}#group=many")
    expect(page.locator("#n_events")).to_have_text(f"10{THIN}000 events")
    assert [query["limit"] for query in asked[:2]] == [["100"], ["10000"]]
    assert (asked[0]["top"], asked[0]["order"]) == (["6"], ["-last"])
    page.locator("#filter").fill("0999")
    expect(page.locator("#n_events")).to_have_text(f"11 of 10{THIN}000 events")
    assert {query["limit"][0] for query in asked if "filter" in query} <= {"1"}  # the line of the comparison


def downloaded(page: Page, kind: str) -> bytes:
    page.locator("#download summary").click()
    with page.expect_download() as found:
        page.locator(f"#download button[value={kind}]").click()
    assert found.value.suggested_filename.endswith(f".{kind}")
    return Path(found.value.path()).read_bytes()


def copied(page: Page, kind: str) -> str:
    output = page.locator(".exported output")
    before = output.text_content() or ""
    page.locator("#copy summary").click()
    page.locator(f"#copy button[value={kind}]").click()
    expect(output).not_to_have_text(before)
    return output.inner_text()


def test_downloads_and_copies_have_the_figures_that_are_shown(
    site: Site, page: Page, midnight: int, tmp_path: Path
) -> None:
    since, until = midnight - DAY_S, midnight
    page.goto(f"{site.url}#group=long&since={since}&until={until}&filter=appl")
    expect(row(page, "Apples")).to_be_visible()
    shown = int(tile(page, "sum"))
    rows = list(csv.DictReader(downloaded(page, "csv").decode().splitlines()))
    assert (sum(int(each["count"]) for each in rows), {each["event"] for each in rows}) == (shown, {"a"})
    assert json.loads(downloaded(page, "json"))["range"]["sum"] == shown
    assert downloaded(page, "png").startswith(b"\x89PNG")
    ran = subprocess.run(["sh", "-c", copied(page, "curl")], capture_output=True, check=True)
    assert json.loads(ran.stdout)["range"]["sum"] == shown
    page.goto(f"{site.url}#group=long&since={since}&until={until}&event=a")
    expect(page.locator("#history tbody tr")).to_have_count(96)
    command = copied(page, "reader").replace("ecl_reader ecl.yml", f"{BIN}/ecl_reader {site.file}")
    ran = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert ran.stdout.decode() == f"a:{shown}\n"
    promql = copied(page, "promql")
    labels = 'group="long",event=~"a"'
    assert promql == f"sum by (event) (increase(ecl_events_total{{{labels}}}[86400s] @ {until}))"
    needs_debian("prometheus", "/usr/bin/promtool")
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [{"record": "r", "expr": promql}]}]}))
    subprocess.run(["promtool", "check", "rules", rules], check=True, capture_output=True)


SCOPE = "{ range: null, since: null, until: null, compare: null, kept: 60, length_s: 300, interval: '5m' }"

PURE: list[tuple[str, str, Any]] = [
    ("range", f"m.queryOf({SCOPE}, 1)", {"history": 60}),
    ("range", f"m.queryOf({{ ...{SCOPE}, range: '1h' }}, 1)", {"since": "65m", "step": None}),
    ("range", f"m.queryOf({{ ...{SCOPE}, range: '7d' }}, 1)", {"since": "10085m", "step": "1h"}),
    ("range", f"m.queryOf({{ ...{SCOPE}, range: '24h' }}, 10000).step", "15m"),
    ("range", f"m.queryOf({{ ...{SCOPE}, range: '6h', length_s: 86400 }}, 1).since", "2d"),
    ("range", f"m.stepOf({{ ...{SCOPE}, since: 0, until: 700 * 420, length_s: 420 }}, 1)", 1260),
    ("range", "[1800, 604800, 86400, 90].map(m.spelled)", ["30m", "1w", "1d", "90s"]),
    ("range", f"m.comparisonOf({SCOPE})", "interval"),
    ("range", f"m.comparisonOf({{ ...{SCOPE}, kept: 300 }})", "day"),
    ("range", f"m.comparisonOf({{ ...{SCOPE}, kept: 3000, range: '7d' }})", "interval"),
    (
        "route",
        "m.formatRoute(m.parseRoute('#group=a&since=1&until=2&range=1h&hide=x&hide=y&log=1&chart=share'))",
        "#group=a&since=1&until=2&chart=share&log=1&hide=x&hide=y",
    ),
    ("route", "m.formatRoute(m.parseRoute('#since=2&until=1&range=9h&chart=pie&compare=year'))", "#"),
    (
        "commands",
        "m.readerCommand({ group: \"it's\", interval: '5m' }, null, { events: ['a.b'], filter: '' })",
        "ecl_reader ecl.yml -g 'it'\\''s' -i 5m | grep -E -e '^a\\.b:[0-9]+$'",
    ),
    (
        "commands",
        "m.readerCommand({ group: 'a', interval: '5m' }, null, { events: ['500', '502'], filter: '50' })",
        "ecl_reader ecl.yml -g a -i 5m | grep -E -e '^(500|502):[0-9]+$'",
    ),
    (
        "commands",
        "m.promqlExpression({ group: 'a\"b', interval: '5m' }, null, { events: ['x.y'], filter: '' })",
        'ecl_last_interval_events{group="a\\"b",event=~"x\\\\.y",interval="5m"}',
    ),
    (
        "commands",
        "m.curlCommand('http://h/p/', { group: 'a b', interval: '5m' }, { history: 60, filter: null }, true)",
        "curl -s -H \"Authorization: Bearer $TOKEN\" 'http://h/p/api/v1/groups/a%20b/5m?history=60'",
    ),
    ("local_time", "m.fromInput(m.toInput(1767322800))", 1767322800),
    ("local_time", "m.zoneOf(0)", "UTC"),
]


def test_pure_functions_of_the_group_return_the_expected_values(site: Site, page: Page) -> None:
    page.goto(f"{site.url}#group=use")
    for module, expression, expected in PURE:
        found = page.evaluate(f"import('/static/{module}.js').then((m) => ({expression}))")
        assert found == expected, f"{module}: {expression}"
