"""Shell completion: that of click, with groups, intervals, events and alerts of the configuration.

The shell runs the program at each press of Tab, with the words of the command line in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from event_count_logger.config import Config, from_file
from event_count_logger.errors import ConfigError

#: The programs of this package.
_PROGRAMS = ("ecl", "ecl_log_event", "ecl_master", "ecl_reader")

#: Returns the names for the next word, from the configuration and the words between CONFIG and that word.
Names = Callable[[Config, Sequence[str]], Iterable[str]]

_Complete = Callable[[click.Context, click.Parameter, str], list[Any]]


def variable(program: str) -> str:
    """Returns the environment variable in which a shell asks a program."""
    return f"_{program}_COMPLETE".upper()


def complete(command: click.Command, program: str) -> int:
    """Print what the shell asks for; return the exit status.

    The shell script of `ecl` completes the other programs, too.
    """
    import shlex

    from click.shell_completion import BashComplete, CompletionItem, add_completion_class, shell_complete

    class _Bash(BashComplete):
        """Completion in bash, which inserts a word as it is: spaces and other characters need quotes."""

        def format_completion(self, item: CompletionItem[Any]) -> str:
            value = shlex.quote(item.value) if item.type == "plain" else item.value
            return f"{item.type},{value}"

    add_completion_class(_Bash)
    instruction = os.environ[variable(program)]
    if not instruction.endswith("_source"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # an error would stand in the command line
        return shell_complete(command, {}, program, variable(program), instruction)
    programs = _PROGRAMS if program == _PROGRAMS[0] else [program]
    return max(shell_complete(command, {}, name, variable(name), instruction) for name in programs)


def words(*names: Names) -> _Complete:
    """Returns the completion of CONFIG and the words behind it; the last function completes all further ones.

    CONFIG may be omitted if ECL_CONFIG is set.
    """

    def complete_word(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        file, rest = _file_and_rest(context)
        found = _names(file, rest, names[min(len(rest), len(names) - 1)], incomplete)
        is_first = not (rest or _words(context))
        files = [CompletionItem(incomplete, type="file")] if is_first else []
        return [*files, *map(CompletionItem, found)]

    return complete_word


def option(names: Names) -> _Complete:
    """Returns the completion of an option, or of an argument that is not CONFIG."""

    def complete_value(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        return _names(*_file_and_rest(context), names, incomplete)

    return complete_value


def groups(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns the groups that are not hidden."""
    return (group.name for group in config.shown_groups)


def events(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns the declared events of the group, which is the first word."""
    return config.group(rest[0]).events if rest and rest[0] in config.groups else ()


def intervals(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns the intervals of the group, which is the first word; without one, those of all groups."""
    chosen = [config.groups[rest[0]]] if rest and rest[0] in config.groups else config.shown_groups
    return dict.fromkeys(interval.name for group in chosen for interval in group.intervals)


def alerts(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns the names of the alerts."""
    return (rule.name for rule in config.alerts)


def nothing(config: Config, rest: Sequence[str]) -> Iterable[str]:
    """Returns no name."""
    return ()


def _names(file: str | None, rest: Sequence[str], names: Names, incomplete: str) -> list[str]:
    try:
        config = from_file(file) if file else None
    except ConfigError:
        return []
    return [name for name in names(config, rest) if name.startswith(incomplete)] if config else []


def _file_and_rest(context: click.Context) -> tuple[str | None, list[str]]:
    """Returns the configuration file, and the words behind it with the value of --group in front."""
    first, *rest = [*_words(context), ""]
    file = os.path.expanduser(first)
    group = context.params.get("group_name")
    named = [group] if group else []
    if os.path.isfile(file):
        return file, [*named, *rest[:-1]]
    return os.environ.get("ECL_CONFIG"), [*named, *([first] if first else []), *rest[:-1]]


def _words(context: click.Context) -> list[str]:
    """Returns the words so far that are no options. Where an option has no value yet, they are in `args`."""
    file = context.params.get("config_file")
    return [*context.args, *(context.params.get("arguments") or ([file] if file else []))]
