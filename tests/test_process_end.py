"""Processes that fork, spawn and end in various ways: each is exact."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needs_debian
from tests.fixtures import Run, Start
from tests.servers import Server, free_port, wait_until

HEADER = """
    import json, multiprocessing, os, sys, threading, time
    from event_count_logger import EventCountLogger
    groups = {"direct": {"events": ["e"], "intervals": ["1h"]},
              "cached": {"events": ["e"], "intervals": ["1h"], "sync_interval": 60}}
    ecl = EventCountLogger(groups, json.loads(sys.argv[1]))
    direct, cached = ecl["direct"], ecl["cached"]
    def log(n=1):
        for _ in range(n):
            direct.log("e")
            cached.log("e")
"""


def run_program(
    program: str, redis: dict[str, Any], spool: str = "", before: str = ""
) -> subprocess.CompletedProcess[str]:
    header = HEADER.replace("json.loads(sys.argv[1])", f"json.loads(sys.argv[1]){spool}")
    source = textwrap.dedent(before) + textwrap.dedent(header) + textwrap.dedent(program)
    # Python itself warns of fork() beside threads, from 3.12 on.
    command = [
        sys.executable,
        "-W",
        "ignore:This process:DeprecationWarning",
        "-c",
        source,
        json.dumps(redis),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


ENDINGS = {
    "the end of the program": ("log(3)", 3),
    "sys.exit": ("log(3); sys.exit(0)", 3),
    "an exception": ("log(3); raise RuntimeError", 3),
    "an atexit function that counts": ("import atexit; atexit.register(log, 2); log(3)", 5),
    "threads that count until the end": (
        """
        for _ in range(4):
            threading.Thread(target=log, args=(50,)).start()
        """,
        200,
    ),
    "fork, and both count": (
        """
        log(3)
        if os.fork() == 0:
            log(4)
        else:
            log(5)
            os.wait()
        """,
        12,
    ),
    "fork before anything": (
        """
        if os.fork() == 0:
            log(4)
        else:
            os.wait()
        """,
        4,
    ),
    "fork of a fork": (
        """
        for _ in range(2):
            log()
            if os.fork() != 0:
                os.wait()
                break
        else:
            log()
        """,
        3,
    ),
    "multiprocessing by fork": (
        """
        log(3)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=log, args=(4,)) for _ in range(3)]
        [child.start() for child in children]
        [child.join() for child in children]
        """,
        15,
    ),
    "a pool": (
        """
        log(3)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(log, [2] * 10)
            pool.close()
            pool.join()
        """,
        23,
    ),
    "fork while another thread counts": (
        """
        thread = threading.Thread(target=log, args=(300,))
        thread.start()
        for _ in range(5):
            if os.fork() == 0:
                log(2)
                sys.exit()
        [os.wait() for _ in range(5)]
        thread.join()
        """,
        310,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_program_that_ends_in_any_way_is_exact(ending: str, server: Server) -> None:
    program, expected = ENDINGS[ending]
    done = run_program(program, server.config)
    assert "Traceback" not in done.stderr or "RuntimeError" in done.stderr, done.stderr
    assert server.counts("direct", "1h", "cur") == server.counts("cached", "1h", "cur") == {"e": expected}
    assert not {"direct:@sources", "cached:@sources"} & set(server.everything()), "positions are taken out"


def test_children_and_grandchildren_without_clean_up_are_exact(
    server: Server, tmp_path: Path, run: Run, config_file: Any
) -> None:
    program = """
    counter = cached.counter("e")
    log(3)
    for _ in range(10):
        if os.fork() == 0:
            log(4)
            counter.inc()
            if os.fork() == 0:
                counter.inc()
                log(5)
                os._exit(0)
            os.wait()
            os._exit(0)
        counter.inc()
    [os.wait() for _ in range(10)]
    """
    directory = tmp_path / "spool"
    done = run_program(program, server.config, f", spool_dir={str(directory)!r}")
    assert done.returncode == 0, done.stderr
    plain = {"events": ["e"], "intervals": ["1h"]}
    settings = {"redis": server.config, "spool_dir": "spool", "groups": {"direct": plain, "cached": plain}}
    config = config_file(settings)
    last_line = run("ecl", "recover", config).stdout.splitlines()[-1]
    assert last_line.endswith("; 0 live")
    assert server.counts("direct", "1h", "cur") == {"e": 3 + 10 * 9}
    assert server.counts("cached", "1h", "cur") == {"e": 3 + 10 * (9 + 3)}
    assert not [*directory.iterdir()]


def test_child_process_before_fork_hooks_sends_no_parents_counts(server: Server) -> None:
    """From Python 3.12 on, a child process runs destructors of the parent's threads before the fork hooks."""
    program = """
import json, os, sys
kept = []
os.register_at_fork(after_in_child=lambda: kept[0].send(0))  # first come, first run
from event_count_logger import EventCountLogger
groups = {"g": {"events": ["e"], "intervals": ["1h"], "sync_interval": 60}}
ecl = EventCountLogger(groups, json.loads(sys.argv[1]))
ecl["g"].log("e", 3)
kept.append(ecl["g"].local)
if os.fork() == 0:
    os._exit(0)
os.wait()
print(ecl["g"].local.cells.position, json.dumps(ecl["g"].get_counts("1h", current=True)), flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(server.config)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == '0 {"e": 0}\n', done.stderr
    assert server.counts("g", "1h", "cur") == {"e": 3}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_children_are_exact(method: str, server: Server, tmp_path: Path) -> None:
    source = textwrap.dedent(HEADER) + textwrap.dedent(
        f"""
        if __name__ == "__main__":
            c = multiprocessing.get_context({method!r})
            processes = [c.Process(target=log, args=(4,)) for _ in range(2)]
            [p.start() for p in processes]; [p.join() for p in processes]
        """
    )
    program = tmp_path / "program.py"
    program.write_text(source)
    subprocess.run([sys.executable, program, json.dumps(server.config)], check=True, timeout=60)
    assert server.counts("direct", "1h", "cur") == server.counts("cached", "1h", "cur") == {"e": 8}


@pytest.mark.parametrize(
    ("spool", "fate"), [("", "kept in .*{}.*ecl, and sent by"), (", spool=False", "lost")]
)
def test_end_without_redis_is_bounded_and_logs_the_fate_of_counts(spool: str, fate: str) -> None:
    before = time.monotonic()
    done = run_program("log(3)", {"port": free_port()}, spool)
    assert time.monotonic() - before < 45, "with the start of Python, on a busy machine"
    assert done.returncode == 0
    for group in ("direct", "cached"):
        message = f"The process ends with 3 counts of 1 event of group '{group}' unsent: {fate.format(group)}"
        assert re.search(message, done.stderr), done.stderr


APPLICATION = """
import json, os
from event_count_logger import EventCountLogger
groups = {"direct": {"events": ["request"], "intervals": ["1h"]},
          "cached": {"events": ["request"], "intervals": ["1h"], "sync_interval": 60}}
ecl = EventCountLogger(groups, json.loads(os.environ["REDIS"]))
ecl["cached"].log("request", 1000)

def app(environ, start_response):
    ecl["direct"].log("request")
    ecl["cached"].log("request")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize(
    "worker", [["--preload"], ["--preload", "--threads", "4"], ["--max-requests", "200"]], ids=" ".join
)
def test_prefork_server_under_load_counts_all_requests(
    worker: list[str], server: Server, start: Start, tmp_path: Path
) -> None:
    needs_debian("apache2-utils", "ab")
    (tmp_path / "application.py").write_text(APPLICATION)
    port, n_requests = free_port(), 1500
    gunicorn = start(
        *("gunicorn", "--workers", 3, "--bind", f"127.0.0.1:{port}", *worker, "application:app"),
        cwd=tmp_path,
        env={**os.environ, "REDIS": json.dumps(server.config), "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: _serves(port), what="gunicorn serves")
    served_before = 1
    done = subprocess.run(
        ["ab", "-q", "-n", str(n_requests), "-c", "12", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.search(r"Complete requests: +(\d+)", done.stdout)[1] == str(n_requests), done.stdout  # type: ignore[index]
    assert re.search(r"Failed requests: +0\n", done.stdout), done.stdout
    gunicorn.terminate()
    gunicorn.wait(60)
    served = n_requests + served_before
    loads = 1 if "--preload" in worker else None
    assert server.counts("direct", "1h", "cur") == {"request": served}
    cached = server.counts("cached", "1h", "cur")["request"]
    assert cached == served + 1000 * loads if loads else cached % 1000 == served % 1000


def _serves(port: int) -> bool:
    import urllib.error
    import urllib.request

    try:
        # The server counts a request even if its client has given up.
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            return bool(answer.read() == b"ok")
    except (urllib.error.URLError, ConnectionError):
        return False
