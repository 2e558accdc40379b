"""The manual pages of all commands, written in man(7) from their help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial

import click

from event_count_logger.cli.ecl import ecl
from reference_parts.commands import context_of

#: Programs that are short for a command.
PROGRAMS = {"log_event": "ecl_log_event", "master": "ecl_master", "reader": "ecl_reader"}

#: Characters that roff interprets, or replaces by typographic ones.
_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}

_CODE = re.compile(r"`([^`]+)`")

#: What begins a paragraph of help whose lines click leaves as they are.
_VERBATIM = "\b\n"

#: Begins the last sentence of the exit statuses.
_ENVIRONMENT = re.compile(r"\n(?=ecl_config|ECL_CONFIG)")

_DOCUMENTATION = "https://github.com/CESNET/EventCountLogger/blob/HEAD/docs/index.md"


def pages() -> dict[str, Callable[[], str]]:
    """Returns a function that writes each page, by the name of its file."""
    found: dict[str, Callable[[], str]] = {"ecl.1": partial(_page, ecl, "ecl")}
    for name, command in _commands():
        found[f"ecl-{name}.1"] = partial(_page, command, f"ecl {name}")
        if name in PROGRAMS:
            found[f"{PROGRAMS[name]}.1"] = partial(_page, command, PROGRAMS[name])
    return found


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = context_of(ecl, "ecl")
    for name in ecl.list_commands(context):
        command = ecl.get_command(context, name)
        assert command
        yield name, command


def _page(command: click.Command, program: str) -> str:
    context, name = context_of(command, program), program.replace(" ", "-")
    title = f'.TH {_roff(name.upper())} 1 "" "Event Count Logger"'
    lines = [r".\" scripts/reference writes this page from the code.", title]
    for section, content in _sections(command, context, name).items():
        lines += [f".SH {section}", *content]
    return "".join(f"{line}\n" for line in lines)


def _sections(command: click.Command, context: click.Context, name: str) -> dict[str, list[str]]:
    """Returns the lines of each section that the page has, in the order of man-pages(7)."""
    first, *paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    sections = {
        "NAME": [rf"{_roff(name)} \- {_summary(first)}"],
        "SYNOPSIS": [
            f".B {_roff(context.command_path)}",
            _roff(" ".join(command.collect_usage_pieces(context))),
        ],
        "DESCRIPTION": [_filled(first)],
        "OPTIONS": [*_entries(_options(command, context))],
        "COMMANDS": [*_entries(_summaries())] if command is ecl else [],
        "EXIT STATUS": [],
        "ENVIRONMENT": [],
        "EXAMPLES": [],
        "SEE ALSO": [*([] if command is ecl else [".BR ecl (1)", ".PP"]), _roff(_DOCUMENTATION)],
    }
    for paragraph in paragraphs:
        for section, lines in _paragraph(paragraph):
            sections[section] += lines
    return {section: lines for section, lines in sections.items() if lines}


def _paragraph(paragraph: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the sections of a paragraph of help, and its lines there."""
    text = paragraph.removeprefix(_VERBATIM)
    title, _, rest = text.partition(":")
    if title == "Example":
        yield "EXAMPLES", _verbatim(rest)
    elif title == "Exit status":
        status, *environment = _ENVIRONMENT.split(rest, 1)
        yield "EXIT STATUS", [_filled(status)]
        yield "ENVIRONMENT", [_filled(sentence) for sentence in environment]
    else:
        yield "DESCRIPTION", [".PP", *([_filled(text)] if text is paragraph else _verbatim(text))]


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option):
            names, text = record
            yield names, _filled(text)


def _summaries() -> Iterator[tuple[str, str]]:
    for name, command in _commands():
        yield f"ecl-{name}(1)", _summary(command.help or "")


def _entries(entries: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, text in entries:
        yield from (".TP", f".B {_roff(name)}", text)


def _verbatim(text: str) -> list[str]:
    lines = inspect.cleandoc(f"\n{text}").splitlines()
    return [".EX", *map(_roff, lines), ".EE"]


def _summary(text: str) -> str:
    """Returns the first sentence of a help, as the description of a name."""
    sentence = " ".join(text.split("\n\n")[0].split()).partition(". ")[0].removesuffix(".")
    return _bold(sentence[0].lower() + sentence[1:])


def _filled(text: str) -> str:
    return _bold(" ".join(text.split()))


def _bold(text: str) -> str:
    """Returns a line of text with its code in bold."""
    parts = _CODE.split(text)
    return "".join(rf"\fB{_roff(part)}\fP" if at % 2 else _roff(part) for at, part in enumerate(parts))


def _roff(text: str) -> str:
    """Returns a line of text for roff; a dot at its beginning would be a request."""
    line = "".join(_ESCAPES.get(character, character) for character in text)
    return rf"\&{line}" if line.startswith(".") else line
