"""ecl check --rules: tries the rules of the section `tail` on the lines of a sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from event_count_logger import config as configuration
from event_count_logger.cli.base import ExitStatus, Failure
from event_count_logger.config import TailConfig
from event_count_logger.logs import counted
from event_count_logger.render import rule_trial
from event_count_logger.render.phrases import size
from event_count_logger.sources.tail.discovery import is_compressed
from event_count_logger.sources.tail.time_limit import TimeLimit
from event_count_logger.sources.tail.trial import Sample, follows, try_rules


def check_rules(config_file: str, path: str) -> None:
    """Print what the rules do with the lines of a file; `-` is standard input.

    Raises:
        Failure: There is nothing to try.
    """
    config = configuration.from_file(config_file)
    if not config.tail:
        raise Failure(f"{config_file} has no section 'tail'", ExitStatus.UNKNOWN)
    name = "standard input" if path == "-" else path
    sample = _read(path, name)
    n_lines = counted(sample.data.count(b"\n"), "line")
    print(f"{name}: {f'first {size(len(sample.data))}, ' if sample.is_cut else ''}{n_lines}")
    following = [entry for entry in config.tail if path != "-" and follows(entry, path)]
    if not following:
        print(f"No entry of 'tail' follows {name}: all are tried.")
    limit = TimeLimit()
    for entry in following or config.tail:
        print(f"\n{_title(config.tail, entry)}")
        print(rule_trial.render(try_rules(entry, config.group(entry.group), sample.data, limit)), end="")


def _title(entries: Sequence[TailConfig], entry: TailConfig) -> str:
    return f"tail[{entries.index(entry)}], {entry.file}, group '{entry.group}':"


def _read(path: str, name: str) -> Sample:
    if is_compressed(path):
        raise Failure(f"{path} is compressed (use for example zcat, and --rules -)", ExitStatus.USAGE)
    try:
        with _opened(path) as stream:
            sample = Sample.read(stream)
    except OSError as error:
        raise Failure(f"{name} cannot be read: {error.strerror}", ExitStatus.USAGE) from error
    if not sample.data:
        reason = "has a first line of more than 16 MiB" if sample.is_cut else "is empty"
        raise Failure(f"{name} {reason}: no line to try the rules on", ExitStatus.USAGE)
    return sample


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path != "-":
        with open(path, "rb") as file:
            yield file
    elif sys.stdin:
        yield sys.stdin.buffer
    else:
        raise Failure("standard input is closed", ExitStatus.USAGE)
