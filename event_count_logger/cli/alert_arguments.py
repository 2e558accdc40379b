"""The arguments of `ecl alert`: CONFIG, `ack NAME`, and options that replace the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import click

from event_count_logger.cli import completion
from event_count_logger.cli.base import with_config
from event_count_logger.config import Config

#: The word that makes the command acknowledge an alert.
ACK = "ack"


def parse(arguments: tuple[str, ...]) -> tuple[str, str | None]:
    """Returns CONFIG, and the NAME to acknowledge or None.

    Raises:
        click.UsageError: A word is missing, or there are too many.
    """
    if ACK not in arguments[:2]:
        config_file, *others = with_config(arguments)
        if others:
            raise click.UsageError(f"unexpected argument '{others[0]}' (expected: {ACK} NAME)")
        return config_file, None
    words = list(arguments)
    words.remove(ACK)
    config_file, *names = with_config(tuple(words)) if words else [""]
    if len(names) != 1:
        raise click.UsageError(
            f"{ACK} needs CONFIG and one NAME; ECL_CONFIG in the environment stands for CONFIG"
        )
    return config_file, names[0]


def has_task(tasks: Mapping[str, object]) -> bool:
    """Returns whether one of the options that replace the service was given.

    Raises:
        click.UsageError: Several were given.
    """
    given = [name for name, value in tasks.items() if value not in (None, False)]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other")
    return bool(given)


def ack_word(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns the completion of the word behind CONFIG."""
    return (ACK,)


def ack_name(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns the completion of the word behind `ack`."""
    return completion.alerts(config, rest) if rest[0] == ACK else ()
