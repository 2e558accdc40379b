"""ecl tail: counts the lines of log files."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import click

from event_count_logger.admission import Admission
from event_count_logger.cli.common import Failure, OneLineErrors, Status, config_argument, with_version
from event_count_logger.cli.log_format import LogFormat, log_format_option, set_up_logging
from event_count_logger.config import Config, from_file
from event_count_logger.errors import Unavailable
from event_count_logger.logs import Log
from event_count_logger.sources.tail.tail import Tail
from event_count_logger.sources.tail.time_limit import TimeLimit
from event_count_logger.store import Store

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Seconds between looks at the files when there was nothing more to read.
_POLL_S = 0.25

#: The same with --once, where a look is repeated only to find files that are just being renamed.
_POLL_ONCE_S = 0.05


@click.command(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@config_argument
@click.option(
    "--from",
    "begin",
    type=click.Choice(["start", "end"]),
    default="end",
    show_default=True,
    help="Where to begin in files that are there when an entry is used for the first time.",
)
@click.option("--once", is_flag=True, help="Count what is there and exit.")
@log_format_option
@with_version
def tail(config_file: str, begin: str, once: bool, log_format: LogFormat) -> None:
    """Count the lines of the log files in the section `tail` of CONFIG, each exactly once.

    Files are followed through rotation. What is written while it does not run is counted when it runs
    again. The first SIGTERM or SIGINT stops it gracefully, the second at once.

    \b
    Example:
      $ ecl tail --from start --once ecl.yml
      $ ecl tail ecl.yml

    \b
    Exit status: 0 stopped, or --once done; 1 CONFIG has no section `tail`;
    2 wrong usage or configuration. While Redis is away, it waits.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    set_up_logging(log_format)
    config = from_file(config_file)
    if not config.tail:
        raise Failure(f"{config_file} has no section 'tail'", Status.UNKNOWN)
    _allow_many_files()
    stop = _Stop()
    tails = _make(config, stop)
    try:
        _run(tails, begin == "start", once, stop)
    except Unavailable:  # it was to stop; nothing is lost
        pass
    except ValueError as error:
        raise Failure(str(error), Status.USAGE) from error
    finally:
        for each in tails:
            each.close()


class _Stop(threading.Event):
    """Set by SIGTERM and SIGINT, after which a second one ends the process at once.

    Unlike those of the base class, its methods take no lock, so that a signal handler may use them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = False
        self._reader, self._writer = os.pipe()
        for each in _SIGNALS:
            signal.signal(each, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self.set()

    def set(self) -> None:
        """Ends all waiting."""
        self._told = True
        os.write(self._writer, b"!")

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._told

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for some seconds."""
        select.select([self._reader], [], [], timeout)
        return self._told


def _allow_many_files() -> None:
    """Each file that is followed is open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems do not take their own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _make(config: Config, stop: _Stop) -> list[Tail]:
    log = Log("event_count_logger.tail")
    log.logger.setLevel(logging.INFO)
    store, limit = Store(config.redis, log), TimeLimit()
    admissions = {name: Admission(group, log) for name, group in config.groups.items()}
    return [
        Tail(entry, config.group(entry.group), admissions[entry.group], store, log, limit, stop)
        for entry in config.tail
    ]


def _run(tails: list[Tail], from_start: bool, once: bool, stop: _Stop) -> None:
    for tail in tails:
        tail.begin(from_start)
    with _progress(tails, is_shown=once and bool(sys.stderr) and sys.stderr.isatty()) as moved:
        while not stop.is_set():
            n = sum(tail.advance() for tail in tails)
            moved(n)
            if n == 0:
                if once and all(tail.is_settled for tail in tails):
                    break
                stop.wait(_POLL_ONCE_S if once else _POLL_S)
    for tail in tails:
        tail.commit()


@contextmanager
def _progress(tails: Sequence[Tail], is_shown: bool) -> Iterator[Callable[[int], object]]:
    """Gives a function that is told how many bytes were read, and may show that."""
    if is_shown:
        n_unread = sum(tail.n_unread for tail in tails)
        with click.progressbar(length=n_unread, label="Reading", file=sys.stderr) as bar:
            yield bar.update
    else:
        yield lambda n: None
