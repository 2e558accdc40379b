"""The chart, the sparklines and the formats of the page, in a real browser without a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from event_count_logger.web.documents import Document
from event_count_logger.web.page import files
from tests.browsers import chromium

ADDRESS = "http://127.0.0.1/"
FILES = files()
EMPTY = Document(b"<!doctype html>", "", "text/html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page whose address has the static files, in a time zone with daylight saving time."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/*", answer)
    page.goto(ADDRESS)
    yield page
    context.close()
    assert errors == []


def answer(route: Route) -> None:
    """Answers a request with a static file, or with an empty page."""
    file = FILES.get(route.request.url.rpartition("/")[2], EMPTY)
    route.fulfill(body=file.body, content_type=file.media_type)


def evaluate(page: Page, module: str, expressions: dict[str, Any]) -> None:
    """Compares expressions about a module `m` with their expected values."""
    code = ", ".join(f"() => ({expression})" for expression in expressions)
    found = page.evaluate(f"import('/static/{module}.js').then((m) => [{code}].map((each) => each()))")
    assert dict(zip(expressions, found, strict=True)) == expressions


def test_invisible_characters_are_shown_and_real_text_is_kept(page: Page) -> None:
    shown = {
        "plain text": "plain text",
        "a\u202eb": "a⟨U+202E⟩b",
        "\u2066a\u2069": "⟨U+2066⟩a⟨U+2069⟩",
        "a\u200bb\u200d\ufeff": "a⟨U+200B⟩b⟨U+200D⟩⟨U+FEFF⟩",
        "a\0\n\x85": "a⟨U+0000⟩⟨U+000A⟩⟨U+0085⟩",
        " a\u00a0b ": "⟨U+0020⟩a⟨U+00A0⟩b⟨U+0020⟩",
        "\u0301": "◌\u0301",
        "e" + "\u0301" * 7: "e" + "\u0301" * 6 + "⟨U+0301⟩",
        "1\ufe0f \u3164": "1⟨U+FE0F⟩ ⟨U+3164⟩",
        "\U000e0041": "⟨U+E0041⟩",
    }
    kept = [
        "é 日本\u3000語",
        "❤️ 1️⃣ 👩🏽‍🚀 🏳️‍🌈 🇩🇪 👨‍👩‍👧",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "مرحبا שָׁלוֹם",
        "می\u200cخواهم क्\u200dष",
    ]
    texts = [*shown, *kept]
    found = page.evaluate("(texts) => import('/static/format.js').then((m) => texts.map(m.visible))", texts)
    assert dict(zip(texts, found, strict=True)) == shown | dict(zip(kept, kept, strict=True))


def test_numbers_have_one_style(page: Page) -> None:
    thin = "\u202f"
    expected = {
        "m.formatCount(1234567.5) + m.formatCount(-1000) + m.formatCount(2n ** 63n)": (
            f"1{thin}234{thin}567.5−1{thin}0009{thin}223{thin}372{thin}036{thin}854{thin}775{thin}808"
        ),
        "[9999, 12345, 999999, 1e15, null].map(m.formatCompact)": [f"9{thin}999", "12.3k", "1M", "1P", "–"],
        "[0.42, -0.07, 0, 11.2, Infinity, null, 0.0421, -0.9999, -1, 2e5].map(m.formatChange)": [
            f"+42{thin}%",
            f"−7{thin}%",
            f"±0{thin}%",
            "×12",
            "new",
            "–",
            f"+4.2{thin}%",
            f"−99.9{thin}%",
            f"−100{thin}%",
            "×200k",
        ],
        "[0, 0.0001, 0.62, 0.9999, 1].map(m.formatShare)": [
            f"{share}{thin}%" for share in ("0", "<0.1", "62", "99.9", "100")
        ],
        "[m.changeOf(5, 0), m.changeOf(0, 0), m.changeOf(null, 1), m.changeOf(3n, 2)]": [
            float("inf"),
            0,
            None,
            0.5,
        ],
        "m.formatSpan(0, 3600, 90000)": "1 Jan, 01:00 – 02:00",
        "m.formatSpan(0, 3600, 40000000)": "1 Jan 1970, 01:00 – 02:00",
    }
    evaluate(page, "format", expected)


def test_sparkline_has_gaps_and_rates_of_long_intervals(page: Page) -> None:
    rows = "[{ start: 0, end: 10 }, { start: 10, end: 40 }, { start: 60, end: 70 }]"
    drawn = f"""(() => {{
        const [node, row] = [m.newSparkline(), {{ history: [4, 12, 8n], sparkline: null }}];
        m.drawSparkline(node, row, m.timelineOf({rows}, 10));
        return [...node.children].map((part) => part.getAttribute("d"));
    }})()"""
    usual = """(() => {
        const node = m.newSparkline();
        m.drawTrend(node, { counts: [1, null, 2, 2], merged: [2, 3], usual: [1, 2] });
        return [...node.children].map((part) => (part.getAttribute("d").match(/M/g) ?? []).length);
    })()"""
    slot = 100 / 23
    left = [f"{100 - slot * (6 - n):.1f}" for n in range(7)]
    merged = [f"{100 - slot * (6 - n):.1f}" for n in (0.5, 3.5)]
    line = f"M{left[0]} 11.0H{left[0]}L{left[1]} 11.0H{left[3]}M{left[6]} 2.0H{left[6]}"
    expected = {
        drawn: [None, line, f"M{merged[0]} 11.0H{merged[1]}", f"M{left[6]} 2.0h0"],
        usual: [1, 2, 2, 1],
    }
    evaluate(page, "sparkline", expected)


def test_axis_of_counts_has_round_ticks_in_one_style(page: Page) -> None:
    labels = "m.{}.ticks.map((tick) => tick.label)"
    expected = {
        "m.countTicks(1, 5)": [0, 1],
        "m.countTicks(43, 5)": [0, 10, 20, 30, 40, 50],
        "m.countTicks(90, 4)": [0, 25, 50, 75, 100],
        labels.format("linearAxis(1200000, 3)"): ["0", "0.5M", "1M", "1.5M"],
        labels.format("linearAxis(9000, 2)"): ["0", "5\u202f000", "10\u202f000"],
        labels.format("logAxis(0.02, 90, 9, true)"): ["0", "0.01", "0.1", "1", "10", "100"],
        "[0, 0.01, 100].map(m.logAxis(0.02, 90, 9, true).y)": [0, 1 / 5, 1],
        labels.format("logAxis(1, 90, 9, false)"): ["1", "10", "100"],
        "m.logAxis(1, 1, 9, true).y(1) < 1": True,
    }
    evaluate(page, "scales", expected | {labels.format("linearAxis(9000, 2)"): ["0", "5k", "10k"]})


#: Beginning, hours and width of ranges.
RANGES = [
    ("2026-10-25T00:00", 6, 290),  # clocks are set back
    ("2026-03-29T00:00", 6, 1400),  # clocks are set forward
    ("2026-10-25T00:00", 4, 290),
    ("2026-11-30T12:00", 24, 800),  # the last label would be the first one
    ("2026-11-30T12:00", 0.1, 290),
    ("2026-11-28T13:00", 60, 290),
    ("2026-11-28T13:00", 60, 3700),
    ("2026-10-20T00:00", 24 * 30, 290),
    ("2025-03-01T00:00", 24 * 400, 3700),
    ("1999-01-01T00:00", 24 * 365 * 30, 290),
]


def test_labels_of_time_never_repeat(page: Page) -> None:
    found = page.evaluate(
        """async (ranges) => {
            const { timeTicks } = await import("/static/time_axis.js");
            return ranges.map(([start, hours, width]) => {
                const from = new Date(start).getTime() / 1000;
                return timeTicks(from, from + 3600 * hours, width);
            });
        }""",
        RANGES,
    )
    for place, ticks in zip(RANGES, found, strict=True):
        labels = [tick["label"] for tick in ticks]
        times = [tick["at"] for tick in ticks]
        assert len(labels) >= 3, place
        assert len(set(labels)) == len(labels), place
        assert times == sorted(set(times)), place


def test_times_of_the_axis_are_round_in_local_time(page: Page) -> None:
    autumn, day = 1_792_879_200, 1_795_993_200  # 25 October, and 30 November, at 00:00 in Berlin
    pairs = "m.timeTicks({}, {}, {}).map(({{ label, below }}) => `${{label}} ${{below}}`.trim())"
    expected = {
        pairs.format(autumn, autumn + 4 * 3600, 420): [
            "00:00 Sun 25 Oct",
            "01:00",
            "02:00 CEST",
            "02:00 CET",
            "03:00",
        ],
        pairs.format(day - 3600 * 12, day + 3600 * 24, 400): [
            "Sun 12:00 Sun 29 Nov",
            "Mon 00:00 Mon 30 Nov",
            "Mon 12:00",
            "Tue 00:00 Tue 1 Dec",
        ],
        pairs.format(day, day + 86_400 * 3, 300): ["30 Nov 2026", "1 Dec", "2 Dec", "3 Dec"],
        f"m.midnights({autumn}, {autumn + 2 * 90_000}).map((at) => at - {autumn})": [90_000, 176_400],
    }
    evaluate(page, "time_axis", expected)


def test_spans_are_drawn_by_rate_and_missing_ones_are_gaps(page: Page) -> None:
    spans = "[{ start: 20, end: 30 }, { start: 30, end: 60 }, { start: 80, end: 90, covered_s: 5 }]"
    expected = {
        f"m.heightsOf([{{ counts: [4, 12, 3] }}], m.sharesOf({spans}, 10))": [[4, 4, 6]],
        f"m.gapsOf({spans}, 0)": [{"start": 0, "end": 20}, {"start": 60, "end": 80}],
        f"{spans}.map((span) => m.noteOf(span, 10, 12))": [
            None,
            "covers 3 intervals, rate shown: 4 per 10s",
            "covers 5 s of 10s, rate shown: 24 per 10s",
        ],
        "m.stacked([[1, 2], [3, 4]], 2)": [[0, 0], [1, 2], [4, 6]],
        "[300, 3600, 604800, 90].map(m.lengthName)": ["5m", "1h", "1w", "90s"],
    }
    evaluate(page, "spans", expected)


#: Eight events with equal counts, and a small one that jumps.
ROWS = """
    const rows = Array.from({ length: 8 }, (_, n) => ({ id: `e${n}`, label: `E${n}`, rank: n,
        history: [90, 90, 90], sum: 270, change: null }));
    rows.push({ id: "spike", label: "Spike", rank: 8, history: [null, 0, 60], sum: 60, change: null });
    const view = { rows, sums: null, pick: "size", hide: [], selected: null };
    const ids = (found) => found.series.map(({ id, isHidden }) => (isHidden ? `(${id})` : id)).join(" ");
    const of = (part, colours = new m.Colours()) => m.seriesOf({ ...view, ...part }, [1, 1, 1], colours);
"""


def test_six_events_are_chosen_by_size_or_change(page: Page) -> None:
    def of(code: str) -> str:
        return f"(() => {{ {ROWS} return {code}; }})()"

    expected = {
        of("ids(of({}))"): "e0 e1 e2 e3 e4 e5 @others",
        of("of({}).series.at(-1)"): {
            "id": "@others", "label": "3 other events", "colour": "others", "counts": [180, 180, 240],
            "n_events": 3, "isHidden": False,
        },
        of("[of({}).striking, of({ pick: 'change' }).striking]"): ["Spike", None],
        of("ids(of({ pick: 'change' }))"): "e0 e1 e2 e3 e4 spike @others",
        of("ids(of({ hide: m.picked('spike', []) }))"): "(e0) (e1) (e2) (e3) (e4) spike (@others)",
        of("ids(of({ hide: m.toggled('e1', [], ['e0', 'e1']) }))"): "e0 (e1) e2 e3 e4 e5 @others",
        of("ids(of({ hide: ['@only:gone'] }))"): "e0 e1 e2 e3 e4 e5 @others",
        of("ids(of({ selected: 'spike' }))"): "spike",
        of("m.picked('a', m.picked('a', []))"): [],
        of("m.toggled('a', m.picked('a', []), ['a', 'b'])"): ["b", "a"],
        # An event keeps its colour while others come and go.
        of("(() => { const colours = new m.Colours(); of({}, colours); "
           "return of({ pick: 'change' }, colours).series.map(({ colour }) => colour).join(' '); })()"):
            "0 1 2 3 4 5 others",
        # Sums above 2^53 are exact.
        of("String(of({ rows: [...rows, { ...rows[0], id: 'big', sum: 1, history: [2n ** 53n, 0, 0] }] })"
           ".totals[0])"): str(2**53 + 8 * 90),
        of("of({ sums: [1000, null, 2n ** 60n] }).series.at(-1).counts.map(String)"): [
            "460", "null", str(2**60 - 540),
        ],
    }  # fmt: skip
    evaluate(page, "series", expected)


# The chart as a whole

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'"
)
START = 1_796_036_400  # 30 November 2026, 12:00 in Berlin


@pytest.fixture
def chart(page: Page) -> Page:
    """A page with only the chart of the real page, under the real security policy."""
    index = FILES["index.html"].body.decode()
    section = index[index.index('<section id="chart"') :].partition("</section>")[0]
    styles = "".join(f'<link rel="stylesheet" href="/static/{name}.css">' for name in ("page", "chart"))
    body = f'<!doctype html><html lang="en"><title>Chart</title>{styles}{section}</section></html>'
    headers = {"Content-Security-Policy": CSP}
    page.route(ADDRESS, lambda route: route.fulfill(body=body, content_type="text/html", headers=headers))
    page.goto(ADDRESS)
    page.evaluate(
        """async (start) => {
            const { Chart } = await import("/static/chart.js");
            window.calls = [];
            window.chartStart = start;
            const chart = new Chart(document.querySelector("#chart"), {
                zooms: (since, until) => calls.push([since - start, until - start]),
                changes: (part) => calls.push(part),
            });
            const spans = Array.from({ length: 10 }, (_, n) => start + 60 * n)
                .map((begin) => ({ start: begin, end: begin + 60 }));
            spans.splice(3, 3, { start: start + 180, end: start + 360 }); // the master was late
            spans.splice(6, 1); // missing history
            const rows = ["ok", "a\\u202eb"].map((id, rank) => ({ id, label: id, rank, change: null,
                history: spans.map((span, n) => (span.end - span.start) * (rank + 1) + n), sum: 1000 }));
            window.show = (part) => chart.show({ spans, rows, length_s: 60, now: start + 600,
                unit: "requests", from: start - 120, to: start + 600, ...part });
            window.chart = chart;
            show({});
        }""",
        START,
    )
    return page


def readout(page: Page) -> str:
    return page.locator("#chart .readout").inner_text().replace("\u202f", "")


def test_chart_reads_out_zooms_and_marks_long_intervals_with_keys(chart: Page) -> None:
    plot = chart.get_by_role("slider", name="Finished intervals")
    plot.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
        chart.keyboard.press(key)
    assert readout(chart) == "12:03 – 12:06 · 546 · covers 3 intervals, rate shown: 182 per 1m"
    assert (plot.get_attribute("aria-valuetext") or "").endswith("ok 183, a⟨U+202E⟩b 363")
    assert "a⟨U+202E⟩b" in chart.locator(".tooltip").inner_text()
    assert chart.locator("#chart .merged_hatch").count() == 1
    assert chart.locator("#chart .gap").count() == 2  # before the first interval, and between two
    chart.evaluate("show({ begin: window.chartStart })")
    assert chart.locator("#chart .gap").count() == 1  # the history has no earlier interval
    chart.evaluate("show({})")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft", "Enter"):
        chart.keyboard.press(key)
    assert chart.evaluate("calls") == [[180, 420]]


def test_drag_zooms_and_click_does_not(chart: Page) -> None:
    box = chart.locator(".plot > svg").bounding_box()
    assert box
    left, right, y = box["x"] + box["width"] * 0.5, box["x"] + box["width"] * 0.55, box["y"] + 60
    chart.mouse.click(left, y)
    chart.mouse.move(left, y)
    chart.mouse.down()
    chart.mouse.move(right, y)
    assert chart.locator(".selection").count() == 1
    chart.mouse.up()
    ((since, until),) = chart.evaluate("calls")
    assert until > since > 0
    assert chart.locator(".selection").count() == 0


def test_switches_and_legend_report_changes_of_the_route(chart: Page) -> None:
    chart.get_by_role("button", name="Share").click()
    chart.get_by_role("button", name="Logarithmic axis").click()
    chart.get_by_role("button", name="ok", exact=False).filter(has_text="ok").click()
    chart.get_by_role("button", name="Show a").click()
    only, hidden = {"hide": ["@only:ok"]}, {"hide": ["a\u202eb"]}
    assert chart.evaluate("calls") == [{"chart": "share"}, {"chart": "lines", "log": True}, only, hidden]
    chart.evaluate("show({ compared: Array(7).fill(90), comparedLabel: 'a day before' })")
    assert chart.locator("#chart .compared_line.steps").count() == 2  # one of them in the legend
    chart.get_by_role("button", name="Show a day before").click()
    assert chart.evaluate("calls").pop() == {"hide": ["@compared"]}
    chart.evaluate("show({ chart: 'stacked', log: true, hide: ['ok'] })")
    pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map((each) => each.textContent)"
    assert chart.evaluate(pressed)[:2] == ["Lines", "Log"]
    assert chart.locator("#chart path.line").count() == 1
    assert readout(chart).endswith("· 126")


def test_annotations_are_buttons_that_show_their_texts(chart: Page) -> None:
    note = f"{{ kind: 'note', start: {START + 30}, end: null, text: 'deploy \\u202e1' }}"
    alert = f"{{ kind: 'alert', start: {START + 400}, end: null, text: 'too many' }}"
    chart.evaluate(f"show({{ annotations: [{alert}, {note}] }})")
    buttons = chart.get_by_role("list", name="Annotations").get_by_role("button")
    buttons.first.focus()
    assert chart.locator(".tooltip").inner_text() == "Note: deploy ⟨U+202E⟩1 (12:00)"
    chart.keyboard.press("ArrowRight")
    assert chart.locator(".tooltip").inner_text() == "Alert: too many (since 12:06)"
    assert chart.locator("#chart .alert_band").count() == 1


def test_picture_of_the_chart_is_a_png_under_the_security_policy(chart: Page) -> None:
    size, colours = chart.evaluate(
        """async () => {
            const blob = await chart.png("Web");
            const bitmap = await createImageBitmap(blob);
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            const context = canvas.getContext("2d");
            context.drawImage(bitmap, 0, 0);
            const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
            const colours = new Set();
            for (let at = 0; at < data.length; at += 4) colours.add(data.slice(at, at + 3).join(" "));
            return [[blob.type, bitmap.width > 1000], [...colours]];
        }"""
    )
    assert size == ["image/png", True]
    assert {"255 255 255", "58 85 192", "207 127 18"} <= set(colours)
