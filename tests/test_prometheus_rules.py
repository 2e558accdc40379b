"""`ecl alert --prometheus-rules`: promtool evaluates the rule file on the metrics of `/metrics` as we do."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from event_count_logger.alerts.evaluation import evaluate
from event_count_logger.config import AlertRule, GroupConfig, from_dicts
from event_count_logger.reading.reader import Snapshot
from event_count_logger.reading.scrape import GroupMetrics, Scrape
from event_count_logger.render import openmetrics
from event_count_logger.render.prometheus_rules import render
from tests.conftest import needs_debian

#: Length of the interval, and time between two scrapes, in seconds.
LENGTH_S, STEP_S = 60, 15

#: Number of interval lengths in each example.
N_LENGTHS = 10

#: Number of examples, each with a group of its own.
N_EXAMPLES = 80

GROUPS: list[dict[str, Any]] = [
    {"events": ["ok", "error"], "intervals": ["1m"], "auto_declare_events": True},
    {"events": ["shop"], "intervals": ["1m"], "auto_declare_events": True, "sessions": {}},
]

#: Event IDs that look like patterns, labels, numbers of sessions or buckets.
EVENTS = [
    "ok",
    "error",
    "status_500",
    "status_5.*",
    'a"b\\',
    "a|b (c)[d]{e}^$+?",
    "\\udcff",
    "é \u202e\u2028",
    "lone:le:1",
    "r",
    "r:le:0.5",
    "shop:ms",
]
PATTERNS = ["*", "status_*", "*50*", "r*", "lone*", "a|*", "*:ms", "\\*", "*.\\*", *EVENTS]


class Example(NamedTuple):
    """A group, a rule, and the finished intervals."""

    name: str
    group: dict[str, Any]
    rule: dict[str, Any]
    history: list[Snapshot]


def example(number: int, chance: random.Random) -> Example:
    name, group = f"g{number}", chance.choice(GROUPS)
    rule = {"name": f'rule {number} "{{{{ x', "group": name, "for": chance.choice([1, 1, 2, 3])}
    rule["event"] = chance.sample(PATTERNS, chance.choice([1, 1, 2, 3]))
    kind, limit = chance.choice(["above", "below"]), chance.choice([0.25, 1, 5, 7.5, 20])
    if chance.random() < 0.4:
        rule |= {"of": chance.sample(PATTERNS, 2), kind: f"{limit * 3}%"}
    else:
        rule |= {kind: limit}
    return Example(name, group, rule, list(history(name, group["events"], chance)))


def history(group: str, declared: Sequence[str], chance: random.Random) -> Iterator[Snapshot]:
    """Yields finished intervals; some cover the time of several ones, and some have an unknown start."""
    events = chance.sample(EVENTS, chance.randrange(1, len(EVENTS)))
    start = 0
    while start < N_LENGTHS * LENGTH_S:
        end = start + LENGTH_S * chance.choice([1, 1, 1, 1, 2, 3])
        counts = {each: chance.randrange(1, 20) for each in events if chance.random() < 0.6}
        counts |= {each.partition(":")[0]: 20 for each in counts if each.startswith("r:le")}
        begin = None if chance.random() < 0.1 else float(start)
        yield Snapshot(group, "1m", "last", begin, float(end), dict.fromkeys(declared, 0) | counts, end, 0)
        start = end


def ours(rule: AlertRule, group: GroupConfig, finished: Sequence[Snapshot]) -> bool:
    """Returns whether an alert fires after some finished intervals."""
    results = [evaluate(rule, group, group.intervals[0], each) for each in finished[-rule.n_in_a_row :]]
    return len(results) == rule.n_in_a_row and all(each.is_breach for each in results)


def metrics(each: Example) -> dict[str, list[str]]:
    """Returns the values of each metric about finished intervals, one for each scrape."""
    known = dict.fromkeys(event for finished in each.history for event in finished.counts)
    values: dict[str, list[str]] = {}
    for step in range(N_LENGTHS * LENGTH_S // STEP_S):
        finished = [one for one in each.history if (one.end or 0) <= step * STEP_S]
        lasts = [with_zeros(finished[-1], known)] if finished else []
        scrape = Scrape(True, [GroupMetrics(each.name, None, {}, lasts, 1)], 0.0)
        for line in openmetrics.render(scrape, "2.0.0", openmetrics=False).split("\n"):
            if line.startswith("ecl_last"):
                name, _, value = line.rpartition(" ")
                values.setdefault(name, ["_"] * step).append(value)
        for found in values.values():
            found += ["stale"] * (step + 1 - len(found))
    return values


def with_zeros(last: Snapshot, known: dict[str, None]) -> Snapshot:
    return replace(last, counts=dict.fromkeys(known, 0) | dict(last.counts))


def assertions(each: Example, rule: AlertRule, group: GroupConfig) -> Iterator[tuple[int, bool]]:
    """Yields times in seconds, and whether the alert fires at that time by our own evaluation."""
    for n_finished in range(1, len(each.history) + 1):
        finished = each.history[:n_finished]
        time_s = int(finished[-1].end or 0) + 3 * LENGTH_S // 4
        fires = ours(rule, group, finished)
        # While an interval is overdue, Prometheus restarts its wait.
        is_delayed = rule.n_in_a_row > 1 and any(map(is_late, finished[1 - rule.n_in_a_row :]))
        if time_s < N_LENGTHS * LENGTH_S and not (fires and is_delayed):
            yield time_s, fires


def is_late(finished: Snapshot) -> bool:
    return finished.start is None or finished.now - finished.start > LENGTH_S


def promtool(directory: Path, *command: str) -> str:
    """Returns the output of promtool, '' if it succeeds."""
    needs_debian("prometheus", "promtool")
    done = subprocess.run(["promtool", *command], cwd=directory, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr if done.returncode else ""


def firing(rule: AlertRule, time_s: int, is_firing: bool) -> dict[str, Any]:
    """Returns the assertion that an alert fires, or does not."""
    expression = f'count(ALERTS{{alertname={json.dumps(rule.name)},alertstate="firing"}})'
    samples = [{"labels": "{}", "value": 1}] if is_firing else []
    return {"expr": expression, "eval_time": f"{time_s}s", "exp_samples": samples}


def test_promtool_agrees_with_our_evaluation(chance: random.Random, tmp_path: Path) -> None:
    examples = [example(number, chance) for number in range(N_EXAMPLES)]
    config = from_dicts({each.name: each.group for each in examples}, alerts=[each.rule for each in examples])
    series: dict[str, list[str]] = {}
    expected = []
    for each, rule in zip(examples, config.alerts, strict=True):
        series |= metrics(each)
        expected += [(rule, *found) for found in assertions(each, rule, config.groups[each.name])]
    test = {
        "interval": f"{STEP_S}s",
        "input_series": [{"series": name, "values": " ".join(found)} for name, found in series.items()],
        "promql_expr_test": [firing(*each) for each in expected],
    }
    document = {"rule_files": ["rules.yml"], "evaluation_interval": f"{STEP_S}s", "tests": [test]}
    (tmp_path / "rules.yml").write_text(render(config, config.alerts))
    (tmp_path / "tests.yml").write_text(json.dumps(document))
    assert sum(fires for _, _, fires in expected) > N_EXAMPLES // 4
    assert promtool(tmp_path, "check", "rules", "rules.yml") == ""
    assert promtool(tmp_path, "test", "rules", "tests.yml") == ""


def test_unknown_interval_raises_no_alert_but_a_stale_one_does(tmp_path: Path) -> None:
    rules = [
        {"name": "few", "group": "g", "event": "ok", "interval": "1m", "below": 1},
        {"name": "late", "group": "g", "stale": True, "severity": "warning"},
        {"name": "late hour", "group": "g", "interval": "1h", "stale": True},
    ]
    config = from_dicts({"g": {"events": ["ok"], "intervals": ["1m", "1h"]}}, alerts=rules)
    series = {
        'ecl_stale{instance="a",group="g",interval="1m"}': "0 0 1 1 1 0 0 0 0 0",
        'ecl_stale{instance="a",group="g",interval="1h"}': "0 0 0 0 0 0 0 0 0 0",
        'ecl_masters{instance="a",group="g"}': "1 1 1 1 1 1 1 0 0 stale",
    }
    labels = {"instance": "a", "group": "g", "severity": "warning"}
    summary = {"exp_annotations": {"summary": "an interval of group g is overdue, or no master runs"}}
    fires = [{"exp_labels": labels, **summary}]
    expected = [(5, "late hour", []), (5, "few", []), (5, "late", fires), (3, "late", [])]
    expected += [(6, "late", []), (8, "late", []), (9, "late", fires), (10, "late", [])]
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{15 * (step - 1)}s", "alertname": name, "exp_alerts": alerts}
            for step, name, alerts in expected
        ],
    }
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "rules.yml").write_text(render(config, config.alerts))
    (tmp_path / "tests.yml").write_text(json.dumps(document))
    assert promtool(tmp_path, "test", "rules", "tests.yml") == ""


def test_configuration_without_alerts_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(render(from_dicts({"g": {"intervals": ["1m"]}}), []))
    assert promtool(tmp_path, "check", "rules", "rules.yml") == ""
