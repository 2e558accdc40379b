"""Entry points of the programs: they block SIGHUP before the slow imports."""

from __future__ import annotations

import sys

from event_count_logger.service import sighup

#: Commands that reload their configuration on SIGHUP. SIGHUP ends all others.
_SERVICES = ("alert", "export", "master", "serve", "tail")


def run_ecl() -> None:
    """Run `ecl COMMAND`."""
    if sys.argv[1:2] and sys.argv[1] in _SERVICES:
        sighup.block()
    from event_count_logger.cli.ecl import ecl

    ecl()


def run_ecl_master() -> None:
    """Run `ecl_master`, which is `ecl master`."""
    sighup.block()
    from event_count_logger.cli.master import master

    master()
