"""A page of the documentation as steps: files to write, and commands with the output that they print.

The conventions of a page:

* A line such as "`app/main.py`:" before a fenced block: the block is this file.
* The line "At the end of `app/main.py`:" before a fenced block: the block is added to this file.
* A `console` block: commands after `$ `, each followed by its output. `...` stands for any text.
* A command that ends with `&` goes on in the background. The lines below it appear in its output in time.
* An `sh` block: commands that install packages. The environment of the tests has these.
* A `text` block: an excerpt, which is neither written nor run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias


class File(NamedTuple):
    path: str
    content: str
    is_addition: bool = False


class Command(NamedTuple):
    line: str
    output: str

    @property
    def in_background(self) -> bool:
        return self.line.endswith("&")


class Installation(NamedTuple):
    line: str


class Unused(NamedTuple):
    """A block that is not run, although its language says that it could be."""

    language: str
    content: str


Step: TypeAlias = File | Command | Installation | Unused

_BLOCK = re.compile(
    r"(?:^(?P<before>\S.*)\n\n)?^```(?P<language>\w+)\n(?P<content>(?:.*\n)*?)```$", re.MULTILINE
)
_NAME = re.compile(r"(?P<end>At the end of )?`(?P<path>[\w./-]+)`:$")
_COMMAND = re.compile(r"^\$ ", re.MULTILINE)


def steps(page: str) -> Iterator[Step]:
    """Yields the steps of a page, in their order."""
    for block in _BLOCK.finditer(page):
        language, content = block["language"], block["content"]
        name = _NAME.search(block["before"] or "")
        if name:
            yield File(name["path"], content, bool(name["end"]))
        elif language == "console":
            for part in _COMMAND.split(content)[1:]:
                yield _command(part)
        elif language == "sh":
            yield from map(Installation, content.splitlines())
        elif language != "text":
            yield Unused(language, content)


def _command(part: str) -> Command:
    """Returns a command, which may continue on further lines after a `\\`, and its output."""
    lines = part.splitlines(keepends=True)
    n_lines = 1
    while lines[n_lines - 1].endswith("\\\n"):
        n_lines += 1
    return Command("".join(lines[:n_lines]).rstrip(), "".join(lines[n_lines:]))


def matches(output: str, shown: str) -> bool:
    """Returns True if an output is the one that a page shows. Its last line may end without a line feed."""
    ended = f"{output}\n" if output and not output.endswith("\n") else output
    return re.fullmatch(_pattern(shown), ended, re.DOTALL) is not None


def contains(output: str, shown: str) -> bool:
    """Returns True if the lines that a page shows appear in an output, in this order."""
    place = 0
    for line in shown.splitlines():
        found = re.compile(_pattern(line)).search(output, place)
        if not found:
            return False
        place = found.end()
    return True


def _pattern(shown: str) -> str:
    return ".*".join(map(re.escape, shown.split("...")))
