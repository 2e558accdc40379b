"""Counting in programs with an event loop: calls do not wait for Redis, and no count is lost."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from event_count_logger.counting import event_loops, syncer
from event_count_logger.dummy_group import DUMMY_EVENT_GROUP, DummyEventGroup
from event_count_logger.group import EventGroup
from tests.fixtures import Make
from tests.servers import Proxy, Server, wait_until

#: Seconds for which a call that waits for Redis would wait, and which are far more than any other call takes.
TIMEOUT_S, LONGEST_S = 10.0, 5.0

COMMON: dict[str, Any] = {"events": ["e", "visit"], "intervals": ["1h"], "sessions": {}}
GROUPS = {"direct": COMMON, "at-once": {**COMMON, "sync_interval": 0}}

RunInLoop = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def run_in_loop(request: pytest.FixtureRequest) -> RunInLoop:
    """Returns a function that runs a coroutine, one for each kind of event loop."""
    pytest.importorskip(request.param)
    backend, options = request.param, {}
    if request.param == "uvloop":
        backend, options = "asyncio", {"use_uvloop": True}
    return lambda main: anyio.run(main, backend=backend, backend_options=options)


@asynccontextmanager
async def another_task() -> AsyncIterator[list[float]]:
    """Runs a task beside the block; the list gets the longest time in seconds for which the task waited."""
    longest = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(0.005)
            longest[0] = max(longest[0], time.monotonic() - before)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await anyio.sleep(0.01)
        yield longest
        await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


def count(group: EventGroup | DummyEventGroup, number: int) -> None:
    """Make each call that sends something; `counted` has the expected counts."""
    group.log("e")
    group.counter("e").inc()
    with group.outcome("e"):
        start = time.time() - 60
    session = group.session(f"session {number}", "visit")
    session.start(start)
    session.heartbeat(start + 2)
    session.end(start + 5)
    group.end_session(f"session {number}")


def counted(times: int) -> dict[str, int]:
    return {"e": 3 * times, "visit": times, "visit:ms": 5000 * times}


def has_arrived(server: Server, group: str, times: int) -> Callable[[], bool]:
    return lambda: server.counts(group, "1h", "cur") == counted(times)


# A loop and a Redis that does not answer

TROUBLES = ["stalled", "stalled before the first call", "down"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_calls_in_coroutine_do_not_block_loop_without_redis(
    trouble: str, run_in_loop: RunInLoop, own_server: Server, logger: Make
) -> None:
    groups = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})
    times = 30
    if trouble == "stalled":
        for name in GROUPS:
            count(groups[name], 0)

    async def main() -> float:
        async with another_task() as longest:
            for number in range(times):
                for name in GROUPS:
                    count(groups[name], number)
                await anyio.sleep(0.001)
        return longest[0]

    begin, end = (
        (own_server.kill, own_server.start) if trouble == "down" else (own_server.stall, own_server.go_on)
    )
    begin()
    try:
        assert run_in_loop(main) < LONGEST_S
    finally:
        end()
    for name in GROUPS:
        expected = {**counted(times), "e": 3 * (times + 1)} if trouble == "stalled" else counted(times)
        wait_until(lambda: own_server.counts(name, "1h", "cur") == expected)  # noqa: B023 - called at once


def test_asyncio_debug_finds_no_slow_callback_while_redis_stalls(
    own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    groups = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = LONGEST_S
        for number in range(3):
            for name in GROUPS:
                count(groups[name], number)
            await asyncio.sleep(0)

    own_server.stall()
    try:
        asyncio.run(main(), debug=True)
    finally:
        own_server.go_on()
    assert not [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    for name in GROUPS:
        wait_until(has_arrived(own_server, name, 3))


def test_counts_of_coroutine_arrive_without_further_calls(
    run_in_loop: RunInLoop, server: Server, logger: Make
) -> None:
    groups = logger(GROUPS, server.config)

    async def main() -> None:
        for number in range(10):
            for name in GROUPS:
                count(groups[name], number)
        while not all(has_arrived(server, name, 10)() for name in GROUPS):
            await anyio.sleep(0.01)

    run_in_loop(_within(6 * LONGEST_S, main))


def _within(seconds: float, main: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    async def limited() -> Any:
        with anyio.fail_after(seconds):
            return await main()

    return limited


def test_busy_coroutine_queues_few_requests_for_background_thread(own_server: Server, logger: Make) -> None:
    group = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})["direct"]
    group.log("e")

    async def main() -> int:
        for _ in range(5000):
            group.log("e")
        return len(syncer.current()._inbox)

    own_server.stall()
    try:
        assert asyncio.run(main()) < 10
    finally:
        own_server.go_on()
    wait_until(lambda: own_server.counts("direct", "1h", "cur")["e"] == 5001)


def test_direct_log_in_thread_of_asyncio_program_waits_for_redis(server: Server, logger: Make) -> None:
    group = logger(GROUPS, server.config)["direct"]

    async def main() -> None:
        for number in range(1, 20):
            await asyncio.to_thread(group.log, "e")
            assert server.counts("direct", "1h", "cur")["e"] == number

    asyncio.run(main())


def test_direct_log_after_end_of_loop_waits_for_redis(
    run_in_loop: RunInLoop, server: Server, logger: Make
) -> None:
    group = logger(GROUPS, server.config)["direct"]

    async def main() -> None:
        group.log("e")

    run_in_loop(main)
    group.log("e")
    assert server.counts("direct", "1h", "cur")["e"] == 2


def test_log_beside_old_trio_is_counted(
    server: Server, logger: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = ModuleType("trio")
    older.lowlevel = ModuleType("trio.lowlevel")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trio", older)
    monkeypatch.setitem(sys.modules, "trio.lowlevel", older.lowlevel)
    logger(GROUPS, server.config)["direct"].log("e")
    assert server.counts("direct", "1h", "cur")["e"] == 1


# flush()


def test_flush_is_true_when_redis_has_confirmed_counts_and_sessions(
    run_in_loop: RunInLoop, server: Server, logger: Make
) -> None:
    groups = logger(GROUPS, server.config)

    async def main() -> None:
        for number in range(5):
            for name in GROUPS:
                count(groups[name], number)
                assert await groups[name].flush() is True
                assert has_arrived(server, name, number + 1)()

    run_in_loop(main)


def test_flush_lets_other_tasks_run_until_redis_answers(
    run_in_loop: RunInLoop, own_server: Server, logger: Make
) -> None:
    group = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})["direct"]
    group.log("e")

    async def end_stall() -> None:
        await anyio.sleep(0.1)
        own_server.go_on()

    async def main() -> None:
        own_server.stall()
        group.log("e")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end_stall)
            assert await group.flush() is True

    run_in_loop(main)
    assert own_server.counts("direct", "1h", "cur")["e"] == 2


@pytest.mark.parametrize("trouble", ["stalled", "down"])
def test_flush_is_false_without_redis_and_true_afterwards(
    trouble: str, own_server: Server, logger: Make
) -> None:
    group = logger(GROUPS, {**own_server.config, "socket_timeout": 0.2})["at-once"]
    begin, end = (
        (own_server.kill, own_server.start) if trouble == "down" else (own_server.stall, own_server.go_on)
    )

    async def main() -> None:
        begin()
        try:
            count(group, 0)
            with anyio.fail_after(TIMEOUT_S):
                assert await group.flush() is False
        finally:
            end()
        while not await group.flush():
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert has_arrived(own_server, "at-once", 1)()


@pytest.mark.parametrize("name", GROUPS)
def test_many_flushes_at_once_are_all_true(name: str, server: Server, logger: Make) -> None:
    group = logger(GROUPS, server.config)[name]

    async def count_and_flush(number: int) -> bool:
        count(group, number)
        await asyncio.sleep(0)
        return await group.flush()

    async def main(first: int) -> None:
        assert all(await asyncio.gather(*(count_and_flush(first + number) for number in range(25))))

    threads = [threading.Thread(target=asyncio.run, args=(main(first),)) for first in (0, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert has_arrived(server, name, 50)()


def test_cancelled_flush_leaves_group_and_later_flushes_working(
    run_in_loop: RunInLoop, own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})["direct"]

    async def main() -> None:
        own_server.stall()
        try:
            count(group, 0)
            async with another_task() as longest, anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(group.flush)
                await anyio.sleep(0.1)
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(0.01) as scope:
                await group.flush()
            assert scope.cancelled_caught and longest[0] < LONGEST_S
        finally:
            own_server.go_on()
        count(group, 1)
        assert await group.flush()

    run_in_loop(main)
    assert has_arrived(own_server, "direct", 2)()
    assert not errors(caplog)


@pytest.mark.parametrize("n_ticks", range(6))
def test_cancellation_right_after_the_call_is_not_swallowed(n_ticks: int) -> None:
    async def main() -> None:
        calls: list[Callable[[], object]] = []
        task = asyncio.create_task(event_loops.wait_for_call(calls.append, LONGEST_S))
        await asyncio.sleep(0)
        calls[0]()
        for _ in range(n_ticks):
            await asyncio.sleep(0)
        is_to_be_cancelled = task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == is_to_be_cancelled

    asyncio.run(main())


@pytest.mark.parametrize("name", GROUPS)
def test_flush_is_true_although_an_answer_is_lost(
    name: str, server: Server, proxy: Proxy, logger: Make
) -> None:
    group = logger(GROUPS, proxy.config)[name]

    async def main() -> None:
        for number in range(1, 6):
            proxy.lose_replies = 1
            group.log("e")
            assert await group.flush()
            assert server.counts(name, "1h", "cur")["e"] == number

    asyncio.run(main())


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [record for record in caplog.records if not record.name.startswith("asyncio")]
    return [record.getMessage() for record in ours if record.levelno >= logging.ERROR]


def test_loop_closed_during_flush_keeps_background_thread_alive(
    own_server: Server, logger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})["at-once"]

    async def count_in_loop() -> None:
        count(group, 0)

    loop = asyncio.new_event_loop()
    own_server.stall()
    try:
        loop.run_until_complete(count_in_loop())
        flush = loop.create_task(group.flush())
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()
    finally:
        own_server.go_on()
    wait_until(has_arrived(own_server, "at-once", 1))
    count(group, 1)
    assert group.sync()
    assert has_arrived(own_server, "at-once", 2)()
    assert not flush.done()
    assert not errors(caplog)
    flush._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio would log that it never ended


def test_flush_of_group_that_is_not_configured_is_true() -> None:
    assert asyncio.run(DUMMY_EVENT_GROUP.flush()) is True


# sync_interval: 0


def test_sync_interval_of_zero_counts_exactly_from_many_threads(server: Server, logger: Make) -> None:
    group = logger(GROUPS, server.config)["at-once"]
    inc = group.counter("e").inc

    def work() -> None:
        for _ in range(500):
            group.log("e")
            inc(2)
            time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: server.counts("at-once", "1h", "cur").get("e") == 8 * 500 * 3)


def test_sync_interval_of_zero_sends_later_counts_in_one_commit(own_server: Server, logger: Make) -> None:
    group = logger(GROUPS, {**own_server.config, "socket_timeout": TIMEOUT_S})["at-once"]
    group.log("e")
    wait_until(lambda: own_server.counts("at-once", "1h", "cur").get("e") == 1)
    commits = _n_scripts(own_server)
    own_server.stall()
    try:
        for _ in range(1000):
            group.log("e")
    finally:
        own_server.go_on()
    wait_until(lambda: own_server.counts("at-once", "1h", "cur").get("e") == 1001)
    assert 1 <= _n_scripts(own_server) - commits <= 2  # one that was under way, and one with the rest


def _n_scripts(server: Server) -> int:
    with server.client as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


HEADER = """
    import asyncio, json, os, signal, sys, threading, time
    from event_count_logger import EventCountLogger
    ecl = EventCountLogger(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
    groups = [ecl["direct"], ecl["at-once"]]
"""


def program(source: str, server: Server) -> list[str]:
    source = textwrap.dedent(HEADER) + textwrap.dedent(source)
    return [sys.executable, "-c", source, json.dumps(GROUPS), json.dumps(server.config)]


def test_flush_beside_trio_as_guest_of_asyncio_is_true(server: Server) -> None:
    pytest.importorskip("trio")
    source = """
    import trio
    async def main():
        loop, ended, stop = asyncio.get_running_loop(), asyncio.Event(), trio.Event()
        trio.lowlevel.start_guest_run(
            stop.wait, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=lambda _: ended.set()
        )
        for _ in range(20):
            await asyncio.sleep(0)
            ecl["at-once"].log("e")
            assert await ecl["at-once"].flush()
        stop.set()
        await ended.wait()
    asyncio.run(main())
    """
    subprocess.run(program(source, server), check=True, timeout=60)
    assert server.counts("at-once", "1h", "cur")["e"] == 20


def test_idle_process_with_sync_interval_of_zero_does_no_work(server: Server) -> None:
    source = """
        group = groups[1]
        group.log("e")
        while group.local.has_unsent():
            time.sleep(0.01)
        (thread,) = (each for each in threading.enumerate() if each.name == "event-count-logger")
        def wake_ups():
            with open(f"/proc/self/task/{thread.native_id}/status") as status:
                return int(dict(line.split(":") for line in status)["voluntary_ctxt_switches"])
        for _ in range(20):  # work started by the first count ends some time
            before = wake_ups()
            time.sleep(0.7)
            if wake_ups() == before:
                break
        print(wake_ups() - before)
    """
    done = subprocess.run(program(source, server), capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n", done.stderr


def test_program_that_ends_after_counting_in_coroutine_is_exact(server: Server) -> None:
    source = """
        async def main():
            for group in groups:
                for _ in range(100):
                    group.log("e")
                session = group.session("s", "visit")
                start = time.time() - 60
                session.start(start)
                session.end(start + 5)
        asyncio.run(main())
    """
    done = subprocess.run(program(source, server), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for name in GROUPS:
        assert server.counts(name, "1h", "cur") == {"e": 100, "visit": 1, "visit:ms": 5000}


def test_counts_of_killed_programs_are_recovered_exactly(
    server: Server, logger: Make, spool_dir: Path
) -> None:
    source = """
        async def main():
            for number in range(3000):
                for group in groups:
                    group.log("e")
                if number % 100 == 0:
                    await asyncio.sleep(0)
        asyncio.run(main())
        os.kill(os.getpid(), signal.SIGKILL)
    """
    processes = [subprocess.Popen(program(source, server)) for _ in range(2)]
    for process in processes:
        assert process.wait(60) == -signal.SIGKILL
    groups = logger(GROUPS, server.config)
    for name in GROUPS:
        groups[name].log("e")
    for name in GROUPS:
        wait_until(lambda: server.counts(name, "1h", "cur").get("e") == 2 * 3000 + 1)  # noqa: B023 - see above
    wait_until(lambda: len([*spool_dir.iterdir()]) == len(GROUPS), what="files of ended processes are gone")
