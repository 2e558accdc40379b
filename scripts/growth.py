"""Shows what grows in a master and in a worker while everything around them fails, and that it ends.

By default as many faults as in a bad month: at least 43,200 broken connections in each of the two processes
(one a minute), 360 stalls of the server longer than `socket_timeout` (twelve a day), 150 kills of the server
(five a day), 2,160 spool files of killed processes (three an hour), and 150 each of damaged spool files, lost
positions, and keys of a wrong type. With another number of connections, all others are in proportion.

The faults come in parts of equal size; a row of the table shows the memory after each of them. At the end,
counts are compared with what was logged.

With --trace, the processes also record where Python allocates memory (tracemalloc), which makes them larger
and slower. After the last part: what has grown since the first part, by line of code, by type of object,
and by attribute of an object of this library.

With --failovers N, the processes use a primary and two replicas behind three sentinels: N times the primary
is killed, and replaced.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from growth_parts.failovers import Failovers
from growth_parts.faults import KINDS, Faults
from growth_parts.run import Run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("connections", nargs="?", type=int, default=43_200, help="to break (43200)")
    parser.add_argument("--parts", type=int, default=10, help="rows of the table (10)")
    parser.add_argument("--minutes", type=float, default=60, help="after which no part begins (60)")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind of fault; may be repeated")
    parser.add_argument("--failovers", type=int, default=0, help="see above")
    parser.add_argument("--trace", action="store_true", help="see above")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the server's data")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ecl-growth-"))
    try:
        if arguments.failovers:
            around: Faults | Failovers = Failovers(folder, arguments.failovers)
        else:
            around = Faults(folder, arguments.connections, arguments.only or list(KINDS))
        wrong = Run(folder, around, arguments.trace).run(arguments.parts, arguments.minutes)
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
