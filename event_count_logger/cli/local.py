"""ecl local: shows this machine's local counters."""

from __future__ import annotations

import click

from event_count_logger.cli import completion
from event_count_logger.cli.base import ExitStatus, Failure, command, with_config, with_version
from event_count_logger.cli.rows import check_limits, print_rows
from event_count_logger.config import Config, from_file
from event_count_logger.config.choices import choices
from event_count_logger.reading.local_reader import LocalRates, LocalReader, LocalSnapshot
from event_count_logger.render import local_counters as render


@command()
@click.argument(
    "arguments",
    metavar="CONFIG [GROUP EVENT...]",
    nargs=-1,
    shell_complete=completion.words(completion.groups, completion.events),
)
@click.option("--sum", "sums", is_flag=True, help="Add up all processes.")
@click.option("--poll", is_flag=True, help="Print counts of GROUP's EVENTs repeatedly, one row per read.")
@click.option(
    "-d", "delay_s", metavar="SECONDS", type=float, default=1.0, help="Seconds between two rows (1)."
)
@click.option(
    "-c", "rows", metavar="COUNT", type=int, help="Exit after COUNT rows; by default it runs until Ctrl-C."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object for each process and group.")
@with_version
def local(
    arguments: tuple[str, ...], sums: bool, poll: bool, delay_s: float, rows: int | None, as_json: bool
) -> None:
    """Show this machine's local counters, and the counts that Redis has not confirmed yet.

    `native` processes count in C, all others in pure Python; `ecl check` shows the reason. Hidden groups are
    not listed. With --poll, the first row shows the counts so far, summed over all processes. Each following
    row shows the counts since the row before.

    \b
    Example:
      $ ecl local ecl.yml
      group requests, pid 4711, alive, native
        event   total  unsent
        error       3       0
        req1       54       2
      $ ecl local ecl.yml --poll -d 10 -c 3 requests req1 error
        req1  error
          54      3
          12      0
           9      1

    \b
    Exit status: 0; 1 unknown group or event; 2 wrong usage or configuration.
    ECL_CONFIG in the environment stands for CONFIG, unless the first argument is
    a file.
    """
    config_file, *rest = with_config(arguments)
    if poll != bool(rest) or (poll and (len(rest) < 2 or sums)):
        raise click.UsageError("expected CONFIG, or --poll CONFIG GROUP EVENT...")
    check_limits(delay_s, rows)
    if as_json and (poll or sums):
        raise click.UsageError(f"--json cannot be used with {'--poll' if poll else '--sum'}")
    config = from_file(config_file)
    try:
        if poll:
            _poll(config, rest[0], rest[1:], delay_s, rows)
        else:
            rendered = render.as_json if as_json else render.render_sums if sums else render.render
            print(rendered(_listed(config)), end="")
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Failure(f"spool files cannot be read: {error}", ExitStatus.USAGE) from error


def _listed(config: Config) -> list[LocalSnapshot]:
    hidden = config.groups.keys() - {group.name for group in config.shown_groups}
    return [snapshot for snapshot in LocalReader(config).read() if snapshot.group not in hidden]


def _poll(config: Config, group_name: str, events: list[str], delay_s: float, rows: int | None) -> None:
    group = config.group(group_name)
    for event_id in events:
        if event_id not in group.events and not group.auto_declare_events:
            names = choices(event_id, group.events)
            message = f"Event '{event_id}' is not configured for group '{group_name}'{names}"
            raise Failure(message, ExitStatus.UNKNOWN)
    rates = LocalRates(LocalReader(config), group_name, events)
    print_rows(lambda: (events, rates.next()), delay_s, rows)
