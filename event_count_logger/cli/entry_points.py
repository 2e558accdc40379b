"""What the programs begin with, before they import what takes its time."""

from __future__ import annotations

import sys

from event_count_logger.service import sighup

#: The commands that obey SIGHUP. All others end, as programs do.
_SERVICES = ("master", "serve", "tail")


def run_ecl() -> None:
    """`ecl COMMAND`."""
    if sys.argv[1:2] and sys.argv[1] in _SERVICES:
        sighup.block()
    from event_count_logger.cli.ecl import ecl

    ecl()


def run_ecl_master() -> None:
    """The same as `ecl master`."""
    sighup.block()
    from event_count_logger.cli.master import master

    master()
