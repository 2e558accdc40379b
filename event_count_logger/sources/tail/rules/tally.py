"""The counts and session actions of some lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from event_count_logger import keys
from event_count_logger.config.session_actions import ActionName


class MatchedAction(NamedTuple):
    """An action of a session that a line reports; `at` is in Unix seconds, None for the time of reading."""

    id: str
    event: str | None
    action: ActionName
    at: float | None


@dataclass(slots=True)
class Tally:
    """The counts and session actions of some lines.

    Attributes:
        counts: Count per event ID, including `@skipped` and `@unmatched`. The IDs are as the rules render
            them, and only checked for being reserved.
        actions: Actions of sessions, in the order of the lines.
        faults: Reasons for skipped lines: the first message of each topic.
        malformed: The first line that is not of the entry's format; '' for none.
    """

    counts: Counter[str] = field(default_factory=Counter)
    actions: list[MatchedAction] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    malformed: str = ""

    def add(self, event_id: str, n: int) -> None:
        """Add a count under an ID that a rule has rendered; a reserved one is skipped."""
        if keys.is_reserved(event_id):
            fault = keys.event_id_fault(event_id)
            self.skip("event", f"{event_id[:60]!r} is not an event ID: it {fault}", n)
        elif n:
            self.counts[event_id] += n

    def skip(self, topic: str, message: str, n: int = 1) -> None:
        """Count skipped lines, and keep the reason."""
        self.counts[keys.SKIPPED] += n
        self.faults.setdefault(topic, message)
