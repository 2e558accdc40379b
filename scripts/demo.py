"""Counts a real stream of events with four processes, and shows that no event is missing.

The events are the tokens of Python's standard library, by type. See scripts/demo.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tokenize
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from long_run import exit_with

from event_count_logger import EventCountLogger, StoreError
from event_count_logger.config import Config, from_file
from event_count_logger.reading.group_reader import GroupReader
from event_count_logger.store import Store

WORKERS = 4
COUNTING_S = 15.0
GROUP, INTERVAL = "tokens", "5s"
LOOK_S = 0.2
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def work(config_file: str, number: int, counting_s: float) -> None:
    """Count the tokens of every fourth module until the time is over, and print the counts logged."""
    logged: Counter[str] = Counter()
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[number::WORKERS]
    deadline = time.monotonic() + counting_s
    with EventCountLogger.from_file(config_file) as logger:
        group = logger[GROUP]
        while time.monotonic() < deadline:
            for module in modules:
                with tokenize.open(module) as lines:
                    for token in tokenize.generate_tokens(lines.readline):
                        event = tokenize.tok_name[token.type]
                        group.log(event)
                        logged[event] += 1
                if time.monotonic() >= deadline:
                    break
    print(json.dumps(logged))


def follow(config: Config, workers: list[subprocess.Popen[str]]) -> Counter[str]:
    """Print each finished interval until all workers have ended; returns the all-time totals."""
    reader = GroupReader(config.group(GROUP), Store(config.redis))
    follower = reader.follower(INTERVAL, after=0)
    while any(worker.poll() is None for worker in workers):
        snapshot, wait_s = follower.step()
        if snapshot:
            show("Finished interval", snapshot.counts)
        else:
            time.sleep(min(wait_s, LOOK_S))
    show("Current interval", reader.current(INTERVAL).counts)
    return Counter(reader.totals().counts)


def show(title: str, counts: Mapping[str, int]) -> None:
    top = ", ".join(f"{event} {count:,}" for event, count in Counter(counts).most_common(4))
    print(f"{title}: {sum(counts.values()):>12,}   {top}", flush=True)


def main(counting_s: float) -> int:
    root = Path(__file__).resolve().parent.parent
    programs = Path(sys.executable).parent
    folder = Path(tempfile.mkdtemp(prefix="ecl-demo-"))
    os.environ["ECL_SPOOL_DIR"] = str(folder / "spool")  # it is removed with the folder
    started: list[subprocess.Popen[str]] = []

    def start(*command: object) -> subprocess.Popen[str]:
        # In a session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
        started.append(
            subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        )
        return started[-1]

    try:
        config_file = folder / "example_config.yml"
        shutil.copy(root / "example_config.yml", config_file)
        config = from_file(config_file)
        print(f"Starting a server, a master and {WORKERS} processes that count, in {folder} ...", flush=True)
        master = start(programs / "ecl_master", config_file)
        wait_for_server(config, master)
        workers = [
            start(sys.executable, __file__, config_file, number, counting_s) for number in range(WORKERS)
        ]
        counted = follow(config, workers)
        logged: Counter[str] = Counter()
        for worker in workers:
            assert worker.stdout
            logged += Counter(json.loads(worker.stdout.read()))
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)  # a second signal would interrupt the clean-up
        for process in reversed(started):
            process.terminate()
            process.communicate()
        shutil.rmtree(folder, ignore_errors=True)
    show("Logged by the workers", logged)
    show("Counted in Redis     ", counted)
    print("Every event was counted once." if logged == counted else "ERROR: the counts differ!")
    return 0 if logged == counted else 1


def wait_for_server(config: Config, master: subprocess.Popen[str]) -> None:
    store = Store(config.redis)
    while True:
        try:
            return store.servers.ping()
        except StoreError:
            if master.poll() is not None:
                sys.exit("ERROR: the master could not start")
            time.sleep(LOOK_S)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    else:
        exit_with(lambda: main(float(sys.argv[1]) if sys.argv[1:] else COUNTING_S))
