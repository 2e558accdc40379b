"""Finished intervals in Graphite's plaintext protocol.

graphite.readthedocs.io/en/latest/feeding-carbon.html defines the line:

    ecl.requests.5m.ok 54 1795521600
    path                value, Unix seconds

The time is the start of the interval. Graphite stores a value in the period that contains its time. Its
periods begin at multiples of their length since the Unix epoch, as intervals do: the value stands for its own
interval. Intervals in weeks begin on Monday, and such a period of Graphite on the Thursday before.
"""

from __future__ import annotations

from collections.abc import Iterator

from event_count_logger.reading.reader import Snapshot
from event_count_logger.render.escaping import percent_encoded
from event_count_logger.render.numbers import plain


def render(snapshot: Snapshot) -> str:
    """Returns a line for each event; nothing if the start of the interval is unknown."""
    return "".join(_lines(snapshot))


def _lines(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.start is not None:
        path = f"ecl.{_node(snapshot.group)}.{_node(snapshot.interval)}"
        for event_id, count in sorted(snapshot.counts.items()):
            yield f"{path}.{_node(event_id)} {count} {plain(snapshot.start)}\n"


def _node(name: str) -> str:
    """Returns a name between two dots of a path."""
    return percent_encoded(name).replace(".", "%2E")
