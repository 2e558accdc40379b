"""ecl: the command that contains all others."""

from __future__ import annotations

from importlib import import_module

import click

from event_count_logger.cli.base import OneLineErrors, with_version

#: Name of each command, of its module, and of the function in it.
_COMMANDS = (
    "check",
    "files",
    "local",
    "log_event",
    "master",
    "migrate",
    "munin",
    "purge",
    "reader",
    "recover",
    "serve",
    "status",
    "tail",
    "top",
)


class _LazyGroup(OneLineErrors, click.Group):
    """A group that imports each command on use, so that it starts as fast as a program of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"event_count_logger.cli.{name}"), name)
        return command


@click.group(cls=_LazyGroup, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@with_version
def ecl() -> None:
    """Count events of distributed programs per interval, exactly.

    \b
    Example:
      $ ecl master ecl.yml &
      $ ecl log_event ecl.yml requests req1
      $ ecl reader ecl.yml -g requests -i 5m --current
      req1:1
    """
