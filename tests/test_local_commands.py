"""ecl local and ecl recover: the commands for this machine's spool files."""

from __future__ import annotations

import json
import operator
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from event_count_logger.config import from_file
from event_count_logger.counting import spool_file
from event_count_logger.counting.cells import Cells
from event_count_logger.counting.implementation import implementation
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port, wait_until

#: A group that sends counts only on request, or when its process ends.
LATER = {"intervals": ["24h"], "sync_interval": 100_000}

GROUPS = {"web": {"events": ["a", "b", "c", "d"], **LATER}, "http": {"auto_declare_events": True, **LATER}}

PROGRAM = Path(__file__).parent / "programs" / "counts_on_request.py"


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    """A configuration with a running server, and its own spool directory."""
    return config_file({"redis": server.config, "groups": GROUPS, "spool_dir": "spool"})


@pytest.fixture
def spool(file: Path) -> Path:
    return file.parent / "spool"


class Writer:
    """A process that counts on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def log(self, group: str, **counts: int) -> None:
        """Count events, and return when that is done; without counts, return when all counts are sent."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([group, counts]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        _, errors = self.process.communicate(timeout=60)
        assert (self.process.returncode, errors) == (0, "")


@pytest.fixture
def writer(start: Start) -> Callable[[Path], Writer]:
    return lambda file: Writer(start(sys.executable, PROGRAM, file, stdin=subprocess.PIPE))


class Poll:
    """A running `ecl local --poll`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout
        return " ".join(self.process.stdout.readline().split())

    def add_up_to(self, *expected: int) -> None:
        """Read rows until their sums are as expected."""
        sums = [0] * len(expected)
        for _ in range(100):
            sums = [added + int(count) for added, count in zip(sums, self.line().split(), strict=True)]
            assert all(map(operator.le, sums, expected)), sums
            if tuple(sums) == expected:
                return
        pytest.fail(f"rows add up to {sums}, not to {expected}")

    @contextmanager
    def between_rows(self) -> Iterator[None]:
        """Stop the command during the block, so that it reads all changes at once."""
        self.process.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{self.process.pid}/stat")
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
        yield
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def poll(start: Start) -> Callable[..., Poll]:
    return lambda *arguments: Poll(start("ecl", "local", *arguments))


def leave_behind(file: Path, group: str = "web", **counts: int) -> Path:
    """Write the spool file of a killed process, without starting one."""
    config = from_file(file)
    directory = config.groups[group].spool_dir
    assert directory
    made = spool_file.create(directory, group, ["24h"], config.redis.identity)
    cells = Cells.from_storage(made)
    for event_id, count in counts.items():
        cells.add(event_id).total = count
    made.close()
    return made.path


def contents(directory: Path) -> dict[str, tuple[object, ...]]:
    """Returns name, mode, time and content of the files in a directory."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in directory.iterdir():
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else None
        seen[path.name] = status.st_mode, status.st_ino, status.st_mtime_ns, data
    return seen


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


# ecl local


def test_each_process_and_group_is_one_block(run: Run, file: Path, writer: Callable[[Path], Writer]) -> None:
    one, two = sorted((writer(file), writer(file)), key=lambda writer: writer.pid)
    one.log("web", b=54, a=3)
    one.log("web")
    one.log("web", b=2)
    one.log("http", **{"GET /a b": 7, "é": 10, "x": 2**40})
    two.log("web", a=5)
    two.kill()
    done = run("ecl", "local", file)
    assert done.stdout == (
        f"group http, pid {one.pid}, alive, {implementation()}\n"
        "  event             total         unsent\n"
        "  GET /a b              7              7\n"
        "  x         1099511627776  1099511627776\n"
        "  é                    10             10\n"
        "\n"
        f"group web, pid {one.pid}, alive, {implementation()}\n"
        "  event  total  unsent\n"
        "  a          3       0\n"
        "  b         56       2\n"
        "\n"
        f"group web, pid {two.pid}, dead, {implementation()}\n"
        "  event  total  unsent\n"
        "  a          5       5\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_each_process_is_one_json_object(run: Run, file: Path, writer: Callable[[Path], Writer]) -> None:
    one = writer(file)
    one.log("web", b=54, a=3)
    one.log("web")
    one.log("web", b=2)
    (found,) = json.loads(run("ecl", "local", "--json", file).stdout)
    assert found == {
        "group": "web",
        "pid": one.pid,
        "alive": True,
        "native": implementation() == "native",
        "counts": {"a": 3, "b": 56},
        "unsent": {"a": 0, "b": 2},
    }


@pytest.mark.parametrize("options", [[], ["--sum"]])
def test_hidden_group_is_unlisted_but_can_be_polled(
    run: Run, server: Server, config_file: Write, options: list[str]
) -> None:
    groups = {**GROUPS, "web": {**GROUPS["web"], "hidden": True}}
    file = config_file({"redis": server.config, "groups": groups, "spool_dir": "spool"})
    leave_behind(file, a=41)
    leave_behind(file, "http", x=7)
    listed = run("ecl", "local", file, *options).stdout
    assert re.findall(r"group (\w+)", listed) == ["http"]
    assert not re.search(r"\b41\b", listed)  # a pid may contain 41, such as 418
    assert run("ecl", "local", "--poll", "-c", 1, file, "web", "a").stdout.split() == ["a", "41"]


def test_sum_adds_up_all_processes(run: Run, file: Path, writer: Callable[[Path], Writer]) -> None:
    one, two, three = (writer(file) for _ in range(3))
    one.log("web", a=100, b=1)
    one.log("web")
    two.log("web", a=50, c=2)
    three.log("web", a=7)
    three.kill()
    one.log("http", x=1)
    done = run("ecl", "local", "--sum", file)
    assert done.stdout == (
        f"group http, 1 alive, 0 dead, 1 {implementation()}\n"
        "  event  total  unsent\n"
        "  x          1       1\n"
        "\n"
        f"group web, 2 alive, 1 dead, 3 {implementation()}\n"
        "  event  total  unsent\n"
        "  a        157      57\n"
        "  b          1       0\n"
        "  c          2       2\n"
    )


def test_poll_row_is_sum_of_new_counts_of_all_processes(
    file: Path, writer: Callable[[Path], Writer], poll: Callable[..., Poll]
) -> None:
    one, two = writer(file), writer(file)
    one.log("web", a=100, b=20, c=3, d=1)
    two.log("web", a=50, b=5, c=2)
    one.log("http", a=1000)
    rows = poll(file, "--poll", "-d", 0.1, "web", "a", "b", "c", "d")
    assert [rows.line() for _ in range(3)] == ["a b c d", "150 25 5 1", "0 0 0 0"]
    one.log("web", a=7, b=1)
    two.log("web", a=3, d=2)
    rows.add_up_to(10, 1, 0, 2)
    assert rows.line() == "0 0 0 0"


def test_poll_includes_processes_that_start_and_end(
    run: Run, file: Path, writer: Callable[[Path], Writer], poll: Callable[..., Poll]
) -> None:
    staying, going = writer(file), writer(file)
    staying.log("web", a=1)
    going.log("web", a=10)
    rows = poll(file, "--poll", "-d", 0.1, "web", "a")
    assert [rows.line() for _ in range(2)] == ["a", "11"]
    with rows.between_rows():
        coming = writer(file)
        coming.log("web", a=100)
        going.log("web", a=20)
        going.end()
    rows.add_up_to(120)
    with rows.between_rows():
        open_files = Path(f"/proc/{rows.process.pid}/fd").iterdir()
        assert not [file for file in open_files if "deleted" in os.readlink(file)]
        coming.log("web", a=200)
        coming.kill()
        staying.log("web", a=2)
    rows.add_up_to(202)
    with rows.between_rows():
        assert last_line(run("ecl", "recover", file)) == "recovered 1 file, 300 events; 1 live"
        staying.log("web", a=3)
        staying.log("web")
    rows.add_up_to(3)


def test_header_of_poll_is_repeated(run: Run, file: Path, writer: Callable[[Path], Writer]) -> None:
    counting = writer(file)
    counting.log("http", **{"a long name": 5, "é": 7, "x": 123_456_789})
    done = run("ecl", "local", "--poll", "-d", "0.001", "-c", "41", file, "http", "a long name", "é", "x")
    lines = done.stdout.splitlines()
    assert len(lines) == 41 + 3
    assert {number for number, line in enumerate(lines) if "long" in line} == {0, 21, 42}
    assert lines[:3] == [
        "a long name      é      x",
        "          5      7 123456789",
        "          0      0      0",
    ]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("settings", [{}, {"spool": False}])
def test_local_without_spool_files_lists_nothing(
    run: Run, server: Server, config_file: Write, settings: dict[str, bool]
) -> None:
    file = config_file(
        json.dumps({"redis": server.config, "groups": GROUPS, "spool_dir": "none", **settings})
    )
    for options in ([], ["--sum"]):
        done = run("ecl", "local", file, *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    polled = run("ecl", "local", file, "--poll", "-c", 2, "-d", 0.01, "web", "a", "d")
    assert polled.stdout.split() == ["a", "d", "0", "0", "0", "0"]
    recovered = run("ecl", "recover", file)
    assert recovered.stdout == "recovered 0 files, 0 events; 0 live\n"
    assert not (file.parent / "none").exists()


def test_only_files_for_same_redis_are_listed(
    run: Run, own_server: Server, file: Path, config_file: Write
) -> None:
    other = config_file({"redis": own_server.config, "groups": GROUPS, "spool_dir": "spool"}, "other.yml")
    leave_behind(other, a=5)
    leave_behind(file, a=1)
    assert run("ecl", "local", "--sum", file).stdout.split()[-2:] == ["1", "1"]
    assert run("ecl", "local", "--poll", "-c", "1", file, "web", "a").stdout.split() == ["a", "1"]
    assert run("ecl", "local", "--poll", "-c", "1", other, "web", "a").stdout.split() == ["a", "5"]


@pytest.mark.parametrize("options", [[], ["--poll", "web", "a"]])
def test_poll_with_closed_output_exits_silently(start: Start, file: Path, options: list[str]) -> None:
    for _ in range(3):
        leave_behind(file, "http", **{f"event-{number}": number for number in range(1, 3000)})
    local = start("ecl", "local", "-d", "0.01", file, *options)
    assert local.stdout
    assert local.stderr
    assert local.stdout.readline()
    local.stdout.close()
    assert local.wait(30) == 0
    assert local.stderr.read() == ""
    local.stdout = None


def test_ctrl_c_ends_poll(file: Path, poll: Callable[..., Poll]) -> None:
    rows = poll(file, "--poll", "-d", 1000, "web", "a")
    assert [rows.line() for _ in range(2)] == ["a", "0"]
    rows.process.send_signal(signal.SIGINT)
    assert rows.process.communicate(timeout=60) == ("", "")
    assert rows.process.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("local", True),
        ("local --poll -c 1 web a", True),
        ("local --poll -c 1 FILE web a", False),
        ("recover", True),
        ("recover FILE", False),
    ],
)
def test_ecl_config_in_environment_replaces_omitted_argument(
    run: Run, file: Path, arguments: str, named: bool
) -> None:
    leave_behind(file, a=41)
    words = [str(file) if word == "FILE" else word for word in arguments.split()]
    done = run("ecl", *words, ECL_CONFIG=str(file) if named else "missing.yml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "41" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("local", 2, "Missing argument 'CONFIG'"),
        ("local missing.yml", 2, "missing.yml: cannot be read: No such file or directory"),
        ("local FILE web", 2, "expected CONFIG, or --poll CONFIG GROUP EVENT..."),
        ("local --poll FILE", 2, "expected CONFIG, or --poll CONFIG GROUP EVENT..."),
        ("local --poll FILE web", 2, "expected CONFIG, or --poll CONFIG GROUP EVENT..."),
        ("local --poll --sum FILE web a", 2, "expected CONFIG, or --poll CONFIG GROUP EVENT..."),
        ("local --poll -d 0 FILE web a", 2, "SECONDS and COUNT must be above 0"),
        ("local --poll -d -1 FILE web a", 2, "SECONDS and COUNT must be above 0"),
        ("local --poll -d soon FILE web a", 2, "'soon'"),
        ("local --poll -c 0 FILE web a", 2, "SECONDS and COUNT must be above 0"),
        ("local --poll -c 1.5 FILE web a", 2, "'1.5'"),
        ("local --twice FILE", 2, "--twice"),
        ("local --poll FILE nope a", 1, "Group 'nope' not found in configuration"),
        ("local --poll FILE web a nope", 1, "Event 'nope' is not configured for group 'web'"),
        ("recover", 2, "Missing argument 'CONFIG'"),
        ("recover missing.yml", 2, "missing.yml: cannot be read: No such file or directory"),
        ("recover FILE surplus", 2, "surplus"),
        ("recover --poll FILE", 2, "--poll"),
    ],
)
def test_wrong_command_line_is_reported_in_one_line(
    run: Run, file: Path, arguments: str, status: int, message: str
) -> None:
    words = [str(file) if word == "FILE" else word for word in arguments.split()]
    done = run("ecl", *words, ECL_CONFIG="")
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("ERROR: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["local", "recover"])
def test_help_has_an_example(run: Run, command: str) -> None:
    done = run("ecl", command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Example:\n    $ ecl {command}" in done.stdout
    assert "Exit status: 0" in done.stdout
    assert "ECL_CONFIG" in done.stdout


def test_spool_directory_readable_by_others_is_rejected(run: Run, file: Path, spool: Path) -> None:
    leave_behind(file, a=1)
    before = contents(spool)
    spool.chmod(0o755)
    why = f"{spool} has mode 0755, not 0700\n"
    local = run("ecl", "local", file)
    assert (local.returncode, local.stdout) == (2, "")
    assert local.stderr == f"ERROR: spool files cannot be read: {why}"
    for option in ((), ("--dry-run",)):
        recovered = run("ecl", "recover", *option, file)
        last = "recovered 0 files, 0 events; 0 live; 1 spool directory not read\n"
        assert (recovered.returncode, recovered.stdout) == (4, last)
        assert recovered.stderr == f"WARNING: Spool files are not recovered: {why}"
    assert contents(spool) == before


# ecl recover


def test_recover_counts_killed_processes_and_skips_live_ones(
    run: Run, file: Path, spool: Path, server: Server, writer: Callable[[Path], Writer]
) -> None:
    living, killed = writer(file), writer(file)
    living.log("web", a=1)
    killed.log("web", a=10, b=5)
    killed.log("web")
    killed.log("web", b=7)
    killed.log("http", **{"a b": 20, "é": 30})
    killed.kill()
    done = run("ecl", "recover", file)
    *lines, last = re.sub(r"\.[0-9a-f]+\.ecl", "", done.stdout).splitlines()
    assert sorted(lines) == [
        f"{spool}/http: group http, pid {killed.pid}: recovered 50 events",
        f"{spool}/web: group web, pid {killed.pid}: recovered 7 events",
        f"{spool}/web: live",
    ]
    assert last == "recovered 2 files, 57 events; 1 live"
    assert (done.returncode, done.stderr) == (0, "")
    assert server.counts("web", "24h", "cur") == {"a": 10, "b": 12}
    assert server.counts("http", "24h", "cur") == {"a b": 20, "é": 30}
    assert run("ecl", "recover", file).stdout.endswith(".ecl: live\nrecovered 0 files, 0 events; 1 live\n")
    living.end()
    assert server.counts("web", "24h", "cur") == {"a": 11, "b": 12}
    assert not [*spool.iterdir()]


def test_file_is_kept_until_redis_is_available(
    run: Run, own_server: Server, config_file: Write, writer: Callable[[Path], Writer]
) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS, "spool_dir": "spool"})
    killed = writer(file)
    killed.log("web", a=3)
    killed.kill()
    own_server.kill()
    for _ in range(2):
        done = run("ecl", "recover", file)
        assert (done.returncode, last_line(done)) == (3, "recovered 0 files, 0 events; 0 live; 1 dead")
        assert "dead, with 3 events to recover" in done.stdout
        assert done.stderr.splitlines()[-1].startswith(f"ERROR: Redis at 127.0.0.1:{own_server.port}/0 ")
        assert "Traceback" not in done.stderr
        assert run("ecl", "local", file).stdout.split()[-3:] == ["a", "3", "3"]
    own_server.start()
    assert last_line(run("ecl", "recover", file)) == "recovered 1 file, 3 events; 0 live"
    assert own_server.counts("web", "24h", "cur") == {"a": 3}


def test_rejected_counts_are_kept_and_recovered_later(
    run: Run, file: Path, spool: Path, server: Server
) -> None:
    path = leave_behind(file, a=3, b=4)
    server.client.set("web:24h:cur:b", "not a number")
    done = run("ecl", "recover", file)
    assert done.stdout.startswith(f"{path}: group web, pid {os.getpid()}: kept, with 3 events recovered: ")
    assert (done.returncode, last_line(done)) == (4, "recovered 0 files, 3 events; 0 live; 1 kept")
    server.client.delete("web:24h:cur:b")
    assert last_line(run("ecl", "recover", file)) == "recovered 1 file, 4 events; 0 live"
    assert server.counts("web", "24h", "cur") == {"a": 3, "b": 4}
    assert not [*spool.iterdir()]


def test_concurrent_recoveries_count_each_file_once(
    start: Start, file: Path, spool: Path, server: Server
) -> None:
    for number in range(1, 101):
        leave_behind(file, a=number, b=1)
    commands = [start("ecl", "recover", file) for _ in range(3)]
    ends = [command.communicate(timeout=60) for command in commands]
    assert [(command.returncode, errors) for command, (_, errors) in zip(commands, ends, strict=True)] == [
        (0, "")
    ] * 3
    summaries = [
        re.search(r"\nrecovered ([\d,]+) files?, ([\d,]+) events?; \d+ live\n$", f"\n{out}")
        for out, _ in ends
    ]
    assert [sum(int(match[n].replace(",", "")) for match in summaries if match) for n in (1, 2)] == [
        100,
        5050 + 100,
    ]
    assert server.counts("web", "24h", "cur") == {"a": 5050, "b": 100}
    assert not [*spool.iterdir()]


def test_files_for_another_redis_are_unchanged(
    run: Run, file: Path, spool: Path, config_file: Write, server: Server
) -> None:
    nowhere = {"host": "127.0.0.1", "port": free_port()}
    other = config_file({"redis": nowhere, "groups": GROUPS, "spool_dir": "spool"}, "other.yml")
    path = leave_behind(other, a=5)
    words = f"left alone, because it is for another Redis (localhost:{nowhere['port']}/0)"
    before = contents(spool)
    leave_behind(file, a=1)
    for expected in ("recovered 1 file, 1 event; 0 live", "recovered 0 files, 0 events; 0 live"):
        done = run("ecl", "recover", file)
        assert last_line(done) == expected
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{path}: group web, pid {os.getpid()}: {words}" in done.stdout.splitlines()
        assert contents(spool) == before
    assert server.counts("web", "24h", "cur") == {"a": 1}


def cut_off(whole: bytes) -> bytes:
    return whole[:-8]


def of_the_future(whole: bytes) -> bytes:
    return whole[:8] + struct.pack("=I", 2) + whole[12:]


def with_a_bad_header(whole: bytes) -> bytes:
    return whole.replace(b'"pid"', b'"Pid"')


#: Functions that create unusable files, with the message about each.
UNUSABLE: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "empty": (lambda path, whole: path.touch(), "it is empty"),
    "foreign": (lambda path, whole: path.write_bytes(b"#!/bin/sh\n" * 50), "it is not a spool file"),
    "short": (lambda path, whole: path.write_bytes(whole[:12]), "its header is cut off"),
    "torn": (lambda path, whole: path.write_bytes(cut_off(whole)), "it is cut off"),
    "future": (
        lambda path, whole: path.write_bytes(of_the_future(whole)),
        "its version is 2, and 1 is known here",
    ),
    "header": (
        lambda path, whole: path.write_bytes(with_a_bad_header(whole)),
        "the checksum of its header is wrong",
    ),
    "directory": (lambda path, whole: path.mkdir(), "it is not a regular file"),
    "pipe": (lambda path, whole: os.mkfifo(path), "it is not a regular file"),
    "link": (lambda path, whole: path.symlink_to("target"), "it is not a regular file"),
    "dangling": (lambda path, whole: path.symlink_to("nowhere"), "it is not a regular file"),
}


@pytest.fixture
def unusable(file: Path, spool: Path) -> dict[Path, str]:
    """Unusable files around a usable one, with the message about each."""
    whole = leave_behind(file, a=1).read_bytes()
    (spool / "target").write_bytes(whole)
    messages = {}
    for before_or_after in ("0", "z"):
        for name, (make, message) in UNUSABLE.items():
            path = spool / f"{before_or_after}-{name}.ecl"
            make(path, whole)
            messages[path] = message
    return messages


def test_unusable_files_are_not_listed(run: Run, file: Path, spool: Path, unusable: dict[Path, str]) -> None:
    before = contents(spool)
    listed = run("ecl", "local", file)
    assert listed.stdout.splitlines() == [
        f"group web, pid {os.getpid()}, dead, {implementation()}",
        "  event  total  unsent",
        "  a          1       1",
    ]
    polled = run("ecl", "local", file, "--poll", "-c", 2, "-d", 0.01, "web", "a")
    assert polled.stdout.split() == ["a", "1", "0"]
    for done in (listed, polled):
        assert (done.returncode, done.stderr) == (0, "")
    assert contents(spool) == before


def test_unusable_files_are_set_aside_and_named_once(
    run: Run, file: Path, spool: Path, server: Server, unusable: dict[Path, str]
) -> None:
    before = contents(spool)
    done = run("ecl", "recover", file)
    assert done.returncode == 0
    assert last_line(done) == "recovered 1 file, 1 event; 0 live"
    warnings = done.stderr.splitlines()
    assert len(warnings) == len(unusable)
    for path, why in unusable.items():
        (warning,) = [warning for warning in warnings if f" {path} " in warning]
        assert warning.startswith(f"WARNING: Spool file {path} cannot be used: {why}")
        assert warning.endswith(f"renamed to {path.name}.bad")
        assert f"{path}: set aside: {why}" in done.stdout
    aside = {f"{path.name}.bad": before[path.name] for path in unusable}
    assert contents(spool) == {**aside, "target": before["target"]}
    assert server.counts("web", "24h", "cur") == {"a": 1}
    assert run("ecl", "recover", file).stdout == "recovered 0 files, 0 events; 0 live\n"


def test_recover_dry_run_changes_nothing(
    run: Run,
    server: Server,
    file: Path,
    spool: Path,
    unusable: dict[Path, str],
    writer: Callable[[Path], Writer],
    config_file: Write,
) -> None:
    living = writer(config_file(file.read_text().replace("spool'", "living'"), "living.yml"))
    living.log("web", a=5)
    (path,) = (file.parent / "living").iterdir()
    os.link(path, spool / path.name)
    other = {"redis": {"host": "127.0.0.1", "port": 1}, "groups": GROUPS, "spool_dir": "spool"}
    foreign = leave_behind(config_file(other, "other.yml"), a=6)
    before, server_before = contents(spool), server.everything()
    done = run("ecl", "recover", "--dry-run", file)
    assert contents(spool) == before
    assert server.everything() == server_before == {}
    assert (done.returncode, done.stderr) == (0, "")
    assert last_line(done) == "recovered 0 files, 0 events; 1 live; 1 dead"
    assert f"group web, pid {os.getpid()}: dead, with 1 event to recover\n" in done.stdout
    assert f"{spool / path.name}: live\n" in done.stdout
    assert f"{foreign}: group web, pid {os.getpid()}: left alone" in done.stdout
    for path, why in unusable.items():
        assert f"{path}: cannot be used: {why}" in done.stdout
    assert len(done.stdout.splitlines()) == len(unusable) + 4


def test_recover_dry_run_works_without_redis(run: Run, config_file: Write) -> None:
    redis = {"host": "127.0.0.1", "port": free_port()}
    file = config_file({"redis": redis, "groups": GROUPS, "spool_dir": "spool"})
    leave_behind(file, a=7)
    done = run("ecl", "recover", "--dry-run", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert ": dead, with 7 events to recover\n" in done.stdout


# ecl_master


def test_master_once_recovers(run: Run, file: Path, spool: Path, server: Server) -> None:
    leave_behind(file, a=7)
    done = run("ecl_master", "--once", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.counts("web", "24h", "cur") == {"a": 7}
    assert not [*spool.iterdir()]


def test_master_recovers_at_start_and_while_running(
    start: Start, file: Path, spool: Path, server: Server, writer: Callable[[Path], Writer]
) -> None:
    def counted(expected: int) -> Callable[[], bool]:
        return lambda: server.counts("web", "24h", "cur").get("a") == expected

    living, killed = writer(file), writer(file)
    living.log("web", b=1)
    leave_behind(file, a=10)
    master = start("ecl_master", file)
    wait_until(counted(10), what="the master recovers when it starts")
    damaged = spool / "damaged"
    damaged.write_bytes(b"damaged")
    damaged.rename(spool / "damaged.ecl")  # the master never reads it while it is empty
    killed.log("web", a=100)
    killed.kill()
    wait_until(counted(110), what="the master recovers while it runs")
    wait_until((spool / "damaged.ecl.bad").exists, what="the master has read both files")
    master.terminate()
    _, errors = master.communicate(timeout=60)
    assert master.returncode == 0
    (warning,) = errors.splitlines()
    assert f"[WARNING] Spool file {spool / 'damaged.ecl'} cannot be used: it is not a spool file" in warning
    living.end()
    assert server.counts("web", "24h", "cur") == {"a": 110, "b": 1}
    assert [path.name for path in spool.iterdir()] == ["damaged.ecl.bad"]


def test_unusable_files_do_not_stop_the_master(
    start: Start, file: Path, spool: Path, server: Server, unusable: dict[Path, str]
) -> None:
    master = start("ecl_master", file)
    wait_until(lambda: server.counts("web", "24h", "cur").get("a") == 1)
    wait_until(lambda: not [*spool.glob("*.ecl")])
    master.terminate()
    _, errors = master.communicate(timeout=60)
    assert master.returncode == 0
    for path in unusable:
        assert errors.count(f"Spool file {path} cannot be used") == 1
    assert len(errors.splitlines()) == len(unusable)
