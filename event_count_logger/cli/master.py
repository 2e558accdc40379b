"""ecl_master: rotates each interval at its boundary."""

from __future__ import annotations

import signal
from types import FrameType

import click

from event_count_logger.cli.base import command, config_argument, log_format_option, with_version
from event_count_logger.config import Config, from_file
from event_count_logger.logs import counted
from event_count_logger.service import sighup
from event_count_logger.service.lifecycle import Service
from event_count_logger.service.log_format import LogFormat, set_up_logging
from event_count_logger.service.master import EventCountLoggerMaster


@command()
@config_argument
@click.option("-v", "--verbose", is_flag=True, help="Log one line per rotation.")
@click.option("--once", is_flag=True, help="End all intervals that are due now and exit, for use from cron.")
@log_format_option
@with_version
def master(config_file: str, verbose: bool, once: bool, log_format: LogFormat) -> None:
    """Rotate the counters of all groups in CONFIG whenever an interval ends.

    Any number of masters may run at once; each rotation happens once. With `redis: {embedded: DIR}`, the
    master also runs the server. The first SIGTERM or SIGINT stops it gracefully, the second at once. SIGHUP
    reloads CONFIG.

    \b
    Example:
      $ ecl_master -v ecl.yml
      2026-11-21T12:05:00 [INFO] Group 'requests', interval '5m': rotated ...

    \b
    Exit status: 0 stopped, or --once done; 2 wrong usage or configuration; 3
    Redis is unreachable (--once), or the embedded server cannot be started.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    set_up_logging(log_format)
    level = "INFO" if verbose else "WARNING"
    if once:
        sighup.unblock()
        EventCountLoggerMaster.from_config(from_file(config_file), level).rotate_due()
        return
    service = Service(config_file, "groups", _describe)
    rotating = EventCountLoggerMaster.from_config(service.config, level)

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        service.stopping()
        rotating.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    rotating.run(lambda: service.step(rotating.reload))


def _describe(config: Config) -> str:
    n_intervals = sum(len(group.intervals) for group in config.groups.values())
    return f"rotates {counted(n_intervals, 'interval')} of {counted(len(config.groups), 'group')}"
