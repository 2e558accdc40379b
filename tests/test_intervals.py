from __future__ import annotations

from itertools import pairwise

import pytest

from event_count_logger.intervals import Interval, parse_duration


@pytest.mark.parametrize(
    ("text", "length_s"),
    [
        ("5m", 300),
        ("5M", 300),
        ("10s", 10),
        ("1h", 3600),
        ("24H", 86_400),
        ("0.1s", 0.1),
        (".5s", 0.5),
        ("1.5h", 5400),
        ("0.001h", 3.6),
        ("005m", 300),
        ("1.10s", 1.1),
        ("1d", 86_400),
        ("2.5D", 216_000),
        ("1w", 604_800),
        ("2W", 1_209_600),
    ],
)
def test_interval_is_a_number_and_a_unit(text: str, length_s: float) -> None:
    interval = Interval.parse(text)
    assert interval.length_s == length_s
    assert interval.name == text  # as written: it is part of the keys


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "m",
        "5x",
        "5 m",
        " 5m",
        "5m\n",
        "-5m",
        "+5m",
        "5.m",
        "1e3s",
        "5m5s",
        "1:30",
        "5ms",
        "٥m",
        "5ſ",
        "1y",
        "infs",
    ],
)
def test_invalid_interval_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Interval.parse(text)
    example = "365d" if text == "1y" else "5m"
    assert (
        str(caught.value) == f"{text!r} is not an interval (use <number><s|m|h|d|w>, for example {example})"
    )


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("1 day", "1d"),
        ("1.5 days", "1.5d"),
        ("1week", "1w"),
        ("2 Weeks", "2w"),
        ("3 years", "1095d"),
        ("1min", "1m"),
        ("5 Minutes", "5m"),
        ("90 s", "90s"),
        ("90sec", "90s"),
        ("1hr", "1h"),
        ("500ms", "0.5s"),
    ],
)
def test_error_for_another_unit_suggests_the_valid_form(text: str, instead: str) -> None:
    for parse in (Interval.parse, parse_duration):
        with pytest.raises(ValueError, match=rf"\(use <number><s.*>, for example {instead}\)$"):
            parse(text)
    assert Interval.parse(instead).length_s == parse_duration(instead)


@pytest.mark.parametrize("text", ["20000 d", f"{'9' * 400} d", "1 month", "1 m 5 s"])
def test_error_without_a_valid_form_gives_a_usual_example(text: str) -> None:
    with pytest.raises(ValueError, match="for example 5m"):
        Interval.parse(text)
    with pytest.raises(ValueError, match="for example 72h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0.0h", "0.09s", "0.001m"])
def test_too_short_interval_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not an interval from 0.1s"):
        Interval.parse(text)


@pytest.mark.parametrize("text", ["0.1001s", "1.0005s", "0.00001h", "2.00000000000000000001h"])
def test_interval_of_a_fraction_of_a_millisecond_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        Interval.parse(text)


@pytest.mark.parametrize(
    ("text", "now", "start", "end"),
    [
        ("5m", 1_700_000_100, 1_700_000_100, 1_700_000_400),  # exactly at a boundary: the new one begins
        ("5m", 1_700_000_100.001, 1_700_000_100, 1_700_000_400),
        ("5m", 1_700_000_399.999, 1_700_000_100, 1_700_000_400),
        ("5m", 0, 0, 300),
        ("5m", -1, -300, 0),
        ("1s", 1_700_000_000.25, 1_700_000_000, 1_700_000_001),
        ("24h", 1_700_000_000, 1_699_920_000, 1_700_006_400),  # days of UTC
        ("1.5s", 1_700_000_000, 1_699_999_999.5, 1_700_000_001),
        ("7s", 1_700_000_000, 1_699_999_994, 1_700_000_001),  # multiples of its length, not of a minute's
        ("1d", 1_700_000_000, 1_699_920_000, 1_700_006_400),
        ("7d", 1_700_000_000, 1_699_488_000, 1_700_092_800),  # Thursdays, as 1970-01-01 was one
        ("168h", 1_700_000_000, 1_699_488_000, 1_700_092_800),
        ("1w", 1_700_000_000, 1_699_833_600, 1_700_438_400),  # Mondays
        ("1w", 1_700_438_399.999, 1_699_833_600, 1_700_438_400),
        ("1w", 1_700_438_400, 1_700_438_400, 1_701_043_200),
        ("2w", 1_700_000_000, 1_699_833_600, 1_701_043_200),
        ("1w", 0, -259_200, 345_600),
    ],
)
def test_boundaries_are_an_offset_and_multiples_of_the_length(
    text: str, now: float, start: float, end: float
) -> None:
    interval = Interval.parse(text)
    assert interval.start_of(now) == start
    assert interval.end_of(now) == end


@pytest.mark.parametrize("text", ["0.1s", "0.123s", "0.7s", "1.5s", "0.001h"])
def test_boundary_belongs_to_the_interval_that_it_begins(text: str) -> None:
    interval = Interval.parse(text)
    first = 1_795_299_400_000 // interval.length_ms
    boundaries = [number * interval.length_ms / 1000 for number in range(first, first + 1000)]
    for boundary, following in pairwise(boundaries):
        assert interval.start_of(boundary) == boundary
        assert interval.end_of(boundary) == following  # the same number that Redis has


def test_equal_intervals_are_equal_values() -> None:
    assert Interval.parse("5m") == Interval("5m", 300_000)
    assert len({Interval.parse("5m"), Interval.parse("5m"), Interval.parse("300s")}) == 2


def test_duration_may_be_in_years_and_an_interval_may_not() -> None:
    assert parse_duration("1y") == parse_duration("365D") == 365 * 86_400
    with pytest.raises(ValueError, match="use <number><s\\|m\\|h\\|d\\|w>, for example 365d"):
        Interval.parse("1y")


@pytest.mark.parametrize(
    ("one", "other", "same"), [("24h", "1d", True), ("7d", "1w", False), ("60s", "1M", True)]
)
def test_intervals_with_the_same_boundaries_begin_alike(one: str, other: str, same: bool) -> None:
    assert Interval.parse(one).begins_as(Interval.parse(other)) is same
