"""ecl: the command that contains all others."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from event_count_logger.cli.base import ExitStatus, OneLineErrors, with_version

#: Name of each command, of its module, and of the function in it.
_COMMANDS = (
    "alert",
    "check",
    "export",
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Returns the names alone: their short help would need the import of all commands."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name) for name in _COMMANDS if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0].startswith("-"):
                raise
            meant = get_close_matches(args[0].replace("-", "_"), _COMMANDS, 1)
            question = f" Did you mean '{meant[0]}'?" if meant else f" Commands: {', '.join(_COMMANDS)}"
            raise click.UsageError(f"No such command '{args[0]}'.{question}", ctx) from error


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@with_version
@click.pass_context
def ecl(context: click.Context) -> None:
    """Count events of distributed programs per interval, exactly.

    \b
    Example:
      $ ecl master ecl.yml &
      $ ecl log_event ecl.yml requests req1
      $ ecl reader ecl.yml -g requests -i 5m --current
      req1:1
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)  # as a message: standard output is for data
        context.exit(ExitStatus.USAGE)
