"""How names, times and numbers are written for people."""

from __future__ import annotations

from datetime import datetime, timezone

#: Stands for a value that is not there yet, which is not the same as 0.
NOTHING_YET = "-"


def printable(text: str) -> str:
    r"""The text with everything that would act on a terminal shown as an escape, such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def duration(seconds: float) -> str:
    """A length of time in its two largest units, such as `1h 5m`, `12s`, or `0.3s` below 10 seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    first = next(at for at, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number)


def utc(time_s: float) -> str:
    """A moment, given in Unix seconds, as ISO 8601; with milliseconds if it is between two seconds."""
    moment = datetime.fromtimestamp(time_s, timezone.utc)
    text = moment.isoformat(timespec="seconds" if float(time_s).is_integer() else "milliseconds")
    return text.replace("+00:00", "Z")


def size(n_bytes: int) -> str:
    """A number of bytes, such as `38.1 MB`, or `4.1 kB` below a million."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 999_950 else f"{n_bytes / 1e3:.1f} kB"


def count(number: float) -> str:
    """A count, such as `1,234`."""
    return f"{number:,}"


def rate(per_second: float) -> str:
    """A rate with two decimals; what is not 0 never looks like it."""
    return "0" if not per_second else f"{per_second:,.2f}" if per_second >= 0.005 else "<0.01"
