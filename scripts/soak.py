"""Shows that counts stay exact while everything around them fails.

Three servers behind three sentinels, with `durability: replicas`: primaries, replicas, workers and masters
are killed and stalled. A table shows what was logged and counted, what was restarted, and how the memory of
each process has grown.

With --one-server, one server behind a proxy that loses answers, holds requests back and cuts connections;
workers have threads, fork and are killed, in rounds of two minutes at most.
"""

from __future__ import annotations

import argparse
import platform
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from soak_parts import behind_sentinels, one_server

from event_count_logger.counting.implementation import NATIVE


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seconds", nargs="?", type=float, default=1200, help="how long (1200)")
    parser.add_argument("--one-server", action="store_true", help="see above")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what happens when")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the servers' data")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, counting in {'C' if NATIVE else 'Python'}", flush=True)
    print(f"seed {arguments.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="ecl-soak-"))
    try:
        soak = one_server.soak if arguments.one_server else behind_sentinels.soak
        wrong = soak(folder, arguments.seconds, arguments.seed)
    finally:
        if arguments.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(wrong) or "exact")
    return 1 if wrong else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
