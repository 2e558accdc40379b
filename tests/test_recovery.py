"""Recovery of spool files: the counts of killed processes are added, each exactly once."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import Unavailable
from event_count_logger.config import Config, from_dicts
from event_count_logger.counting import spool_file
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.recovery import FileState, Finding, Recovery
from event_count_logger.counting.recovery_log import RecoveryLog
from event_count_logger.logs import Log
from event_count_logger.store import Store
from tests.fixtures import Make, Start, Write
from tests.groups import event_group
from tests.servers import Server, free_port, wait_until

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def group(directory: Path, **more: Any) -> dict[str, Any]:
    plain = {"auto_declare_events": True, "intervals": ["1h", "2h"], "sync_interval": 3600}
    return {**plain, "spool_dir": str(directory), **more}


def counted(server: Server, name: str = "g") -> dict[str, int]:
    """Returns the counts, which must be the same in both intervals."""
    one, other = (server.counts(name, interval, "cur") for interval in ("1h", "2h"))
    return one if one == other else {"the intervals differ": -1}


KILLED = """
import json, os, signal, sys
from event_count_logger import EventCountLogger
groups, redis, counts = json.loads(sys.argv[1])
(name,) = groups
loggers = [EventCountLogger(groups, redis) for _ in counts]  # one that is let go of is sent
for logger, one in zip(loggers, counts):
    for event_id, count in one.items():
        logger[name].log(event_id, count)
os.kill(os.getpid(), signal.SIGKILL)
"""


def leave(groups: dict[str, Any], redis: dict[str, Any], *counts: dict[str, int]) -> None:
    """Run processes that count and are killed: each of `counts` leaves a file."""
    arguments = json.dumps([groups, redis, counts])
    done = subprocess.run([sys.executable, "-c", KILLED, arguments], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


stores: list[Store] = []


@pytest.fixture(autouse=True)
def stores_are_closed() -> Iterator[None]:
    yield
    while stores:
        stores.pop().close()


def recovery_of(config: Config, clock: Callable[[], float] = time.monotonic) -> Recovery:
    stores.append(Store(config.redis))
    return Recovery(config, stores[-1], Log("test"), clock)


class Clock:
    """A clock set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def recover(config: Config) -> list[Finding]:
    return list(recovery_of(config).run())


@pytest.mark.parametrize(("n_workers", "at_once"), [(100, 1), (200, 8)])
def test_workers_killed_at_random_times_are_exact(
    n_workers: int, at_once: int, own_server: Server, directory: Path, seed: int, chance: random.Random
) -> None:
    arguments = [json.dumps(own_server.config), str(directory), str(n_workers), str(at_once), str(seed)]
    workers = subprocess.Popen(
        [sys.executable, PROGRAMS / "killed_workers.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while workers.poll() is None:
        time.sleep(chance.uniform(0, 0.5))
        if chance.random() < 0.5:
            own_server.stall()
            time.sleep(chance.uniform(0, 0.5))
            own_server.go_on()
        else:
            own_server.kill()
            time.sleep(chance.uniform(0, 0.2))
            own_server.start()
    logged = json.loads(workers.communicate()[0])
    config = from_dicts(
        {name: group(directory) for name in ("direct", "at_once", "quick", "limited", "slow")},
        own_server.config,
    )
    recover(config)
    assert not spool_file.find(directory)
    wrong = []
    for name in config.groups:
        counts = counted(own_server, name)
        for group_name, event, begun, done in logged:
            if group_name == name and not done <= counts.get(event, 0) <= begun:
                wrong.append((name, event, begun, done, counts.get(event, 0)))
    assert len(logged) == n_workers
    assert sum(done for *_, done in logged) > 1000
    assert not wrong


@pytest.mark.parametrize(
    "scenario",
    [
        "first_events",
        "second_batch",
        "many_events",
        "refused_event",
        "recovering",
        "clean_end",
        "retiring_while_logged",
        "closing_while_logged",
        "growing_while_logged",
    ],
)
def test_process_killed_at_any_step_is_exact(scenario: str, server: Server, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, PROGRAMS / "cut_off.py", json.dumps(server.config), str(directory), scenario],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    *faults, n_steps = done.stdout.splitlines()
    assert not faults
    assert int(n_steps) > 5


def outcomes(findings: list[Finding]) -> dict[str, int]:
    return {finding.state.value: finding.counts for finding in findings}


def test_recovered_counts_keep_their_keys(
    server: Server, directory: Path, config: Callable[..., Config]
) -> None:
    configured = config({"g": group(directory)}, server.config)
    file = spool_file.create(directory, "g", ["1h", "2h"], configured.redis.identity, "{g#3}")
    cells = Cells(lambda: file)
    cells.add("a").total = 3
    file.close()
    (finding,) = recover(configured)
    assert (finding.state, finding.counts) == (FileState.RECOVERED, 3)
    assert (counted(server, "{g#3}"), counted(server, "g")) == ({"a": 3}, {})


def test_next_counting_process_recovers_files(server: Server, directory: Path, logger: Make) -> None:
    groups = {"g": group(directory), "direct": {"events": ["x"], "intervals": ["1h"]}}
    leave({"g": groups["g"]}, server.config, {"a": 3})
    logger(groups, server.config)["direct"].log("x")
    wait_until(lambda: counted(server) == {"a": 3})
    wait_until(lambda: not spool_file.find(directory), what="the file is deleted after its counts are sent")


def test_child_process_recovers_the_file_of_its_killed_sibling(server: Server, directory: Path) -> None:
    program = """
import json, os, signal, sys
from event_count_logger import EventCountLogger
g = EventCountLogger({"g": json.loads(sys.argv[1])}, json.loads(sys.argv[2]))["g"]
g.log("a")
g.sync()
if os.fork() == 0:
    g.log("a", 10)
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
if os.fork() == 0:
    g.log("a", 100)
    g.sync()
    sys.exit()
os.wait()
os._exit(0)
"""
    arguments = json.dumps(group(directory)), json.dumps(server.config)
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    assert counted(server) == {"a": 111}


def test_recovery_is_logged_and_deletes_the_file(
    server: Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups, other = {"g": group(directory)}, directory.with_name("other")
    leave({"g": group(other)}, server.config, {"a": 3})
    leave(groups, server.config, {"b": 4})  # it would send the files in its own directory
    for path in other.iterdir():
        path.rename(directory / path.name)
    config = from_dicts(groups, server.config)
    recovery = recovery_of(config)
    found = list(recovery.inspect_all())
    assert {finding.state for finding in found} == {FileState.DEAD}
    assert sorted(finding.counts for finding in found) == [3, 4]
    assert counted(server) == {}
    found = list(recovery.run())
    assert sorted(finding.counts for finding in found if finding.state is FileState.RECOVERED) == [3, 4]
    assert counted(server) == {"a": 3, "b": 4}
    assert not [*directory.iterdir()]
    assert all(finding.description and finding.description.group == "g" for finding in found)
    assert caplog.text.count("Recovered 7 counts of group 'g' from 2 processes that have ended") == 1


@pytest.mark.parametrize("is_configured", [True, False])
def test_counts_of_a_group_with_hashes_are_recovered_into_hashes(
    is_configured: bool, server: Server, directory: Path
) -> None:
    groups = {"g": {**group(directory), "layout": "hash"}}
    leave(groups, server.config, {"a": 3})
    known = groups if is_configured else {"other": group(directory)}
    (finding,) = recover(from_dicts(known, server.config))
    assert finding.state is FileState.RECOVERED
    assert server.client.hgetall("g:1h:cur") == {"a": "3"}
    assert server.client.hgetall("g:@totals") == {"a": "3"}
    assert not server.client.exists("g:1h:cur:a")


def test_file_older_than_a_migration_is_recovered_into_hashes(server: Server, directory: Path) -> None:
    leave({"g": group(directory)}, server.config, {"a": 3})
    (finding,) = recover(from_dicts({"g": {**group(directory), "layout": "hash"}}, server.config))
    assert finding.state is FileState.RECOVERED
    assert server.client.hgetall("g:1h:cur") == {"a": "3"}


def test_file_of_a_running_process_is_not_recovered(server: Server, directory: Path, logger: Make) -> None:
    groups = {"g": group(directory)}
    events = logger(groups, server.config)["g"]
    assert events
    events.log("a", 3)
    (finding,) = recover(from_dicts(groups, server.config))
    assert finding.state is FileState.LIVE
    assert counted(server) == {}
    assert events.sync()
    assert counted(server) == {"a": 3}


def test_files_stay_during_an_outage(own_server: Server, directory: Path) -> None:
    groups = {"g": group(directory)}
    leave(groups, own_server.config, {"a": 3})
    own_server.kill()
    config = from_dicts(groups, own_server.config)
    found = []
    with pytest.raises(Unavailable):
        for finding in recovery_of(config).run():
            found.append(finding)
    assert outcomes(found) == {"dead": 0}
    assert len(spool_file.find(directory)) == 1
    own_server.start()
    recover(config)
    assert counted(own_server) == {"a": 3}


def test_process_recovers_files_after_an_outage(own_server: Server, directory: Path, logger: Make) -> None:
    groups = {"g": group(directory)}
    leave(groups, own_server.config, {"a": 3})
    own_server.kill()
    events = event_group(logger(groups, own_server.config), "g")
    events.log("a", 10)
    wait_until(lambda: events.local._store.client.is_unavailable(events.local.config))
    own_server.start()
    wait_until(lambda: counted(own_server) == {"a": 13})


@pytest.mark.parametrize("other", [{"port": free_port()}, {"db": 3}], ids=lambda other: [*other][0])
def test_files_for_another_redis_stay_unchanged(
    other: dict[str, int], server: Server, directory: Path
) -> None:
    groups, theirs = {"g": group(directory)}, {**server.config, **other}
    leave(groups, theirs, {"a": 3})
    leave(groups, server.config, {"b": 4})
    found = recover(from_dicts(groups, server.config))
    assert outcomes(found) == {"recovered": 4, "foreign": 0}
    assert counted(server) == {"b": 4}
    if "db" in other:
        assert outcomes(recover(from_dicts(groups, theirs))) == {"recovered": 3}


def test_file_is_counted_in_the_intervals_that_it_names(server: Server, directory: Path) -> None:
    leave({"g": group(directory, intervals=["3h"])}, server.config, {"a": 3})
    leave({"other": group(directory)}, server.config, {"b": 4})
    recover(from_dicts({"g": group(directory)}, server.config))
    assert server.counts("g", "3h", "cur") == {"a": 3}
    assert counted(server) == {}
    assert counted(server, "other") == {"b": 4}


@pytest.mark.parametrize(
    "address",
    [
        {"host": "LocalHost"},
        {"host": "127.0.0.1"},
        {"url": "redis://[::1]:{port}"},
        {"url": "redis://localhost:{port}"},
        {"url": "redis://user:secret@localhost:{port}/0"},
        {"url": "rediss://localhost:{port}?db=0"},
    ],
)
def test_redis_has_one_identity_for_all_spellings_of_its_address(address: dict[str, Any]) -> None:
    port = 7777
    written = {key: value.format(port=port) for key, value in address.items()}
    config = from_dicts({}, written if "url" in written else {**written, "port": port})
    assert config.redis.identity == "localhost:7777/0"


def test_unusable_file_is_set_aside_and_warned_of_once(
    server: Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = {"g": group(directory)}
    leave(groups, server.config, {"a": 3})
    whole = spool_file.find(directory)[0].read_bytes()
    future = bytearray(whole)
    future[8] = 9
    bad = {"empty": b"", "foreign": b"something else" * 50, "cut": whole[:3000], "future": bytes(future)}
    for name, data in bad.items():
        (directory / f"{name}.ecl").write_bytes(data)
    for _ in range(2):
        recover(from_dicts(groups, server.config))
    assert counted(server) == {"a": 3}
    assert {path.name for path in directory.iterdir()} == {f"{name}.ecl.bad" for name in bad}
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == len(bad)
    for name in bad:
        assert sum(f"{name}.ecl cannot be used: it" in warning for warning in warnings) == 1


def test_rejected_file_is_kept_and_warned_of_once(
    server: Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = {"g": group(directory)}
    leave(groups, server.config, {"bad": 3, "good": 4})
    server.client.rpush("g:1h:cur:bad", "in the way")
    config = from_dicts(groups, server.config)
    clock = Clock()
    recovery = recovery_of(config, clock)
    for sent in (4, 0, 0):
        (finding,) = recovery.run()
        assert (finding.state, finding.counts) == (FileState.KEPT, sent)
        clock.now += 60
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    server.client.delete("g:1h:cur:bad")
    (finding,) = recovery.run()
    assert (finding.state, finding.counts) == (FileState.RECOVERED, 3)
    assert counted(server) == {"bad": 3, "good": 4}


def test_unconfirmed_file_keeps_its_source_alive(own_server: Server, directory: Path) -> None:
    groups = {"g": group(directory, durability="fsync")}
    leave(groups, own_server.config, {"a": 3})
    redis = own_server.config
    assert outcomes(recover(from_dicts(groups, {**redis, "socket_timeout": 1}))) == {"kept": 0}
    (source,) = own_server.client.hkeys("g:@sources")
    assert own_server.client.hget("g:@sources_seen", source)
    own_server.client.config_set("appendfsync", "always")
    assert outcomes(recover(from_dicts(groups, {**redis, "socket_timeout": 30}))) == {"recovered": 3}
    assert counted(own_server) == {"a": 3}


@pytest.mark.parametrize("is_away", [False, True])
def test_repeated_recovery_leaks_no_descriptor_and_warns_once(
    is_away: bool, own_server: Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = {"g": group(directory)}
    leave(groups, own_server.config, {"a": 1}, {"a": 2})
    if is_away:
        own_server.kill()
    else:
        own_server.client.config_set("min-replicas-to-write", 1)  # so it refuses
    recovery = recovery_of(from_dicts(groups, own_server.config))
    gc.disable()  # it would only come late
    try:
        for _ in range(4):
            with suppress(Unavailable):
                assert outcomes([*recovery.run()]) == {"kept": 0}
        assert open_in(directory) == []
    finally:
        gc.enable()
    assert len(spool_file.find(directory)) == 2
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == len(set(warnings))


def open_in(directory: Path) -> list[str]:
    """Returns the files in a directory that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(descriptor))
    return [file for file in found if file.startswith(str(directory))]


def damage(directory: Path, name: str) -> None:
    """Create a spool file that cannot be used."""
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / f"{name}.ecl").write_bytes(b"no spool file")


def test_damaged_file_that_comes_back_is_warned_of_again(
    server: Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recovery = recovery_of(from_dicts({"g": group(directory)}, server.config))
    for comes_back in (True, False, True):
        if comes_back:
            damage(directory, "one")
        list(recovery.run())
    assert caplog.text.count("one.ecl cannot be used") == 2


def test_recovery_forgets_files_that_are_gone(server: Server, directory: Path) -> None:
    log = Log("silent")  # pytest would keep the messages
    log.setLevel(logging.CRITICAL)
    config = from_dicts({"g": group(directory)}, server.config)
    stores.append(Store(config.redis))
    recovery = Recovery(config, stores[-1], log)

    def paths_after(rounds: int) -> int:
        for number in range(rounds):
            damage(directory, str(number))
            list(recovery.run())
            (directory / f"{number}.ecl.bad").unlink()
        gc.collect()
        return sum(isinstance(each, Path) for each in gc.get_objects())

    before = paths_after(5)
    assert paths_after(50) <= before


def test_two_concurrent_recoveries_count_each_file_once(server: Server, directory: Path) -> None:
    groups = {"g": group(directory)}
    n_files = 12
    leave(groups, server.config, *({f"e{number}": number + 1} for number in range(n_files)))
    program = """
import json, sys
from event_count_logger.config import from_dicts
from event_count_logger.counting.recovery import Recovery
from event_count_logger.logs import Log
from event_count_logger.store import Store
config = from_dicts(*map(json.loads, sys.argv[1:]))
recovery = Recovery(config, Store(config.redis), Log("test"))
print("ready", flush=True)
sys.stdin.readline()
print(sum(finding.state.value == "recovered" for finding in recovery.run()))
"""
    arguments = json.dumps(groups), json.dumps(server.config)
    some = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in some:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    done = [process.communicate("\n")[0] for process in some]
    recover(from_dicts(groups, server.config))
    assert 0 < sum(map(int, done)) <= n_files
    assert counted(server) == {f"e{number}": number + 1 for number in range(n_files)}


def left(directory: Path, redis: str, counts: int = 1) -> Path:
    """Create a spool file as a killed process leaves it."""
    file = spool_file.create(directory, "g", ["1h", "2h"], redis)
    Cells.from_storage(file).add("a").total = counts
    file.close()
    return file.path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records each read of a file: `header`, or `whole` if all of it is read or mapped."""
    kinds: list[str] = []
    for owner, name, kind in (
        (spool_file.SpoolReader, "description", "header"),
        (spool_file.SpoolReader, "contents", "whole"),
        (spool_file, "take_over", "whole"),
    ):
        monkeypatch.setattr(owner, name, _noted(getattr(owner, name), kinds, kind))
    return kinds


def _noted(function: Callable[..., Any], kinds: list[str], kind: str) -> Callable[..., Any]:
    def noted(*args: Any) -> Any:
        kinds.append(kind)
        return function(*args)

    return noted


def test_foreign_file_is_read_by_its_header_every_five_minutes(
    server: Server, directory: Path, opened: list[str]
) -> None:
    left(directory, "gone:1/0")
    clock = Clock()
    recovery = recovery_of(from_dicts({"g": group(directory)}, server.config), clock)
    for _ in range(100):
        assert outcomes([*recovery.run()]) == {"foreign": 0}
        clock.now += 2.9
    assert opened == ["header"]
    clock.now += 10.1
    assert outcomes([*recovery.run()]) == {"foreign": 0}
    assert opened == ["header"] * 2


def test_new_file_in_place_of_a_foreign_one_is_recovered_at_once(server: Server, directory: Path) -> None:
    config = from_dicts({"g": group(directory)}, server.config)
    foreign = left(directory, "gone:1/0")
    recovery = recovery_of(config, Clock())
    assert outcomes([*recovery.run()]) == {"foreign": 0}
    left(directory, config.redis.identity, 3).rename(foreign)
    assert outcomes([*recovery.run()]) == {"recovered": 3}
    assert counted(server) == {"a": 3}


def test_rejected_file_is_read_less_and_less_often(
    own_server: Server, directory: Path, opened: list[str]
) -> None:
    config = from_dicts({"g": group(directory)}, own_server.config)
    left(directory, config.redis.identity)
    own_server.client.config_set("min-replicas-to-write", 1)
    clock = Clock()
    recovery = recovery_of(config, clock)
    read_after = []
    for second in range(200):
        clock.now = 1000 + second
        opened.clear()
        assert outcomes([*recovery.run()]) == {"kept": 0}
        read_after += [second] if "whole" in opened else []
    assert read_after == [0, 3, 9, 21, 45, 93, 153]
    own_server.client.config_set("min-replicas-to-write", 0)
    clock.now += 60
    assert outcomes([*recovery.run()]) == {"recovered": 1}


def test_only_headers_are_read_while_redis_is_down(
    own_server: Server, directory: Path, opened: list[str]
) -> None:
    config = from_dicts({"g": group(directory)}, own_server.config)
    for _ in range(3):
        left(directory, config.redis.identity)
    own_server.kill()
    recovery = recovery_of(config)
    for _ in range(5):
        with pytest.raises(Unavailable):
            for _ in recovery.run():
                pass
    assert opened.count("whole") == 1  # before it was known
    own_server.start()
    assert len([*recovery.run()]) == 3
    assert counted(own_server) == {"a": 3}


def test_many_foreign_files_do_not_block_the_start_of_a_process(
    server: Server, directory: Path, opened: list[str]
) -> None:
    config = from_dicts({"g": group(directory)}, server.config)
    for _ in range(20):
        left(directory, "gone:1/0")
    left(directory, config.redis.identity).rename(directory / "z.ecl")
    recovery = recovery_of(config, lambda: 0.3 * len(opened))  # each file that is opened takes so long
    for _ in range(6):
        assert not counted(server)
        recovery.run_once()
    assert counted(server) == {"a": 1}
    assert opened == ["header"] * 21 + ["whole"]


def test_unreadable_file_is_kept_and_the_others_are_recovered(
    server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = from_dicts({"g": group(directory)}, server.config)
    unreadable = left(directory, config.redis.identity)
    left(directory, config.redis.identity, 3)
    open_file = os.open

    def denied(path: Any, *args: Any, **kwargs: Any) -> int:  # the tests may run as root
        if path == unreadable:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", denied)
    recovery = recovery_of(config)
    for _ in range(3):
        assert outcomes([*recovery.run()])["kept"] == 0
    assert outcomes([*recovery.inspect_all()]) == {"kept": 0}
    assert caplog.text.count("cannot be opened") == 1
    assert counted(server) == {"a": 3}


def test_recovered_file_without_counts_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    tally = RecoveryLog(Log("test"), Clock())
    tally.add("web", 1, 0)
    tally.log()
    assert caplog.messages == []


def test_recovered_counts_of_a_minute_are_one_line_per_group(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    tally = RecoveryLog(Log("test"), clock)
    for pid in range(90):
        tally.add("web", pid, 100)
        tally.add("api", pid, 1)
        tally.log_if_due()
        clock.now += 1
    tally.log()
    tally.log()
    assert caplog.messages == [
        "Recovered 100 counts of group 'web' from process 0, which has ended",
        "Recovered 1 count of group 'api' from process 0, which has ended",
        "Recovered 6,000 counts of group 'web' from 60 processes that have ended",
        "Recovered 60 counts of group 'api' from 60 processes that have ended",
        "Recovered 2,900 counts of group 'web' from 29 processes that have ended",
        "Recovered 29 counts of group 'api' from 29 processes that have ended",
    ]


def test_starting_process_logs_what_it_recovered_after_a_minute(
    server: Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = from_dicts({"g": group(directory)}, server.config)
    left(directory, config.redis.identity, 3)
    clock = Clock()
    recovery = recovery_of(config, clock)
    recovery.run_once()
    clock.now += 59
    recovery.run_once()
    assert counted(server) == {"a": 3}
    assert not caplog.messages
    clock.now += 1
    recovery.run_once()
    assert caplog.messages == [f"Recovered 3 counts of group 'g' from process {os.getpid()}, which has ended"]


JOBS = """
import json, os, sys
from event_count_logger import EventCountLogger
groups, redis, n_jobs = json.loads(sys.argv[1])
for number in range(n_jobs):
    if os.fork() == 0:
        logger = EventCountLogger(groups, redis)
        logger["g"].log("a")
        logger["g"].log(f"job-{number}", 2)
        if number % 5 == 0:
            logger["g"].sync()  # it recovers the files of the others
        os._exit(0)
    os.wait()
"""


def test_jobs_without_exit_handlers_cause_few_log_lines(
    server: Server, directory: Path, config_file: Write, start: Start
) -> None:
    groups, n_jobs = {"g": group(directory, intervals=["24h"])}, 50  # the master does not end them
    master = start("ecl_master", "-v", config_file({"redis": server.config, "groups": groups}))
    jobs = start(sys.executable, "-c", JOBS, json.dumps([groups, server.config, n_jobs]))
    said = jobs.communicate(timeout=60)[1]
    expected = {"a": n_jobs} | {f"job-{number}": 2 for number in range(n_jobs)}
    wait_until(lambda: server.counts("g", "24h", "cur") == expected, 60)
    left(directory, from_dicts(groups, server.config).redis.identity)
    wait_until(lambda: not spool_file.find(directory), what="the master recovers")
    master.terminate()
    said += master.communicate(timeout=60)[1]
    lines = [line for line in said.splitlines() if "Recovered" in line]
    assert 1 <= len(lines) <= 2, lines
