"""ecl purge: deletes the keys of a group."""

from __future__ import annotations

from dataclasses import replace

import click

from event_count_logger import keys
from event_count_logger.cli import completion
from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    confirmed,
    print_stderr,
    warn,
    with_config,
    with_version,
)
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.config.checks import show
from event_count_logger.errors import Rejected
from event_count_logger.logs import counted
from event_count_logger.store import MasterInfo, Store


@command()
@click.argument(
    "arguments",
    metavar="CONFIG GROUP",
    nargs=-1,
    shell_complete=completion.words(completion.groups, completion.nothing),
)
@click.option("--dry-run", is_flag=True, help="Only show the number of keys.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--force", is_flag=True, help="Delete even if the group is in use.")
@with_version
def purge(arguments: tuple[str, ...], dry_run: bool, yes: bool, force: bool) -> None:
    """Delete all keys of GROUP in the Redis of CONFIG: counts, history, totals, sessions and positions.

    The data of a group stays in Redis when the group is removed from the configuration. A group that is still
    in CONFIG, or rotated by a master, is in use: programs that count in it create its keys again, and may
    send counts again that were already counted.

    \b
    Example:
      $ ecl purge ecl.yml old_requests
      Programs that still count in group 'old_requests' will create it again.
      Delete 45 keys of group 'old_requests' in localhost:6379/0? [y/N]: y
      deleted 45 keys of group 'old_requests'

    \b
    Exit status: 0 deleted, or no keys found; 1 the answer was no, or the group is
    in use; 2 wrong usage or configuration; 3 Redis is unreachable, or rejects the
    request.
    ECL_CONFIG in the environment stands for CONFIG, unless the first argument is
    a file.
    """
    config_file, *names = with_config(arguments)
    if len(names) != 1:
        raise click.UsageError(f"expected CONFIG GROUP, not {1 + len(names)} arguments")
    (name,) = names
    if not keys.GROUP_NAME.fullmatch(name):
        raise click.UsageError(f"{show(name)} is not the name of a group")
    config = from_file(config_file)
    store = Store(config.redis)
    usage = _usage(config, store, name)
    n_keys = sum(map(len, store.keyspace.keys_of(name)))
    found = counted(n_keys, "key")
    if dry_run:
        print(f"{found} of group '{name}'" + (f", which is in use: {usage}" if usage else ""))
        return
    if usage and not force:
        raise Failure(
            f"group '{name}' is in use: {usage}; use --force to delete its keys", ExitStatus.UNKNOWN
        )
    if n_keys and not yes:
        print_stderr(f"Programs that still count in group '{name}' will create it again.")
        if not confirmed(f"Delete {found} of group '{name}' in {config.redis.location}?"):
            raise Failure("nothing was deleted", ExitStatus.UNKNOWN)
    print(f"deleted {counted(store.keyspace.delete(name), 'key')} of group '{name}'")
    if usage:
        warn(f"group '{name}' is in use, and will be created again: {usage}")


def _usage(config: Config, store: Store, name: str) -> str:
    """Returns the known use of a group, or ''."""
    if name in config.groups:
        return f"it is in {config.file}"
    alive = [master for master in _masters(store, name) if master.alive]
    return f"a master on {alive[0].host} (pid {alive[0].pid}) rotates it" if alive else ""


def _masters(store: Store, name: str) -> list[MasterInfo]:
    """Returns the masters of a group, under all prefixes that its keys may have."""
    group, found = GroupConfig(name, ()), []
    for prefix in (name, keys.prefix(name, in_cluster=True), keys.prefix(name, shard=0)):
        try:
            found += store.masters.of(replace(group, key_prefix=prefix))
        except Rejected as error:
            warn(str(error))
    return found
