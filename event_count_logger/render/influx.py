"""Finished intervals in InfluxDB's line protocol.

docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol defines the line:

    ecl,event=ok,group=requests,interval=5m count=54i 1795521600000000000
    measurement and tags                    field     start of the interval in ns

`GROUP BY time(1h)` takes values from the beginning of each hour until before its end: with the start of the
interval as its time, each count belongs to the hour in which it happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from event_count_logger.reading.reader import Snapshot

#: Characters with a meaning in a tag, which a backslash takes away.
_SEPARATOR = re.compile(r"([,= ])")

#: Text that a tag cannot contain: control characters, bytes that are no UTF-8 (read as surrogates), and a
#: backslash, which has no escape. With `%`, so that different events have different tags.
_UNSUITABLE = re.compile(r"[%\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def render(snapshot: Snapshot) -> str:
    """Returns a line for each event; nothing if the start of the interval is unknown."""
    return "".join(_lines(snapshot))


def _lines(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.start is not None:
        others = f"group={_tag(snapshot.group)},interval={_tag(snapshot.interval)}"
        start_ns = round(snapshot.start * 1000) * 1_000_000
        for event_id, count in sorted(snapshot.counts.items()):
            yield f"ecl,event={_tag(event_id)},{others} count={count}i {start_ns}\n"


def _tag(value: str) -> str:
    return _SEPARATOR.sub(r"\\\1", _UNSUITABLE.sub(_percent, value))


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))
