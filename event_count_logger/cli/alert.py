"""ecl alert: notifies people when finished intervals breach the limits of rules."""

from __future__ import annotations

import click

from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    log_format_option,
    with_config,
    with_version,
)
from event_count_logger.config import Config
from event_count_logger.logs import counted
from event_count_logger.service import sighup
from event_count_logger.service.lifecycle import Service
from event_count_logger.service.log_format import LogFormat, set_up_logging

#: The word that makes the command acknowledge an alert.
_ACK = "ack"


@command()
@click.argument("arguments", nargs=-1, metavar="[CONFIG] [ack NAME]")
@click.option("--for", "ack_for", metavar="TIME", help="With ack: silence repeats for TIME, such as 2h.")
@click.option("--test", "tested", metavar="NAME", help="Send a test message to the targets of the rule NAME.")
@click.option(
    "--replay", metavar="TIME", help="Print what would have fired in the history, such as 24h, and exit."
)
@log_format_option
@with_version
def alert(
    arguments: tuple[str, ...],
    ack_for: str | None,
    tested: str | None,
    replay: str | None,
    log_format: LogFormat,
) -> None:
    """Watch the rules in the section `alerts` of CONFIG, and send notifications.

    Each finished interval is evaluated once, also one that finished while the command did not run. Several
    may run at once: they share the work. The first SIGTERM or SIGINT stops it gracefully, the second at once.
    SIGHUP reloads CONFIG.

    `ack NAME` acknowledges a firing alert: its notification is not repeated until it is resolved.

    \b
    Example:
      $ ecl alert ecl.yml
      $ ecl alert ecl.yml ack 'many errors' --for 2h
      $ ecl alert ecl.yml --test 'many errors'
      $ ecl alert ecl.yml --replay 24h

    \b
    Exit status: 0 stopped or done; 1 CONFIG has no section `alerts`, unknown
    NAME, the alert does not fire (ack), or a test message was not sent; 2 wrong
    usage or configuration; 3 Redis is unreachable. The service waits for Redis.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    set_up_logging(log_format)
    config_file, name = _arguments(arguments)
    service = Service(config_file, "alerts", _describe)
    if not service.config.alerts:
        raise Failure(f"{config_file} has no section 'alerts'", ExitStatus.UNKNOWN)
    raise NotImplementedError(name, ack_for, tested, replay, sighup)


def _describe(config: Config) -> str:
    return f"watches {counted(len(config.alerts), 'alert')}"


def _arguments(arguments: tuple[str, ...]) -> tuple[str, str | None]:
    """Returns CONFIG, and the NAME to acknowledge or None."""
    if _ACK not in arguments[:2]:
        (config_file, *others) = with_config(arguments)
        if others:
            raise click.UsageError(f"unexpected argument '{others[0]}' (expected: {_ACK} NAME)")
        return config_file, None
    words = list(arguments)
    words.remove(_ACK)
    if not words:
        raise click.UsageError(f"{_ACK} needs the NAME of an alert")
    config_file, *names = with_config(tuple(words))
    if len(names) != 1:
        raise click.UsageError(f"{_ACK} needs one NAME")
    return config_file, names[0]
