"""The states of a rule, and the steps between them, as pure functions.

    state     input                                next state   notification
    --------  -----------------------------------  -----------  ------------
    ok        breach, not yet `for` in a row       pending
    ok        breach, `for` in a row               firing       firing
    pending   breach, not yet `for` in a row       pending
    pending   breach, `for` in a row               firing       firing
    pending   no breach                            ok
    firing    breach                               firing
    firing    no breach                            ok           resolved
    firing    `repeat` has passed, unacknowledged  firing       repeat

Intervals that are gone from the history are unknown: they end the row, and resolve nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple

from event_count_logger.alerts.evaluation import Evaluation
from event_count_logger.config import AlertRule

#: The kinds of notifications; a test is sent on request.
Kind = Literal["firing", "repeat", "resolved", "test"]


class Seen(NamedTuple):
    """The result of a rule for one finished interval, or for one check of staleness.

    Attributes:
        result: Value, and whether it is a breach.
        start: Start of the interval, Unix seconds.
        end: Its end.
        is_gap: Whether intervals before this one are unknown.
    """

    result: Evaluation
    start: float
    end: float
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a rule that is not `ok`.

    Attributes:
        fingerprint: The settings of the rule that decide when it fires; see `fingerprint`.
        n_breaches: Breaches in a row, at most `for`.
        since: End of the interval with which it began to fire, Unix seconds; None while it is pending.
        value: The last value.
        start: Start of the last interval.
        end: End of the last interval.
        notified_at: Time of the last notification, Unix seconds.
        n_repeats: Number of repeated notifications.
        reason: Reason of a stale rule, in words.
    """

    fingerprint: str
    n_breaches: int = 0
    since: float | None = None
    value: float | None = None
    start: float = 0.0
    end: float = 0.0
    notified_at: float = 0.0
    n_repeats: int = 0
    reason: str = ""

    def __str__(self) -> str:
        """The state as one JSON object; `parse` reads it."""
        return json.dumps(asdict(self))


class Acknowledgement(NamedTuple):
    """A silence of repeated notifications, while one alert lasts.

    Attributes:
        since: `Progress.since` of the alert.
        until: Its end, Unix seconds; None to last until the alert is resolved.
    """

    since: float
    until: float | None

    def covers(self, progress: Progress, now: float) -> bool:
        """Returns whether it silences an alert now."""
        return self.since == progress.since and (self.until is None or now < self.until)

    def __str__(self) -> str:
        return json.dumps(self._asdict())


class Step(NamedTuple):
    """The result of a transition.

    Attributes:
        progress: The next state; None for `ok`.
        kind: The notification of the transition; None for none.
        about: The state that the notification describes.
    """

    progress: Progress | None
    kind: Kind | None = None
    about: Progress | None = None


def fingerprint(rule: AlertRule) -> str:
    """Returns the settings that decide when a rule fires. If they change, a row begins again."""
    limit = f"above {rule.above}" if rule.above else f"below {rule.below}"
    settings = [rule.group, rule.interval, rule.event, limit, rule.of, rule.n_in_a_row, rule.stale]
    return json.dumps(settings)


def parse(text: str, rule: AlertRule) -> Progress | None:
    """Returns the stored state of a rule; None for `ok`.

    If the rule was changed since, a row of breaches begins again. An alert that fires goes on, so that it is
    resolved by the first interval within the new limit.
    """
    try:
        found = Progress(**json.loads(text)) if text else None
    except (TypeError, ValueError):
        return None  # not written by this package
    if found is None or found.fingerprint == fingerprint(rule):
        return found
    return None if found.since is None else replace(found, fingerprint=fingerprint(rule))


def parse_acknowledgement(text: str) -> Acknowledgement | None:
    """Returns a stored acknowledgement."""
    try:
        return Acknowledgement(**json.loads(text)) if text else None
    except (TypeError, ValueError):
        return None


def advance(rule: AlertRule, before: Progress | None, seen: Seen, now: float) -> Step:
    """Returns the step of a rule for its next finished interval."""
    progress = before or Progress(fingerprint(rule))
    n_before = 0 if seen.is_gap else progress.n_breaches
    progress = replace(progress, value=seen.result.value, start=seen.start, end=seen.end)
    is_firing = progress.since is not None
    if not seen.result.is_breach:
        return Step(None, "resolved", progress) if is_firing else Step(None)
    progress = replace(progress, n_breaches=min(n_before + 1, rule.n_in_a_row))
    if is_firing or progress.n_breaches < rule.n_in_a_row:
        return Step(progress)
    progress = replace(progress, since=seen.end, notified_at=now)
    return Step(progress, "firing", progress)


def advance_all(rule: AlertRule, all_seen: Sequence[Seen], now: float) -> Step:
    """Returns the last step of a rule that begins with these finished intervals."""
    step = Step(None)
    for seen in all_seen:
        step = advance(rule, step.progress, seen, now)
    return step


def advance_stale(rule: AlertRule, before: Progress | None, reason: str, since: float, now: float) -> Step:
    """Returns the step of a stale rule for a check of its group.

    Args:
        rule: The rule.
        before: Its state.
        reason: Reason why the group is stale; '' if it is not.
        since: Time since which it is stale, Unix seconds.
        now: Time of the check, Unix seconds.
    """
    if before is None:
        if not reason:
            return Step(None)
        begun = Progress(fingerprint(rule), 1, since, now - since, since, now, now, reason=reason)
        return Step(begun, "firing", begun)
    if reason:
        return Step(before)
    return Step(None, "resolved", replace(before, end=now, value=now - before.start))


def repeat(rule: AlertRule, before: Progress, silence: Acknowledgement | None, now: float) -> Step:
    """Returns the step of a firing rule at a time between finished intervals."""
    if not is_repeat_due(rule, before, now) or (silence and silence.covers(before, now)):
        return Step(before)
    progress = replace(before, notified_at=now, n_repeats=before.n_repeats + 1)
    return Step(progress, "repeat", progress)


def is_repeat_due(rule: AlertRule, progress: Progress, now: float) -> bool:
    """Returns whether the last notification is older than `repeat`."""
    is_firing = progress.since is not None
    return is_firing and rule.repeat is not None and now - progress.notified_at >= rule.repeat
