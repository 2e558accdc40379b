"""Times in lines."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from event_count_logger.config import EPOCH, EPOCH_MS, ISO, TailTime

#: Unix seconds or milliseconds, with a fraction.
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,40})?")

#: A time of ISO 8601: date and time of day, a fraction of a second, and a time zone.
_ISO = re.compile(
    r"(\d{4}-?\d\d-?\d\d)[Tt ](\d\d:?\d\d)(?::?(\d\d)(?:[.,](\d+))?)?\s?(?:([Zz])|([+-]\d\d):?(\d\d)?)?",
    re.ASCII,
)

#: Digits behind microseconds, which `strptime` rejects.
_BELOW_MICROSECONDS = re.compile(r"(?<=[.,]\d{6})\d+")


def read_time(text: str, time: TailTime, now: datetime) -> float:
    """Returns a time in Unix seconds. Without a year in the format, it is the latest not after tomorrow.

    Raises:
        ValueError: The text does not have the format.
    """
    try:
        if time.format in (EPOCH, EPOCH_MS):
            return _epoch(text) / (1000 if time.format == EPOCH_MS else 1)
        if time.format == ISO:
            return _in_zone(_iso(text), time).timestamp()
        if not time.has_year:
            return _without_year(text, time, now).timestamp()
        return _parsed(text, time.format, time).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:60]!r} is not a time of the format '{time.format}'") from None


def _epoch(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text)


def _iso(text: str) -> datetime:
    found = _ISO.fullmatch(text)
    if not found:
        raise ValueError
    date, of_day, second, fraction, utc, hours, minutes = found.groups()
    zone = "+00:00" if utc or not hours else f"{hours}:{minutes or '00'}"
    plain = f"{date.replace('-', '')}{of_day.replace(':', '')}{second or '00'}.{(fraction or '0')[:6]}{zone}"
    parsed = datetime.strptime(plain, "%Y%m%d%H%M%S.%f%z")
    return parsed if utc or hours else parsed.replace(tzinfo=None)


def _without_year(text: str, time: TailTime, now: datetime) -> datetime:
    latest = now + timedelta(days=1)
    for year in range(latest.year, latest.year - 9, -1):  # leap years are up to 8 years apart
        try:
            found = _parsed(f"{year} {text}", f"%Y {time.format}", time)
        except ValueError:
            if "29" not in text:  # of February
                raise
        else:
            if found <= latest:
                return found
    raise ValueError


def _parsed(text: str, format: str, time: TailTime) -> datetime:
    if "%f" in format:
        text = _BELOW_MICROSECONDS.sub("", text)
    return _in_zone(datetime.strptime(text, format), time)


def _in_zone(found: datetime, time: TailTime) -> datetime:
    return found if found.tzinfo else found.replace(tzinfo=time.zone)
