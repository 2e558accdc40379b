"""The Chromium of the system, for tests of what pages do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import headless
from playwright.sync_api import Browser

from tests.conftest import needs_debian


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; while it is there, this thread has an event loop that runs."""
    needs_debian("chromium", headless.CHROMIUM)
    with headless.chromium() as browser:
        yield browser
