"""The page with all commands."""

from __future__ import annotations

import inspect
import re

import click

from event_count_logger.cli import base
from event_count_logger.cli.ecl import ecl

HEAD = """\
# Commands

<!-- scripts/reference writes this page from the code. -->

This page shows `ecl NAME --help` for each command. `ecl_master`, `ecl_reader` and `ecl_log_event` are short for
`ecl master`, `ecl reader` and `ecl log_event`. `ecl export` needs the extra `export`, `ecl serve` the extra `server`,
`ecl top` the extra `top`, and `ecl alert` the extra `alert` for targets with URLs. In an activated environment,
`man ecl` and `man ecl-NAME` show the same.

Data goes to standard output, and all messages go to standard error. A warning begins with `WARNING`, an error that ends
the command with `ERROR`.

## Shell completion

One line completes all commands, their options, the groups, intervals, events and alerts of CONFIG,
and file names:

```sh
eval "$(_ECL_COMPLETE=bash_source ecl)"    # bash 4.4 or later, in ~/.bashrc
eval "$(_ECL_COMPLETE=zsh_source ecl)"     # zsh, in ~/.zshrc after compinit
_ECL_COMPLETE=fish_source ecl | source     # fish, in ~/.config/fish/config.fish
```

In these files write the path of `ecl` in full, such as `/srv/app/.venv/bin/ecl`, if `ecl` is in a virtual environment.
It then completes the `ecl` of every environment.

CONFIG may also be in ECL_CONFIG. Events are the declared ones, and hidden groups are not completed. In bash, a name is
completed up to its first `:`, which bash takes for the end of a word.

## Exit statuses
"""

#: Characters in a line of help, as on a common terminal.
WIDTH = 80


def page() -> str:
    """Returns the page for docs/commands.md."""
    context = context_of(ecl, "ecl")
    names = ecl.list_commands(context)
    commands = {name: ecl.get_command(context, name) for name in names}
    parts = [_help(command, name) for name, command in commands.items() if command]
    return "\n".join([HEAD, _statuses(), *parts])


def _statuses() -> str:
    found = re.findall(r"^ +\w+ = (\d+)(?:  #: (.*))?$", inspect.getsource(base.ExitStatus), re.MULTILINE)
    rows = "".join(f"| {number} | {meaning or 'success'} |\n" for number, meaning in found)
    return f"| status | meaning |\n|---|---|\n{rows}"


def _help(command: click.Command, name: str) -> str:
    text = command.get_help(context_of(command, f"ecl {name}")).rstrip()
    return f"## ecl {name}\n\n```text\n{text}\n```\n"


def context_of(command: click.Command, name: str) -> click.Context:
    """Returns the context in which a command prints its help."""
    return click.Context(command, info_name=name, terminal_width=WIDTH, help_option_names=["-h", "--help"])
