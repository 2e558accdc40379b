"""The part of an event group that does not depend on where its counts go: the checks of what is counted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.config.session_actions import ActionName
from event_count_logger.counting.admission import Admission, check_event_id
from event_count_logger.counting.validation import checked_event, checked_id
from event_count_logger.errors import NotConfigured
from event_count_logger.group import EventGroup
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.outcome import Outcome
from event_count_logger.sources.sessions import Session, checked_action
from event_count_logger.sources.stream import (
    DEFAULT_BATCH_SIZE,
    Consumer,
    Fields,
    PositionedSource,
    Records,
)
from event_count_logger.store import SessionAction


class ConfiguredGroup(EventGroup):
    """A group of the configuration. A subclass counts the events and session actions that pass the checks.

    Attributes:
        admission: The events that are counted, and the limit to further ones.
    """

    __slots__ = ()

    _config: GroupConfig
    _log: Log
    admission: Admission

    @property
    def config(self) -> GroupConfig:
        """The settings of the group."""
        return self._config

    @property
    def group_name(self) -> str:
        """See `EventGroup`."""
        return self._config.name

    @property
    def event_ids(self) -> set[str]:
        """See `EventGroup`."""
        return set(self.admission.declared)

    @property
    def intervals(self) -> list[str]:
        """See `EventGroup`."""
        return [interval.name for interval in self._config.intervals]

    def outcome(self, success: str | None = None, failure: str | None = None) -> Outcome:
        """See `EventGroup`."""
        for event_id in (success, failure):
            if event_id is not None:
                self._checked(event_id)
        return Outcome(self.log, success, failure)

    def session(self, id: str, event: str) -> Session:
        """See `EventGroup`."""
        self._check_sessions()
        event_id, _ = checked_event(event, 0)
        return Session(checked_id(id, "a session"), event_id, self._act)

    def end_session(self, id: str) -> None:
        """See `EventGroup`."""
        self._check_sessions()
        self._act(id, None, "end", None)

    def consume(
        self,
        source_id: str,
        records: Records,
        *,
        position: Callable[[Any], int | str] | None = None,
        key: Callable[[Any], str] | None = None,
        count: Callable[[Any], int] | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        committed: Callable[[str], object] | None = None,
    ) -> str:
        """See `EventGroup`."""
        source = self._source(checked_id(source_id, "a source", keys.name_fault))
        fields = Fields(position, key, count)
        return Consumer(source, self.admission, fields, batch_size, committed).run(records)

    def declare_event_id(self, event_id: str) -> None:
        """See `EventGroup`."""
        event_id, _ = checked_event(event_id, 0)
        self.admission.declare(event_id)

    @abstractmethod
    def record_action(self, action: SessionAction) -> None:
        """Count a session action, unless its event is not counted."""

    @abstractmethod
    def _source(self, id: str) -> PositionedSource:
        """Returns the source of that ID, for `consume`."""

    @abstractmethod
    def _now(self) -> float:
        """Returns the time of a session action without one, in Unix seconds."""

    def _admitted(self, event_id: object, count: object) -> tuple[str, int] | None:
        """Returns the ID and the number to count; None for nothing.

        Raises:
            TypeError, ValueError: See `EventGroup.log`.
        """
        event_id, count = checked_event(event_id, count)
        if not count:
            self._check(event_id)
            return None
        counted_as = self.admission.counted_as(event_id)
        return None if counted_as is None else (counted_as, count)

    def _admitted_action(self, action: SessionAction) -> SessionAction | None:
        """Returns an action with the event that it is counted as; None if that is not counted."""
        if action.event is None:
            return action
        counted_as = self.admission.session_counted_as(action.event)
        return None if counted_as is None else action._replace(event=counted_as)

    def _act(self, id: str, event: str | None, name: ActionName, at: float | None) -> None:
        # Sessions refer to this method. It finds `record_action` in the class that the group has now.
        self.record_action(checked_action(id, event, name, self._now() if at is None else at))

    def _checked(self, event_id: object) -> str:
        """Returns an event ID as `str`; raises TypeError or ValueError for anything else."""
        checked, _ = checked_event(event_id, 0)
        self._check(checked)
        return checked

    def _check(self, event_id: str) -> None:
        """Raises ValueError for a string that is not an event ID."""
        if event_id not in self.admission.declared:
            check_event_id(event_id)

    def _check_sessions(self) -> None:
        if self._config.sessions is None:
            raise NotConfigured(f"Group '{self.group_name}' has no sessions: add the setting 'sessions'")

    def _is_declared(self, event_id: str) -> bool:
        """Returns whether an event is declared; logs a warning if not."""
        is_declared = event_id in self.admission.declared
        if not is_declared:
            message = "Event '%s' of group '%s' is not declared: not counted"
            self._log.warning(message, event_id, self.group_name)
        return is_declared

    def _interval(self, name: str) -> Interval | None:
        """Returns the interval of that name; logs an error if there is none."""
        found = self._config.interval(name)
        if found is None:
            self._log.error(
                "Interval '%s' is not configured for group '%s': no counts returned", name, self.group_name
            )
        return found
