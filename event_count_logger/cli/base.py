"""What all commands share: arguments, exit statuses, and errors in one line."""

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
    UNKNOWN = 1  #: a group, interval or event that is not configured
    PROBLEMS = 1  #: of `ecl check`: some were found
    USAGE = 2  #: wrong arguments, or a configuration that cannot be used
    UNREACHABLE = 3  #: Redis does not answer
    STALE = 4  #: counts do not flow from end to end, or are kept in files, though Redis answers
    INTERRUPTED = 130  #: Ctrl-C


class Failure(click.ClickException):
    """Ends a command with one line and a status."""

    def __init__(self, message: str, status: ExitStatus) -> None:
        super().__init__(message)
        self.status = status


def print_stderr(line: str) -> None:
    """Print a line to standard error, if that is open: print() takes None for standard output."""
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
    """Ask on standard error; whoever does not answer, or cannot be asked, says no."""
    try:
        return click.confirm(question, err=True)
    except RuntimeError:  # click.Abort, too
        print_stderr("")
        return False


class OneLineErrors(click.Command):
    """A command that says what went wrong in one line on standard error, and never with a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run as a program."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # not where it was closed
                stream.reconfigure(errors="backslashreplace")
        status, message = self._run()
        try:
            if sys.stdout:
                sys.stdout.flush()
        except OSError as error:
            status, message = _cannot_write(error)
        if message:
            _print_error(" ".join(message.split()))
        gc.freeze()  # else all that was imported is searched for garbage now, which takes 25 ms
        sys.exit(status)

    def _run(self) -> tuple[int, str]:
        """The exit status, and a message if there is something to say."""
        try:
            # Not click's own main(), which has its own mind about broken pipes.
            with self.make_context(os.path.basename(sys.argv[0]), sys.argv[1:]) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code, ""
        except SystemExit as end:
            return int(end.code or 0), ""
        except Failure as error:
            return error.status, error.format_message()
        except click.ClickException as error:
            return error.exit_code, error.format_message()
        except ConfigError as error:
            return ExitStatus.USAGE, _first_of(error)
        except NotConfigured as error:
            return ExitStatus.UNKNOWN, str(error)
        except EventCountLoggerError as error:
            return ExitStatus.UNREACHABLE, str(error)
        except OSError as error:
            return _cannot_write(error)
        except KeyboardInterrupt:
            return ExitStatus.INTERRUPTED, ""
        return ExitStatus.OK, ""


def command(**settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Decorate a function as a command; `settings` are added to click's context settings."""
    context_settings = {"help_option_names": ["-h", "--help"], **settings}
    return click.command(cls=OneLineErrors, context_settings=context_settings)


def _print_error(message: str) -> None:
    if logs_json():
        logging.getLogger("event_count_logger").error(message)
    else:
        print_stderr(f"ERROR: {message}")


def _cannot_write(error: OSError) -> tuple[int, str]:
    """Whoever reads the output may have enough of it; everything else is said."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered goes nowhere
    if isinstance(error, BrokenPipeError):
        return ExitStatus.OK, ""
    return ExitStatus.USAGE, f"the output cannot be written: {error.strerror}"


def _first_of(error: ConfigError) -> str:
    problems = [problem for problem in error.problems if problem.fatal]
    more = len(problems) - 1
    return f"{problems[0]}{f' (and {more} more: see ecl check)' if more else ''}"


def config_argument(function: _F) -> _F:
    """The argument CONFIG, which may come from the environment."""
    argument = click.argument("config_file", metavar="CONFIG", envvar="ECL_CONFIG", type=click.Path())
    return argument(function)


def with_config(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a command that begin with CONFIG, which the environment may stand for.

    Raises:
        click.UsageError: There is none.
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
    """The option --log-format, which may come from the environment."""
    option = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        envvar="ECL_LOG_FORMAT",
        help="Of messages: lines for people, or a JSON object a line.",
    )
    return option(function)
