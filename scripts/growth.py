"""Shows the memory of a master and of a worker while everything around them fails.

By default the faults of a bad month:

    43,200  broken connections in each of the two processes (one a minute)
       360  stalls of the server longer than `socket_timeout` (twelve a day)
       150  kills of the server (five a day)
     2,160  spool files of killed processes (three an hour)
       150  damaged spool files, 150 lost positions, and 150 keys of a wrong type

With another number of connections, all other numbers are in proportion. The faults come in parts of equal
size. A row of the table shows the memory after each part. At the end, the counts are compared with those that
were logged.

With --trace, the processes also record where Python allocates memory (tracemalloc), which makes them larger
and slower. Further tables show the growth since the first part: by line of code, by type of object, and by
attribute of an object of this library.

With --failovers N, the processes use a primary and two replicas behind three sentinels. The primary is killed
N times.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from growth_parts.failovers import Failovers
from growth_parts.faults import KINDS, Faults
from growth_parts.run import Run
from long_run import exit_with, run_in_folder


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "connections", nargs="?", type=int, default=43_200, help="broken connections of each process (43200)"
    )
    parser.add_argument("--parts", type=int, default=10, help="rows of the table (10)")
    parser.add_argument("--minutes", type=float, default=60, help="minutes after which no part begins (60)")
    parser.add_argument(
        "--only", choices=KINDS, action="append", help="only this kind of fault; may be repeated"
    )
    parser.add_argument(
        "--failovers", type=int, default=0, metavar="N", help="failovers instead of faults; see above"
    )
    parser.add_argument("--trace", action="store_true", help="also record allocations; see above")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the server's data")
    arguments = parser.parse_args()

    def run(folder: Path) -> list[str]:
        around: Faults | Failovers
        if arguments.failovers:
            around = Failovers(folder, arguments.failovers)
        else:
            around = Faults(folder, arguments.connections, arguments.only or list(KINDS))
        return Run(folder, around, arguments.trace).run(arguments.parts, arguments.minutes)

    return run_in_folder("growth", arguments.keep, run)


if __name__ == "__main__":
    exit_with(main)
