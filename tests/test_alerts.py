"""Rules of alerts: evaluation, transitions, notifications, as pure functions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_count_logger.alerts.evaluation import Evaluation, Evaluator, evaluate, matching, total
from event_count_logger.alerts.notification import notification, notification_id
from event_count_logger.alerts.outage import OUTAGE_AFTER_S, Outage
from event_count_logger.alerts.transitions import (
    Acknowledgement,
    Kind,
    Progress,
    Seen,
    Step,
    advance,
    advance_stale,
    fingerprint,
    parse,
    repeat,
)
from event_count_logger.config import AlertRule, NotifyConfig, Threshold
from event_count_logger.intervals import Interval
from event_count_logger.reading.reader import Snapshot
from tests.groups import group_of

FIVE_M = Interval.parse("5m")
#: 12:00 UTC.
NOON = 1_796_040_000.0
EVENTS = ("ok", "error", "status_200", "status_500", "status_503", "a*b")
GROUP = group_of("requests", [FIVE_M], events=EVENTS, auto_declare_events=True)
RULE = AlertRule("many errors", "requests", ("error",), above=Threshold(100), notify=("ops",), repeat=3600)


def snapshot(counts: dict[str, int], start: float = NOON, end: float = NOON + 300) -> Snapshot:
    return Snapshot("requests", "5m", "last", start, end, counts, end, 0)


def seen(value: float, end: float, is_gap: bool = False) -> Seen:
    return Seen(Evaluation(value, value > 100), end - 300, end, is_gap)


# Evaluation


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["error"], ["error"]),
        (["status_5*"], ["status_500", "status_503"]),
        (["*_500", "status_5*"], ["status_500", "status_503"]),
        (["s*_*3", "missing", "error"], ["error", "status_503"]),
        (["a.b", "a*b"], ["a*b"]),
        (["*"], [*EVENTS]),
        ([], []),
    ],
)
def test_patterns_match_whole_event_ids_once(patterns: list[str], found: list[str]) -> None:
    assert sorted(matching(patterns, GROUP, EVENTS)) == sorted(found)


def test_pattern_leaves_out_counts_that_cannot_be_added() -> None:
    events = {"size": 3, "size:le:1": 2, "size:le:5": 3, "ok": 1}
    assert sorted(matching(["*"], GROUP, events)) == ["ok", "size"]
    assert matching(["size:le:1"], GROUP, events) == ["size:le:1"]
    assert total(["*"], GROUP, events) == 4


@pytest.mark.parametrize(
    ("limit", "counts", "result"),
    [
        ({"above": Threshold(100)}, {"error": 100}, Evaluation(100, False)),
        ({"above": Threshold(100)}, {"error": 101}, Evaluation(101, True)),
        ({"below": Threshold(1)}, {"error": 0}, Evaluation(0, True)),
        ({"below": Threshold(1)}, {}, Evaluation(0, True)),
        ({"above": Threshold(5, True), "of": ("ok", "error")}, {"ok": 95, "error": 5}, Evaluation(5, False)),
        ({"above": Threshold(5, True), "of": ("ok", "error")}, {"ok": 94, "error": 6}, Evaluation(6, True)),
        ({"below": Threshold(5, True), "of": ("ok", "error")}, {"ok": 0}, Evaluation(None, False)),
    ],
)
def test_value_is_compared_with_the_limit(
    limit: dict[str, Any], counts: dict[str, int], result: Evaluation
) -> None:
    rule = AlertRule("n", "requests", ("error",), **limit)
    assert evaluate(rule, GROUP, FIVE_M, snapshot(counts)) == result


def test_counts_above_2_to_the_53_are_exact() -> None:
    rule = replace(RULE, above=Threshold(2**53))
    assert evaluate(rule, GROUP, FIVE_M, snapshot({"error": 2**53 + 1})) == Evaluation(2**53 + 1, True)
    assert not evaluate(rule, GROUP, FIVE_M, snapshot({"error": 2**53})).is_breach
    assert str(Threshold(2**53 + 1)) == "9007199254740993"


def test_late_interval_has_the_average_of_its_span() -> None:
    late = snapshot({"error": 300}, NOON, NOON + 900)
    assert evaluate(RULE, GROUP, FIVE_M, late) == Evaluation(100, False)


def test_evaluator_notices_new_counts_and_new_events() -> None:
    evaluator = Evaluator(GROUP)
    rule = replace(RULE, event=("status_*",))
    for counts in ({"status_1": 1}, {"status_1": 200}, {"status_1": 1, "status_2": 300}, {"ok": 1}):
        made = snapshot(counts)
        assert evaluator.evaluate(rule, FIVE_M, made) == evaluate(rule, GROUP, FIVE_M, made)


# Transitions


def test_alert_fires_once_and_is_resolved_once() -> None:
    first = advance(RULE, None, seen(154, NOON), NOON + 1)
    assert first.kind == "firing"
    assert first.progress
    assert (first.progress.since, first.progress.notified_at) == (NOON, NOON + 1)
    second = advance(RULE, first.progress, seen(200, NOON + 300), NOON + 301)
    assert (second.kind, second.progress and second.progress.since) == (None, NOON)
    third = advance(RULE, second.progress, seen(3, NOON + 600), NOON + 601)
    assert (third.kind, third.progress, third.about and third.about.since) == ("resolved", None, NOON)
    assert advance(RULE, third.progress, seen(3, NOON + 900), NOON + 901) == Step(None)


def model(values: list[tuple[bool, bool]], n: int) -> list[tuple[Kind, int]]:
    """The notifications for breaches and gaps, from the rows of breaches before each of them."""
    found: list[tuple[Kind, int]] = []
    for at, (is_breach, _) in enumerate(values):
        is_firing = bool(found) and found[-1][0] == "firing"
        row = 0
        for before in range(at, -1, -1):
            if not values[before][0]:
                break
            row += 1
            if values[before][1]:  # a gap in front of it
                break
        if not is_firing and row >= n:
            found.append(("firing", at))
        elif is_firing and not is_breach:
            found.append(("resolved", at))
    return found


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([False, False, False, True]))), st.integers(1, 4))
def test_transitions_agree_with_the_model(values: list[tuple[bool, bool]], n: int) -> None:
    rule = replace(RULE, n_in_a_row=n)
    progress: Progress | None = None
    found = []
    for at, (is_breach, is_gap) in enumerate(values):
        step = advance(rule, progress, seen(101 if is_breach else 0, NOON + 300 * at, is_gap), NOON)
        progress = step.progress and parse(str(step.progress), rule)
        if step.kind:
            found.append((step.kind, at))
    assert found == model(values, n)


def test_changed_rule_begins_its_row_again_and_goes_on_firing() -> None:
    rule = replace(RULE, n_in_a_row=2)
    pending = advance(rule, None, seen(154, NOON), NOON).progress
    changed = replace(rule, above=Threshold(200))
    assert parse(str(pending), rule) == pending
    assert parse(str(pending), replace(rule, severity="warning", notify=())) == pending
    assert parse(str(pending), changed) is None
    firing = advance(rule, pending, seen(154, NOON + 300), NOON).progress
    assert firing
    assert parse(str(firing), changed) == replace(firing, fingerprint=fingerprint(changed))
    assert [parse(text, RULE) for text in ("", "{", "[]", '{"a": 1}')] == [None] * 4


def test_notification_is_repeated_unless_acknowledged() -> None:
    progress = Progress(fingerprint(RULE), 1, NOON, notified_at=NOON)
    assert repeat(RULE, progress, None, NOON + 3599).kind is None
    step = repeat(RULE, progress, None, NOON + 3600)
    assert step.progress
    assert (step.kind, step.progress.n_repeats, step.progress.notified_at) == ("repeat", 1, NOON + 3600)
    for silence, kind in [
        (Acknowledgement(NOON, None), None),
        (Acknowledgement(NOON, NOON + 3601), None),
        (Acknowledgement(NOON, NOON + 3600), "repeat"),
        (Acknowledgement(NOON - 300, None), "repeat"),  # of an earlier alert
    ]:
        assert repeat(RULE, progress, silence, NOON + 3600).kind == kind


def test_stale_alert_lasts_as_long_as_its_reason() -> None:
    rule = AlertRule("no master", "requests", stale=True)
    fires = advance_stale(rule, None, "it has no master", NOON, NOON + 20)
    assert (fires.kind, fires.progress and fires.progress.since) == ("firing", NOON)
    assert advance_stale(rule, fires.progress, "other", NOON + 9, NOON + 30) == Step(fires.progress)
    over = advance_stale(rule, fires.progress, "", NOON, NOON + 90)
    assert (over.kind, over.progress, over.about and over.about.value) == ("resolved", None, 90)
    assert advance_stale(rule, None, "", NOON, NOON) == Step(None)


# Notifications


def text_of(rule: AlertRule, step: Step) -> str:
    assert step.kind
    assert step.about
    return notification(rule, "5m", step.kind, step.about, NOON).text


def test_texts_have_group_value_limit_and_times() -> None:
    row = replace(RULE, n_in_a_row=2)
    pending = advance(row, None, seen(154, NOON), NOON).progress
    fires = advance(row, pending, seen(154.5, NOON + 300), NOON)
    assert text_of(row, fires) == (
        "FIRING: many errors: group 'requests', 'error' was 154.5 in 5m, above 100 for 2 intervals, "
        "since 2026-11-30 12:05 UTC"
    )
    assert fires.progress
    assert text_of(row, repeat(row, replace(fires.progress, end=NOON + 9000), None, NOON + 9000)) == (
        "STILL FIRING: many errors: group 'requests', 'error' was 154.5 in 5m, above 100, for 2h 25m, "
        "since 2026-11-30 12:05 UTC"
    )
    assert text_of(row, advance(row, fires.progress, seen(3, NOON + 600), NOON)) == (
        "RESOLVED: many errors: group 'requests', 'error' was 3 in 5m, no longer above 100, after 5m, "
        "at 2026-11-30 12:10 UTC"
    )
    share = AlertRule("share", "requests", ("error",), above=Threshold(5, True), of=("ok", "error"))
    assert text_of(share, advance(share, None, seen(101, NOON + 1), NOON)) == (
        "FIRING: share: group 'requests', 'error' was 101% of 'ok', 'error' in 5m, above 5%, "
        "since 2026-11-30 12:00:01 UTC"
    )
    firing = advance(share, None, seen(101, NOON), NOON).progress
    nothing = Seen(Evaluation(None, False), NOON, NOON + 300)
    assert text_of(share, advance(share, firing, nothing, NOON)) == (
        "RESOLVED: share: group 'requests', 'error' was unknown (nothing of 'ok', 'error' was counted) in "
        "5m, no longer above 5%, after 5m, at 2026-11-30 12:05 UTC"
    )
    stale = AlertRule("no master", "requests", stale=True)
    gone = advance_stale(stale, None, "it has no master", NOON, NOON + 20)
    assert text_of(stale, gone) == (
        "FIRING: no master: group 'requests': it has no master, since 2026-11-30 12:00 UTC"
    )
    assert text_of(stale, advance_stale(stale, gone.progress, "", NOON, NOON + 75)) == (
        "RESOLVED: no master: group 'requests': intervals end in time again, after 1m 15s"
    )


def test_ids_differ_between_notifications_and_never_change() -> None:
    ids = {
        notification_id(rule, kind, since, number)
        for rule in (RULE, replace(RULE, name="other"), replace(RULE, group="other"))
        for kind in ("firing", "resolved")
        for since in (NOON, NOON + 1)
        for number in (0, 1)
    }
    assert len(ids) == 24
    assert notification_id(RULE, "firing", NOON) == "087ec28d70b1f9336c03a101"


def test_notification_is_one_json_object_with_all_fields() -> None:
    fires = advance(RULE, None, seen(154, NOON), NOON)
    assert fires.about
    made = notification(RULE, "5m", "firing", fires.about, NOON + 2)
    fields = json.loads(made.to_json())
    assert fields["event"] == ["error"]
    assert {name: fields[name] for name in ("kind", "alert", "limit", "value", "start", "end", "number")} == {
        "kind": "firing",
        "alert": "many errors",
        "limit": "above 100",
        "value": 154,
        "start": NOON - 300,
        "end": NOON,
        "number": 0,
    }


# Outage


def test_outage_of_redis_notifies_each_target_once() -> None:
    targets = {"ops": NotifyConfig(urls=("json://a", "json://b")), "script": NotifyConfig(command=("x",))}
    rules = [
        RULE,
        AlertRule("first", "a", stale=True, notify=("ops",)),
        AlertRule("second", "b", stale=True, notify=("ops", "script")),
    ]
    outage = Outage(rules, targets)
    assert [outage.step(True, NOON + second) for second in (0, OUTAGE_AFTER_S - 1)] == [[], []]
    entries = outage.step(True, NOON + OUTAGE_AFTER_S)
    found = sorted((each.to, each.notification.alert, each.notification.kind) for each in entries)
    assert found == [
        ("ops:0", "first", "firing"), ("ops:1", "first", "firing"), ("script:0", "second", "firing")
    ]  # fmt: skip
    assert "Redis is unavailable, since 2026-11-30 12:00 UTC" in entries[0].notification.text
    assert outage.step(True, NOON + 500) == []
    over = outage.step(False, NOON + 600)
    assert {(each.to, each.notification.kind) for each in over} == {
        (to, "resolved") for to in ("ops:0", "ops:1", "script:0")
    }
    assert outage.step(False, NOON + 601) == []


def test_short_outage_of_redis_sends_nothing() -> None:
    outage = Outage([AlertRule("stale", "a", stale=True, notify=("x",))], {"x": NotifyConfig(command=("x",))})
    steps = [(True, 0), (False, 59), (True, 60), (True, 119), (False, 121)]
    assert [outage.step(unavailable, NOON + at) for unavailable, at in steps] == [[]] * 5
