"""The plugin for pytest: the fixture `ecl` and the option `ecl_capture`.

pytest imports this module at each start, so it imports `testing` late.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from event_count_logger.testing import CapturedCounts


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `ecl_capture` to the configuration file."""
    parser.addini(
        "ecl_capture", "record what the process counts, in place of counting it in Redis", "bool", False
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Capture the counts of the whole process, before `conftest.py` and the tests are imported."""
    if early_config.getini("ecl_capture"):
        from event_count_logger.testing import capture_counts

        # Until the process ends: threads and exit functions of the application may count after the last test.
        capture_counts().__enter__()


@pytest.fixture
def ecl() -> Iterator[CapturedCounts]:
    """The counts of the application during the test, by group: `ecl["requests"]["ok"] == 1`.

    They are recorded, and do not reach Redis; see `event_count_logger.testing.capture_counts`.
    """
    from event_count_logger.testing import capture_counts

    with capture_counts() as counts:
        yield counts
