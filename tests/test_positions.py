"""Positions given by people and programs."""

from __future__ import annotations

import pytest

from event_count_logger.reading import history_positions
from event_count_logger.store import HistoryPosition


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("1795564200000-17", HistoryPosition(1795564200000, 17)),
        ("1795564200", HistoryPosition(1795564200000)),
        ("1795564200.001", HistoryPosition(1795564200001)),
        ("1795564200.9999", HistoryPosition(1795564200999)),
        ("999999999999.", HistoryPosition(999999999999000)),
        ("0", HistoryPosition(0)),
    ],
)
def test_position_or_time_is_parsed_exactly(text: str, position: HistoryPosition) -> None:
    assert history_positions.parse(text) == position


@pytest.mark.parametrize(
    ("position", "other", "behind"),
    [((2, 7), (2, 6), True), ((2, 7), (2, 7), False), ((2, 7), (2, 0), False), ((3, 1), (2, 0), True)],
)
def test_position_without_number_is_the_last_of_its_time(
    position: tuple[int, int], other: tuple[int, int], behind: bool
) -> None:
    assert history_positions.is_behind(HistoryPosition(*position), HistoryPosition(*other)) == behind


@pytest.mark.parametrize("text", ["", "x", "inf", "nan", "1e30", "-1", "+1", "1_0", " 1", "1\n", "9" * 13])
def test_invalid_position_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a position .*, nor Unix seconds"):
        history_positions.parse(text)
