"""Counts the numbers in a file, one a line: the sums of the even and of the odd ones.

Usage: number_file.py CONFIG GROUP FILE

It may be killed at any moment: run again, it goes on with the first line that is not counted. So it does when
lines were added to the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from event_count_logger import EventCountLogger


def records(file: str) -> Iterator[tuple[int, str, int]]:
    """Number of the line, event and count of each line."""
    with open(file) as lines:
        for line_number, line in enumerate(lines):
            number = int(line)
            yield line_number, "odd" if number % 2 else "even", number


def main(config: str, group: str, file: str) -> None:
    """Count what is not counted yet."""
    with EventCountLogger.from_file(config) as ecl:
        ecl[group].consume(file, records(file))


if __name__ == "__main__":
    main(*sys.argv[1:])
