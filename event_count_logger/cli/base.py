"""Shared parts of all commands: arguments, exit statuses, warnings, and errors in one line."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import click

from event_count_logger.errors import ConfigError, EventCountLoggerError, NotConfigured
from event_count_logger.service.log_format import logs_json

_F = TypeVar("_F", bound=Callable[..., Any])


class ExitStatus(IntEnum):
    """Exit statuses of all commands."""

    OK = 0
    UNKNOWN = 1  #: unknown group, interval or event; or the user answered no
    PROBLEMS = 1  #: `ecl check` found problems
    USAGE = 2  #: wrong arguments, or an unusable configuration
    UNREACHABLE = 3  #: Redis does not answer
    STALE = 4  #: Redis answers, but counts do not flow from end to end, or are kept in files
    INTERRUPTED = 130  #: Ctrl-C


class Failure(click.ClickException):
    """An error that ends a command with one line and an exit status."""

    def __init__(self, message: str, status: ExitStatus) -> None:
        super().__init__(message)
        self.status = status


def print_stderr(line: str) -> None:
    """Print a line on standard error. If that is closed, print nothing: print() would use standard output."""
    if sys.stderr:
        print(line, file=sys.stderr)


def warn(message: str) -> None:
    """Print a warning to standard error."""
    print_stderr(f"WARNING: {message}")


def log_to_stderr(*others: logging.Handler, level: int = logging.WARNING) -> None:
    """Print log messages on standard error, as a command prints its own; also pass them to other handlers."""
    handlers = [*others, logging.StreamHandler()]
    logging.basicConfig(format="%(levelname)s: %(message)s", level=level, handlers=handlers)


def confirmed(question: str) -> bool:
    """Ask a question on standard error; no answer, or no terminal, means no."""
    try:
        return click.confirm(question, err=True)
    except RuntimeError:  # click.Abort, too
        print_stderr("")
        return False


class OneLineErrors(click.Command):
    """A command that reports an error as one line on standard error, never as a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command as a program, and exit."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # None if it is closed
                stream.reconfigure(errors="backslashreplace")
        status, message = self._run()
        try:
            if sys.stdout:
                sys.stdout.flush()
        except OSError as error:
            status, message = _cannot_write(error)
        if message:
            _print_error(" ".join(message.split()))
        gc.freeze()  # otherwise the interpreter searches all objects for garbage, which takes 25 ms
        sys.exit(status)

    def _run(self) -> tuple[int, str]:
        """Run the command; return its exit status, and an error message or ''."""
        program = os.path.basename(sys.argv[0])
        try:
            if os.environ.get(f"_{program}_COMPLETE".upper()):
                from event_count_logger.cli.completion import complete

                return complete(self, program), ""
            # click's own main() would handle broken pipes in another way.
            with self.make_context(program, sys.argv[1:]) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code, ""
        except SystemExit as end:
            return int(end.code or 0), ""
        except (click.ClickException, EventCountLoggerError) as error:
            return explain(error)
        except OSError as error:
            return _cannot_write(error)
        except KeyboardInterrupt:
            return ExitStatus.INTERRUPTED, ""
        return ExitStatus.OK, ""


def explain(error: click.ClickException | EventCountLoggerError) -> tuple[int, str]:
    """Returns the exit status and the message of an error."""
    if isinstance(error, click.ClickException):
        return error.status if isinstance(error, Failure) else error.exit_code, error.format_message()
    if isinstance(error, ConfigError):
        return ExitStatus.USAGE, _first_of(error)
    status = ExitStatus.UNKNOWN if isinstance(error, NotConfigured) else ExitStatus.UNREACHABLE
    return status, str(error)


def discard_output() -> None:
    """Discard what standard output has not taken, so that nothing fails when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def command(
    cls: type[OneLineErrors] = OneLineErrors, **settings: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Decorate a function as a command; `settings` are added to click's context settings."""
    context_settings = {"help_option_names": ["-h", "--help"], **settings}
    return click.command(cls=cls, context_settings=context_settings)


def _print_error(message: str) -> None:
    if logs_json():
        logging.getLogger("event_count_logger").error(message)
    else:
        print_stderr(f"ERROR: {message}")


def _cannot_write(error: OSError) -> tuple[int, str]:
    """Returns the exit status and message for an output error; a closed pipe is no error."""
    discard_output()
    if isinstance(error, BrokenPipeError):
        return ExitStatus.OK, ""
    return ExitStatus.USAGE, f"output cannot be written: {error.strerror}"


def _first_of(error: ConfigError) -> str:
    problems = [problem for problem in error.problems if problem.fatal]
    more = len(problems) - 1
    return f"{problems[0]}{f' (and {more} more: see ecl check)' if more else ''}"


def config_argument(function: _F) -> _F:
    """Add the argument CONFIG, with ECL_CONFIG as its default."""
    argument = click.argument("config_file", metavar="CONFIG", envvar="ECL_CONFIG", type=click.Path())
    return argument(function)


def with_config(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the arguments with CONFIG in front, from ECL_CONFIG if it was left out.

    Raises:
        click.UsageError: CONFIG is missing.
    """
    from_environment = os.environ.get("ECL_CONFIG")
    if from_environment and not (arguments and os.path.exists(arguments[0])):
        arguments = (from_environment, *arguments)
    if not arguments:
        raise click.UsageError("Missing argument 'CONFIG'.")
    return arguments


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import version

    from event_count_logger.counting.implementation import implementation

    name = context.find_root().info_name
    click.echo(f"{name} {version('event-count-logger')} (counting: {implementation()})")
    context.exit()


with_version = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)


def log_format_option(function: _F) -> _F:
    """Add the option --log-format, with ECL_LOG_FORMAT as its default."""
    option = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        envvar="ECL_LOG_FORMAT",
        help="Format of log messages: lines for people, or one JSON object per line.",
    )
    return option(function)
