"""Commands that can run as plugins of Nagios: one line of output, and the state as exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import click

from event_count_logger.cli.base import OneLineErrors, discard_output, explain
from event_count_logger.errors import EventCountLoggerError
from event_count_logger.render import nagios


class Plugin(OneLineErrors):
    """A command that reports any error as the state UNKNOWN if its option for plugins is given.

    Attributes:
        option: The option.
    """

    option: ClassVar[str]

    def make_context(
        self, info_name: str | None, args: list[str], *others: Any, **more: Any
    ) -> click.Context:
        """Parse the arguments."""
        with _errors_are_unknown(self.option in args):
            return super().make_context(info_name, args, *others, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _errors_are_unknown(ctx.params[self.option.removeprefix("--")]):
            return super().invoke(ctx)


def exit_as_plugin(state: nagios.State, text: str, values: Mapping[str, int] | None = None) -> NoReturn:
    """Print a state and exit with it, also if it cannot be printed."""
    try:
        print(nagios.render(state, text, values), flush=True)
    except OSError:
        discard_output()
    sys.exit(state)


@contextmanager
def _errors_are_unknown(as_plugin: bool) -> Iterator[None]:
    """With `as_plugin`, end the command with the state UNKNOWN at any error; a traceback would be WARNING."""
    try:
        yield
    except click.exceptions.Exit:
        raise
    except Exception as error:
        if not as_plugin:
            raise
        exit_as_plugin(nagios.State.UNKNOWN, _message(error))


def _message(error: Exception) -> str:
    if isinstance(error, click.ClickException | EventCountLoggerError):
        return explain(error)[1]
    return f"{type(error).__name__}: {error}"
