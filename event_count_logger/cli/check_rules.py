"""ecl check --rules: tries the rules of the section `tail` on the lines of a sample."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from event_count_logger import config as configuration
from event_count_logger.cli.base import ExitStatus, Failure
from event_count_logger.config import TailConfig
from event_count_logger.logs import counted
from event_count_logger.render import rule_trial
from event_count_logger.render.phrases import printable, size
from event_count_logger.sources.tail.inputs.compression import is_compressed
from event_count_logger.sources.tail.rules.time_limit import TimeLimit
from event_count_logger.sources.tail.trial import Sample, try_rules, values_of_path, values_of_unknown_path


def check_rules(config_file: str, path: str) -> None:
    """Print what the rules do with the lines of a file; `-` is standard input.

    Raises:
        Failure: There is nothing to try.
    """
    config = configuration.from_file(config_file)
    if not config.tail:
        raise Failure(f"{config_file} has no section 'tail'", ExitStatus.UNKNOWN)
    name = "standard input" if path == "-" else printable(path)
    sample = _read(path, name)
    print(f"{name}: {'the first ' if sample.is_cut else ''}{size(len(sample.data))}")
    following = {entry: values_of_path(entry, path) for entry in config.tail if path != "-"}
    tried = {entry: values for entry, values in following.items() if values is not None}
    if not tried:
        print(f"No entry of 'tail' follows {name}: all are tried.")
        shown = "stdin" if path == "-" else path
        tried = {entry: values_of_unknown_path(entry, shown) for entry in config.tail}
    limit = TimeLimit()
    for entry, values in tried.items():
        trial = try_rules(entry, config.group(entry.group), sample, values, limit)
        print(f"\n{_title(config.tail, entry)} {counted(trial.n_lines, 'line')}")
        print(rule_trial.render(trial), end="")


def _title(entries: Sequence[TailConfig], entry: TailConfig) -> str:
    return f"tail[{entries.index(entry)}], {printable(entry.name)}, group '{entry.group}':"


def _read(path: str, name: str) -> Sample:
    if is_compressed(path) and os.path.exists(path):
        raise Failure(f"{name} is compressed (use for example zcat, and --rules -)", ExitStatus.USAGE)
    try:
        with _opened(path) as stream:
            sample = Sample.read(stream)
    except OSError as error:
        raise Failure(f"{name} cannot be read: {error.strerror}", ExitStatus.USAGE) from error
    if not sample.data:
        raise Failure(f"{name} has no lines to try the rules on", ExitStatus.USAGE)
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
