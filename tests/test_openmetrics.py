"""The page of metrics: its content, its validity in both formats, and the reads behind it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.reading.reader import Snapshot, Totals
from event_count_logger.reading.scrape import GroupMetrics, Scrape, Scraper
from event_count_logger.render import openmetrics
from event_count_logger.store import MasterInfo, SessionAction, Store
from tests.conftest import needs_debian
from tests.servers import Server, free_port


def snapshot(counts: Mapping[str, int], **changes: Any) -> Snapshot:
    """A snapshot of the minute from 60 to 120, read in time."""
    times: dict[str, Any] = {"start": 60.0, "end": 120.0, "now": 130.0, "overdue_s": 0, **changes}
    return Snapshot(group="web", interval="1m", half="last", counts=counts, **times)


def scrape(counts: Mapping[str, int], **changes: Any) -> Scrape:
    metrics = GroupMetrics("web", Totals("web", counts, 130.0), {}, [snapshot(counts, **changes)], 1)
    return Scrape(up=True, groups=[metrics], duration_s=0.25)


AWAY = Scrape(up=False, groups=[], duration_s=2.0, n_errors=3)

# The page


def test_page_in_openmetrics_is_complete() -> None:
    assert openmetrics.render(scrape({"ok": 54, "error": 0}), "2.0.0") == (
        """\
# HELP ecl_up 1 if Redis answered, 0 if not.
# TYPE ecl_up gauge
ecl_up 1
# HELP ecl_build Version of event-count-logger.
# TYPE ecl_build info
ecl_build_info{version="2.0.0"} 1
# HELP ecl_scrape_duration_seconds Seconds to read all groups.
# TYPE ecl_scrape_duration_seconds gauge
ecl_scrape_duration_seconds 0.25
# HELP ecl_scrape_errors Requests that Redis did not answer, or rejected.
# TYPE ecl_scrape_errors counter
ecl_scrape_errors_total 0
# HELP ecl_masters Masters with a recent heartbeat.
# TYPE ecl_masters gauge
ecl_masters{group="web"} 1
# HELP ecl_stale 1 if the current interval is overdue, so that the last finished one is not the latest.
# TYPE ecl_stale gauge
ecl_stale{group="web",interval="1m"} 0
# HELP ecl_last_interval_start_timestamp_seconds Start of the last finished interval.
# TYPE ecl_last_interval_start_timestamp_seconds gauge
ecl_last_interval_start_timestamp_seconds{group="web",interval="1m"} 60
# HELP ecl_last_interval_end_timestamp_seconds End of the last finished interval.
# TYPE ecl_last_interval_end_timestamp_seconds gauge
ecl_last_interval_end_timestamp_seconds{group="web",interval="1m"} 120
# HELP ecl_last_interval_events Events in the last finished interval.
# TYPE ecl_last_interval_events gauge
ecl_last_interval_events{group="web",interval="1m",event="ok"} 54
ecl_last_interval_events{group="web",interval="1m",event="error"} 0
# HELP ecl_events All-time total of events.
# TYPE ecl_events counter
ecl_events_total{group="web",event="ok"} 54
ecl_events_total{group="web",event="error"} 0
# EOF
"""
    )


def test_prometheus_format_names_samples_and_has_no_info() -> None:
    page = openmetrics.render(scrape({"ok": 54}), "2.0.0", openmetrics=False)
    assert "# TYPE ecl_events_total counter\necl_events_total{" in page
    assert "# TYPE ecl_build_info gauge\necl_build_info{" in page
    assert not page.endswith("# EOF\n")


def test_page_without_redis_has_no_counts() -> None:
    page = openmetrics.render(AWAY, "2.0.0")
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    assert lines == [
        "ecl_up 0",
        'ecl_build_info{version="2.0.0"} 1',
        "ecl_scrape_duration_seconds 2",
        "ecl_scrape_errors_total 3",
    ]


def samples(page: str) -> dict[str, str]:
    """Returns the value of each line, by the rest of the line."""
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_missing_interval_is_neither_0_nor_stale() -> None:
    found = samples(openmetrics.render(scrape({"ok": 0}, start=None, end=None, overdue_s=None), "2.0.0"))
    assert not [name for name in found if "interval=" in name]
    assert found['ecl_events_total{group="web",event="ok"}'] == "0"


def test_stale_counts_keep_their_timestamps() -> None:
    found = samples(openmetrics.render(scrape({"ok": 7}, overdue_s=10.0), "2.0.0"))
    assert found['ecl_stale{group="web",interval="1m"}'] == "1"
    assert found['ecl_last_interval_events{group="web",interval="1m",event="ok"}'] == "7"
    assert found['ecl_last_interval_start_timestamp_seconds{group="web",interval="1m"}'] == "60"


def test_counts_of_unknown_start_have_only_an_end() -> None:
    found = samples(openmetrics.render(scrape({"ok": 7}, start=None), "2.0.0"))
    assert [name.partition("{")[0] for name in found if "interval=" in name] == [
        "ecl_stale",
        "ecl_last_interval_end_timestamp_seconds",
        "ecl_last_interval_events",
    ]


@pytest.mark.parametrize("count", [2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("in_openmetrics", [True, False])
def test_big_counts_are_exact(count: int, in_openmetrics: bool) -> None:
    found = samples(openmetrics.render(scrape({"ok": count}), "2.0.0", in_openmetrics))
    assert found['ecl_events_total{group="web",event="ok"}'] == str(count)


def of_sessions(counts: Mapping[str, int], open_sessions: int = 2) -> Scrape:
    read = scrape(counts)
    return replace(read, groups=[replace(group, open_sessions=open_sessions) for group in read.groups])


SESSIONS = {
    "dash": 2,
    "dash:ms": 4501,
    "new": 1,
    "long ago:ms": 9 * 10**18 + 7,
    "@overflow": 3,
    "@overflow:ms": 60_000,
    "@unmatched": 5,
}


def test_session_seconds_are_exact() -> None:
    found = samples(openmetrics.render(of_sessions(SESSIONS), "2.0.0"))
    assert {name: value for name, value in found.items() if name.startswith("ecl_session")} == {
        'ecl_sessions_total{group="web",event="dash"}': "2",
        'ecl_sessions_total{group="web",event="new"}': "1",
        'ecl_sessions_total{group="web",event="long ago"}': "0",
        'ecl_sessions_total{group="web",event="@overflow"}': "3",
        'ecl_session_seconds_total{group="web",event="dash"}': "4.501",
        'ecl_session_seconds_total{group="web",event="new"}': "0",
        'ecl_session_seconds_total{group="web",event="long ago"}': "9000000000000000.007",
        'ecl_session_seconds_total{group="web",event="@overflow"}': "60",
        'ecl_sessions_open{group="web"}': "2",
    }
    assert found['ecl_events_total{group="web",event="dash:ms"}'] == "4501"


def test_buckets_of_a_histogram_are_in_order() -> None:
    counts = {"r": 9, "r:le:10": 8, "r:le:0.5": 3, "r:le:1": 3, "r:le:2000000": 9, "r:le:-1": 1}
    page = openmetrics.render(scrape(counts), "2.0")
    (family,) = [each for each in parse_openmetrics(page) if each.name == "ecl_values"]
    assert family.type == "histogram"
    assert {each.labels["event"] for each in family.samples} == {"r"}
    found = [(each.labels["le"], each.value) for each in family.samples]
    assert found == [("-1.0", 1), ("0.5", 3), ("1.0", 3), ("10.0", 8), ("2e+06", 9), ("+Inf", 9)]


@pytest.mark.parametrize(
    "counts",
    [
        {"r:le:1": 2},
        {"r": 2, "r:le:x": 1, "r:le:": 1, "r:le:01": 1, "r:le:1.0": 1, "r:le:1e3": 1, "r:le:inf": 1},
        {"r": 2, "r:le:1": 3},
        {"r": 2, "r:le:1": 2, "r:le:2": 1},
    ],
)
def test_events_with_names_of_buckets_are_no_histogram(counts: dict[str, int]) -> None:
    page = openmetrics.render(scrape(counts), "2.0")
    names = [family.name for family in parse_openmetrics(page)]
    assert "ecl_events" in names
    assert "ecl_values" not in names


def test_only_groups_with_sessions_have_session_metrics() -> None:
    assert "ecl_session" not in openmetrics.render(scrape(SESSIONS), "2.0.0")


def test_group_without_totals_has_number_of_open_sessions() -> None:
    read = of_sessions({})
    without = replace(read, groups=[replace(group, totals=None) for group in read.groups])
    found = samples(openmetrics.render(without, "2.0.0"))
    assert [name for name in found if "session" in name] == ['ecl_sessions_open{group="web"}']


def test_created_time_follows_its_total_in_openmetrics_only() -> None:
    read = of_sessions({"dash": 2, "dash:ms": 4500, "old": 1})
    noted = {"dash": 100.25, "dash:ms": 101.0}
    read = replace(read, groups=[replace(group, created=noted) for group in read.groups])
    page = openmetrics.render(read, "2.0.0")
    assert [line for line in page.splitlines() if line.startswith(("ecl_events_", "ecl_session"))] == [
        'ecl_events_total{group="web",event="dash"} 2',
        'ecl_events_created{group="web",event="dash"} 100.25',
        'ecl_events_total{group="web",event="dash:ms"} 4500',
        'ecl_events_created{group="web",event="dash:ms"} 101',
        'ecl_events_total{group="web",event="old"} 1',
        'ecl_sessions_total{group="web",event="dash"} 2',
        'ecl_sessions_created{group="web",event="dash"} 100.25',
        'ecl_sessions_total{group="web",event="old"} 1',
        'ecl_session_seconds_total{group="web",event="dash"} 4.5',
        'ecl_session_seconds_created{group="web",event="dash"} 101',
        'ecl_session_seconds_total{group="web",event="old"} 0',
        'ecl_sessions_open{group="web"} 2',
    ]
    families = {family.name: family for family in parse_openmetrics(page)}
    assert [sample.name for sample in families["ecl_sessions"].samples][:2] == [
        "ecl_sessions_total",
        "ecl_sessions_created",
    ]
    assert "_created" not in openmetrics.render(read, "2.0.0", openmetrics=False)


# Validity of both formats, for any counts

HOSTILE = {
    'quotes "and" more': 1,
    "back\\slash": 2,
    "back\\\\slashes\\": 3,
    "line\nbreak": 4,
    'all\\"\n': 5,
    "{}=,#": 6,
    " spaces ": 7,
    "é \u4e2d \U0001f600": 8,
    "tab\tand return\r": 9,
    "": 10,
}
PARSERS = [(True, parse_openmetrics), (False, parse_prometheus)]


@pytest.mark.parametrize(("in_openmetrics", "parse"), PARSERS)
def test_event_ids_survive_a_round_trip(in_openmetrics: bool, parse: Callable[[str], Iterable[Any]]) -> None:
    page = openmetrics.render(scrape(HOSTILE), "2.0.0", in_openmetrics)
    found = {
        sample.labels["event"]: sample.value
        for family in parse(page)
        for sample in family.samples
        if sample.name == "ecl_events_total"
    }
    assert found == HOSTILE


@pytest.mark.parametrize(("in_openmetrics", "parse"), PARSERS)
def test_invalid_utf8_does_not_break_the_page(
    in_openmetrics: bool, parse: Callable[[str], Iterable[Any]]
) -> None:
    event_id = b"caf\xe9".decode("utf-8", "surrogateescape")
    page = openmetrics.render(scrape({event_id: 1}), "2.0.0", in_openmetrics)
    families = parse(page.encode().decode())
    events = {sample.labels.get("event") for family in families for sample in family.samples}
    assert events == {None, r"caf\udce9"}


@pytest.mark.parametrize(("in_openmetrics", "parse"), PARSERS)
def test_escaped_event_ids_are_unique(in_openmetrics: bool, parse: Callable[[str], Iterable[Any]]) -> None:
    byte = b"\xff".decode("utf-8", "surrogateescape")
    texts = [r"\udcff", r"\u005cudcff", r"\u005cu005cudcff", r"\\udcff"]
    event_ids = [
        byte,
        *texts,
        "\\" + byte,
        r"\u005c" + byte,
        byte + "udcff",
        byte + r"\udcff",
        r"\u005c",
        r"\udcf",
    ]
    page = openmetrics.render(scrape(dict.fromkeys(event_ids, 1)), "2.0.0", in_openmetrics)
    values = [
        sample.labels["event"]
        for family in parse(page)
        for sample in family.samples
        if sample.name == "ecl_events_total"
    ]
    assert len(set(values)) == len(event_ids)
    assert set(values) >= {r"\udcff", r"\u005cudcff", r"\u005c", r"\udcf"}


@pytest.mark.parametrize(("in_openmetrics", "parse"), PARSERS)
@pytest.mark.parametrize(
    "read",
    [scrape(HOSTILE), of_sessions(HOSTILE | SESSIONS), AWAY, Scrape(up=True, groups=[], duration_s=1e-7)],
)
def test_each_family_has_type_and_help(
    in_openmetrics: bool, parse: Callable[[str], Iterable[Any]], read: Scrape
) -> None:
    for family in parse(openmetrics.render(read, "2.0.0", in_openmetrics)):
        assert family.type in ("counter", "gauge", "info")
        assert family.documentation.endswith(".")
        assert family.samples


@pytest.mark.parametrize("read", [scrape(HOSTILE), of_sessions(SESSIONS), AWAY])
def test_linter_of_prometheus_finds_no_problems(read: Scrape) -> None:
    needs_debian("prometheus", "promtool")
    page = openmetrics.render(read, "2.0.0", openmetrics=False)
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_rendering_time_of_many_events_is_not_quadratic() -> None:
    read = scrape({f"event-{number}": number for number in range(100_000)})
    begin = time.process_time()
    assert openmetrics.render(read, "2.0.0").count("\n") > 100_000
    assert time.process_time() - begin < 30, "minutes in quadratic time"


# Reads


GROUPS = {
    "web": {"events": ["ok", "error"], "intervals": ["1m", "1h"]},
    "dynamic": {"auto_declare_events": True, "intervals": ["1m"]},
    "forgetful": {"auto_declare_events": True, "intervals": ["1m"], "totals": False},
    "secret": {"auto_declare_events": True, "intervals": ["1m"], "hidden": True},
}


@pytest.fixture
def begin() -> float:
    """The current time, so that nothing has expired, at a boundary."""
    return time.time() // 60 * 60


@pytest.fixture
def configured(server: Server, config: Callable[..., Config]) -> Config:
    return config(GROUPS, server.config)


@pytest.fixture
def connect() -> Iterator[Callable[[Config], Store]]:
    """A factory of stores that are closed when the test ends."""
    stores: list[Store] = []

    def connect(config: Config) -> Store:
        stores.append(Store(config.redis))
        return stores[-1]

    yield connect
    for store in stores:
        store.close()


Connect = Callable[[Config], Store]


def count(store: Store, group: GroupConfig, counts: dict[str, int], position: int, now: float) -> None:
    store.commits.commit(group, "test", position, position + 1, counts, now=now)


def rotate(store: Store, group: GroupConfig, now: float) -> None:
    for interval in group.intervals:
        store.rotation.rotate(group, interval, now)


def test_hidden_groups_are_not_read(configured: Config, connect: Connect) -> None:
    store = connect(configured)
    count(store, configured.groups["secret"], {"a": 1}, 0, now=60)
    read = Scraper(configured.shown_groups, store).scrape()
    assert read.up
    assert [group.group for group in read.groups] == ["web", "dynamic", "forgetful"]


@pytest.mark.parametrize("name", ["dynamic", "forgetful"])
def test_event_missing_in_last_interval_is_0(configured: Config, connect: Connect, name: str) -> None:
    store, group = connect(configured), configured.groups[name]
    count(store, group, {"then": 1}, 0, now=60)
    rotate(store, group, now=120)
    count(store, group, {"now": 2}, 1, now=120)
    rotate(store, group, now=180)
    (read,) = Scraper([group], store).scrape().groups
    assert read.lasts[0].counts == {"then": 0, "now": 2}
    assert read.totals is None or read.totals.counts == {"then": 1, "now": 2}


def test_scrape_reads_all_counts_of_sessions(
    server: Server, config: Callable[..., Config], connect: Connect, begin: float
) -> None:
    settings = {"events": ["dash"], "intervals": ["1m"], "sessions": {"timeout": "1h"}}
    configured = config({"web": settings}, server.config)
    store, group = connect(configured), configured.groups["web"]
    actions = [SessionAction("s1", "dash", "heartbeat", at) for at in (begin, begin + 4.501)]
    store.commits.commit_actions(group, [*actions, SessionAction("s2", "dash", "end", begin)], now=begin)
    rotate(store, group, now=begin + 60)
    store.commits.commit_actions(group, [SessionAction("s3", "dash", "start", begin + 60)], now=begin + 60)
    page = openmetrics.render(Scraper([group], store).scrape(), "2.0.0")
    found = {sample.name: sample.value for family in parse_openmetrics(page) for sample in family.samples}
    assert found["ecl_sessions_total"] == 3
    assert found["ecl_session_seconds_total"] == 4.501
    assert found["ecl_sessions_open"] == 2


def test_scrape_has_time_of_first_count_of_new_events(
    server: Server, config: Callable[..., Config], connect: Connect, begin: float
) -> None:
    settings = {"intervals": ["1m"], "auto_declare_events": True, "sessions": {}}
    configured = config({"web": settings}, server.config)
    store, group = connect(configured), configured.groups["web"]
    actions = [SessionAction("s", "dash", "heartbeat", at) for at in (begin, begin + 2)]
    store.commits.commit_actions(group, actions[:1], now=begin + 1)
    store.commits.commit_actions(group, actions[1:], now=begin + 2.5)
    (read,) = Scraper([group], store).scrape().groups
    assert read.created == {"dash": begin + 1, "dash:ms": begin + 2.5}


def test_rejected_group_does_not_hide_other_groups(
    configured: Config, connect: Connect, server: Server
) -> None:
    with server.client as client:
        client.set("web:@totals", "something else")
    exporter = Scraper(configured.shown_groups, connect(configured))
    exporter.scrape()
    read = exporter.scrape()
    assert [group.group for group in read.groups] == ["dynamic", "forgetful"]
    assert ([type(fault) for fault in read.faults], read.n_errors) == ([Rejected], 2)
    assert read.up


def test_server_lost_between_scrapes_hides_all_counts(
    own_server: Server, config: Callable[..., Config], connect: Connect
) -> None:
    configured = config(GROUPS, own_server.config)
    exporter = Scraper(configured.shown_groups, connect(configured))
    assert exporter.scrape().groups
    own_server.kill()
    read = exporter.scrape()
    assert (read.up, read.groups) == (False, [])
    assert ([type(fault) for fault in read.faults], read.n_errors) == ([Unavailable], 1)
    own_server.start()
    assert exporter.scrape().up


def test_server_lost_during_scrape_hides_all_counts(
    own_server: Server, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = config(GROUPS, own_server.config)
    store = Store(configured.redis)
    read_masters = store.masters.of

    def of(group: GroupConfig) -> list[MasterInfo]:
        found = read_masters(group)
        own_server.kill()  # after the first group
        return found

    monkeypatch.setattr(store.masters, "of", of)
    read = Scraper(configured.shown_groups, store).scrape()
    store.close()
    assert (read.up, read.groups) == (False, [])


def test_server_that_rejects_everything_is_up(own_server: Server, config: Callable[..., Config]) -> None:
    with own_server.client as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">hush5")
    configured = config(GROUPS, {**own_server.config, "username": "guest", "password": "hush5"})
    store = Store(configured.redis)
    read = Scraper(configured.shown_groups, store).scrape()
    store.close()
    assert (read.up, read.groups, len(read.faults)) == (True, [], 3)


def test_scrape_without_groups_still_asks_redis(config: Callable[..., Config], connect: Connect) -> None:
    nothing = config({}, {"host": "127.0.0.1", "port": free_port()})
    assert not Scraper(nothing.shown_groups, connect(nothing)).scrape().up
