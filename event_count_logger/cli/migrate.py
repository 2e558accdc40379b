"""ecl migrate: moves the data of a group in Redis from one layout to another."""

from __future__ import annotations

import click

from event_count_logger.cli import completion
from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    config_argument,
    confirmed,
    warn,
    with_version,
)
from event_count_logger.config import Config, GroupConfig, Layout, from_file
from event_count_logger.logs import counted
from event_count_logger.reading.local_reader import LocalReader, LocalSnapshot
from event_count_logger.store import Store
from event_count_logger.store.migration import Migration


@command()
@config_argument
@click.argument("group_name", metavar="GROUP", shell_complete=completion.option(completion.groups))
@click.option("--to", "layout", required=True, type=click.Choice(["keys", "hash"]), help="The new layout.")
@click.option("--dry-run", is_flag=True, help="Only show what would be moved.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_version
def migrate(config_file: str, group_name: str, layout: Layout, dry_run: bool, yes: bool) -> None:
    """Move the counts, history and totals of GROUP in Redis to another layout.

    First stop the masters and workers of the group. Then migrate, set the new layout in the configuration,
    and start them again. An interrupted migration continues when the command is repeated.

    \b
    Example:
      $ ecl migrate ecl.yml requests --to hash
      requests, 5m: current interval 120,000 events, last interval 118,000 events, history 60 intervals
      Move this to the layout 'hash'? [y/N]: y
      requests is moved; set its 'layout: hash' in ecl.yml before it is used again

    \b
    Exit status: 0; 1 unknown group, or the answer was no; 2 wrong usage or
    configuration, or the group is in use; 3 Redis is unreachable, and the rest is
    not moved yet.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    config = from_file(config_file)
    group = config.group(group_name)
    store = Store(config.redis)
    migrations = [Migration(store.client, shard, layout) for shard in group.shards]
    for shard, migration in zip(group.shards, migrations, strict=True):
        for found in migration.contents():
            current, last = counted(found.running, "event"), counted(found.finished, "event")
            print(
                f"{shard.label}, {found.interval}: current interval {current}, last interval {last}, "
                f"history {counted(found.history, 'interval')}"
            )
    if dry_run:
        return
    _require_unused(config, group, store)
    if not yes and not confirmed(f"Move this to the layout '{layout}'?"):
        raise Failure("nothing was moved", ExitStatus.UNKNOWN)
    for migration in migrations:
        for key in migration.run():
            warn(f"Key {key} has an unexpected type or value; left unchanged, not moved")
    print(f"{group.name} is moved; set its 'layout: {layout}' in {config_file} before it is used again")


def _require_unused(config: Config, group: GroupConfig, store: Store) -> None:
    for master in store.masters.of(group):
        if master.alive:
            raise Failure(
                f"group '{group.name}' is in use by a master (host {master.host}, pid {master.pid}): stop "
                "it, and all processes that count in the group",
                ExitStatus.USAGE,
            )
    for process in _processes(config):
        if process.alive and process.group == group.name:
            raise Failure(
                f"group '{group.name}' is in use by process {process.pid}: stop all processes that count "
                "in the group",
                ExitStatus.USAGE,
            )


def _processes(config: Config) -> list[LocalSnapshot]:
    try:
        return LocalReader(config).read()
    except OSError as error:
        warn(f"spool files cannot be read: {error}")
        return []
