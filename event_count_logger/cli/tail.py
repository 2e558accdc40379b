"""ecl tail: counts the lines of log files and other inputs."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
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
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.inputs.protocols import ForeignPosition
from event_count_logger.sources.tail.rules.time_limit import TimeLimit
from event_count_logger.sources.tail.tail import Tail
from event_count_logger.store import Store

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Seconds between reads of the files after a read that found no new lines.
_POLL_S = 0.25

#: The same with --once, which reads again only to find files that are being renamed.
_POLL_ONCE_S = 0.05


@command()
@config_argument
@click.argument("standard_input", metavar="[-]", type=click.Choice(["-"]), required=False)
@click.option(
    "--from",
    "begin",
    type=click.Choice(["start", "end"]),
    default="end",
    show_default=True,
    help="Where to begin in existing files when an entry is used for the first time.",
)
@click.option(
    "--once",
    is_flag=True,
    help="Count the existing lines and exit. With --from start, also those of compressed files.",
)
@log_format_option
@with_version
def tail(config_file: str, standard_input: str | None, begin: str, once: bool, log_format: LogFormat) -> None:
    """Count the lines of the log files and other inputs in the section `tail` of CONFIG, each exactly once.

    Files are followed through rotation. Lines written while the command does not run are counted by its next
    run. The first SIGTERM or SIGINT stops it gracefully, the second at once. SIGHUP reloads CONFIG.

    With `-`, only standard input is counted, up to its end: by the entry with `input: stdin`, or by the only
    entry. Lines that were read and not yet counted are lost if the command is killed.

    \b
    Example:
      $ ecl tail --from start --once ecl.yml
      $ ecl tail ecl.yml
      $ journalctl -f -o cat | ecl tail ecl.yml -

    \b
    Exit status: 0 stopped, or --once or standard input done; 1 CONFIG has no section `tail`, or an
    entry had nothing to read with --once; 2 wrong usage or configuration. While
    Redis is unavailable, the command waits.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    set_up_logging(log_format)
    if standard_input and sys.stdin is None:
        raise Failure("standard input is closed", ExitStatus.USAGE)
    if config_file == "-" and not standard_input and "ECL_CONFIG" in os.environ:
        config_file, standard_input = os.environ["ECL_CONFIG"], "-"
    service = Service(config_file, "tail", _describe)
    if not service.config.tail:
        raise Failure(f"{config_file} has no section 'tail'", ExitStatus.UNKNOWN)
    _allow_many_files()
    stop = _Stop(service)
    has_end = once or bool(standard_input)
    tails = _Tails(service.config, _Mode(has_end, begin == "start", bool(standard_input)), stop)
    try:
        tails.use(service.config)
        _run(tails, has_end, stop, service)
        if once and not stop.is_set() and tails.report_absences():
            sys.exit(ExitStatus.UNKNOWN)
    except Unavailable:  # stopped while waiting for Redis; nothing is lost
        pass
    except ValueError as error:
        raise Failure(str(error), ExitStatus.USAGE) from error
    finally:
        tails.close()


def _describe(config: Config) -> str:
    number = len(config.tail)
    return f"follows the log files of {number:,} {'entry' if number == 1 else 'entries'}"


@dataclass(frozen=True, slots=True)
class _Mode:
    """The inputs that are read.

    Attributes:
        once: Read what exists, up to its end.
        from_start: Begin new sources at their start.
        is_standard_input: Read standard input only.
    """

    once: bool
    from_start: bool
    is_standard_input: bool

    def entries(self, config: Config) -> tuple[TailConfig, ...]:
        """Returns the entries of a configuration whose inputs are read.

        Raises:
            ValueError: There is no such entry, or several for standard input.
        """
        of_stdin = tuple(entry for entry in config.tail if entry.input == "stdin")
        if not self.is_standard_input:
            entries = tuple(entry for entry in config.tail if entry not in of_stdin)
            if entries:
                return entries
            raise ValueError("all entries of 'tail' have 'input: stdin': use 'ecl tail CONFIG -'")
        if not of_stdin and len(config.tail) == 1:
            (only,) = config.tail
            format = ("journal",) if only.input == "journald" else only.format
            only = replace(only, input="stdin", file="", listen=None, units=(), directory="", format=format)
            return (only,)
        if len(of_stdin) != 1:
            raise ValueError(
                f"standard input needs one entry with 'input: stdin', but 'tail' has {len(of_stdin)}"
            )
        return of_stdin


class _Stop(threading.Event):
    """An event that SIGTERM or SIGINT sets; a second signal ends the process at once.

    Unlike those of the base class, its methods take no lock, so that a signal handler can call them.
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._is_set = False
        self._reader, self._writer = os.pipe()
        for each in _SIGNALS:
            signal.signal(each, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._service.stopping()
        self.set()

    def set(self) -> None:
        """End all waiting."""
        self._is_set = True
        os.write(self._writer, b"!")

    def is_set(self) -> bool:
        """Returns True after `set`."""
        return self._is_set

    def wait(self, timeout: float | None = None, descriptors: Iterable[int] = ()) -> bool:
        """Wait until the event is set, for some seconds, or until a descriptor can be read.

        First, report that the process is alive.
        """
        self._service.alive()
        events = select.poll()
        for descriptor in (self._reader, *descriptors):
            events.register(descriptor, select.POLLIN)
        events.poll(None if timeout is None else timeout * 1000)
        return self._is_set


def _allow_many_files() -> None:
    """Raise the limit of open files as far as allowed, because each followed file is open."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems reject their own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


class _Tails:
    """The tails of a configuration, and of the configurations that replace it."""

    def __init__(self, config: Config, mode: _Mode, stop: _Stop) -> None:
        self._log = Log("event_count_logger.tail")
        self._log.logger.setLevel(logging.INFO)
        self._store, self._limit = Store(config.redis, self._log), TimeLimit()
        self._mode = mode
        self._stop = stop
        self._admissions: dict[GroupConfig, Admission] = {}
        self._tails: dict[tuple[TailConfig, GroupConfig], Tail] = {}
        self._dropped: set[tuple[TailConfig, GroupConfig]] = set()

    @property
    def all(self) -> Sequence[Tail]:
        """All running tails."""
        return tuple(self._tails.values())

    def use(self, config: Config) -> None:
        """End the tails that a configuration no longer has, and begin its new ones; wait for Redis.

        An entry whose position belongs to another machine is not followed; the others are.

        Raises:
            Unavailable: The command is to stop.
            ValueError: A new entry cannot continue at its position in Redis, and all others have begun. Or no
                entry is followed.
        """
        wanted = [(entry, config.group(entry.group)) for entry in self._mode.entries(config)]
        for key in self._tails.keys() - set(wanted):
            self._end(self._tails[key])  # before another tail begins at its end
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
        """Do the same as `use`, but log the error of a new entry that cannot be followed."""
        try:
            self.use(config)
        except ValueError as error:
            self._log.error("An entry of 'tail' is not followed: %s", error)

    def drop(self, tail: Tail, error: ForeignPosition) -> None:
        """Stop following an entry until its settings change; the others go on."""
        self._log.error("%s", error)
        tail.close()
        self._dropped |= {key for key, each in self._tails.items() if each is tail}
        self._tails = {key: each for key, each in self._tails.items() if each is not tail}

    @property
    def descriptors(self) -> Iterable[int]:
        """Files and sockets at which lines may arrive."""
        return (descriptor for tail in self._tails.values() for descriptor in tail.descriptors)

    def report_absences(self) -> bool:
        """Log which entries had nothing to read; return whether there is any."""
        absences = list(filter(None, (tail.absence for tail in self.all)))
        for absence in absences:
            self._log.error("Nothing to read: %s", absence)
        return bool(absences)

    def close(self) -> None:
        """Close all files."""
        for tail in self.all:
            tail.close()

    def _begin(self, entry: TailConfig, group: GroupConfig) -> ValueError | None:
        admission = self._admissions[group]
        mode = {"once": self._mode.once, "from_start": self._mode.from_start}
        tail = None
        try:
            tail = Tail(entry, group, admission, self._store, self._log, self._limit, self._stop, **mode)
            tail.begin()
        except ValueError as error:
            if tail:
                tail.close()
            if isinstance(error, ForeignPosition):
                self._dropped.add((entry, group))
            return error
        self._tails[entry, group] = tail
        return None

    def _end(self, tail: Tail) -> None:
        """Count the lines written so far by the old settings, and close the tail."""
        try:
            tail.advance()
            tail.end()
        except ValueError as error:
            self._log.error("%s", error)
        tail.close()


def _run(tails: _Tails, once: bool, stop: _Stop, service: Service) -> None:
    is_shown = once and bool(sys.stderr) and sys.stderr.isatty()
    until = Until.RECORD
    with _progress(tails.all, is_shown) as report_progress:
        while not stop.is_set():
            service.step(tails.use_instead)
            n = 0
            for tail in tails.all:
                try:
                    n += tail.advance(until)
                except ForeignPosition as error:
                    if once:
                        raise
                    tails.drop(tail, error)
                service.alive()
            report_progress(n)
            if n == 0:
                if once and all(tail.is_caught_up for tail in tails.all):
                    if until == Until.FILE:
                        break
                    until = Until.FILE  # everything else was read: an incomplete last line counts now
                    continue
                stop.wait(_POLL_ONCE_S if once else _POLL_S, tails.descriptors)
    for tail in tails.all:
        tail.end()


@contextmanager
def _progress(tails: Sequence[Tail], is_shown: bool) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes a number of bytes read, and adds them to a progress bar if `is_shown`."""
    if is_shown:
        n_unread = sum(tail.n_unread for tail in tails)
        with click.progressbar(length=n_unread, label="Reading", file=sys.stderr) as bar:
            yield bar.update
    else:
        yield lambda n: None
