"""The rules of one group: follows its finished intervals, and moves states and position in one step.

read the state -> follow the next interval -> evaluate -> change, if the state is as it was read
      ^                                                       |
      +--------- another process was faster, or no answer <---+
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from event_count_logger.alerts import transitions
from event_count_logger.alerts.addresses import addresses
from event_count_logger.alerts.evaluation import Evaluator
from event_count_logger.alerts.fields import OF_RULE, acknowledgement_field, position_field, progress_field
from event_count_logger.alerts.notification import Notification, notification
from event_count_logger.alerts.outbox import Entry, changed
from event_count_logger.alerts.staleness import STALE_AFTER_S, reason_of_staleness
from event_count_logger.alerts.transitions import Progress, Seen, Step
from event_count_logger.config import AlertRule, GroupConfig, NotifyConfig
from event_count_logger.intervals import Interval
from event_count_logger.logs import Log
from event_count_logger.reading.follow import Follower
from event_count_logger.reading.group_reader import choose_interval
from event_count_logger.reading.reader import OVERDUE_TOLERANCE_S, Reader, Snapshot
from event_count_logger.store import Field, Store

#: Finished intervals of one group that are evaluated before other groups have their turn.
_MOST_AT_ONCE = 50

#: Longest wait for a late rotation: without a master, each interval costs four requests each time.
_LATE_WAIT_S = 5.0

#: Seconds until a step that another process was faster with is repeated.
_AGAIN_S = 0.05


@dataclass(slots=True)
class _Followed:
    """An interval with rules; `follower` is None until the position was read."""

    interval: Interval
    rules: list[AlertRule] = field(default_factory=list)
    follower: Follower | None = None


class GroupAlerts:
    """The rules of one group. All methods that use Redis may raise StoreError.

    Attributes:
        group: The group.
    """

    def __init__(
        self,
        store: Store,
        group: GroupConfig,
        rules: Sequence[AlertRule],
        targets: Mapping[str, NotifyConfig],
        log: Log,
    ) -> None:
        self.group = group
        self._store = store
        self._log = log
        self._rules = rules
        self._targets = targets
        self._evaluator = Evaluator(group)
        self._fields: dict[str, str] | None = None
        self._followed = _followed(group, rules)
        self._not_started_since: dict[AlertRule, float] = {}

    @property
    def has_rules(self) -> bool:
        """True if the group has rules."""
        return bool(self._rules)

    @property
    def positions(self) -> dict[str, str]:
        """The position of each interval that is followed, by its name."""
        known = self._fields or {}
        found = {each.interval.name: known.get(position_field(each.interval)) for each in self._followed}
        return {name: position for name, position in found.items() if position}

    def begin(self) -> bool:
        """Remove the states of rules that are no longer configured; returns False to be called again."""
        fields = self._load()
        kept = {name(rule) for rule in self._rules for name in (progress_field, acknowledgement_field)}
        kept |= {position_field(each.interval) for each in self._followed}
        gone = {name: value for name, value in fields.items() if name not in kept}
        if gone and not self._change(_states(gone), _states(dict.fromkeys(gone, ""))):
            return False
        for name in gone:
            if name.startswith(OF_RULE):
                removed = name.removeprefix(OF_RULE)
                self._log.info("Alert '%s' of group '%s' was removed", removed, self.group.name)
        return True

    def forget(self) -> None:
        """Read the state again before the next step."""
        self._fields = None
        for followed in self._followed:
            followed.follower = None

    def follow(self) -> tuple[bool, float]:
        """Evaluate the intervals that have finished.

        Returns:
            Whether there are new notifications, and the seconds until the next step.
        """
        results = [self._follow(followed) for followed in self._followed]
        return any(is_new for is_new, _ in results), min((wait_s for _, wait_s in results), default=5.0)

    def look(self) -> bool:
        """Check staleness, and repeat notifications; returns whether there are new ones."""
        results = [self._look(rule) for rule in self._rules if rule.stale or rule.repeat]
        return any(results)

    def _load(self) -> dict[str, str]:
        if self._fields is None:
            self._fields = self._store.alerts.fields(self.group, "states")
        return self._fields

    def _follow(self, followed: _Followed) -> tuple[bool, float]:
        follower = followed.follower = followed.follower or self._begin_to_follow(followed)
        is_new = False
        for _ in range(_MOST_AT_ONCE):
            snapshot, wait_s = follower.step()
            if snapshot is None:
                return is_new, wait_s
            entries = self._take(followed, [snapshot])
            if entries is None:
                return is_new, _AGAIN_S
            is_new = is_new or bool(entries)
        return is_new, 0.0

    def _begin_to_follow(self, followed: _Followed) -> Follower:
        """Returns a follower behind the stored position; the first time, behind the newest interval."""
        name = position_field(followed.interval)
        if name not in self._load():
            longest = max(rule.n_in_a_row for rule in followed.rules)
            history = Reader(self._store).history(self.group, followed.interval, longest)
            self._take(followed, history if self._is_recent(followed.interval, history) else [])
        position = self._load().get(name)
        if position is None:
            position = str(self._store.reads.newest_position(self.group, followed.interval))
            self._change([Field("states", name, "")], [Field("states", name, position)])
        return Follower(self._store, self.group, followed.interval, position, _LATE_WAIT_S)

    def _is_recent(self, interval: Interval, history: Sequence[Snapshot]) -> bool:
        """Returns whether no further interval should have finished since."""
        end = (history[-1].end if history else None) or 0.0
        return self._store.client.now() < end + interval.length_s + OVERDUE_TOLERANCE_S

    def _take(self, followed: _Followed, snapshots: Sequence[Snapshot]) -> list[Entry] | None:
        """Evaluate intervals, and move states and position; returns None if the state has changed before."""
        if not snapshots:
            return []
        self._warn_of_gap(snapshots[0])
        now = self._store.client.now()
        steps = {rule: self._step(rule, followed.interval, snapshots, now) for rule in followed.rules}
        position = Field("states", position_field(followed.interval), snapshots[-1].position or "")
        return self._move(steps, followed.interval.name, now, position)

    def _step(self, rule: AlertRule, interval: Interval, snapshots: Sequence[Snapshot], now: float) -> Step:
        before = self._progress(rule)
        if before or len(snapshots) == 1:
            return transitions.advance(rule, before, self._seen(rule, interval, snapshots[-1]), now)
        seen = [self._seen(rule, interval, each) for each in snapshots[-rule.n_in_a_row :]]
        return transitions.advance_all(rule, seen, now)

    def _seen(self, rule: AlertRule, interval: Interval, snapshot: Snapshot) -> Seen:
        result = self._evaluator.evaluate(rule, interval, snapshot)
        return Seen(result, snapshot.start or 0.0, snapshot.end or 0.0, snapshot.missed > 0)

    def _look(self, rule: AlertRule) -> bool:
        before, now = self._progress(rule), self._store.client.now()
        if rule.stale:
            reason, for_s = reason_of_staleness(rule, self.group, self._store)
            now = self._store.client.now()
            # Boundaries and heartbeats are whole seconds: the same reason always has the same time and ID.
            since = round(now - for_s) if for_s else now
            reason, since = self._without_start(rule, reason, since, now)
            step = transitions.advance_stale(rule, before, reason, since, now)
            if step.progress != before or step.kind:
                return bool(self._move({rule: step}, rule.interval or "", now))
        if before is None or not transitions.is_repeat_due(rule, before, now):
            return False
        self.forget()  # the acknowledgement may be new
        before = self._progress(rule)
        if before is None:
            return False
        silence = transitions.parse_acknowledgement(self._load().get(acknowledgement_field(rule), ""))
        step = transitions.repeat(rule, before, silence, now)
        interval = "" if rule.stale else choose_interval(self.group, rule.interval).name
        return bool(self._move({rule: step}, rule.interval or interval, now))

    def _without_start(self, rule: AlertRule, reason: str, since: float, now: float) -> tuple[str, float]:
        """Returns '' in place of the reason for some seconds if no master has started an interval yet."""
        if not reason or since < now:
            self._not_started_since.pop(rule, None)
            return reason, since
        first = self._not_started_since.setdefault(rule, now)
        return (reason, first) if now - first > STALE_AFTER_S else ("", first)

    def _progress(self, rule: AlertRule) -> Progress | None:
        return transitions.parse(self._load().get(progress_field(rule), ""), rule)

    def _move(
        self, steps: Mapping[AlertRule, Step], interval: str, now: float, position: Field | None = None
    ) -> list[Entry] | None:
        """Store the steps of rules with their notifications; returns None if a state has changed before."""
        before = self._load()
        after: dict[str, str] = {} if position is None else {position.name: position.value}
        sent: list[Notification] = []
        entries: list[Entry] = []
        for rule, step in steps.items():
            text = "" if step.progress is None else str(step.progress)
            if text != before.get(progress_field(rule), ""):
                after[progress_field(rule)] = text
            if step.kind and step.about:
                if step.kind == "resolved":
                    after[acknowledgement_field(rule)] = ""  # it may be new
                sent.append(notification(rule, interval, step.kind, step.about, now))
                to = addresses(self._targets, rule.notify)
                entries += [Entry(sent[-1], address.id) for address in to]
        expected = _states({name: before.get(name, "") for name in after if not name.startswith("ack:")})
        added = [changed(entry.key, entry) for entry in entries]
        if not self._change(expected, chain(_states(after), added)):
            return None
        for each in sent:
            self._log.info("%s", each.text)
        return entries

    def _change(self, expected: Iterable[Field], changes: Iterable[Field]) -> bool:
        """Change fields in Redis and in memory; on any failure, read them again before the next step."""
        fields, wanted = self._load(), [*changes]
        is_done = False
        try:
            is_done = self._store.alerts.change(self.group, expected, wanted)
        finally:
            if not is_done:
                self.forget()
        if is_done:
            for each in wanted:
                if each.part == "states":
                    fields[each.name] = each.value
            for name in [name for name, value in fields.items() if not value]:
                del fields[name]
        return is_done

    def _warn_of_gap(self, snapshot: Snapshot) -> None:
        if snapshot.missed:
            self._log.warning(
                "Group '%s', interval '%s': alerts were not evaluated for %d intervals, which are gone from "
                "the history",
                self.group.name,
                snapshot.interval,
                snapshot.missed,
            )


def _followed(group: GroupConfig, rules: Iterable[AlertRule]) -> list[_Followed]:
    found: dict[Interval, _Followed] = {}
    for rule in rules:
        if not rule.stale:
            interval = choose_interval(group, rule.interval)
            found.setdefault(interval, _Followed(interval)).rules.append(rule)
    return list(found.values())


def _states(fields: Mapping[str, str]) -> list[Field]:
    return [Field("states", name, value) for name, value in fields.items()]
