"""The end of the interpreter: frozen threads may hold locks, and the process does not wait for these."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from tests.servers import Server, free_port

HEADER = """
    import json, logging, os, sys, threading, time
    from event_count_logger import EventCountLogger, process
    from event_count_logger.counting.fair_lock import Ticket
    settings = {"auto_declare_events": True, "intervals": ["1h"], "sessions": {}}
    groups = {"direct": settings, "at_once": {**settings, "sync_interval": 0},
              "cached": {**settings, "sync_interval": 60}}
    ecl = EventCountLogger(groups, json.loads(sys.argv[1]))
    direct, at_once, cached = (ecl[name] for name in groups)
    class Late:
        "Counts while modules are torn down."
        def __init__(self):
            self.me = self
        def __del__(self):
            for group in groups.values():
                group.log("late")
                group.log("later")
    groups = {name: ecl[name] for name in groups}
    def hold(lock):
        held = threading.Event()
        def run():
            with lock:
                held.set()
                time.sleep(600)
        threading.Thread(target=run, daemon=True).start()
        held.wait()
"""


def run_to_the_end(program: str, redis: dict[str, Any], **environment: str) -> str:
    """Run a program. Returns its standard error; fails if it does not end."""
    source = textwrap.dedent(HEADER) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", source, json.dumps(redis)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


LOCKS = {
    "cells are added": "cached.local.cells._growing",
    "cells are added to": "cached.cells._adding",
    "a group sends": "Ticket(cached.local._send_lock, 5)",
    "sessions are sent": "cached.outbox._sending",
    "a fork is noticed": "process._renewing",
}


@pytest.mark.parametrize("lock", LOCKS)
def test_process_ends_while_a_stopped_thread_holds_the_lock_with_which(lock: str, server: Server) -> None:
    program = f"""
    late = Late()
    for group in groups.values():
        group.log("e")
    hold({LOCKS[lock]})
    """
    native = "0" if lock == "cells are added to" else "1"
    run_to_the_end(program, server.config, ECL_NATIVE=native)
    assert server.counts("direct", "1h", "cur") == {"e": 1}


@pytest.mark.parametrize("native", ["1", "0"])
def test_process_ends_while_threads_count_new_events(native: str, server: Server) -> None:
    program = """
    sys.setswitchinterval(1e-6)
    late = Late()
    counting = threading.Barrier(4)
    def count(name):
        for n in range(10**9):
            for group in groups.values():
                group.log(f"{name}.{n % 1000}")
            if n == 1:
                counting.wait()
    for name in "abc":
        threading.Thread(target=count, args=(name,), daemon=True).start()
    counting.wait()
    """
    run_to_the_end(program, server.config, ECL_NATIVE=native)
    assert server.counts("at_once", "1h", "cur")


def test_background_thread_has_ended_before_modules_are_torn_down(server: Server) -> None:
    program = """
    import atexit
    from event_count_logger.counting import syncer
    def look():
        print([thread.name for thread in threading.enumerate()], file=sys.stderr)
    atexit.unregister(syncer._end)
    atexit.register(look)
    atexit.register(syncer._end)
    cached.log("e")
    """
    assert run_to_the_end(program, server.config) == "['MainThread']\n"
    assert server.counts("cached", "1h", "cur") == {"e": 1}


def test_process_ends_in_time_while_redis_stalls(own_server: Server) -> None:
    program = """
    late = Late()
    cached.log("e")
    """
    own_server.stall()
    messages = run_to_the_end(program, own_server.config)
    assert "The process ends with 1 count of 1 event of group 'cached' unsent: kept in" in messages


def test_process_that_logs_messages_ends_without_redis() -> None:
    program = """
    logging.basicConfig(level="DEBUG")
    late = Late()
    at_once.log("e")
    """
    assert "The process ends with 1 count of 1 event" in run_to_the_end(program, {"port": free_port()})
