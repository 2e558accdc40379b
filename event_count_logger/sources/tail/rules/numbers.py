"""Numbers in lines: their sums, and their histograms."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import accumulate

from event_count_logger.config import TailBuckets, TailNumber

#: Largest number that a line may add to an event.
LARGEST = 10**12

#: A whole number, and any decimal number. Texts with more digits are no numbers.
_WHOLE = re.compile("[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")

#: Exact for the product and the difference of any two numbers of this form.
_EXACT = Context(prec=400)

_ONE = Decimal(1)

#: A number as text, or the two texts of a difference. None stands for a missing value, which is no fault.
Captured = str | tuple[str | None, ...] | None

#: Takes the reason for which a number is not counted.
Skip = Callable[[str], object]


class Adder:
    """Adds up the numbers of lines."""

    def __init__(self, number: TailNumber) -> None:
        self._times = None if number.times is None else Decimal(str(number.times))

    def total(self, numbers: Sequence[Captured], skip: Skip) -> int:
        """Returns the sum of captured numbers; `skip` takes the reason for each that is not counted."""
        if self._times is None and _are_plain(numbers):
            return sum(map(int, numbers))  # type: ignore[arg-type]
        add = self._whole if self._times is None else self._product
        return sum(add(number, skip) for number in numbers if not _is_missing(number))

    def _whole(self, number: Captured, skip: Skip) -> int:
        is_plain = isinstance(number, str)
        value = _value(number) if not is_plain or _WHOLE.fullmatch(number) else None  # type: ignore[arg-type]
        if value is not None and 0 <= value <= LARGEST and value % 1 == 0:
            return int(value)
        skip(f"{_shown(number)} is not a whole number from 0 to 10^12; number not counted")
        return 0

    def _product(self, number: Captured, skip: Skip) -> int:
        value = _value(number)
        product = None if value is None else _EXACT.multiply(value, self._times or _ONE)
        if product is not None and 0 <= product <= LARGEST:
            return int(product.to_integral_value(ROUND_HALF_EVEN))
        skip(f"{_shown(number)} times {self._times} is not a number from 0 to 10^12; number not counted")
        return 0


class Histogram:
    """Counts the numbers of lines up to each bound."""

    def __init__(self, buckets: TailBuckets) -> None:
        self._times = Decimal(str(buckets.times or 1))
        self._bounds = [Decimal(str(bound)) for bound in buckets.at]
        self._texts = buckets.bounds

    def count(self, numbers: Sequence[Captured], skip: Skip) -> Iterator[tuple[str | None, int]]:
        """Returns each bound as text, and how many numbers are not above it; None for all numbers."""
        n_at = Counter(self._place(number, skip) for number in numbers if not _is_missing(number))
        rising = accumulate(n_at[place] for place in range(len(self._bounds) + 1))
        return zip((*self._texts, None), rising, strict=True)

    def _place(self, number: Captured, skip: Skip) -> int:
        """Returns how many bounds are below a number; -1 if it is not one."""
        value = _value(number)
        if value is None:
            skip(f"{_shown(number)} is not a number; number not counted")
            return -1
        return bisect_left(self._bounds, _EXACT.multiply(value, self._times))


def _value(number: Captured) -> Decimal | None:
    """Returns a number, or the difference of two; None if a text is not a number."""
    texts = (number,) if isinstance(number, str) else (number or ())
    values = [Decimal(text) if text and _DECIMAL.fullmatch(text) else None for text in texts]
    if None in values:
        return None
    first, *second = values
    return _EXACT.subtract(first, *second) if second else first  # type: ignore[arg-type]


def _is_missing(number: Captured) -> bool:
    return number is None or (not isinstance(number, str) and None in number)


def _shown(number: Captured) -> str:
    """Returns a captured number for messages."""
    texts = (number,) if isinstance(number, str) else (number or ())
    return " - ".join(repr(text[:40]) for text in texts if text is not None)


def _are_plain(numbers: Sequence[Captured]) -> bool:
    """Returns whether all numbers are present, made of digits, and shorter than the largest one."""
    if not numbers or not all(numbers):
        return not numbers
    if not isinstance(numbers[0], str):
        return False
    digits = "".join(numbers)  # type: ignore[arg-type]
    return digits.isascii() and digits.isdigit() and len(max(numbers, key=len)) < len(str(LARGEST))  # type: ignore[arg-type]
