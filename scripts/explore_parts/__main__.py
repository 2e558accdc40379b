"""Runs the code that sends and recovers counts through all schedules with a limited number of faults.

If a schedule loses or doubles a count, prints its faults and exits with status 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from explore_parts.chooser import Chooser
from explore_parts.interception import intercept
from explore_parts.mutants import MUTANTS
from explore_parts.programs import PROGRAMS, run
from explore_parts.server import Server
from explore_parts.world import AlreadyExplored, World


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="faults in one schedule, at most (default 2)")
    parser.add_argument("--program", choices=PROGRAMS, help="explore only this program")
    parser.add_argument("--mutant", choices=MUTANTS, default="none", help="a fault to put into the code")
    options = parser.parse_args(arguments)
    mutant = MUTANTS[options.mutant]
    mutant.apply()
    names = [name for name in (options.program, mutant.program) if name][:1] or PROGRAMS
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        world = World(Server(mutant.changed), Path(directory))
        world.store = intercept(world)
        return max(explore(world, name, options.faults) for name in names)


def explore(world: World, name: str, most_faults: int) -> int:
    """Run a program through all schedules. Returns 1 if one of them is not exact."""
    world.chooser = chooser = Chooser(most_faults)
    world.begin_program()
    began, n_runs, n_joined = time.process_time(), 0, 0
    while True:
        n_runs += 1
        fault = ""
        try:
            run(PROGRAMS[name], world)
            fault = world.fault()
        except AlreadyExplored:
            n_joined += 1
        world.remove_files()
        if fault:
            print(f"{name}: schedule {n_runs} is not exact: {fault}", *chooser.faults, sep="\n  ")
            return 1
        if not chooser.next_run():
            break
    took = time.process_time() - began
    print(
        f"{name}: {n_runs} schedules with up to {most_faults} faults, all exact, {took:.1f} s of CPU time "
        f"({n_joined} of them only up to a state that was explored before)",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
