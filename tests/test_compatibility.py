"""This version and version 1.1 of the package side by side, on the same server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts
from event_count_logger.store import HistoryEntry, Store, index_counters
from tests.conftest import OLD_FOLDER, ROOT, needs_1_1
from tests.fixtures import Run, Start, Write
from tests.servers import Server, wait_until

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Version:
    name: str
    scripts: Path
    python_path: Path | None

    @property
    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.python_path)} if self.python_path else {}

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def script(self, name: str) -> tuple[object, ...]:
        return sys.executable, self.scripts / name

    def made(self, module: str) -> bool:
        """Returns whether a program has imported the package of this version."""
        return Path(module).is_relative_to(OLD_FOLDER) == (self is OLD)


OLD = Version("1.1", OLD_FOLDER / "bin", OLD_FOLDER)
OURS = Version("ours", Path(sys.executable).parent, None)
VERSIONS = (OLD, OURS)


@pytest.fixture(scope="module", autouse=True)
def version_1_1() -> None:
    needs_1_1()


def names_of(version: Version) -> str:
    return version.name


# Calls, made in this order by one process with each version.
CALLS: list[tuple[str, object]] = [
    ("ecl['direct'] is ecl.get_group('direct') is ecl.get_group(name='direct') is direct", True),
    ("ecl.get_group('unknown')", None),
    ("ecl.get_group('unknown')", None),
    ("ecl.get_group('not warned of', warn=False)", None),
    ("ecl.get_group('unknown', dummy=True) is DUMMY_EVENT_GROUP", True),
    ("ecl['unknown, too'] is DUMMY_EVENT_GROUP", True),
    ("isinstance(ecl.get_group(5, True, False), DummyEventGroup)", True),
    ("DummyEventGroup().log('a')", None),
    ("ecl['unknown'].log(event_id='a', count=2)", None),
    ("ecl.dump_config().startswith('EventCountLogger configuration:\\nredis: ')", True),
    ("[name in ecl.dump_config() for name in ('127.0.0.1', 'direct', '1.5H', 'auto')]", [True] * 4),
    ("direct.group_name", "direct"),
    ("sorted(direct.event_ids)", ["a", "b"]),
    ("direct.intervals", ["1h", "1.5H"]),
    ("direct.log('a')", None),
    ("direct.log('a', 2)", None),
    ("direct.log(event_id='b', count=4)", None),
    ("direct.log('undeclared')", None),
    ("direct.get_counts('1h')", {"a": 7, "b": 0}),
    ("direct.get_counts('1h', True)", {"a": 3, "b": 4}),
    ("direct.get_counts(interval='1.5H', current=True)", {"a": 3, "b": 4}),
    ("direct.get_counts('1.5h')", {}),
    ("direct.get_last_count('a', '1h')", 7),
    ("direct.get_last_count(event_id='b', interval='1h')", 0),
    ("direct.get_last_count('foreign', '1h')", 5),
    ("direct.get_last_count('undeclared', 'unknown')", 0),
    ("direct.get_current_count('a', '1.5H')", 3),
    ("direct.get_current_count(event_id='undeclared', interval='1h')", 0),
    ("direct.get_current_counts('b')", {"1h": 4, "1.5H": 4}),
    ("direct.get_current_counts(event_id='undeclared')", None),
    ("direct.declare_event_id('c')", None),
    ("direct.declare_event_ids(iter(['c', 'd']))", None),
    ("direct.log('d', 9)", None),
    ("sorted(direct.event_ids)", ["a", "b", "c", "d"]),
    ("direct.get_counts('1h', current=True)", {"a": 3, "b": 4, "c": 0, "d": 9}),
    ("direct.get_current_counts('d')", {"1h": 9, "1.5H": 9}),
    ("cached.log('a', 3)", None),
    ("cached.get_counts('1h', current=True)", {"a": 0, "b": 0}),
    ("cached.get_current_count('a', '1h')", 0),
    ("cached.get_current_counts('a')", {"1h": 3}),
    ("cached.sync() in (None, True)", True),
    ("cached.get_current_count('a', '1h')", 3),
    ("cached.log('undeclared')", None),
    ("cached.get_current_counts('undeclared')", None),
    ("auto.log('http:404', 2)", None),
    ("auto.log('č')", None),
    ("auto.get_counts('1h', current=True)", {"a": 0, "http:404": 2, "č": 1}),
    ("auto.get_counts('1h')", {"a": 0, "http:404": 0, "č": 0, "of another process": 6}),
    ("auto.get_current_counts('http:404')", {"1h": 2}),
    ("auto.get_current_counts('of another process')", None),
]
CALLED_GROUPS = {
    "direct": {"events": ["a", "b"], "intervals": ["1h", "1.5H"]},
    "cached": {"events": ["a", "b"], "intervals": ["1h"], "sync_interval": 600, "sync_limit": 100},
    "auto": {"events": ["a"], "intervals": ["1h"], "auto_declare_events": True},
}


@dataclass(frozen=True)
class Outcome:
    answers: list[Any]
    counters: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def called(_servers: Callable[[str], Server]) -> dict[Version, Outcome]:
    return {version: call_all(version, _servers("valkey")) for version in VERSIONS}


def call_all(version: Version, server: Server) -> Outcome:
    with server.client as client:
        client.flushall()
        client.mset(
            {"direct:1h:last:a": 7, "direct:1h:last:foreign": 5, "auto:1h:last:of another process": 6}
        )
        client.sadd("auto:1h:last:@events", "of another process")
    answers = answers_of(version, server, CALLED_GROUPS, [call for call, _ in CALLS])
    places = [
        (group, name, half) for group in CALLED_GROUPS for name in ("1h", "1.5H") for half in ("cur", "last")
    ]
    return Outcome(answers, {":".join(place): server.counts(*place) for place in places})


def answers_of(version: Version, server: Server, groups: dict[str, Any], calls: list[str]) -> list[Any]:
    """Returns the answers of a process with this version, each with the messages that it logged."""
    task = {"groups": groups, "redis": server.config, "calls": calls}
    program = subprocess.run(
        [sys.executable, PROGRAMS / "compatible_calls.py", json.dumps(task)],
        env=version.environ,
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    printed = json.loads(program.stdout)
    assert version.made(printed["module"])
    return list(printed["answers"])


@pytest.mark.parametrize(
    ("position", "expected"), [pytest.param(i, value, id=call) for i, (call, value) in enumerate(CALLS)]
)
def test_call_returns_and_logs_as_version_1_1(
    called: dict[Version, Outcome], position: int, expected: object
) -> None:
    (old, old_messages), (ours, our_messages) = (called[version].answers[position] for version in VERSIONS)
    assert ours == old == expected
    assert our_messages == old_messages


def test_calls_leave_the_counters_of_version_1_1(called: dict[Version, Outcome]) -> None:
    assert called[OURS].counters == called[OLD].counters
    assert called[OURS].counters["direct:1.5H:cur"] == {"a": 3, "b": 4, "d": 9}


@pytest.mark.parametrize(
    ("setting", "value", "event", "counted"),
    [
        ("sync-interval", 600, "a", (1, 0)),
        ("sync-limit", 100, "a", (1, 0)),
        ("auto-declare-events", True, "new", (0, 1)),
    ],
)
def test_setting_with_a_hyphen_is_ignored_by_1_1_and_works_now(
    setting: str, value: object, event: str, counted: tuple[int, int], server: Server
) -> None:
    groups = {"direct": {"events": ["a"], "intervals": ["1h"], setting: value}}
    calls = [f"direct.log('{event}')", f"direct.get_current_count('{event}', '1h')"]
    for version, expected in zip(VERSIONS, counted, strict=True):
        with server.client as client:
            client.flushall()
        _, (answer, _) = answers_of(version, server, groups, calls)
        assert answer == expected, version.name
    assert f"| `{setting}" in (ROOT / "docs" / "upgrading.md").read_text()


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("version", VERSIONS, ids=names_of)
def test_interrupted_master_in_a_program_returns(
    server: Server, start: Start, version: Version, error: str
) -> None:
    command = (sys.executable, PROGRAMS / "compatible_master.py", json.dumps(server.config), error)
    master = start(*command, env=version.environ)
    with server.client as client:
        wait_until(lambda: client.get("g:1s:last:a") == "0", what="the master rotates")
    master.terminate()
    module, _ = master.communicate(timeout=20)
    assert master.returncode == 0
    assert version.made(module)


COUNTED_GROUPS = {
    "direct": {"events": ["a", "b"], "intervals": ["2s", "1h"]},
    "cached": {"events": ["a", "b"], "intervals": ["2s", "1h"], "sync_interval": 0.3, "sync_limit": 200},
}


@dataclass
class IntervalSum:
    """The sum of the finished intervals, if `look` is called more often than intervals end."""

    server: Server
    group: str
    interval: str
    start: str | None = None
    rotations: int = 0
    rotated: Counter[str] = field(default_factory=Counter)
    cur: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        prefix = f"{self.group}:{self.interval}"
        with self.server.client as client, client.pipeline(transaction=True) as together:
            together.get(f"{prefix}:cur:@ts")
            together.mget(f"{prefix}:cur:a", f"{prefix}:cur:b")
            together.mget(f"{prefix}:last:a", f"{prefix}:last:b")
            start, cur, last = together.execute()
        self.cur, self.last = ({"a": int(a or 0), "b": int(b or 0)} for a, b in (cur, last))
        if start != self.start:
            self.start = start
            self.rotations += last != [None, None]
            self.rotated.update(self.last)

    @property
    def printed(self) -> str:
        """Expected output of a reader."""
        halves = (("Last:", self.last), ("Current:", self.cur))
        return "".join(f"{title}\na:{counts['a']}\nb:{counts['b']}\n" for title, counts in halves)


@dataclass
class AllIntervalSums:
    """The sums of both groups in both intervals."""

    server: Server

    def __post_init__(self) -> None:
        self.short = [IntervalSum(self.server, group, "2s") for group in COUNTED_GROUPS]
        self.all = [*self.short, *(IntervalSum(self.server, group, "1h") for group in COUNTED_GROUPS)]

    def look(self) -> list[IntervalSum]:
        for each in self.all:
            each.look()
        return self.short

    def wait_for_start(self) -> None:
        wait_until(lambda: all(each.start for each in self.look()), what="the master begins an interval")

    def wait_for_counts(self) -> None:
        wait_until(lambda: all(each.cur["a"] or each.rotated["a"] for each in self.look()), what="all count")

    def wait_for_end(self, process: subprocess.Popen[str]) -> None:
        """Wait for the end of a master, which may rotate until then."""
        wait_until(lambda: (self.look(), process.poll() is not None)[-1], what="the master ends")

    def wait_for_rotations(self, more: int) -> None:
        goal = max(each.rotations for each in self.short) + more
        wait_until(lambda: all(each.rotations >= goal for each in self.look()), what="the master rotates")


@dataclass
class Workers:
    """Two processes with each of the versions."""

    versions: tuple[Version, ...]
    start: Start
    file: Path

    def __post_init__(self) -> None:
        command = (sys.executable, PROGRAMS / "compatible_worker.py", self.file)
        self.processes = [
            (version, self.start(*command, stdin=subprocess.PIPE, env=version.environ))
            for version in self.versions * 2
        ]

    def stop(self, look: Callable[[], object]) -> dict[str, Counter[str]]:
        """Stop all processes; return the counts that they report."""
        for _, process in self.processes:
            assert process.stdin
            process.stdin.close()
            process.stdin = None
        # Look all the time: an interval of 2 s is gone when the next one ends.
        wait_until(lambda: (look(), self._have_ended())[-1], what="the workers end")
        logged: dict[str, Counter[str]] = {group: Counter() for group in COUNTED_GROUPS}
        for version, process in self.processes:
            printed = json.loads(process.communicate()[0])
            assert version.made(printed["module"])
            for group, counted in printed["counted"].items():
                assert counted["a"] > 0
                logged[group].update(counted)
        look()
        return logged

    def _have_ended(self) -> bool:
        return all(process.poll() is not None for _, process in self.processes)


@pytest.mark.parametrize(
    ("masters", "counting"),
    [
        pytest.param((OURS,), (OLD,), id="our master, 1.1 counting"),
        pytest.param((OURS,), (OLD, OURS), id="our master, both counting"),
        pytest.param((OLD,), (OURS,), id="1.1 as master, ours counting"),
        pytest.param((OLD, OURS), (OLD, OURS), id="our master after 1.1, both counting"),
        pytest.param((OURS, OLD), (OLD, OURS), id="1.1 as master after ours, both counting"),
    ],
)
def test_both_readers_print_each_count_in_one_interval(
    server: Server,
    config_file: Write,
    start: Start,
    run: Run,
    masters: tuple[Version, ...],
    counting: tuple[Version, ...],
) -> None:
    file = config_file({"redis": server.config, "groups": COUNTED_GROUPS})
    sums = AllIntervalSums(server)
    workers: Workers | None = None
    for version in masters:
        master = start(*version.script("ecl_master"), file, env=version.environ)
        sums.wait_for_start()
        workers = workers or Workers(counting, start, file)
        sums.wait_for_counts()
        sums.wait_for_rotations(2)
        if version is masters[-1]:
            logged = workers.stop(sums.look)
        master.terminate()
        sums.wait_for_end(master)
    sums.look()

    for each in sums.all:
        assert each.rotated + Counter(each.cur) == logged[each.group]
    for each in sums.short:
        assert each.rotated["a"] > 0
        for version in VERSIONS:
            command = (*version.script("ecl_reader"), file, "-g", each.group, "-i", "2s", "--both")
            assert run(*command, **version.variables).stdout == each.printed


FILE = """\
# A configuration of version 1.1.
log_level: INFO
redis: {{host: 127.0.0.1, port: {port}, db: 0}}
groups:
  web:
    description: a key that the package does not know
    events:
      - B
      - a
      - "http:404"
    intervals: [1h, 1.5H]
  jobs: {{events: [done], intervals: ['1h'], sync_limit: 2}}
  auto: {{events: [], intervals: ["1h"], auto_declare_events: yes}}
"""


@pytest.fixture
def file_in_use(server: Server, config_file: Write) -> Path:
    """A configuration file with existing counters."""
    with server.client as client:
        client.mset({"web:1h:last:a": 7, "web:1h:cur:B": 4, "web:1h:cur:a": 1})
        client.mset({"auto:1h:last:gone": 5, "auto:1h:cur:new": 6, "jobs:1h:cur:done": 1})
        client.sadd("auto:1h:last:@events", "gone")
        client.sadd("auto:1h:cur:@events", "new")
    return config_file(FILE.format(port=server.port))


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [
        ("-g web -i 1h", 0, "B:0\na:7\nhttp:404:0\n"),
        ("-gweb -i1h --last", 0, "B:0\na:7\nhttp:404:0\n"),
        ("--group web --interval=1h --current", 0, "B:4\na:1\nhttp:404:0\n"),
        ("--both -i 1h -g auto", 0, "Last:\ngone:5\nCurrent:\nnew:6\n"),
        ("-g web -i 1.5H --both", 0, "Last:\nB:0\na:0\nhttp:404:0\nCurrent:\nB:0\na:0\nhttp:404:0\n"),
        ("-g jobs --current", 0, "done:1\n"),
        ("-g jobs", 0, "done:0\n"),
        ("-g unknown", 1, ""),
        ("-g web -i 1.5h", 1, ""),
        ("-g jobs -i 5m", 1, ""),
        ("-g web", 1, ""),
        ("-g web -i 1h --last --current", 2, ""),
        ("-g jobs --unknown", 2, ""),
        ("-g jobs surplus", 2, ""),
        ("-g", 2, ""),
        ("", 2, ""),
    ],
)
def test_reader_prints_and_exits_as_version_1_1(
    file_in_use: Path, run: Run, arguments: str, status: int, printed: str
) -> None:
    for version in VERSIONS:
        result = run(*version.script("ecl_reader"), file_in_use, *arguments.split(), **version.variables)
        assert (version.name, result.returncode, result.stdout) == (version.name, status, printed)


@pytest.mark.parametrize(
    ("arguments", "status", "counted"),
    [
        ("web a", 0, {"web": {"a": 2, "B": 4}}),
        ("web http:404 20", 0, {"web": {"a": 1, "B": 4, "http:404": 20}}),
        ("jobs done 2", 0, {"jobs": {"done": 3}}),
        ("auto č 3", 0, {"auto": {"new": 6, "č": 3}}),
        ("web unknown", 1, {}),
        ("unknown a", 1, {}),
        ("web a many", 2, {}),
        ("web a 1.5", 2, {}),
        ("web a 1 surplus", 2, {}),
        ("web", 2, {}),
    ],
)
@pytest.mark.parametrize("version", VERSIONS, ids=names_of)
def test_log_event_counts_and_exits_as_version_1_1(
    server: Server,
    file_in_use: Path,
    run: Run,
    version: Version,
    arguments: str,
    status: int,
    counted: dict[str, dict[str, int]],
) -> None:
    result = run(*version.script("ecl_log_event"), file_in_use, *arguments.split(), **version.variables)
    assert (result.returncode, result.stdout) == (status, "")
    unchanged = {"web": {"a": 1, "B": 4}, "jobs": {"done": 1}, "auto": {"new": 6}}
    assert {group: server.counts(group, "1h", "cur") for group in unchanged} == unchanged | counted


DYNAMIC: dict[str, Any] = {"auto": {"events": ["a"], "intervals": ["5m", "1h"], "auto_declare_events": True}}

#: Events that 1.1 counts in each interval: new ones, some that continue, and some that return.
COUNTED_BY_1_1: list[dict[str, int]] = [
    {"a": 1, "x": 3},
    {"x": 2, "http:404": 1},
    {"http:404": 4},
    {},
    {"x": 1, "č": 2, "a": 5},
]


@dataclass
class Caller:
    """A process of one version that counts given events, and waits until each is counted."""

    version: Version
    server: Server
    start: Start
    groups: dict[str, Any] = field(default_factory=lambda: DYNAMIC)

    def __post_init__(self) -> None:
        task = (json.dumps(self.groups), json.dumps(self.server.config))
        command = (sys.executable, PROGRAMS / "compatible_dynamic.py", *task)
        self.process = self.start(*command, stdin=subprocess.PIPE, env=self.version.environ)
        assert self.process.stdout and self.version.made(self.process.stdout.readline().rstrip())

    def log(self, counts: dict[str, int]) -> None:
        assert self.process.stdin and self.process.stdout
        for event in Counter(counts).elements():
            print(event, file=self.process.stdin, flush=True)
            assert self.process.stdout.readline() == "\n"

    def stop(self) -> None:
        self.process.communicate(timeout=20)


@pytest.mark.parametrize("others", [{}, {"x": 7, "ours": 1, "č": 1}], ids=["1.1 alone", "ours, too"])
def test_dynamic_events_of_1_1_are_rotated_in_their_intervals(
    server: Server, start: Start, others: dict[str, int]
) -> None:
    config = from_dicts(DYNAMIC, server.config)
    store, group = Store(config.redis), config.group("auto")
    five_m, one_h = group.intervals
    old, ours = Caller(OLD, server, start), Caller(OURS, server, start)
    store.rotation.rotate(group, five_m, 3000)
    expected = [dict(Counter(counts) + Counter(others)) for counts in COUNTED_BY_1_1]
    for n, counts in enumerate(COUNTED_BY_1_1):
        old.log(counts)
        ours.log(others)
        list(index_counters(store.client, [group]))
        assert store.rotation.rotate(group, five_m, 3300 + 300 * n).outcome == "rotated"
        (finished,) = store.reads.history(group, five_m, 1)
        assert {event: count for event, count in finished.counts.items() if count} == expected[n]
    reading = store.reads.read(group, one_h, ["cur"], 5000)
    assert reading.counts["cur"] == dict(sum(map(Counter, expected), Counter()))
    totals = store.reads.read(group, five_m, ["cur"], 5000, totals=True).totals
    assert totals == dict(sum(map(Counter, expected), Counter()))
    old.stop()
    ours.stop()
    store.close()


def test_master_rotates_events_that_only_1_1_counts(
    server: Server, start: Start, run: Run, config_file: Write
) -> None:
    groups = {"auto": {**DYNAMIC["auto"], "intervals": ["1s", "1h"]}}
    file = config_file({"redis": server.config, "groups": groups})
    config = from_dicts(groups, server.config)
    store, group = Store(config.redis), config.group("auto")
    one_s = group.intervals[0]
    with server.client as client:
        client.set("auto:1s:last:gone", 861)  # as the master of 1.1 leaves it
    master = start("ecl_master", file)
    old = Caller(OLD, server, start, groups)
    logged: Counter[str] = Counter()
    counted_in: set[int] = set()  # numbers of intervals that have not ended during a call of log()

    def count_until_rotated(event: str) -> None:
        before = n_finished = store.shard_reads.n_finished(group, one_s)
        while n_finished < before + 2:
            old.log({event: 1, "always": 1})
            logged.update([event, "always"])
            earlier, n_finished = n_finished, store.shard_reads.n_finished(group, one_s)
            if n_finished == earlier:
                counted_in.add(n_finished + 1)

    for event in ("first", "second", "first"):
        count_until_rotated(event)
    old.stop()

    def finished() -> list[HistoryEntry]:
        return store.reads.history(group, one_s, 100)

    # After a slow scan, the master scans for counters of 1.1 only every 10 s.
    wait_until(lambda: sum((Counter(each.counts) for each in finished()), Counter()) == logged, 40)
    assert counted_in
    for earlier, each in pairwise(finished()):
        if earlier.counts.get("always") and each.position.number in counted_in:
            assert each.counts.get("always"), each
    before = store.shard_reads.n_finished(group, one_s)
    wait_until(lambda: store.shard_reads.n_finished(group, one_s) >= before + 2, what="all is rotated")
    printed = run(*OLD.script("ecl_reader"), file, "-g", "auto", "-i", "1s", **OLD.variables).stdout
    assert printed == "a:0\n", "no counter keeps an old value"
    master.terminate()
    store.close()
