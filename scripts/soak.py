"""Shows that counts stay exact while servers, workers and masters fail.

By default three servers behind three sentinels, with `durability: replicas`: primaries, replicas, workers and
masters are killed and stalled. A table shows the events logged and counted, the restarts, and the growth of
the memory of each process.

With --one-server, one server behind a proxy that loses replies, delays requests and cuts connections. Workers
have threads, fork and are killed, in rounds of two minutes at most.
"""

from __future__ import annotations

import argparse
import platform
import random

from long_run import exit_with, run_in_folder
from soak_parts import behind_sentinels, one_server

from event_count_logger.counting.implementation import NATIVE


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seconds", nargs="?", type=float, default=1200, help="duration (1200)")
    parser.add_argument("--one-server", action="store_true", help="one server behind a proxy; see above")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the same faults")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the servers' data")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, counting in {'C' if NATIVE else 'Python'}", flush=True)
    print(f"seed {arguments.seed}", flush=True)
    soak = one_server.soak if arguments.one_server else behind_sentinels.soak
    return run_in_folder(
        "soak", arguments.keep, lambda folder: soak(folder, arguments.seconds, arguments.seed)
    )


if __name__ == "__main__":
    exit_with(main)
