"""Times of the page in a headless Chromium, as its user sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

#: Milliseconds after which something is not painted at all.
_TIMEOUT_MS = 15_000

#: Calls `painted()` once, after the frame in which `isShown()` is true was painted: a message that is posted
#: while a frame is prepared arrives behind it.
_LOOK = """
const afterThisFrame = (call) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = call;
    port2.postMessage(null);
};
const look = (isShown, painted) => requestAnimationFrame(() => {
    if (isShown()) afterThisFrame(painted);
    else look(isShown, painted);
});
"""

#: Parts of the scripts below.
_SHARED = {"look": _LOOK, "timeout_ms": _TIMEOUT_MS}

_FIRST_PAINT = """(() => {
%(look)s
const shows = (selector) => (document.querySelector(selector)?.textContent ?? "").length > 0;
window.painting = new Promise((painted) => {
    setTimeout(() => painted(null), %(timeout_ms)s);
    look(() => document.body && %(is_shown)s, () => painted(performance.now()));
});
})()"""

_NEXT_KEY = """() => {
%(look)s
const text = () => document.querySelector("#n_events").textContent;
window.typing = new Promise((painted) => {
    setTimeout(() => painted(null), %(timeout_ms)s);
    addEventListener("keydown", ({ timeStamp }) => {
        const before = text();
        look(() => text() !== before, () => painted(performance.now() - timeStamp));
    }, { capture: true, once: true });
});
}"""

_SCROLL = """async ([seconds, step]) => {
const frame = () => new Promise(requestAnimationFrame);
const scrolls = (node) => node.scrollHeight > node.clientHeight + 9
    && ["auto", "scroll"].includes(getComputedStyle(node).overflowY);
let root = document.querySelector("#events");
while (root && !scrolls(root)) root = root.parentElement;
root ??= document.scrollingElement;
await frame();
const begin = performance.now();
let before = begin;
const frames = [];
while (before - begin < 1000 * seconds) {
    root.scrollBy(0, frames.length % 60 < 45 ? step : -step);
    await frame();
    const now = performance.now();
    frames.push(now - before);
    before = now;
}
frames.sort((a, b) => a - b);
const at = (share) => frames[Math.floor(share * (frames.length - 1))];
return { rate: 1000 * frames.length / (before - begin), slowest: at(1), slow: at(0.95), top: root.scrollTop };
}"""


@dataclass(frozen=True)
class View:
    """A view of the page.

    Attributes:
        hash: The part of its address behind `#`.
        is_shown: Expression of JavaScript that is true when its figures are in the page.
        answer: A part of the address of the request for its figures.
    """

    hash: str
    is_shown: str
    answer: str


@dataclass(frozen=True)
class Painted:
    """A visit of a view.

    Attributes:
        ms: From the navigation until the figures were painted; None if they were not.
        files_ms: From there until the files of the page had arrived.
        answer_ms: Time of the request for the figures.
        cpu_ms: Processor time that the page has used; other programs do not change it.
        kb: Size of its answer in KB, uncompressed.
        sent_kb: Size of its answer in KB, as it was sent.
        all_kb: Sizes of all answers until then, as they were sent.
    """

    ms: float | None
    files_ms: float
    answer_ms: float
    cpu_ms: float
    kb: float
    sent_kb: float
    all_kb: float


class Visitor:
    """A browser window with a cache of its own."""

    def __init__(self, browser: Browser, url: str, view: View) -> None:
        self._context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
        self._url = url
        self._view = view
        self.page: Page = self._context.new_page()
        self._performance = self._context.new_cdp_session(self.page)
        self._performance.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page.add_init_script(_FIRST_PAINT % {**_SHARED, "is_shown": view.is_shown})

    def open(self) -> Painted:
        """Open the view, or open it again with the files in the cache."""
        if self.page.url != "about:blank":
            self.page.goto("about:blank")
        before = self.cpu_ms()
        self.page.goto(f"{self._url}{self._view.hash}", wait_until="commit")
        ms = self.page.evaluate("window.painting")
        cpu_ms = self.cpu_ms()
        cpu_ms -= before if cpu_ms >= before else 0  # a new process of the browser begins with 0
        return _painted(ms, cpu_ms, self._view, self.page.evaluate(_RESOURCES))

    def cpu_ms(self) -> float:
        """Returns the processor time that the page has used so far."""
        metrics = self._performance.send("Performance.getMetrics")["metrics"]
        return 1000 * float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    def close(self) -> None:
        self._context.close()


_RESOURCES = """() => performance.getEntriesByType("resource").map((each) => ({
    name: each.name, start: each.startTime, end: each.responseEnd, kb: each.decodedBodySize / 1000,
    sent_kb: each.encodedBodySize / 1000, all_kb: each.transferSize / 1000,
}))"""


def _painted(ms: float | None, cpu_ms: float, view: View, resources: list[dict[str, Any]]) -> Painted:
    ended = [each for each in resources if each["end"]]
    files = [each["end"] for each in ended if "/static/" in each["name"]]
    answer = next((each for each in ended if view.answer in each["name"]), None)
    all_kb = sum(each["all_kb"] for each in ended)
    if answer is None:
        return Painted(ms, max(files, default=0), 0, cpu_ms, 0, 0, all_kb)
    took_ms = answer["end"] - answer["start"]
    return Painted(ms, max(files, default=0), took_ms, cpu_ms, answer["kb"], answer["sent_kb"], all_kb)


def keystrokes(page: Page, keys: list[str]) -> list[float]:
    """Type into the filter; returns the milliseconds from each key until its rows were painted."""
    page.locator("#filter").focus()
    times = []
    for key in keys:
        page.evaluate(_NEXT_KEY % _SHARED)
        page.keyboard.press(key)
        times.append(float(page.evaluate("window.typing")))
    return times


def scrolling(page: Page, seconds: float, step: int) -> dict[str, float]:
    """Scroll through the table; returns frames per second, and the slowest frames in milliseconds."""
    return dict(page.evaluate(_SCROLL, [seconds, step]))


@contextmanager
def profiled(page: Page) -> Iterator[dict[str, Any]]:
    """Record where JavaScript spends its time in the block: the dictionary gets a profile of V8."""
    session: CDPSession = page.context.new_cdp_session(page)
    session.send("Profiler.enable")
    session.send("Profiler.start")
    found: dict[str, Any] = {}
    yield found
    found.update(session.send("Profiler.stop")["profile"])
