"""The views of the page that scripts/screenshots shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Page, Route

#: Milliseconds for what arrives after the first figures: the stream, further events, and transitions.
SETTLE_MS = 500
#: Milliseconds of an outage, so that figures have an age.
OUTAGE_MS = 4000


def _nothing(page: Page) -> None:
    pass


class View(NamedTuple):
    """A view of the page.

    Attributes:
        hash: The part of the address behind `#`.
        shown: Selector of an element that is visible when the view is complete.
        before: Called before the page is loaded.
        after: Called when the view is complete.
    """

    hash: str
    shown: str = "#figures"
    before: Callable[[Page], None] = _nothing
    after: Callable[[Page], None] = _nothing

    def open(self, page: Page, url: str) -> None:
        """Open the view, and wait until it is complete."""
        self.before(page)
        page.goto(f"{url}#{self.hash}")
        page.locator(self.shown).first.wait_for()
        page.wait_for_timeout(SETTLE_MS)
        self.after(page)
        page.wait_for_timeout(SETTLE_MS)


def _press(*keys: str) -> Callable[[Page], None]:
    def press(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)

    return press


def _answer(status: int, detail: str) -> Callable[[Page], None]:
    """Answer all further requests of the page with an error."""

    def fail(route: Route) -> None:
        route.fulfill(status=status, json={"title": detail, "status": status, "detail": detail})

    def before(page: Page) -> None:
        page.route("**/api/**", fail)

    return before


def _without_streams(page: Page) -> None:
    """Let streams end at once, so that the page notices a failure by its next request."""
    page.route(
        "**/stream*", lambda route: route.fulfill(body=": ended\n\n", content_type="text/event-stream")
    )


def _redis_down(page: Page) -> None:
    _answer(503, "Redis does not answer")(page)
    page.locator(".layout.outdated").wait_for()
    page.wait_for_timeout(OUTAGE_MS)


def _offline(page: Page) -> None:
    page.context.set_offline(True)
    page.locator(".layout.outdated").wait_for()
    page.wait_for_timeout(OUTAGE_MS)


def _no_groups(page: Page) -> None:
    _without_streams(page)
    page.route("**/api/v1/overview", lambda route: route.fulfill(json={**_NOTHING, "groups": []}))


_NOTHING = {
    "now": 1.0,
    "version": "2.0",
    "revision": "0",
    "master_alive": True,
}

WEB = "group=web&interval=5m"
DASHBOARD = "#overview .row"

VIEWS: dict[str, View] = {
    "overview": View("", DASHBOARD),
    "overview-search": View("q=fail", DASHBOARD),
    "overview-redis-down": View("", DASHBOARD, _without_streams, _redis_down),
    "overview-server-down": View("", DASHBOARD, _without_streams, _offline),
    "overview-help": View("", DASHBOARD, after=_press("?")),
    "overview-empty": View("", ".message:visible", before=_no_groups),
    "token": View("", "#token[open]", before=_answer(401, "a token is required")),
    "group-live": View(WEB),
    "group-day": View(f"{WEB}&range=24h&compare=day"),
    "group-week": View(f"{WEB}&range=7d"),
    "group-lines": View(f"{WEB}&range=6h&chart=lines&log=1"),
    "group-share": View(f"{WEB}&range=6h&chart=share"),
    "group-change": View(f"{WEB}&range=6h&compare=day&pick=change&sort=-change"),
    "group-event": View(f"{WEB}&range=6h&event=500", "#group"),
    "group-filter": View(f"{WEB}&filter=50"),
    "group-sessions": View("group=visits&interval=5m"),
    "group-late": View("group=exports&interval=5m&range=6h"),
    "group-stale": View("group=backups&interval=5m"),
    "group-without-master": View("group=legacy&interval=1h"),
    "group-10000": View("group=customers&interval=5m"),
    "group-server-down": View(WEB, "#figures", _without_streams, _offline),
    "group-unknown": View("group=nothing", "#missing"),
}
