"""Streams: each record is counted exactly once, through failures of the program and of Redis."""

from __future__ import annotations

import enum
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import DUMMY_EVENT_GROUP, EventGroup, Rejected, SourceMoved
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.intervals import Interval
from event_count_logger.store import Store
from tests.conftest import ROOT
from tests.fixtures import Make, Start, Write
from tests.servers import Proxy, Server, wait_until

PROGRAMS = Path(__file__).parent / "programs"
EXAMPLES = ROOT / "docs" / "examples"
SETTINGS: dict[str, Any] = {"events": ["even", "odd"], "intervals": ["1h", "2h"]}
SUMS = {"even": 2550, "odd": 2500}

Records = list[tuple[Any, Any, Any]]


def numbers(first: int = 0, last: int = 100) -> Records:
    return [(number, "odd" if number % 2 else "even", number) for number in range(first, last + 1)]


def counted(server: Server) -> dict[str, int]:
    counts = server.counts("g", "1h", "cur")
    assert counts == server.counts("g", "2h", "cur")
    return counts


@pytest.fixture
def group(server: Server, logger: Make) -> EventGroup:
    found = logger({"g": SETTINGS}, server.config)["g"]
    assert isinstance(found, EventGroup)
    return found


def test_record_given_repeatedly_is_counted_once(group: EventGroup, server: Server) -> None:
    assert group.consume("s", numbers(last=60)) == "60"
    assert group.consume("s", numbers()) == "100"
    assert group.consume("s", numbers()) == "100"
    assert counted(server) == SUMS
    assert server.client.hgetall("g:@sources") == {"s": "100"}


def test_stream_named_like_a_process_keeps_its_position(group: EventGroup, server: Server) -> None:
    """Earlier versions took 32 hexadecimal digits, a dot and digits for the ID of a process."""
    name = "5d41402abc4b2a76b9719d911017c592.20240101"
    config = GroupConfig("g", (Interval.parse("1h"), Interval.parse("2h")), source_ttl=3600)
    store = Store(RedisConfig(**server.config))
    assert group.consume(name, numbers()) == "100"
    for hours in (0, 2, 4, 6):
        store.sources.prune(config, time.time() + hours * 3600)
    assert group.consume(name, numbers()) == "100"
    assert counted(server) == SUMS
    store.close()


def test_stream_with_reserved_name_raises_value_error(group: EventGroup) -> None:
    with pytest.raises(ValueError, match="'@s' is not the ID of a source: it begins with '@'"):
        group.consume("@s", numbers())


def test_streams_of_different_names_have_separate_positions(group: EventGroup, server: Server) -> None:
    group.consume("s", [(0, "odd", 1)])
    group.consume("t", [(0, "odd", 1)])
    assert counted(server) == {"odd": 2}


def test_stream_without_records_has_no_position(group: EventGroup, server: Server) -> None:
    assert group.consume("s", []) == ""
    assert server.everything() == {}


def test_record_of_any_type_is_read_with_given_functions(group: EventGroup, server: Server) -> None:
    records = [{"at": 7, "parity": "odd", "n": 3}, {"at": 8, "parity": "even", "n": 4}]
    position = group.consume(
        "s",
        records,
        position=lambda record: record["at"],
        key=lambda record: record["parity"],
        count=lambda record: record["n"],
    )
    assert (position, counted(server)) == ("8", {"odd": 3, "even": 4})


def test_records_function_is_called_with_the_stored_position(group: EventGroup, server: Server) -> None:
    asked = []

    def after(position: str) -> Iterator[tuple[int, str, int]]:
        asked.append(position)
        yield from numbers(int(position or -1) + 1, 50 if len(asked) == 1 else 100)

    group.consume("s", after)
    group.consume("s", after)
    assert (asked, counted(server)) == (["", "50"], SUMS)


def test_numbers_in_positions_are_ordered_as_numbers(group: EventGroup, server: Server) -> None:
    positions = ["999-9", "999-10", "1000-0", "1000-1", "1000-1-a", "1000-2"]
    for end in range(len(positions) + 1):
        group.consume("s", [(position, "odd", 1) for position in positions[:end]])
    assert counted(server) == {"odd": 6}
    assert server.client.hget("g:@sources", "s") == "1000-2"


def test_callback_gets_each_confirmed_position(group: EventGroup, server: Server) -> None:
    confirmed = []

    def committed(position: str) -> None:
        assert server.client.hget("g:@sources", "s") == position
        confirmed.append(position)

    group.consume("s", numbers(last=6), batch_size=3, committed=committed)
    assert confirmed == ["2", "5", "6"]


def test_none_among_records_commits_the_batch(group: EventGroup, server: Server) -> None:
    def records() -> Iterator[tuple[int, str, int] | None]:
        yield None
        yield (1, "odd", 1)
        yield None
        assert counted(server) == {"odd": 1}
        yield None
        yield (2, "odd", 1)

    assert group.consume("s", records()) == "2"
    assert counted(server) == {"odd": 2}


def test_slow_stream_is_committed_every_second(group: EventGroup, server: Server) -> None:
    def records() -> Iterator[tuple[int, str, int]]:
        yield (1, "odd", 1)
        begun = time.monotonic()  # the stream has this record, and its second has begun
        wait_until(lambda: time.monotonic() - begun > 1)
        yield (2, "odd", 1)
        assert counted(server) == {"odd": 1}

    group.consume("s", records())
    assert counted(server) == {"odd": 2}


def test_records_with_one_position_are_committed_together(group: EventGroup, server: Server) -> None:
    seen: list[str] = []
    records = [(at, "odd", 1) for at in (1, 1, 1, 2, 3, 3)]
    group.consume("s", records, batch_size=2, committed=seen.append)
    assert (seen, counted(server)) == (["1", "3"], {"odd": 6})
    with pytest.raises(ValueError, match="position 4 is repeated after its commit"):
        group.consume("s", [(4, "odd", 1), None, (4, "odd", 1)])


@pytest.mark.parametrize("positions", [(1, 2, 1), (11, 12, 3), (3, 2, 11), ("a-9", "a-10", "a-9")])
def test_position_that_goes_back_raises_value_error(
    positions: tuple[Any, ...], group: EventGroup, server: Server
) -> None:
    server.client.hset("g:@sources", "s", "10" if positions[0] != 1 else "0")
    with pytest.raises(ValueError, match="positions must not go back"):
        group.consume("s", [(position, "odd", 1) for position in positions])
    assert counted(server) == {}


def test_undeclared_event_of_a_record_is_not_counted(
    group: EventGroup, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    assert group.consume("s", [(1, "x", 1), (2, "x", 1), (3, "odd", 0), (4, "y", 0)]) == "4"
    assert counted(server) == {}
    assert caplog.messages == ["Event 'x' of group 'g' is not declared: not counted"]


def test_events_above_the_cardinality_limit_count_as_overflow(server: Server, logger: Make) -> None:
    settings = {"auto_declare_events": True, "intervals": ["1h", "2h"], "max_events": 2}
    group = logger({"g": settings}, server.config)["g"]
    group.consume("s", [(at, f"e{at}", 1) for at in range(5)])
    assert counted(server) == {"e0": 1, "e1": 1, "@overflow": 3}


class Kind(str, enum.Enum):
    ODD = "odd"


class Index:
    def __index__(self) -> int:
        return 5


def test_values_with_index_or_of_str_enums_count_as_plain_values(group: EventGroup, server: Server) -> None:
    group.consume("s", [(Index(), Kind.ODD, Index())])
    assert counted(server) == {"odd": 5}
    assert server.client.hgetall("g:@sources") == {"s": "5"}


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ((1.5, "odd", 1), "TypeError: a position must be an integer or a string, not 1.5"),
        ((True, "odd", 1), "TypeError: a position must be an integer or a string, not True"),
        ((-1, "odd", 1), "ValueError: a position must not be negative, as -1 is"),
        (("", "odd", 1), "ValueError: '' is not a position: it is empty"),
        ((9, 7, 1), "TypeError: position 9: event_id must be a string, not 7"),
        ((9, "odd", "1"), "TypeError: position 9: count must be an integer, not '1'"),
        ((9, "odd", -1), "ValueError: position 9: count must be from 0 to 2^63-1, not -1"),
        ((9, "odd"), "TypeError: (9, 'odd') is not (position, event, count): give a function for its count"),
        ({"at": 1}, "TypeError: {'at': 1} is not (position, event, count): give a function for its position"),
    ],
)
def test_record_of_wrong_type_is_named_in_the_error(
    record: Any, error: str, group: EventGroup, server: Server
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        group.consume("s", [(0, "odd", 1), record])
    assert f"{caught.type.__name__}: {caught.value}" == error
    assert server.everything() == {}


def test_invalid_event_of_a_record_is_named_in_the_error(server: Server, logger: Make) -> None:
    group = logger({"g": {**SETTINGS, "auto_declare_events": True}}, server.config)["g"]
    with pytest.raises(ValueError, match="position 3: '@x' is not an event ID: it begins with '@'"):
        group.consume("s", [(3, "@x", 1)])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"source_id": 7}, "the ID of a source must be a string, not 7"),
        ({"source_id": ""}, "'' is not the ID of a source: it is empty"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_consume_rejects_invalid_arguments(arguments: dict[str, Any], error: str, group: EventGroup) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        group.consume(**{"source_id": "s", "records": [], **arguments})
    assert str(caught.value) == error


def test_exception_of_a_given_function_is_passed_on(group: EventGroup, server: Server) -> None:
    with pytest.raises(json.JSONDecodeError):
        group.consume("s", [(0, "odd", "no number")], count=lambda record: int(json.loads(record[2])))
    assert server.everything() == {}


def test_second_consumer_of_a_stream_raises_source_moved(group: EventGroup, server: Server) -> None:
    def records() -> Iterator[tuple[int, str, int]]:
        yield from numbers(last=5)
        group.consume("s", numbers(last=50))
        yield from numbers(6)

    with pytest.raises(SourceMoved, match="Source 's' is at position '50', expected '3'"):
        group.consume("s", records(), batch_size=4)
    group.consume("s", numbers())
    assert counted(server) == SUMS


def test_rereadable_stream_resumes_after_redis_lost_data(
    group: EventGroup, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    forgetting: list[Callable[[], None]] = []

    def records(after: str) -> Iterator[tuple[int, str, int]]:
        for record in numbers(int(after or -1) + 1):
            if record[0] == 20:
                forgetting.append(server.remember())
            if record[0] == 60 and len(forgetting) == 1:
                forgetting[0]()
            yield record

    group.consume("s", records, batch_size=4)
    assert len(forgetting) == 2, "it was read again"
    assert counted(server) == SUMS
    assert "Redis has lost data; reading again from there, no counts lost" in caplog.text


def test_one_time_stream_stops_after_redis_lost_data(group: EventGroup, server: Server) -> None:
    def records() -> Iterator[tuple[int, str, int]]:
        yield from numbers(last=20)
        forget = server.remember()
        yield from numbers(21, last=60)
        forget()
        yield from numbers(61)

    with pytest.raises(SourceMoved):
        group.consume("s", records(), batch_size=4)
    group.consume("s", numbers())
    assert counted(server) == SUMS


def test_rejected_batch_stops_consume_and_loses_nothing(group: EventGroup, server: Server) -> None:
    server.client.lpush("g:1h:cur:odd", "x")
    with pytest.raises(Rejected, match="g:1h:cur:odd"):
        group.consume("s", numbers())
    server.client.delete("g:1h:cur:odd")
    group.consume("s", numbers())
    assert counted(server) == SUMS


@pytest.mark.parametrize("gone", ["stalled", "killed"])
def test_consume_waits_while_redis_is_unavailable(gone: str, own_server: Server, logger: Make) -> None:
    group = logger({"g": SETTINGS}, {**own_server.config, "socket_timeout": 0.3})["g"]
    back = own_server.go_on if gone == "stalled" else own_server.start
    timer = threading.Timer(0.5, back)

    def records() -> Iterator[tuple[int, str, int]]:
        yield from numbers(last=49)
        own_server.stall() if gone == "stalled" else own_server.kill()
        timer.start()
        yield from numbers(50)

    assert group.consume("s", records(), batch_size=10) == "100"
    timer.join()
    assert counted(own_server) == SUMS


def test_batch_with_lost_reply_is_counted_once(server: Server, proxy: Proxy, logger: Make) -> None:
    group = logger({"g": SETTINGS}, {**proxy.config, "socket_timeout": 0.3})["g"]

    def lose_next(position: str) -> None:
        proxy.lose_replies = int(position) < 60

    group.consume("s", numbers(), batch_size=30, committed=lose_next)
    assert proxy.lost == 2
    assert counted(server) == SUMS


def test_lost_position_is_logged_and_consume_continues(
    group: EventGroup, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def records() -> Iterator[tuple[int, str, int]]:
        yield from numbers(last=50)
        server.client.flushall()
        yield from numbers(51)

    group.consume("s", records(), batch_size=10)
    assert counted(server) == {"even": 2550 - 600, "odd": 2500 - 625}
    (message,) = caplog.messages
    assert "has lost data: source 's' of group 'g' has no position, expected 49" in message


def test_group_that_is_not_configured_reads_no_records() -> None:
    assert DUMMY_EVENT_GROUP.consume("s", numbers(), batch_size=5) == ""


def test_consumers_killed_at_random_times_count_each_record_once(server: Server, seed: int) -> None:
    program = [sys.executable, str(PROGRAMS / "killed_consumer.py"), json.dumps(server.config), str(seed)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 5
    assert counted(server) == SUMS


# The examples


def test_documented_file_example_counts_each_line_once(
    server: Server, start: Start, config_file: Write, tmp_path: Path, chance: random.Random
) -> None:
    file = tmp_path / "numbers.txt"
    file.write_text("".join(f"{number}\n" for number in range(101)))
    path = config_file({"redis": server.config, "groups": {"g": SETTINGS}})
    command = [sys.executable, EXAMPLES / "number_file.py", path, "g", file]
    for _ in range(3):
        process = start(*command)
        with suppress(subprocess.TimeoutExpired):  # the time does not matter
            process.wait(chance.uniform(0.1, 0.6))
        process.kill()
        process.wait()
    process = start(*command)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert counted(server) == SUMS


def test_documented_redis_stream_example_counts_each_entry_once(
    server: Server, start: Start, config_file: Write, chance: random.Random
) -> None:
    path = config_file({"redis": server.config, "groups": {"g": SETTINGS}})
    command = [
        sys.executable,
        EXAMPLES / "redis_stream.py",
        path,
        "g",
        f"redis://127.0.0.1:{server.port}",
        "st",
    ]
    running = {name: start(*command, name) for name in ("one", "two")}

    def add(first: int, last: int) -> None:
        for _, event, count in numbers(first, last):
            server.client.xadd("st", {"event": event, "count": count})

    for number in range(5):
        add(20 * number, 20 * number + 19)
        time.sleep(chance.uniform(0, 0.4))  # the time does not matter
        name = chance.choice([*running])
        running[name].send_signal(signal.SIGKILL)
        running[name].wait()
        running[name] = start(*command, name)
    add(100, 100)
    wait_until(lambda: server.counts("g", "2h", "cur") == SUMS, what="all entries are counted")
    wait_until(lambda: server.client.xpending("st", "g")["pending"] == 0, what="all are acknowledged")
    assert counted(server) == SUMS
