"""The overview and the shell of the page in a real browser, with answers of `tests.overview_answers`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from event_count_logger.web.page import files
from tests import overview_answers
from tests.browsers import chromium
from tests.overview_answers import NOW, alert, answer, many, row, trend
from tests.page_site import violations

ADDRESS = "http://127.0.0.1/"
FILES = files()
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
EVIL = "\u202egnp.exe"


class Answers:
    """A server without Redis: its answers can be changed."""

    def __init__(self) -> None:
        self.rows = problems()
        self.changes: dict[str, Any] = {}
        self.events = [event("web", "500", "500 Server error"), event("jobs", "failed", "failed")]
        self.failure: dict[str, Any] | None = None
        self.asked: list[str] = []

    def handle(self, route: Route) -> None:
        path = route.request.url.removeprefix(ADDRESS)
        name = path.partition("?")[0].rpartition("/")[2]
        if path.startswith("api/"):
            self.asked.append(path)
            self._api(route, name)
        else:
            file = FILES[name or "index.html"]
            headers = {"Content-Security-Policy": POLICY}
            route.fulfill(body=file.body, content_type=file.media_type, headers=headers)

    def _api(self, route: Route, name: str) -> None:
        if self.failure:
            route.fulfill(status=self.failure["status"], json=self.failure)
        elif name == "overview":
            route.fulfill(json=answer(self.rows, **self.changes))
        elif name == "search":
            found = {"now": NOW, "groups": [], "events": self.events, "n_events": 120}
            route.fulfill(json=found)
        elif name == "stream":
            route.fulfill(body=": nothing new\n\n", content_type="text/event-stream")
        elif name == "alerts":
            route.fulfill(json={"now": NOW, "alerts": []})
        else:
            route.fulfill(status=404, json={"title": "no counts", "status": 404})


def event(group: str, event_id: str, label: str) -> dict[str, Any]:
    return {"group": group, "interval": "5m", "event": event_id, "label": label, "last": 3600}


def problems() -> list[dict[str, Any]]:
    """Rows with each kind of problem, and four others."""
    return [
        row("web", title="Web requests", problem="alert", alerts=[alert("server errors")]),
        row("backups", problem="stale", stale=True, overdue_s=480, change=None, trend=None),
        row("legacy", problem="no_master", master_alive=False),
        row("lost", problem="unavailable", last=None, current=None, change=None, trend=None),
        row("api", change={"against": "interval", "before": 400.0, "ratio": 2.0}),
        row("jobs", change={"against": "day", "before": 0, "ratio": None}, open_sessions=3),
        row("mail", trend=trend([None, 5, 5, None, 7, 8, 9, 7, 8], merged=[1, 2], usual=[5, 8])),
        row(EVIL, title=EVIL, unit="files", started=False, last=None, current=None, change=None),
    ]


def alerted_first(name: str) -> list[dict[str, Any]]:
    """Returns the rows of `problems()`; this group has an alert, and so it is the first one."""
    found = next(each for each in problems() if each["name"] == name)
    others = [each for each in problems() if each["name"] != name]
    return [{**found, "problem": "alert", "alerts": [alert("slow")]}, *others]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def page(browser: Browser, answers: Answers) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/*", answers.handle)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def overview(page: Page) -> Page:
    """The overview with all kinds of problems."""
    page.goto(ADDRESS)
    expect(of(page, "web")).to_be_visible()
    return page


def of(page: Page, group: str) -> Locator:
    return page.locator(f'.row[data-group="{group}"]')


def shown(page: Page) -> list[str]:
    """Returns the groups in the order of the page."""
    return [str(each.get_attribute("data-group")) for each in page.locator(".row[data-group]").all()]


def titles(page: Page) -> list[str]:
    return [text(title) for title in page.locator("#sections h2").all()]


def text(locator: Locator) -> str:
    """Returns the text in one line, with plain spaces."""
    return " ".join(locator.inner_text().split())


# What is wrong, since when, compared with what


def test_problems_stand_first_with_their_reason_and_time(overview: Page) -> None:
    assert overview.locator("#headline").inner_text() == "4 of 8 groups need attention"
    summary = "1 critical alert · 1 stale · 1 without a master · 1 unavailable"
    assert overview.locator("#summary").inner_text() == summary
    assert overview.title() == "(4) Event counts"
    assert titles(overview) == ["Needs attention 4", "Other groups 4"]
    assert shown(overview) == ["web", "backups", "legacy", "lost", "api", "jobs", "mail", EVIL]
    found = {name: text(of(overview, name).locator(".problems")) for name in shown(overview)[:4]}
    assert found == {
        "web": "▲ CRITICAL server errors 214, above 100 since 22:00 (13 min)",
        "backups": "■ STALE FOR 8 MIN the interval should have ended at 22:05",
        "legacy": "■ NO MASTER counts are kept, but no interval ends",
        "lost": "▲ UNAVAILABLE Redis rejects to read the counts",
    }
    announced = overview.locator("#alert_announcer").inner_text()
    assert (
        announced
        == "critical alert: server errors, Web requests. stale: Backups. no master: Legacy. 1 more problems"
    )


def test_row_shows_counts_change_and_progress(overview: Page) -> None:
    assert text(of(overview, "web").locator(".last")) == "Last interval: 1 200 22:05 – 22:10"
    assert text(of(overview, "web").locator(".change")) == "Change: ▲ +20 % from 1 000 at 22:05 yesterday"
    current = text(of(overview, "web").locator(".current"))
    assert re.fullmatch(r"Current interval: 800 for 3 min \d\d s", current)
    width = of(overview, "web").locator(".elapsed span").get_attribute("style")
    assert re.fullmatch(r"width: 6\d(\.\d)?%;", width or "")
    assert text(of(overview, "api").locator(".change")) == "Change: ▲ +200 % from 400 just before"
    assert text(of(overview, "jobs").locator(".change")) == "Change: ▲ new from 0 at 22:05 yesterday"
    assert text(of(overview, "jobs").locator(".about")) == "events per 5m · 3 open now"
    assert text(of(overview, "lost").locator(".last")) == "Last interval: – unknown"
    line = of(overview, "mail").locator(".trend .line").get_attribute("d") or ""
    assert line.count("M") == 2  # a gap
    assert of(overview, "mail").locator(".trend .merged").get_attribute("d")
    assert of(overview, EVIL).locator(".open").inner_text() == "⟨U+202E⟩gnp.exe"


def test_new_problem_is_announced_and_other_rows_stay(overview: Page, answers: Answers) -> None:
    overview.evaluate(
        """() => {
            window.changes = new Set();
            const note = (list) => list.forEach(({ target }) => {
                const row = (target.closest ? target : target.parentElement).closest(".row");
                if (row) changes.add(row.dataset.group);
            });
            const observer = new MutationObserver(note);
            for (const row of document.querySelectorAll(".row"))
                observer.observe(row, { childList: true, characterData: true, subtree: true });
        }"""
    )
    answers.rows = [
        *problems()[:4],
        {**problems()[4], "problem": "alert", "alerts": [alert("slow")]},
        *problems()[5:],
    ]
    expect(overview).to_have_title("(5) Event counts")
    assert overview.locator("#alert_announcer").inner_text() == "critical alert: slow, Api"
    changed = set(overview.evaluate("[...changes]"))
    assert "api" in changed
    assert "lost" not in changed


def test_order_is_kept_while_the_pointer_moves_in_the_list(overview: Page, answers: Answers) -> None:
    overview.mouse.move(400, 400)
    of(overview, "mail").hover()
    before = shown(overview)
    answers.rows = [
        {**problems()[6], "problem": "alert", "alerts": [alert("slow")]},
        *problems()[:6],
        problems()[7],
    ]
    expect(overview).to_have_title("(5) Event counts")
    assert shown(overview) == before
    held = overview.get_by_role("button", name="Sort now")
    expect(held).to_be_visible()
    held.click()
    assert shown(overview)[0] == "mail"
    expect(held).to_be_hidden()


def test_focus_stays_on_a_row_that_moves(overview: Page, answers: Answers) -> None:
    of(overview, "mail").locator(".open").focus()
    answers.rows = [
        {**problems()[6], "problem": "alert", "alerts": [alert("slow")]},
        *problems()[:6],
        problems()[7],
    ]
    expect(overview.locator("#held")).to_be_visible()
    overview.evaluate("document.querySelector('#held').click()")
    assert shown(overview)[0] == "mail"
    expect(of(overview, "mail").locator(".open")).to_be_focused()


def test_overview_of_200_groups_shows_all_of_them(page: Page, answers: Answers) -> None:
    answers.rows = many(200)
    page.goto(ADDRESS)
    expect(page.locator(".row")).to_have_count(200)


def test_place_in_the_overview_is_restored_after_going_forward(page: Page, answers: Answers) -> None:
    answers.rows = many(200)
    page.goto(ADDRESS)
    opened = page.locator(".row .open").nth(150)
    opened.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_be_visible()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(opened).to_be_focused()
    page.go_forward()
    expect(page.locator("#title")).to_be_visible()
    page.keyboard.press("g")
    expect(opened).to_be_focused()
    expect(opened).to_be_in_viewport()


def test_no_groups_are_named_as_such(page: Page, answers: Answers) -> None:
    answers.rows = []
    page.goto(ADDRESS)
    expect(page.get_by_text("There are no groups to show.")).to_be_visible()
    expect(page).to_have_title("Event counts")


@pytest.mark.parametrize("status", [503, 0])
def test_old_figures_stay_in_grey_with_their_age(overview: Page, answers: Answers, status: int) -> None:
    clock = overview.locator("#clock").inner_text()
    if status:
        answers.failure = {"status": status, "detail": "Redis does not answer"}
    else:
        overview.unroute("**/*")
        overview.route("**/api/**", lambda route: route.abort())
    reason = "Redis does not answer; last" if status else "Server unreachable"
    expect(overview.locator(".badge")).to_contain_text(re.compile(rf"{reason}.*update \d+ s ago"))
    expect(overview.locator(".layout.outdated")).to_be_visible()
    expect(of(overview, "web")).to_be_visible()
    assert overview.locator("#clock").inner_text() <= max(clock, "22:13:59")


def test_page_without_scripts_says_so(browser: Browser, answers: Answers) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.route("**/*", answers.handle)
    page.goto(ADDRESS)
    expect(page.locator("noscript p")).to_contain_text("This page needs JavaScript.")
    context.close()


# Search, pins and keys


def test_overview_is_usable_with_the_keyboard_only(overview: Page) -> None:
    focused = overview.locator(":focus")
    overview.keyboard.press("j")
    expect(focused).to_have_text("Web requests")
    overview.keyboard.press("ArrowDown")
    expect(focused).to_have_text("Backups")
    overview.keyboard.press("End")
    overview.keyboard.press("k")
    expect(focused).to_have_text("Mail")
    overview.keyboard.press("p")
    expect(focused).to_have_text("Mail")
    assert [text(title) for title in overview.locator("#sections h2").all()][1:] == [
        "Pinned 1",
        "Other groups 3",
    ]
    overview.keyboard.press("Enter")
    expect(overview.locator("#title")).to_have_text("Mail")
    expect(overview).to_have_url(re.compile("group=mail"))
    overview.keyboard.press("g")
    expect(focused).to_have_text("Mail")
    overview.keyboard.press("?")
    expect(overview.get_by_role("dialog", name="Keys")).to_be_visible()
    overview.keyboard.press("Escape")
    expect(overview.get_by_role("dialog", name="Keys")).to_be_hidden()
    overview.reload()
    expect(of(overview, "mail").get_by_role("button")).to_have_attribute("aria-pressed", "true")


def test_search_finds_groups_and_events_and_is_in_the_address(overview: Page, answers: Answers) -> None:
    overview.keyboard.press("/")
    expect(overview.locator("#search")).to_be_focused()
    overview.keyboard.type("ma")
    assert shown(overview) == ["mail"]
    overview.keyboard.type("x er")
    expect(overview.get_by_text("No group matches the search.")).to_be_visible()
    found = overview.locator("#found_events li")
    expect(found).to_have_count(2)
    marks = found.first.locator("mark")  # not those of the search for the first word
    expect(marks).to_have_text(["er", "er", "er"], use_inner_text=True)
    assert text(found.first) == "500 Server error 500 Web requests · 5m 3 600"
    assert text(overview.locator("#events_title")) == "Events 2 of 120"
    expect(overview).to_have_url(f"{ADDRESS}#q=max+er")
    overview.keyboard.press("ArrowDown")
    overview.keyboard.press("Enter")
    expect(overview).to_have_url(f"{ADDRESS}#group=web&interval=5m&event=500")
    overview.go_back()
    expect(overview.locator("#search")).to_have_value("max er")
    overview.locator("#search").focus()
    overview.keyboard.press("Escape")
    assert len(shown(overview)) == 8
    expect(overview.locator("#found_events")).to_be_hidden()


def test_ten_alerts_leave_the_heading_of_the_group_in_sight(page: Page, answers: Answers) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    alerts = [alert(f"slow {number}", severity="warning" if number else "critical") for number in range(6)]
    others = [row(f"g{number}", problem="alert", alerts=[alert("down")]) for number in range(5)]
    answers.rows = [row("web", problem="alert", alerts=alerts), *others, row("quiet")]
    page.goto(f"{ADDRESS}#group=web")
    expect(page.locator("#alerts li")).to_have_count(4)
    assert answers.asked[0] == "api/v1/overview"  # the alerts do not wait for the counts
    expect(page.locator(".badge")).to_contain_text("no counts; retrying")
    assert "api/v1/groups/web/5m" in [path.partition("?")[0] for path in answers.asked]
    assert [text(item) for item in page.locator("#alerts li").all()[1:]] == [
        "◆ WARNING slow 1 5m 214, above 100 since 22:00",
        "◆ 4 MORE ALERTS in this group",
        "▲ 5 MORE ALERTS in G0, G1, G2 and 2 other groups",
    ]
    box = page.locator("#title").bounding_box()
    assert box
    assert box["y"] < 844 / 2
    assert page.title() == "(6) Web · 5m"
    page.goto(f"{ADDRESS}#group=quiet")
    expect(page.locator(".group[aria-current]")).to_be_in_viewport()
    expect(page.locator("#all_groups")).to_be_in_viewport()


# Accessibility


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(overview: Page, scheme: Any) -> None:
    overview.emulate_media(color_scheme=scheme)
    assert violations(overview) == []
    overview.keyboard.press("?")
    assert violations(overview) == []
    overview.keyboard.press("Escape")
    overview.goto(f"{ADDRESS}#q=fail")
    expect(overview.locator("#found_events li")).to_have_count(2)
    assert violations(overview) == []
    overview.goto(f"{ADDRESS}#group=web")
    expect(overview.locator("#alerts li")).to_have_count(1)
    assert violations(overview, "header, #alerts, #side, #badges") == []


@pytest.mark.parametrize("width", [320, 390, 640, 768, 1101, 3840])  # 640: 1280 at 200 %
def test_overview_fits_the_width_of_the_window(overview: Page, width: int) -> None:
    overview.set_viewport_size({"width": width, "height": 700})
    assert overview.evaluate("document.documentElement.scrollWidth") == width


# Modules

PURE: list[tuple[str, str, Any]] = [
    (
        "overview_state",
        "(({ rows, order, revision }) => [order, rows.get('a').trend, revision])(m.updated(m.loaded({ "
        "now: 1, revision: '1', groups: [{ name: 'a', trend: 7 }, { name: 'b' }] }), { now: 2, "
        "revision: '2', groups: [{ name: 'a' }, { name: 'c' }], removed: ['b'] }))",
        [["a", "c"], 7, "2"],
    ),
    (
        "overview_state",
        "[...m.updated(m.loaded({ now: 1, groups: [{ name: 'a' }, { name: 'b' }] }), { now: 2, "
        "groups: [{ name: 'a' }], order: ['a'], removed: [] }).rows.keys()]",
        ["a"],
    ),
    (
        "overview_state",
        "m.found([{ name: 'a', title: 'Web' }, { name: 'b', title: 'x' }], 'w e')[0].name",
        "a",
    ),
    (
        "order_hold",
        "m.kept([{ id: 1, names: ['a', 'b'] }, { id: 2, names: ['c'] }], [{ id: 1, names: ['c', 'd', 'a'] }])"
        ".map(({ names }) => names)",
        [["a"], ["c", "d"]],
    ),
    ("event_search", "m.marked('a.b', '. B').map((piece) => piece.textContent ?? piece)", ["a", ".", "b"]),
    ("event_search", "m.marked('a', ' ')", ["a"]),
    (
        "group_list",
        "m.ordered([['b', null], ['a', null], ['p', null], ['z', 'stale']].map(([name, problem]) => "
        "({ name, problem })), (name) => name === 'p').map(({ name }) => name)",
        ["z", "p", "a", "b"],
    ),
    ("overview_words", "m.sinceWords(0, 59)", "since 00:00 (59 s)"),
    ("overview_words", "m.headlineOf([{ problem: null, alerts: [] }]).title", "No problems in 1 group"),
    (
        "overview_words",
        "m.lastOf({ last: { start: 0, end: 900, sum: 3 }, length_s: 300 }, 900).detail",
        "00:00 – 00:15 (15 min long)",
    ),
    (
        "overview_words",
        "m.changeOf({ change: { ratio: 0, before: 2n ** 53n + 1n, against: 'interval' }, last: {} }, 0)"
        ".detail.replace(/\\s/g, '')",
        "from9007199254740993justbefore",
    ),
]


def test_pure_functions_return_the_expected_values(overview: Page) -> None:
    for module, expression, expected in PURE:
        found = overview.evaluate(f"import('/static/{module}.js').then((m) => {expression})")
        assert found == expected, f"{module}: {expression}"


def test_pins_of_another_program_are_ignored(page: Page) -> None:
    page.add_init_script("localStorage.setItem('ecl-pins', '{broken')")
    page.goto(ADDRESS)
    expect(of(page, "web")).to_be_visible()


def test_answers_have_the_fields_of_the_server() -> None:
    from event_count_logger.web.overview import OverviewDocument, OverviewRow

    made = json.loads(json.dumps(answer(many(1))))
    assert set(made) == set(OverviewDocument.__annotations__)
    assert set(made["groups"][0]) == set(OverviewRow.__annotations__)
    assert made["now"] == overview_answers.NOW
