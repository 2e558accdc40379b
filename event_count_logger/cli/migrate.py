"""ecl migrate: moves what is in Redis of a group from one layout to another."""

from __future__ import annotations

import click

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
@click.argument("group_name", metavar="GROUP")
@click.option("--to", "layout", required=True, type=click.Choice(["keys", "hash"]), help="The new layout.")
@click.option("--dry-run", is_flag=True, help="Only say what would be moved.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_version
def migrate(config_file: str, group_name: str, layout: Layout, dry_run: bool, yes: bool) -> None:
    """Move what is in Redis of GROUP to another layout: counts, history and totals.

    Stop the masters and workers of the group first; then migrate, set its layout in the
    configuration, and start them. It may be cut off at any time, and be called again.

    \b
    Example:
      $ ecl migrate ecl.yml requests --to hash
      requests, 5m: 120,000 events running, 118,000 in the last interval, 60 intervals in the history
      Move this to the layout 'hash'? [y/N]: y
      requests is moved; set its 'layout: hash' in ecl.yml before it is used again

    \b
    Exit status: 0; 1 no such group, or the answer was no; 2 wrong usage or configuration,
    or it is in use; 3 Redis unreachable: what is not moved yet stays where it is.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    config = from_file(config_file)
    group = config.group(group_name)
    store = Store(config.redis)
    migrations = [Migration(store.client, shard, layout) for shard in group.shards]
    for shard, migration in zip(group.shards, migrations, strict=True):
        for found in migration.contents():
            running, history = counted(found.running, "event"), counted(found.history, "interval")
            print(
                f"{shard.label}, {found.interval}: {running} running, {found.finished:,} in the last "
                f"interval, {history} in the history"
            )
    if dry_run:
        return
    _refuse_if_in_use(config, group, store)
    if not yes and not confirmed(f"Move this to the layout '{layout}'?"):
        raise Failure("nothing was moved", ExitStatus.UNKNOWN)
    for migration in migrations:
        for key in migration.run():
            warn(f"Key {key} holds something else than it should: it is left as it is")
    print(f"{group.name} is moved; set its 'layout: {layout}' in {config_file} before it is used again")


def _refuse_if_in_use(config: Config, group: GroupConfig, store: Store) -> None:
    for master in store.masters.of(group):
        if master.alive:
            raise Failure(
                f"group '{group.name}': a master is at work (host {master.host}, pid {master.pid}): stop "
                "it, and all that count in the group",
                ExitStatus.USAGE,
            )
    for process in _processes(config):
        if process.alive and process.group == group.name:
            raise Failure(
                f"group '{group.name}': process {process.pid} counts in it: stop all that do",
                ExitStatus.USAGE,
            )


def _processes(config: Config) -> list[LocalSnapshot]:
    try:
        return LocalReader(config).read()
    except OSError as error:
        warn(f"spool files cannot be read: {error}")
        return []
