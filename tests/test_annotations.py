"""Annotations: those that are posted, and those that the history shows, with a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import keys
from event_count_logger.config import Config, GroupConfig, RedisConfig, from_dicts
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.reading import range_marks
from event_count_logger.reading.times import InvalidTime
from event_count_logger.store import MOST_ANNOTATIONS, Annotation, Store
from event_count_logger.web.annotation_documents import Wanted, annotations_of
from tests.fixtures import Start, Write
from tests.groups import group_of
from tests.servers import Server
from tests.serving import Serving

NOW = 1_764_000_000.0
MINUTE = Interval.parse("1m")
PATH = "/api/v1/annotations"

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["1m", "5m"]},
    "other": {"intervals": ["24h"]},
    "secret": {"intervals": ["24h"], "hidden": True},
}

ALERTS = [
    {"name": "errors", "group": "web", "interval": "1m", "event": "error", "above": 10, "for": 2},
    {"name": "few", "group": "web", "interval": "5m", "event": "ok", "below": 1, "severity": "critical"},
]


class History:
    """A group with finished intervals of one minute, which end at once."""

    def __init__(self, server: Server, **settings: Any) -> None:
        groups = {**GROUPS, "web": {**GROUPS["web"], **settings}}
        alerts = [] if settings else ALERTS
        self.config: Config = from_dicts(groups, server.config, alerts=alerts)
        self.group: GroupConfig = self.config.groups["web"]
        self.store = Store(self.config.redis)
        self.begin = self.end = MINUTE.start_of(self.store.client.server_time()) - 1200
        self.n = 0
        self._rotate()

    def finish(self, n_minutes: int = 1, **counts: int) -> None:
        """End an interval after a number of minutes."""
        named = {name.replace("at_", "@"): count for name, count in counts.items()}
        self.store.commits.commit(self.group, "test", self.n, self.n + 1, named, self.end + 1)
        self.n += 1
        self.end += 60 * n_minutes
        self._rotate()

    def _rotate(self) -> None:
        for interval in self.group.intervals:
            self.store.rotation.rotate(self.group, interval, self.end + 0.5)

    def found(self, kind: str, **wanted: Any) -> list[tuple[float, float | None, str]]:
        """Returns the annotations of a kind, in minutes after the begin."""
        asked = Wanted("web", wanted.pop("interval", "1m"), **wanted)
        found = annotations_of(self.config, self.store, asked)["annotations"]
        return [
            (self._minute(each["start"]), each["end"] and self._minute(each["end"]), each["text"])
            for each in found
            if each["kind"] == kind
        ]

    def minute(self, minute: float) -> str:
        return str(self.begin + 60 * minute)

    def _minute(self, time: float) -> float:
        return (time - self.begin) / 60


@pytest.fixture
def history(server: Server) -> Iterator[History]:
    history = History(server)
    yield history
    history.store.close()


# In Redis


def test_annotation_is_stored_once_in_a_sorted_set(store: Store, any_server: Server) -> None:
    note = Annotation(NOW, "deploy é", NOW + 60, ("ci",))
    group = group_of("g", [MINUTE])
    assert [store.annotations.add(group, note) for _ in range(2)] == [True, True]
    assert any_server.everything() == {"g:@annotations": {str(note): NOW}}
    assert store.annotations.between(group) == [note]
    ranges = ((NOW + 60,), (0, NOW), (NOW + 61,))
    assert [len(store.annotations.between(group, *times)) for times in ranges] == [1, 0, 0]


def test_only_the_newest_annotations_are_kept(store: Store, any_server: Server) -> None:
    group = group_of("g", [MINUTE])
    members = {str(Annotation(NOW + n, "x")): NOW + n for n in range(MOST_ANNOTATIONS)}
    any_server.client.zadd("g:@annotations", members)
    assert not store.annotations.add(group, Annotation(NOW - 1, "too old"))
    assert store.annotations.add(group, Annotation(NOW + 0.5, "new"))
    found = store.annotations.between(group)
    assert (len(found), found[0].text, found[1].time) == (MOST_ANNOTATIONS, "new", NOW + 1)


def test_annotations_of_a_split_group_are_in_its_first_shard(server: Server) -> None:
    group = group_of("g", [MINUTE], n_shards=2)
    store = Store(RedisConfig(**server.config))
    store.annotations.add(group, Annotation(NOW, "x"))
    store.close()
    assert list(server.everything()) == [keys.notes(group.shard(0).prefix)]


def test_foreign_members_are_skipped_and_a_foreign_type_is_rejected(store: Store, any_server: Server) -> None:
    group = group_of("g", [MINUTE])
    any_server.client.zadd("g:@annotations", {"x": 1, '{"time": 1}': 2, "[]": 3})
    assert store.annotations.between(group) == []
    any_server.client.set("g:@annotations", "x")
    with pytest.raises(Rejected):
        store.annotations.add(group, Annotation(NOW, "x"))


# Shown by the history


def test_alert_is_annotated_from_its_begin_to_its_end(history: History) -> None:
    for errors in (11, 12, 13, 1, 11, 11):
        history.finish(ok=1, error=errors)
    assert history.found("alert") == [(2, 4, "errors: above 10 in 1m"), (6, None, "errors: above 10 in 1m")]
    assert history.found("alert", since=history.minute(5)) == [(6, None, "errors: above 10 in 1m")]
    assert history.found("alert", until=history.minute(3)) == [(2, None, "errors: above 10 in 1m")]


def test_alert_that_began_before_the_range_fires_from_its_begin(history: History) -> None:
    for _ in range(6):
        history.finish(ok=1, error=11)
    assert history.found("alert", since=history.minute(3)) == [(4, None, "errors: above 10 in 1m")]


def test_alert_of_another_interval_is_annotated_too(history: History) -> None:
    for _ in range(11):
        history.finish(error=1)
    (found,) = history.found("alert")
    assert found[1:] == (None, "few: below 1 in 5m")


def test_late_interval_and_lost_counts_are_annotated(history: History) -> None:
    history.finish(ok=1)
    history.finish(3, ok=9)
    history.finish(ok=1, at_lost=1200)
    assert history.found("late") == [(1, 4, "rotated late: 3 intervals in one")]
    assert history.found("lost") == [(4, 5, "1,200 counts lost by Redis")]
    assert history.found("late", since=history.minute(2)) == []


def test_hole_in_the_history_is_missing_but_not_the_time_before_it(history: History, server: Server) -> None:
    for _ in range(6):
        history.finish(ok=1)
    third: Any = server.client.xrange("web:1m:@history", count=3)[2]  # type: ignore[index]
    server.client.xdel("web:1m:@history", third[0])
    assert history.found("missing") == [(2, 3, "not in the history")]
    assert history.found("missing", since=history.minute(-5)) == [(2, 3, "not in the history")]
    assert history.found("missing", since=history.minute(-5), until=history.minute(-1)) == []
    assert history.found("missing", since=history.minute(2)) == [(2, 3, "not in the history")]
    assert history.found("missing", since=history.minute(3)) == []
    server.client.delete("web:1m:@history")
    assert history.found("missing", since=history.minute(-5)) == []


def test_group_without_history_has_notes_only(server: Server) -> None:
    history = History(server, history=0)
    history.finish(ok=1)
    history.store.annotations.add(history.group, Annotation(history.end, "deploy"))
    assert history.found("note") == [(1, None, "deploy")]
    assert history.found("missing", since=history.minute(-5)) == []
    history.store.close()


def test_range_with_too_many_intervals_is_rejected(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_marks, "MOST_COUNTS", 5)
    history.finish(ok=1)
    history.finish(ok=1)
    assert history.found("late") == []
    history.finish(ok=1)
    with pytest.raises(InvalidTime, match=r"more than 20,000 intervals or 5 counts; request parts of it"):
        history.found("late")


# Over HTTP


@pytest.fixture
def site(server: Server, start: Start, config_file: Write) -> Serving:
    file: Path = config_file({"redis": server.config, "groups": GROUPS, "alerts": ALERTS})
    return Serving(start, file)


def get(site: Serving, query: str = "") -> tuple[int, Any]:
    status, content, _ = site.ask("GET", f"{PATH}{query}")
    return status, json.loads(content)


def test_posted_annotation_is_returned_for_its_groups(site: Serving, server: Server) -> None:
    server.client.set("web:24h:cur:ok", 1)
    sent = {"text": "deploy 1.2", "time": NOW, "tags": ["ci"]}
    status, of_all = site.post(PATH, sent)
    assert (status, of_all["group"], of_all["time"], of_all["end"]) == (201, None, NOW, None)
    assert site.post(PATH, sent) == (201, of_all)
    _, own = site.post(PATH, {"text": "maintenance", "time": NOW + 1, "end": NOW + 9, "group": "web"})
    assert server.client.keys("secret*") == []
    assert set(server.client.keys("*")) == {"web:@annotations", "other:@annotations", "web:24h:cur:ok"}
    note = {
        "id": of_all["id"],
        "group": None,
        "kind": "note",
        "start": NOW,
        "end": None,
        "text": "deploy 1.2",
        "tags": ["ci"],
    }
    of_web = {**note, "id": own["id"], "group": "web", "text": "maintenance", "tags": []}
    of_web |= {"start": NOW + 1, "end": NOW + 9}
    assert get(site)[1]["annotations"] == [note, of_web]
    assert get(site, "?group=web")[1]["annotations"] == [{**note, "group": "web"}, of_web]
    assert get(site, "?group=other&interval=24h&since=2025-11-01")[1]["annotations"][-1]["group"] == "other"
    assert get(site, f"?since={NOW + 9}")[1]["annotations"] == [of_web]
    assert get(site, f"?until={NOW}")[1]["annotations"] == []
    _, _, headers = site.ask("GET", PATH)
    assert site.ask("GET", PATH, If_None_Match=headers["etag"])[:2] == (304, b"")
    _, now = site.post(PATH, {"text": "now"})
    assert abs(now["time"] - get(site)[1]["now"]) < 60


def delete(site: Serving, path: str) -> tuple[int, str]:
    status, content, _ = site.ask("DELETE", f"{PATH}/{path}")
    return status, json.loads(content)["detail"] if content else ""


def test_deleted_annotation_is_gone_from_one_or_all_groups(site: Serving, server: Server) -> None:
    _, first = site.post(PATH, {"text": "deploy", "time": NOW})
    _, second = site.post(PATH, {"text": "deploy", "time": NOW + 1})
    assert delete(site, f"{first['id']}?group=web") == (204, "")
    assert [note["start"] for note in get(site, "?group=web")[1]["annotations"]] == [NOW + 1]
    assert [note["start"] for note in get(site, "?group=other")[1]["annotations"]] == [NOW, NOW + 1]
    missing = f"there is no annotation '{first['id']}' of group 'web'"
    assert delete(site, f"{first['id']}?group=web") == (404, missing)
    assert [delete(site, each["id"]) for each in (first, second)] == [(204, "")] * 2
    assert get(site)[1]["annotations"] == []
    assert delete(site, second["id"]) == (404, f"there is no annotation '{second['id']}'")
    assert delete(site, f"{second['id']}?group=secret")[1].startswith("there is no group 'secret'")


INVALID: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "text: is missing"),
    ({"text": ""}, 422, "text: String should have at least 1 character, not ''"),
    ({"text": "x" * 501}, 422, "text: String should have at most 500 characters"),
    ({"text": "a\n"}, 422, "text: expected no control characters, not 'a\\n'"),
    ({"text": "\ud800"}, 422, "text: "),
    ({"text": "x", "time": 1764000000000}, 422, "time: Input should be less than 253402300800"),
    ({"text": "x", "time": 2e11}, 422, "time: 200000000000 is more than a year from now"),
    ({"text": "x", "time": NOW, "end": NOW - 1}, 422, "end: 1763999999 is before 'time' 1764000000"),
    ({"text": "x", "tags": ["t"] * 11}, 422, "tags: List should have at most 10 items"),
    ({"text": "x", "tags": ["t", ""]}, 422, "tags.1: String should have at least 1 character"),
    ({"text": "x", "tag": "t"}, 422, "tag: expected no such field"),
    ({"text": "x", "group": "secret"}, 404, "there is no group 'secret'"),
    ({"text": "x", "group": "wen"}, 404, "there is no group 'wen'"),
]


def test_invalid_requests_name_the_field_and_store_nothing(site: Serving, server: Server) -> None:
    for body, status, detail in INVALID:
        answered, document = site.post(PATH, body)
        assert (answered, document["detail"][: len(detail)]) == (status, detail), body
        assert document.get("field", "") == ("" if status == 404 else detail.partition(":")[0])
    assert site.post(PATH, b"{}", "text/plain")[0] == 415
    assert server.everything() == {}
    for query, status in (
        ("?group=secret", 404),
        ("?group=web&interval=2h", 404),
        ("?interval=1m", 422),
        ("?since=x", 422),
    ):
        assert get(site, query)[0] == status


def test_annotation_older_than_all_kept_is_rejected(site: Serving, server: Server) -> None:
    members = {str(Annotation(NOW + n, "x")): NOW + n for n in range(MOST_ANNOTATIONS)}
    server.client.zadd("web:@annotations", members)
    status, document = site.post(PATH, {"text": "x", "time": NOW - 1, "group": "web"})
    assert (status, document["detail"]) == (422, "time: is older than 1,000 other annotations")
    server.client.set("web:@annotations", "x")
    status, document = site.post(PATH, {"text": "x"})
    assert (status, document["applied"]) == (503, "no")
    server.client.delete("web:@annotations")
    server.client.set("other:@annotations", "x")
    assert site.post(PATH, {"text": "x"})[1]["applied"] == "unknown"
