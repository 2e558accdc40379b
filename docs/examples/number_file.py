"""A program that sums the even and the odd numbers of a file with one number per line.

Usage: number_file.py CONFIG GROUP FILE

Kill it at any time, or add lines to the file. The next run continues with the first line that is not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from event_count_logger import EventCountLogger


def records(file: str) -> Iterator[tuple[int, str, int]]:
    """Yields the line number, event and count of each line."""
    with open(file) as lines:
        for line_number, line in enumerate(lines):
            number = int(line)
            yield line_number, "odd" if number % 2 else "even", number


def main(config: str, group: str, file: str) -> None:
    """Count the lines that are not counted yet."""
    with EventCountLogger.from_file(config) as ecl:
        ecl[group].consume(file, records(file))


if __name__ == "__main__":
    main(*sys.argv[1:])
