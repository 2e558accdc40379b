from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts
from event_count_logger.counting.implementation import implementation
from tests.conftest import BIN
from tests.days import Days
from tests.fixtures import Run, Start, Write
from tests.servers import Proxy, Server, free_port, wait_until

GROUPS: dict[str, dict[str, Any]] = {
    "web": {"events": ["ok", "error"], "intervals": ["24h"]},
    "http": {"auto_declare_events": True, "intervals": ["24h"]},
    "two": {"events": ["a"], "intervals": ["24h", "48h"]},
}


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    """A configuration with a running server."""
    return config_file({"redis": server.config, "groups": GROUPS})


@pytest.fixture
def file_of_nothing(config_file: Write) -> Path:
    """A configuration with an unreachable server."""
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    return config_file({"redis": redis, "groups": GROUPS}, "nothing.yml")


@pytest.fixture
def days(server: Server) -> Iterator[Days]:
    days = Days(from_dicts(GROUPS, server.config))
    yield days
    days.close()


# ecl_reader


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ([], b"error:0\nok:54\n"),
        (["--last"], b"error:0\nok:54\n"),
        (["--current"], b"error:2\nok:0\n"),
        (["--both"], b"Last:\nerror:0\nok:54\nCurrent:\nerror:2\nok:0\n"),
        (["--both", "-i", "24h"], b"Last:\nerror:0\nok:54\nCurrent:\nerror:2\nok:0\n"),
        (["--strict"], b"error:0\nok:54\n"),
    ],
)
def test_reader_prints_one_event_and_count_per_line(
    start: Start, file: Path, days: Days, options: list[str], printed: bytes
) -> None:
    days.count("web", {"ok": 54}, days_ago=1)
    days.rotate("web")
    days.count("web", {"error": 2})
    reader = start("ecl_reader", file, "-g", "web", *options, text=False)
    assert reader.communicate(timeout=60) == (printed, b"")
    assert reader.returncode == 0


def test_reader_sorts_events_by_code_point(start: Start, file: Path, days: Days) -> None:
    days.count("http", {"b": 1, "é": 2, "a:b": 3, "B": 4, "10": 5, "9": 6, "a": 7, " ": 8})
    reader = start("ecl_reader", file, "-g", "http", "--current", text=False)
    assert reader.communicate(timeout=60)[0] == " :8\n10:5\n9:6\nB:4\na:7\na:b:3\nb:1\né:2\n".encode()


def test_reader_json_has_times(run: Run, file: Path, days: Days) -> None:
    days.count("web", {"ok": 54}, days_ago=1)
    days.rotate("web")
    done = run("ecl_reader", file, "-g", "web", "--json")
    found = json.loads(done.stdout)
    server_time = found.pop("server_time")
    assert days.today < server_time <= days.store.client.server_time() + 0.001
    assert found == {
        "group": "web",
        "interval": "24h",
        "start": days.today - 86_400,
        "end": days.today,
        "stale": False,
        "counts": {"error": 0, "ok": 54},
        "position": f"{days.today * 1000}-1",
    }
    assert (done.returncode, done.stderr) == (0, "")


def test_json_of_both_intervals_has_one_server_time(run: Run, file: Path, days: Days) -> None:
    days.count("http", {"é": 2**53 + 1}, days_ago=1)
    days.rotate("http")
    days.count("http", {"404": 1})
    found = json.loads(run("ecl_reader", file, "-g", "http", "--both", "--json").stdout)
    assert list(found) == ["last", "current"]
    assert [each["counts"] for each in found.values()] == [{"é": 2**53 + 1}, {"404": 1}]
    assert (found["current"]["start"], found["current"]["end"]) == (days.today, None)
    assert found["last"]["server_time"] == found["current"]["server_time"]


def test_json_shows_merged_span(run: Run, file: Path, days: Days) -> None:
    days.count("web", {"ok": 1}, days_ago=3)
    days.count("web", {"ok": 1}, days_ago=1)
    days.rotate("web")
    found = json.loads(run("ecl_reader", file, "-g", "web", "--json").stdout)
    assert (found["start"], found["end"]) == (days.today - 3 * 86_400, days.today)
    assert found["counts"]["ok"] == 2


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--strict"], 4), (["--strict", "--current"], 4)])
def test_stale_read_prints_warning(run: Run, file: Path, days: Days, options: list[str], status: int) -> None:
    days.count("web", {"ok": 1}, days_ago=2)
    days.rotate("web", days_ago=1)
    done = run("ecl_reader", file, "-g", "web", *options)
    assert done.returncode == status
    assert done.stdout.splitlines()[0] == "error:0"  # nothing but data
    assert done.stderr.startswith("WARNING: interval '24h' of group 'web': stale, the rotation is ")
    assert done.stderr.count("\n") == 1


def test_stale_json_is_marked(run: Run, file: Path, days: Days) -> None:
    days.count("web", {"ok": 1}, days_ago=2)
    days.rotate("web", days_ago=1)
    done = run("ecl_reader", file, "-g", "web", "--json", "--strict")
    assert json.loads(done.stdout)["stale"] is True
    assert done.returncode == 4


def test_empty_finished_interval_differs_from_missing_one(run: Run, file: Path, days: Days) -> None:
    never = run("ecl_reader", file, "-g", "web", "--json", "--strict")
    assert never.returncode == 4
    assert never.stderr == (
        "WARNING: interval '24h' of group 'web': "
        "nothing counted yet, and no master has run (start ecl_master)\n"
    )
    days.rotate("web")
    first = run("ecl_reader", file, "-g", "web", "--json")
    assert first.stderr == "WARNING: interval '24h' of group 'web': no interval has finished yet\n"
    for early in (never, first):
        found = json.loads(early.stdout)
        assert (found["start"], found["end"], found["counts"]) == (None, None, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-g", "htp"], "Group 'htp' not found in configuration (configured: http, web, two)"),
        (["-g", "web", "-i", "1h"], "Interval '1h' not configured for this group. (configured: 24h)"),
        (["-g", "two", "-i", "48H"], "Interval '48H' not configured for this group. (configured: 48h, 24h)"),
        (
            ["-g", "two"],
            "Multiple intervals defined for the group, one must be selected using the '-i' parameter. "
            "(configured: 24h, 48h)",
        ),
    ],
)
def test_reader_rejects_unknown_group_and_interval(
    run: Run, file: Path, arguments: list[str], message: str
) -> None:
    done = run("ecl_reader", file, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ERROR: {message}\n")


def test_reader_with_closed_output_exits_silently(start: Start, file: Path, days: Days) -> None:
    days.rotate("web")
    reading_end, output = os.pipe()
    os.close(reading_end)
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    reader = start("ecl_reader", file, "-g", "web", "--current", stdout=output, env=environment)
    os.close(output)
    assert reader.communicate(timeout=60)[1] == ""
    assert reader.returncode == 0


# ecl_log_event


@pytest.mark.parametrize(
    ("arguments", "counted"),
    [
        (["web", "ok"], {"ok": 1}),
        (["web", "ok", "41"], {"ok": 41}),
        (["web", "ok", "0"], {}),
        (["web", "ok", str(2**63 - 1)], {"ok": 2**63 - 1}),
        (["http", "a:b é"], {"a:b é": 1}),
    ],
)
def test_log_event_counts_one_event(
    run: Run, file: Path, server: Server, arguments: list[str], counted: dict[str, int]
) -> None:
    done = run("ecl_log_event", file, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.counts(arguments[0], "24h", "cur") == counted


def test_log_event_leaves_no_file_or_source(run: Run, file: Path, server: Server) -> None:
    assert run("ecl_log_event", file, "web", "ok").returncode == 0
    assert "web:@sources" not in server.everything()


@pytest.mark.parametrize("settings", [{"sync_interval": 3600}, {"sync_limit": 100}])
def test_log_event_does_not_wait_for_sync_interval(
    run: Run, server: Server, config_file: Write, settings: dict[str, int]
) -> None:
    group = {"events": ["ok"], "intervals": ["24h"], **settings}
    file = config_file({"redis": server.config, "groups": {"web": group}})
    assert run("ecl_log_event", file, "web", "ok").returncode == 0
    assert run("ecl_log_event", file, "web", "-", input="ok\nok\n").returncode == 0
    assert server.counts("web", "24h", "cur") == {"ok": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "ok"], "Group 'nope' not found in configuration (configured: web, http, two)"),
        (["nope", "-"], "Group 'nope' not found in configuration (configured: web, http, two)"),
        (
            ["web", "eror"],
            "Event 'eror' not configured for this group and 'auto_declare_events' not enabled. "
            "(configured: error, ok)",
        ),
        (["http", "@ts"], "Event '@ts' is not an event ID: it begins with '@', which is reserved"),
        (["http", ""], "Event '' is not an event ID: it is empty"),
        (["http", "a\nb"], "Event 'a b' is not an event ID: it contains control characters"),
    ],
)
def test_log_event_reports_uncountable_event(
    run: Run, file: Path, server: Server, arguments: list[str], message: str
) -> None:
    done = run("ecl_log_event", file, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip(".\n") == f"ERROR: {message}"
    assert server.everything() == {}


def test_rejected_count_names_its_key(run: Run, file: Path, server: Server) -> None:
    with server.client as client:
        client.set("web:24h:cur:ok", "not a number")
    done = run("ecl_log_event", file, "web", "ok")
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR: Redis rejects event 'ok' (key web:24h:cur:ok): ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "counted"),
    [
        (b"a\nb\na\n", {"a": 2, "b": 1}),
        (b"a\nb", {"a": 1, "b": 1}),
        (b"a\r\nb\r\n", {"a": 1, "b": 1}),
        (b"\n\na\n\r\n\n", {"a": 1}),
        (b" a\na \n", {" a": 1, "a ": 1}),
        (b"\xff\xfe\n\xc3\xa9\n", {"��": 1, "é": 1}),
        (b"", {}),
        (b"a" * 512 + b"\n", {"a" * 512: 1}),
        (b"".join(b"%d\n" % (number % 7) for number in range(200_000)), None),
    ],
    ids=["lines", "no end", "CRLF", "blank", "spaces", "not UTF-8", "nothing", "long", "many"],
)
def test_each_line_of_standard_input_is_counted(
    start: Start, file: Path, server: Server, lines: bytes, counted: dict[str, int] | None
) -> None:
    command = start("ecl_log_event", file, "http", "-", stdin=subprocess.PIPE, text=False)
    assert command.communicate(lines, timeout=60) == (b"", b"")
    assert command.returncode == 0
    many = {str(number): len(range(number, 200_000, 7)) for number in range(7)}
    assert server.counts("http", "24h", "cur") == (many if counted is None else counted)


def test_uncountable_lines_do_not_stop_other_lines(run: Run, file: Path, server: Server) -> None:
    done = run("ecl_log_event", file, "web", "-", input="ok\nnope\nok\nnope\n@ts\nerror\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ERROR: 3 lines not counted: 'nope' not configured for this group")
    assert "(2 lines)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert server.counts("web", "24h", "cur") == {"ok": 2, "error": 1}


def test_message_about_uncountable_lines_is_short(run: Run, file: Path) -> None:
    done = run("ecl_log_event", file, "web", "-", input="".join(f"{'x' * 600}{n}\n" for n in range(1000)))
    assert done.returncode == 1
    assert "1,000 lines not counted" in done.stderr
    assert len(done.stderr) < 1500


@pytest.fixture
def endless(start: Start, file: Path, server: Server) -> Callable[[str], subprocess.Popen[str]]:
    """Start the command, send it a few lines, and wait until they are counted; the pipe stays open."""

    def pipe(lines: str) -> subprocess.Popen[str]:
        command = start("ecl_log_event", file, "http", "-", stdin=subprocess.PIPE)
        assert command.stdin
        command.stdin.write(lines)
        command.stdin.flush()
        wait_until(lambda: server.counts("http", "24h", "cur") == {"a": 2})
        assert command.poll() is None
        return command

    return pipe


def test_counts_of_open_pipe_are_sent(
    endless: Callable[[str], subprocess.Popen[str]], server: Server
) -> None:
    command = endless("a\na\nhalf of a li")
    assert command.communicate("ne\nb\n", timeout=60) == ("", "")
    assert command.returncode == 0
    assert server.counts("http", "24h", "cur") == {"a": 2, "half of a line": 1, "b": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_pipe_loses_no_lines_read(
    number: signal.Signals, endless: Callable[[str], subprocess.Popen[str]], server: Server
) -> None:
    command = endless("a\na\n")
    assert command.stdin
    command.stdin.write("b\nb\nb\n")
    command.stdin.flush()
    pipe = command.stdin.fileno()
    wait_until(lambda: bytes_in(pipe) == 0 and waits(command.pid), what="the command wants more input")
    command.send_signal(number)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == 128 + number
    assert "Traceback" not in errors
    assert server.counts("http", "24h", "cur") == {"a": 2, "b": 3}


def bytes_in(pipe: int) -> int:
    """Returns the number of unread bytes in a pipe."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0])


def waits(pid: int) -> bool:
    """Returns whether every thread of a process sleeps."""
    threads = [stat.read_text() for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(thread.rpartition(")")[2].split()[0] == "S" for thread in threads)


# ecl_master --once


def test_master_once_rotates_from_cron(run: Run, file: Path, server: Server, days: Days) -> None:
    days.count("web", {"ok": 3}, days_ago=1)
    done = run("ecl_master", "--once", "-v", file)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("[INFO] Group 'web', interval '24h': rotated ") == 1
    assert server.counts("web", "24h", "last") == {"ok": 3, "error": 0}
    again = run("ecl_master", "--once", "-v", file)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert server.counts("web", "24h", "last") == {"ok": 3, "error": 0}


# ecl check


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Returns the output without the facts about the server and this machine."""
    facts = (": Valkey ", ": counting: ", ": spool directory: ")
    return [line for line in done.stdout.splitlines() if not any(fact in line for fact in facts)]


def test_check_of_healthy_system_finds_no_problems(run: Run, file: Path, spool_dir: Path) -> None:
    run("ecl_master", "--once", file)
    done = run("ecl", "check", file)
    server_line, counting_line, spool_line, conclusion = done.stdout.splitlines()
    assert server_line.startswith(f"{file}: Valkey ")
    assert counting_line.startswith(f"{file}: counting: {implementation()}")
    assert spool_line.startswith(f"{file}: spool directory: {spool_dir}")
    assert conclusion == f"{file}: no problems"
    assert (done.returncode, done.stderr) == (0, "")


def test_check_prints_every_problem_of_a_configuration(run: Run, config_file: Write) -> None:
    file = config_file("redis:\n  prot: 1\ngroups:\n  web:\n    intervals: [5x]\n    extra: 1\n")
    done = run("ecl", "check", file)
    *problems, conclusion = done.stdout.splitlines()
    assert [problem.partition(" is ")[0] for problem in problems] == [
        f"{file}:2: redis.prot:",
        f"{file}:5: groups.web.intervals[0]: '5x'",
        f"{file}:6: groups.web.extra:",
    ]
    assert "(did you mean 'port'?)" in problems[0]
    assert conclusion == f"{file}: 3 problems"
    assert (done.returncode, done.stderr) == (1, "")


def test_check_without_server_reports_it(run: Run, file_of_nothing: Path) -> None:
    done = run("ecl", "check", file_of_nothing)
    assert (done.returncode, done.stderr) == (3, "")
    (conclusion,) = complaints(done)
    assert conclusion.startswith(
        f"{file_of_nothing}: configuration has no problems; Redis could not be checked: Redis at 127.0.0.1:"
    )


def test_check_without_server_counts_configuration_problems(run: Run, config_file: Write) -> None:
    redis = {"host": "127.0.0.1", "port": free_port(), "socket_timeout": 0.5}
    file = config_file({"redis": redis, "groups": {"web": {**GROUPS["web"], "colour": "red"}}})
    done = run("ecl", "check", file)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(
        f"{file}: 1 problem; Redis could not be checked: Redis at "
    )


def test_check_of_missing_database_reports_reason(run: Run, server: Server, config_file: Write) -> None:
    file = config_file({"redis": {**server.config, "db": 99_999}, "groups": GROUPS})
    done = run("ecl", "check", file)
    assert (done.returncode, done.stderr) == (1, "")
    assert complaints(done) == [
        f"{file}: Redis at 127.0.0.1:{server.port}/99999 rejects the connection: DB index is out of range "
        "('db')",
        f"{file}: 1 problem; Redis could not be checked: see above",
    ]


def test_check_before_first_master_notes_next_step(run: Run, file: Path) -> None:
    done = run("ecl", "check", file)
    note, conclusion = complaints(done)
    assert re.fullmatch(
        rf"{file}: NOTE: \d+ intervals have no master yet \(start ecl_master, or send it SIGHUP to reload "
        r"the configuration\): group '\w+', interval '24h'; .*",
        note,
    )
    assert (done.returncode, conclusion) == (0, f"{file}: no problems")


def test_check_finds_overdue_rotation_without_master(run: Run, file: Path, days: Days) -> None:
    days.count("web", {"ok": 1}, days_ago=1)
    done = run("ecl", "check", file)
    assert done.returncode == 1
    overdue = rf"{file}: group 'web', interval '24h': rotation is \d+ s overdue: start ecl_master"
    assert re.search(rf"^{overdue}$", done.stdout, re.MULTILINE)
    assert re.search(
        rf"^{file}: NOTE: .* no master yet .*group 'http', interval '24h'", done.stdout, re.MULTILINE
    )
    assert "group 'web', interval '24h'" not in done.stdout.partition("NOTE")[2]


def broken(own_server: Server, state: str, directory: Path) -> tuple[dict[str, Any], Callable[[], object]]:
    """Make a server reject all counts; return its address, and a function that undoes this."""
    client = own_server.client
    if state == "replica":
        replica = Server("valkey", directory, "--replicaof", "127.0.0.1", str(own_server.port))
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        return replica.config, replica.kill
    if state == "memory":
        client.config_set("maxmemory", 1)
    elif state == "replicas":
        client.config_set("min-replicas-to-write", 1)
    else:
        (own_server.directory / "dump.rdb").mkdir()
        client.config_set("save", "3600 1000")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    return own_server.config, client.close


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ("replica", "a read-only replica accepts no counts: set 'redis' to its primary"),
        ("memory", "counts are rejected, because the memory is full (OOM): raise maxmemory"),
        (
            "replicas",
            "all writes are rejected, because too few replicas are connected (NOREPLICAS): see INFO",
        ),
        (
            "disk",
            "all writes are rejected, because the data cannot be saved (MISCONF): see the log of the server",
        ),
    ],
)
def test_check_reports_rejecting_server_once(
    state: str, problem: str, run: Run, own_server: Server, tmp_path: Path, config_file: Write
) -> None:
    (tmp_path / "replica").mkdir()
    redis, undo = broken(own_server, state, tmp_path / "replica")
    groups = {f"g{number}": {**GROUPS["web"], "durability": "replicas"} for number in range(20)}
    try:
        file = config_file({"redis": redis, "groups": groups})
        done = run("ecl", "check", file)
    finally:
        undo()
    lines = [line for line in complaints(done) if "NOTE" not in line]
    assert lines[0].startswith(f"{file}: Redis at 127.0.0.1:{redis['port']}/0: {problem}")
    assert (done.returncode, lines[1:]) == (1, [f"{file}: 1 problem"])


def test_check_reports_missing_permissions_once_for_all_groups(
    run: Run, any_server: Server, config_file: Write
) -> None:
    with any_server.client as client:
        client.execute_command(
            "ACL", "SETUSER", "me", "on", ">hush5", "~*", "+@all", "-xadd", "-zadd", "-time"
        )
    redis = {**any_server.config, "username": "me", "password": "hush5"}
    groups = {f"g{number}": GROUPS["web"] for number in range(5)}
    done = run("ecl", "check", config_file({"redis": redis, "groups": groups}))
    problem, conclusion = [line for line in complaints(done) if ": Redis " not in line]
    assert problem.endswith(
        ": groups 'g0', 'g1', 'g2' and 2 more: the user has no permission for TIME, ZADD, XADD "
        "(grant it with ACL SETUSER)"
    )
    assert (done.returncode, conclusion.rpartition(": ")[2]) == (1, "1 problem")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"maxmemory-policy": "allkeys-lru"},
            "maxmemory-policy is 'allkeys-lru': the server may drop counters at any time (use noeviction)",
        ),
        (
            {"appendonly": "no", "save": ""},
            "persistence is off: a restart of the server loses all counts (use appendonly yes)",
        ),
    ],
)
def test_check_finds_settings_that_lose_counts(
    run: Run, own_server: Server, config_file: Write, settings: dict[str, str], problem: str
) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS})
    assert run("ecl_master", "--once", file).returncode == 0
    with own_server.client as client:
        for name, value in settings.items():
            client.config_set(name, value)
    done = run("ecl", "check", file)
    assert done.returncode == 1
    assert complaints(done) == [f"{file}: {problem}", f"{file}: 1 problem"]


@pytest.mark.parametrize(
    ("permissions", "problem"),
    [
        (["~*", "+@all", "-sadd"], "the user has no permission for SADD "),
        (["~*", "+@all", "-incrby", "-config"], "the user has no permission for INCRBY "),
        (["~*", "+@all", "-evalsha", "-eval"], "the user has no permission for EVALSHA "),
        (["~http:*", "+@all"], "the user has no permission for the keys of the group "),
    ],
)
def test_check_finds_missing_permissions(
    run: Run, own_server: Server, config_file: Write, permissions: list[str], problem: str
) -> None:
    with own_server.client as client:
        client.execute_command("ACL", "SETUSER", "me", "on", ">hush5", *permissions)
    redis = {**own_server.config, "username": "me", "password": "hush5"}
    done = run("ecl", "check", config_file({"redis": redis, "groups": GROUPS}))
    assert done.returncode == 1
    assert re.search(rf": groups? 'web'.*: {problem}", done.stdout)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("web:@totals", "hash"),
        ("web:@totals_interval", "string"),
        ("web:@idle", "zset"),
        ("web:@masters", "hash"),
        ("web:@sources", "hash"),
        ("web:24h:@finished", "string"),
    ],
)
def test_check_finds_keys_of_unexpected_type(
    run: Run, file: Path, server: Server, key: str, expected: str
) -> None:
    run("ecl_master", "--once", file)
    with server.client as client:
        client.delete(key)
        client.rpush(key, "foreign")
    done = run("ecl", "check", file)
    assert complaints(done) == [
        f"{file}: group 'web': key {key} has an unexpected type (list, expected {expected}): "
        "rename or delete it",
        f"{file}: 1 problem",
    ]
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "foreign", [("SET", "web:24h:@history", "x"), ("XADD", "web:24h:@history", "*", "a", "b")]
)
def test_check_finds_unreadable_history(
    run: Run, file: Path, server: Server, foreign: tuple[str, ...]
) -> None:
    run("ecl_master", "--once", file)
    with server.client as client:
        client.execute_command(*foreign)
    done = run("ecl", "check", file)
    problem, conclusion = complaints(done)
    assert problem.startswith(f"{file}: group 'web': Redis rejects the request (key web:24h:@history): ")
    assert (done.returncode, conclusion) == (1, f"{file}: 1 problem")


# All commands

COMMANDS = {
    "ecl_reader": ("-g", "web"),
    "ecl_log_event": ("web", "ok"),
    "ecl_master": ("--once",),
}


def arguments_of(command: str, file: object) -> list[Any]:
    return (
        ["ecl_log_event", file, "web", "ok"]
        if command == "ecl_log_event"
        else [command, *COMMANDS[command], file]
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_unreachable_server_exits_with_3(run: Run, file_of_nothing: Path, command: str) -> None:
    done = run(*arguments_of(command, file_of_nothing))
    assert (done.returncode, done.stdout) == (3, "")
    last_line = done.stderr.splitlines()[-1]
    assert last_line.startswith("ERROR: Redis at 127.0.0.1:")
    assert "cannot be reached" in last_line
    assert "Traceback" not in done.stderr


def test_lines_not_counted_by_unreachable_server_are_reported(run: Run, file_of_nothing: Path) -> None:
    done = run("ecl_log_event", file_of_nothing, "http", "-", input="a\nb\na\n")
    assert done.returncode == 3
    assert "; 3 counts of group 'http' are kept in /" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("-g", "web")])
def test_munin_format_of_reader_exits_with_3_without_redis(
    run: Run, file_of_nothing: Path, arguments: tuple[str, ...]
) -> None:
    done = run("ecl_reader", file_of_nothing, "--format", "munin", *arguments)
    assert done.returncode == 3
    assert "ok.value U\nerror.value U\n" in done.stdout
    assert done.stderr.startswith("WARNING: Redis at 127.0.0.1:")


def test_error_of_full_memory_names_no_script(own_server: Server, run: Run, config_file: Write) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS})
    own_server.client.config_set("maxmemory", 1)
    done = run("ecl_master", "--once", file)
    assert done.returncode == 3
    assert "'maxmemory'" in done.stderr
    assert "script" not in done.stderr


UNSPOOLED = {"web": {"events": ["ok"], "intervals": ["24h"], "spool": False}}


def test_refused_count_is_kept_in_spool_file(own_server: Server, run: Run, config_file: Write) -> None:
    file = config_file({"redis": own_server.config, "groups": GROUPS})
    own_server.client.config_set("maxmemory", 1)
    (error,) = run("ecl_log_event", file, "web", "ok").stderr.splitlines()
    assert error.count("kept") == 1
    assert re.search(r"; 1 count of group 'web' is kept in /.+: do not repeat the command$", error)


def test_refused_count_without_spool_file_is_lost(own_server: Server, run: Run, config_file: Write) -> None:
    file = config_file({"redis": own_server.config, "groups": UNSPOOLED})
    own_server.client.config_set("maxmemory", 1)
    done = run("ecl_log_event", file, "web", "ok")
    assert done.returncode == 3
    assert "kept" not in done.stderr
    assert done.stderr.endswith("; 1 count of group 'web' is not counted, and lost\n")


def test_unanswered_count_without_spool_file_may_be_counted(
    server: Server, proxy: Proxy, run: Run, config_file: Write
) -> None:
    redis = {**proxy.config, "socket_timeout": 1}
    file = config_file({"redis": redis, "groups": UNSPOOLED})
    assert run("ecl_log_event", file, "web", "ok", "2").returncode == 0  # loads the script into Redis
    proxy.lose_replies = 1000
    done = run("ecl_log_event", file, "web", "ok", "5")
    assert (done.returncode, server.counts("web", "24h", "cur")) == (3, {"ok": 7})
    unknown = "5 counts of group 'web' are either in Redis or lost: repeating the command may count twice"
    assert done.stderr.endswith(f"; {unknown}\n")


def test_unconfirmed_count_without_spool_file_is_in_redis(
    own_server: Server, run: Run, config_file: Write
) -> None:
    groups = {"web": {**UNSPOOLED["web"], "durability": "replicas"}}
    file = config_file({"redis": own_server.config, "groups": groups})
    done = run("ecl_log_event", file, "web", "ok")
    assert (done.returncode, own_server.counts("web", "24h", "cur")) == (3, {"ok": 1})
    fate = "1 count of group 'web' is in Redis, though not confirmed: do not repeat the command"
    assert done.stderr.endswith(f"; {fate}\n")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("redis: {port: x}\n", ":1: redis.port: 'x' is not a TCP port (1 to 65535)"),
        ("groups: {web: {intervals: [5x, 6x]}}\n", " (and 1 more: see ecl check)"),
        ("- 1\n", ":1: [1] is not a mapping with the sections 'groups' and 'redis'"),
    ],
)
def test_invalid_configuration_exits_with_2(
    run: Run, config_file: Write, command: str, content: str, message: str
) -> None:
    file = config_file(content)
    done = run(*arguments_of(command, file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ERROR: {file}:")
    assert done.stderr.endswith(f"{message}\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_configuration_exits_with_2(run: Run, tmp_path: Path, command: str) -> None:
    missing = tmp_path / "missing.yml"
    done = run(*arguments_of(command, missing))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ERROR: {missing}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("ecl_reader", "Missing argument 'CONFIG'"),
        ("ecl_reader FILE", "Missing option '-g' / '--group'"),
        ("ecl_reader FILE -g", "'-g' requires an argument"),
        ("ecl_reader FILE -g web surplus", "surplus"),
        ("ecl_reader FILE -g web --unknown", "--unknown"),
        ("ecl_reader FILE -g web --last --both", "--last and --both exclude each other"),
        ("ecl_master", "Missing argument 'CONFIG'"),
        ("ecl_master FILE --twice", "--twice"),
        ("ecl_log_event", "Missing argument 'CONFIG GROUP EVENT [COUNT]'"),
        ("ecl_log_event FILE web", "expected CONFIG GROUP EVENT [COUNT], not 2 arguments"),
        ("ecl_log_event FILE web ok 1 2", "expected CONFIG GROUP EVENT [COUNT], not 5 arguments"),
        ("ecl_log_event FILE web ok 1.5", "COUNT must be an integer, not '1.5'"),
        ("ecl_log_event FILE web ok many", "COUNT must be an integer, not 'many'"),
        ("ecl_log_event FILE web ok -- -1", "COUNT must be from 0 to 2^63-1, not -1"),
        (
            "ecl_log_event FILE web ok 9223372036854775808",
            "COUNT must be from 0 to 2^63-1, not 9223372036854775808",
        ),
        ("ecl_log_event FILE web - 5", "COUNT cannot be used with events from standard input"),
        ("ecl nonsense", "No such command 'nonsense'"),
        ("ecl check", "Missing argument 'CONFIG'"),
    ],
)
def test_wrong_command_line_is_reported_in_one_line(
    run: Run, file: Path, server: Server, command: str, message: str
) -> None:
    done = run(*(str(file) if word == "FILE" else word for word in command.split()), ECL_CONFIG="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ERROR: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert server.everything() == {}


@pytest.mark.parametrize(
    "command",
    [
        ["ecl_reader"],
        ["ecl_log_event"],
        ["ecl_master"],
        ["ecl", "check"],
        ["ecl", "reader"],
        ["ecl", "log_event"],
        ["ecl", "master"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_has_an_example(run: Run, command: list[str], option: str) -> None:
    done = run(*command, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example:\n    $ ecl" in done.stdout
    assert "Exit status: 0" in done.stdout
    assert "ECL_CONFIG" in done.stdout


@pytest.mark.parametrize("command", ["ecl_reader", "ecl_log_event", "ecl_master", "ecl"])
def test_every_command_prints_its_version(run: Run, command: str) -> None:
    done = run(command, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{command} 2.0.0 (counting: {implementation()})\n"


def test_ecl_config_in_environment_names_configuration(run: Run, file: Path, server: Server) -> None:
    commands = ["ecl_log_event web ok", "ecl_log_event web ok 2", "ecl log_event web -", "ecl_master --once"]
    for command in commands:
        assert run(*command.split(), input="ok\n", ECL_CONFIG=str(file)).returncode == 0
    reader = run("ecl", "reader", "-g", "web", "--current", ECL_CONFIG=str(file))
    assert reader.stdout == "error:0\nok:4\n"
    assert run("ecl", "check", ECL_CONFIG=str(file)).stdout.endswith(f"{file}: no problems\n")


def test_argument_takes_precedence_over_environment(run: Run, file: Path) -> None:
    for arguments in (["web", "ok"], ["web", "ok", "2"]):
        assert run("ecl_log_event", file, *arguments, ECL_CONFIG="/nonexistent").returncode == 0
    reader = run("ecl_reader", file, "-g", "web", "--current", ECL_CONFIG="/nonexistent")
    assert reader.stdout == "error:0\nok:3\n"


def test_password_in_url_is_not_printed(run: Run, config_file: Write) -> None:
    port = free_port()
    file = config_file({"redis": {"url": f"redis://me:hush5@127.0.0.1:{port}/0"}, "groups": GROUPS})
    done = run("ecl_reader", file, "-g", "web")
    assert done.returncode == 3
    assert done.stderr.startswith(f"ERROR: Redis at redis://***@127.0.0.1:{port}/0 cannot be reached: ")
    assert "hush5" not in done.stderr


def test_failed_rotation_does_not_stop_other_groups(run: Run, server: Server, config_file: Write) -> None:
    groups = {name: {"events": ["a"], "intervals": ["1s"]} for name in ("bad", "good")}
    server.client.mset({"bad:1s:cur:@ts": 1, "good:1s:cur:@ts": 1, "bad:1s:cur:@events": "x"})
    done = run("ecl_master", "--once", config_file({"redis": server.config, "groups": groups}))
    assert (done.returncode, done.stderr.count("ERROR: Redis rejects the request (key ")) == (3, 1)
    assert server.client.get("good:1s:last:@ts") == "1"


def test_endless_line_is_skipped_without_using_memory(start: Start, file: Path, server: Server) -> None:
    process = start("ecl_log_event", file, "http", "-", stdin=subprocess.PIPE)
    _, err = process.communicate("x" * 50_000_000 + "\na\n", timeout=60)
    assert process.returncode == 1
    assert "more than 512 (1 line)" in err
    assert server.counts("http", "24h", "cur") == {"a": 1}


@pytest.mark.parametrize("closed", [1, 2])
def test_commands_run_with_closed_streams(closed: int, file: Path, days: Days, start: Start) -> None:
    reader = start("sh", "-c", f'exec "$0" "$@" {closed}>&-', BIN / "ecl_reader", file, "-g", "web")
    assert reader.wait(60) == 0


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("ecl munin --config FILE ecl_web_24h", "ok.value U\nerror.value U\n"),
        ("ecl_reader FILE -g web", ""),
        ("ecl_reader FILE -g web --unknown", ""),
    ],
)
def test_errors_go_to_standard_error_only(
    command: str, data: str, file_of_nothing: Path, start: Start
) -> None:
    words = [str(file_of_nothing) if word == "FILE" else word for word in command.split()]
    process = start("sh", "-c", 'exec "$0" "$@" 2>&-', BIN / words[0], *words[1:])
    output, _ = process.communicate(timeout=60)
    assert output == data.replace("FILE", str(file_of_nothing))


def test_unwritable_output_is_reported(file: Path, days: Days) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [BIN / "ecl_reader", file, "-g", "web"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "ERROR: output cannot be written: No space left on device"


def test_json_is_valid_in_any_encoding(run: Run, file: Path, days: Days) -> None:
    days.count("http", {"é": 1})
    done = run("ecl_reader", file, "-g", "http", "--current", "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["counts"] == {"é": 1}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["web", "ok"], 0),
        (["web", "ok", "5"], 0),
        (["missing.yml", "web", "ok"], 2),
        (["./web", "web", "404"], 2),
    ],
)
def test_first_argument_is_recognized_as_configuration(
    arguments: list[str], status: int, run: Run, file: Path
) -> None:
    done = run("ecl_log_event", *arguments, ECL_CONFIG=str(file))
    assert done.returncode == status, done.stderr
    if status:
        assert f"{arguments[0]}: cannot be read" in done.stderr


def test_check_reports_wrong_password(run: Run, own_server: Server, config_file: Write) -> None:
    own_server.client.config_set("requirepass", "right")
    for password in ({}, {"password": "wrong"}):
        done = run(
            "ecl", "check", config_file({"redis": {**own_server.config, **password}, "groups": GROUPS})
        )
        assert done.returncode == 1, done.stdout


def test_ecl_alone_prints_its_help_as_a_usage_error(run: Run) -> None:
    done = run("ecl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == run("ecl", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["readr"], "No such command 'readr'. Did you mean 'reader'?"),
        (["log-evnt"], "No such command 'log-evnt'. Did you mean 'log_event'?"),
        (["x"], "No such command 'x'. Commands: alert, check, export, files, "),
        (["--versio"], "No such option '--versio'. Did you mean '--version'?"),
        (["reader", "--intervall"], "No such option '--intervall'. Did you mean '--interval'?"),
    ],
)
def test_misspelt_command_or_option_is_suggested(run: Run, arguments: list[str], message: str) -> None:
    done = run("ecl", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ERROR: {message}")
