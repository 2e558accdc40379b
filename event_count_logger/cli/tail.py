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

from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    config_argument,
    log_format_option,
    with_version,
)
from event_count_logger.config import Config, GroupConfig, TailConfig
from event_count_logger.counting.admission import Admission
from event_count_logger.errors import Unavailable
from event_count_logger.logs import Log
from event_count_logger.service.lifecycle import Service
from event_count_logger.service.log_format import LogFormat, set_up_logging
from event_count_logger.sources.tail.tail import ForeignPosition, Tail
from event_count_logger.sources.tail.time_limit import TimeLimit
from event_count_logger.store import Store

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Seconds between looks at the files when there was nothing more to read.
_POLL_S = 0.25

#: The same with --once, where a look is repeated only to find files that are just being renamed.
_POLL_ONCE_S = 0.05


@command()
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
    again. The first SIGTERM or SIGINT stops it gracefully, the second at once. SIGHUP has it
    read CONFIG again.

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
    service = Service(config_file, "tail", _describe)
    if not service.config.tail:
        raise Failure(f"{config_file} has no section 'tail'", ExitStatus.UNKNOWN)
    _allow_many_files()
    stop = _Stop(service)
    following = _Following(service.config, begin == "start", stop)
    try:
        following.use(service.config)
        _run(following, once, stop, service)
    except Unavailable:  # it was to stop; nothing is lost
        pass
    except ValueError as error:
        raise Failure(str(error), ExitStatus.USAGE) from error
    finally:
        following.close()


def _describe(config: Config) -> str:
    number = len(config.tail)
    return f"follows the log files of {number:,} {'entry' if number == 1 else 'entries'}"


class _Stop(threading.Event):
    """Set by SIGTERM and SIGINT, after which a second one ends the process at once.

    Unlike those of the base class, its methods take no lock, so that a signal handler may use them.
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._told = False
        self._reader, self._writer = os.pipe()
        for each in _SIGNALS:
            signal.signal(each, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._service.stopping()
        self.set()

    def set(self) -> None:
        """Ends all waiting."""
        self._told = True
        os.write(self._writer, b"!")

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._told

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for some seconds; who waits for Redis is alive."""
        self._service.alive()
        select.select([self._reader], [], [], timeout)
        return self._told


def _allow_many_files() -> None:
    """Each file that is followed is open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems do not take their own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Following:
    """The tails of a configuration, and of those that take its place while they run."""

    def __init__(self, config: Config, from_start: bool, stop: _Stop) -> None:
        self._log = Log("event_count_logger.tail")
        self._log.logger.setLevel(logging.INFO)
        self._store, self._limit = Store(config.redis, self._log), TimeLimit()
        self._from_start = from_start
        self._stop = stop
        self._admissions: dict[GroupConfig, Admission] = {}
        self._tails: dict[tuple[TailConfig, GroupConfig], Tail] = {}
        self._dropped: set[tuple[TailConfig, GroupConfig]] = set()

    @property
    def tails(self) -> Sequence[Tail]:
        """All of them."""
        return tuple(self._tails.values())

    def use(self, config: Config) -> None:
        """End the tails that are not in a configuration, begin those that are new; waits for Redis.

        An entry whose position is that of another machine is not followed; the others are.

        Raises:
            Unavailable: It is to stop.
            ValueError: One of the new ones cannot begin where Redis has it; the others have. Or no entry is
                followed.
        """
        wanted = [(entry, config.group(entry.group)) for entry in config.tail]
        for key in self._tails.keys() - set(wanted):
            self._end(self._tails[key])  # before another one begins where it ends
            del self._tails[key]
        self._admissions = {
            group: self._admissions.get(group) or Admission(group, self._log) for _, group in wanted
        }
        self._dropped &= set(wanted)
        known = self._tails.keys() | self._dropped
        faults = [self._begin(entry, group) for entry, group in wanted if (entry, group) not in known]
        for fault in filter(None, faults):
            if self._tails and isinstance(fault, ForeignPosition):
                self._log.error("%s", fault)
            else:
                raise fault

    def use_instead(self, config: Config) -> None:
        """The same while others are followed, which go on whatever is wrong with the new ones."""
        try:
            self.use(config)
        except ValueError as error:
            self._log.error("An entry of 'tail' is not followed: %s", error)

    def drop(self, tail: Tail, error: ForeignPosition) -> None:
        """Follow an entry no longer; the others go on. It is not begun again before its settings change."""
        self._log.error("%s", error)
        tail.close()
        self._dropped |= {key for key, each in self._tails.items() if each is tail}
        self._tails = {key: each for key, each in self._tails.items() if each is not tail}

    def close(self) -> None:
        """Let go of all files."""
        for tail in self.tails:
            tail.close()

    def _begin(self, entry: TailConfig, group: GroupConfig) -> ValueError | None:
        admission = self._admissions[group]
        tail = Tail(entry, group, admission, self._store, self._log, self._limit, self._stop)
        try:
            tail.begin(self._from_start)
        except ValueError as error:
            tail.close()
            if isinstance(error, ForeignPosition):
                self._dropped.add((entry, group))
            return error
        self._tails[entry, group] = tail
        return None

    def _end(self, tail: Tail) -> None:
        """What is there already is counted as it was to be counted when it was written."""
        try:
            tail.advance()
            tail.commit()
        except ValueError as error:
            self._log.error("%s", error)
        tail.close()


def _run(following: _Following, once: bool, stop: _Stop, service: Service) -> None:
    is_shown = once and bool(sys.stderr) and sys.stderr.isatty()
    with _progress(following.tails, is_shown) as moved:
        while not stop.is_set():
            service.step(following.use_instead)
            n = 0
            for tail in following.tails:
                try:
                    n += tail.advance()
                except ForeignPosition as error:
                    if once:
                        raise
                    following.drop(tail, error)
                service.alive()
            moved(n)
            if n == 0:
                if once and all(tail.is_caught_up for tail in following.tails):
                    break
                stop.wait(_POLL_ONCE_S if once else _POLL_S)
    for tail in following.tails:
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
