"""The status as one line for Nagios, Icinga and other systems that run monitoring plugins.

The Monitoring Plugins Development Guidelines (monitoring-plugins.org/doc/guidelines.html) define the line:

    ECL OK: 1 master, 3 intervals in time | masters=1;;;0 intervals=3;;;0 unsent=0;;;0
    text, without `|`                       label=value;warning;critical;minimum, ...

The state is the exit status.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from event_count_logger.reading.local_status import MachineStatus
from event_count_logger.reading.status import Status
from event_count_logger.render.phrases import printable
from event_count_logger.render.state import n_in_time, n_masters


class State(IntEnum):
    """Exit statuses of plugins."""

    OK = 0
    WARNING = 1  #: counts of this machine, or in a database, are late, but kept; or a `warning` fires
    CRITICAL = 2  #: counts of all machines do not become readable; or an alert of severity `critical` fires
    UNKNOWN = 3  #: wrong usage or configuration; or an alert is unknown


#: Faults of the export, whose intervals stay in Redis, and of one machine, whose counts stay in files. Any
#: other fault stops the rotation, all reading, or the notification of people.
_WARNINGS = ("NOT EXPORTED", "BEHIND", "UNSENT", "UNRECOVERED", "UNREADABLE")

#: Most characters of the text. NRPE 2 drops what is behind the first 1024 bytes, including the values.
_LONGEST = 600


def state(sentence: str) -> State:
    """Returns the state of a summary, which begins with OK or with the word for the worst fault."""
    word = sentence.partition(":")[0]
    return State.OK if word == "OK" else State.WARNING if word in _WARNINGS else State.CRITICAL


def render(state: State, text: str, values: Mapping[str, int] | None = None) -> str:
    """Returns the line of a state, with values for charts."""
    line = f"ECL {state.name}: {_cut(' '.join(text.split()).removeprefix('OK: '))}"
    perfdata = " ".join(f"{label}={value};;;0" for label, value in (values or {}).items())
    return printable(line.replace("|", "/")) + (f" | {perfdata}" if perfdata else "")


def values(status: Status | None, machine: MachineStatus) -> dict[str, int]:
    """Returns the values for charts; those that are unknown are left out."""
    known = {}
    if status:
        known = {
            "masters": n_masters(status),
            "intervals": n_in_time(status),
            "overdue": len(status.overdue),
        }
    if machine.groups and not machine.faults:
        known["unsent"] = sum(group.unsent for group in machine.groups)
        known["unrecovered"] = sum(file.unsent or 0 for file in machine.unrecovered)
    return known


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
