"""Names, times and numbers as text for people."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from event_count_logger.reading.overview import Change

#: Stands for a missing value, which is not 0.
NO_VALUE = "-"


#: Characters that count as printable, and show nothing: fillers, joiners and the blank pattern of Braille.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0]")


def printable(text: str) -> str:
    r"""Returns the text with invisible characters, and those that act on a terminal, escaped, such as `\x1b`.

    These are controls, overrides of the direction, zero-width characters and unusual spaces.
    """
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(_escape(each) if not each.isprintable() or _BLANK.match(each) else each for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def duration(seconds: float) -> str:
    """Returns a duration in its two largest units, such as `1h 5m`, `12s`, or `0.3s` below 10 seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    first = next(at for at, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number)


def utc(time_s: float) -> str:
    """Returns Unix seconds in ISO 8601, with milliseconds if they are not whole."""
    time = datetime.fromtimestamp(time_s, timezone.utc)
    text = time.isoformat(timespec="seconds" if float(time_s).is_integer() else "milliseconds")
    return text.replace("+00:00", "Z")


def size(n_bytes: int) -> str:
    """Returns a number of bytes, such as `38.1 MB`, or `4.1 kB` below a million."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 999_950 else f"{n_bytes / 1e3:.1f} kB"


def count(number: float) -> str:
    """Returns a count, such as `1,234`."""
    return f"{number:,}"


def rate(per_second: float) -> str:
    """Returns a rate with two decimals; a small rate is `<0.01`, never `0`."""
    return "0" if not per_second else f"{per_second:,.2f}" if per_second >= 0.005 else "<0.01"


def change(found: Change) -> str:
    """Returns a change, such as `+42%`; `new` for a count where there was none."""
    if found.ratio is None:
        return "new"
    percent = round(100 * found.ratio)
    return f"{percent:+,}%" if percent else "0%"
