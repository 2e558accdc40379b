"""The page of metrics: what it says, that both formats are valid, and that Prometheus reads it as it is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from event_count_logger.exporter import GroupMetrics, Scrape
from event_count_logger.intervals import Interval
from event_count_logger.reader import Snapshot, Totals
from event_count_logger.render import openmetrics

MINUTE = Interval.parse("1m")


def snapshot(counts: Mapping[str, int], **changes: Any) -> Snapshot:
    """The minute from 60 to 120, read in time."""
    times: dict[str, Any] = {"start": 60.0, "end": 120.0, "now": 130.0, "overdue_s": 0, **changes}
    return Snapshot(group="web", interval="1m", half="last", counts=counts, **times)


def scrape(counts: Mapping[str, int], **changes: Any) -> Scrape:
    metrics = GroupMetrics("web", Totals("web", counts, 130.0), [snapshot(counts, **changes)], 1)
    return Scrape(up=True, groups=[metrics], duration_s=0.25)


AWAY = Scrape(up=False, groups=[], duration_s=2.0, n_errors=3)

# The page


def test_a_page_in_openmetrics() -> None:
    assert openmetrics.render(scrape({"ok": 54, "error": 0}), "2.0.0") == (
        """\
# HELP ecl_up Whether Redis answered.
# TYPE ecl_up gauge
ecl_up 1
# HELP ecl_build What wrote this page.
# TYPE ecl_build info
ecl_build_info{version="2.0.0"} 1
# HELP ecl_scrape_duration_seconds How long it took to read all groups.
# TYPE ecl_scrape_duration_seconds gauge
ecl_scrape_duration_seconds 0.25
# HELP ecl_scrape_errors Requests that Redis did not answer, or refused.
# TYPE ecl_scrape_errors counter
ecl_scrape_errors_total 0
# HELP ecl_masters Masters that were there lately.
# TYPE ecl_masters gauge
ecl_masters{group="web"} 1
# HELP ecl_stale Whether an interval is over that no master has ended, so that the last finished one is an old one.
# TYPE ecl_stale gauge
ecl_stale{group="web",interval="1m"} 0
# HELP ecl_last_interval_start_timestamp_seconds When the last finished interval began.
# TYPE ecl_last_interval_start_timestamp_seconds gauge
ecl_last_interval_start_timestamp_seconds{group="web",interval="1m"} 60
# HELP ecl_last_interval_end_timestamp_seconds When the last finished interval ended.
# TYPE ecl_last_interval_end_timestamp_seconds gauge
ecl_last_interval_end_timestamp_seconds{group="web",interval="1m"} 120
# HELP ecl_last_interval_events Events in the last finished interval.
# TYPE ecl_last_interval_events gauge
ecl_last_interval_events{group="web",interval="1m",event="ok"} 54
ecl_last_interval_events{group="web",interval="1m",event="error"} 0
# HELP ecl_events Events since ever.
# TYPE ecl_events counter
ecl_events_total{group="web",event="ok"} 54
ecl_events_total{group="web",event="error"} 0
# EOF
"""
    )


def test_the_older_format_names_counters_by_their_samples_and_knows_no_info() -> None:
    page = openmetrics.render(scrape({"ok": 54}), "2.0.0", openmetrics=False)
    assert "# TYPE ecl_events_total counter\necl_events_total{" in page
    assert "# TYPE ecl_build_info gauge\necl_build_info{" in page
    assert not page.endswith("# EOF\n")


def test_without_redis_there_are_no_counts() -> None:
    page = openmetrics.render(AWAY, "2.0.0")
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    assert lines == [
        "ecl_up 0",
        'ecl_build_info{version="2.0.0"} 1',
        "ecl_scrape_duration_seconds 2",
        "ecl_scrape_errors_total 3",
    ]


def samples(page: str) -> dict[str, str]:
    """What is behind the last space of a line, by what is before it."""
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_nothing_yet_is_neither_0_nor_stale() -> None:
    found = samples(openmetrics.render(scrape({"ok": 0}, start=None, end=None, overdue_s=None), "2.0.0"))
    assert not [name for name in found if "interval=" in name]
    assert found['ecl_events_total{group="web",event="ok"}'] == "0"


def test_stale_counts_stay_beside_the_time_that_they_are_of() -> None:
    found = samples(openmetrics.render(scrape({"ok": 7}, overdue_s=10.0), "2.0.0"))
    assert found['ecl_stale{group="web",interval="1m"}'] == "1"
    assert found['ecl_last_interval_events{group="web",interval="1m",event="ok"}'] == "7"
    assert found['ecl_last_interval_start_timestamp_seconds{group="web",interval="1m"}'] == "60"


def test_counts_whose_start_nobody_noted_have_an_end_only() -> None:
    found = samples(openmetrics.render(scrape({"ok": 7}, start=None), "2.0.0"))
    assert [name.partition("{")[0] for name in found if "interval=" in name] == [
        "ecl_stale",
        "ecl_last_interval_end_timestamp_seconds",
        "ecl_last_interval_events",
    ]


@pytest.mark.parametrize("count", [2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("in_openmetrics", [True, False])
def test_big_counts_are_exact(count: int, in_openmetrics: bool) -> None:
    found = samples(openmetrics.render(scrape({"ok": count}), "2.0.0", in_openmetrics))
    assert found['ecl_events_total{group="web",event="ok"}'] == str(count)


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", True),
        ("Application/OpenMetrics-Text", True),
        ("text/plain;version=0.0.4", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_asks_for_openmetrics_gets_it(accept: str, accepted: bool) -> None:
    assert openmetrics.accepts_openmetrics(accept) is accepted
