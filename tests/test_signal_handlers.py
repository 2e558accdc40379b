"""Signal handlers that count and interrupt the first `log()`, a fork, or the end of a process."""

from __future__ import annotations

import gc
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import EventCountLogger
from tests.conftest import ROOT
from tests.interruptions import at_each_call
from tests.servers import Server, wait_until
from tests.test_process_end import run_program

#: Interrupts a function after each call in this package, in a process of its own each time.
FORKING = """
    import itertools
    sys.path.insert(0, {root!r})
    from tests.interruptions import Interruption

    read, write = os.pipe()

    def handler():
        log()
        os.write(write, b"x")

    def at_each_call(run):
        "Calls run(interruption) until none happens; returns how often the handler has counted."
        for at in itertools.count():
            if not run(Interruption(at, ("call", "c_return"), sys.getprofile, sys.setprofile)):
                os.close(write)
                return sum(len(some) for some in iter(lambda: os.read(read, 4096), b""))

    def happened(pid):
        status = os.waitpid(pid, 0)[1]
        assert status in (0, 1 << 8), status
        return status != 0
"""


def check(program: str, server: Server, before: str = "") -> None:
    """Run a program that prints the number of events logged, and compare with Redis."""
    source = textwrap.dedent(FORKING).format(root=str(ROOT)) + textwrap.dedent(program)
    done = run_program(source, server.config, before=before)
    assert (done.returncode, done.stderr) == (0, ""), done
    expected = {"e": int(done.stdout)}
    counted = {group: server.counts(group, "1h", "cur") for group in ("direct", "cached")}
    assert counted == {"direct": expected, "cached": expected}


@pytest.mark.parametrize("sync", [{}, {"sync_interval": 60}], ids=["direct", "cached"])
def test_first_log_interrupted_at_each_call_is_exact(
    sync: dict[str, Any], server: Server, spool_dir: Path
) -> None:
    settings = {"auto_declare_events": True, "intervals": ["1h"], **sync}
    expected = {"outer": 0, "inner": 0}

    def log(ecl: EventCountLogger, event_id: str) -> None:
        ecl["g"].log(event_id)

    for interrupted in at_each_call():
        ecl = EventCountLogger({"g": settings}, server.config)
        interrupted(partial(log, ecl, "outer"), partial(log, ecl, "inner"))
        ecl.close()
        expected["outer"] += 1
        expected["inner"] += interrupted.happened
        del ecl
    assert expected["inner"] > 100
    assert server.counts("g", "1h", "cur") == expected
    gc.collect()
    wait_until(lambda: not [*spool_dir.iterdir()], what="the files are deleted")


def test_fork_interrupted_at_each_call_is_exact(server: Server) -> None:
    program = """
    log()
    children = []
    def run(interruption):
        pid = interruption(os.fork, handler)
        if pid == 0:
            log(2)
            ecl.close()
            os._exit(interruption.happened)
        children.append(pid)
        return happened(pid) or interruption.happened
    n_handled = at_each_call(run)
    assert n_handled > 20
    print(1 + 2 * len(children) + n_handled)
    """
    check(program, server)


def test_signal_before_hooks_of_fork_is_exact(server: Server) -> None:
    before = """
    import os, signal
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGALRM))
    """
    program = """
    signal.signal(signal.SIGALRM, lambda *_: log())
    log()
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            log(10)
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
    print(1 + 10 * 11)
    """
    check(program, server, before)


def test_end_interrupted_at_each_call_is_exact(server: Server) -> None:
    program = """
    from event_count_logger.counting import syncer
    children = []
    def run(interruption):
        pid = os.fork()
        if pid == 0:
            log()
            interruption(syncer._end, handler)
            os._exit(interruption.happened)
        children.append(pid)
        return happened(pid)
    n_handled = at_each_call(run)
    assert n_handled > 20
    print(len(children) + n_handled)
    """
    check(program, server)
