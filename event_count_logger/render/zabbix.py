"""Finished intervals as input of zabbix_sender, and the events for Zabbix's low-level discovery.

zabbix.com/documentation/6.0/en/manpages/zabbix_sender defines the lines of `zabbix_sender -T -i -`:

    - ecl.count[requests,5m,ok] 1795521600 54
    host of the agent's configuration, key, Unix seconds, value

The time is the start of the interval, so that the trends of each hour have the counts of that hour.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from event_count_logger.config import GroupConfig
from event_count_logger.reading.reader import Snapshot
from event_count_logger.render.escaping import percent_encoded
from event_count_logger.render.phrases import printable


def render(snapshot: Snapshot) -> str:
    """Returns a line for each event; nothing if the start of the interval is unknown."""
    return "".join(_lines(snapshot))


def render_discovery(groups: Iterable[tuple[GroupConfig, Iterable[str]]]) -> str:
    """Returns a list with an object for each interval and event of each group.

    {#EVENT} is the event ID as part of a key, {#NAME} is its label.
    """
    rows = [
        {
            "{#GROUP}": group.name,
            "{#INTERVAL}": interval.name,
            "{#EVENT}": percent_encoded(event_id),
            "{#NAME}": printable(group.labels.get(event_id, event_id)),
        }
        for group, events in groups
        for interval in group.intervals
        for event_id in events
    ]
    return json.dumps(rows, indent=2) + "\n"


def _lines(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.start is not None:
        for event_id, count in sorted(snapshot.counts.items()):
            key = f"ecl.count[{snapshot.group},{snapshot.interval},{percent_encoded(event_id)}]"
            yield f"- {key} {int(snapshot.start)} {count}\n"
