"""The comments of example_config.yml: the first sentence of the meaning of each setting, and its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from event_count_logger.config.settings import Setting
from reference_parts.settings import SECTIONS, plain_default

FILE = Path(__file__).resolve().parents[2] / "example_config.yml"

#: A setting or section, which may be commented out, with a comment after two blanks.
_LINE = re.compile(
    r"(?P<key>(?P<indent> *)(?P<off># )?(?P<list> *(- )?)(?P<name>\w+):.*?)(?P<comment>  # .*)?"
)

_TABLES = {section.path.replace("[]", ""): section.table for section in SECTIONS}


class Line(NamedTuple):
    """A line of the example; `entry` is the setting on it, if it has one."""

    text: str
    is_off: bool
    entry: Setting | None
    comment: str | None

    def __str__(self) -> str:
        comment = f"  # {_comment(self.entry)}" if self.entry and self.comment else self.comment
        return self.text + (comment or "")


def page() -> str:
    """Returns the example with the comments of its settings."""
    return "".join(f"{line}\n" for line in lines(FILE.read_text()))


def lines(text: str) -> Iterator[Line]:
    """Yields the lines of an example."""
    above: dict[int, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if not match:
            yield Line(line, False, None, None)
            continue
        indent = len(match["indent"] + match["list"])
        above = {depth: name for depth, name in above.items() if depth < indent} | {indent: match["name"]}
        yield Line(match["key"], bool(match["off"]), _entry([*above.values()]), match["comment"])


def _entry(path: list[str]) -> Setting | None:
    if path[0] in ("groups", "notify"):
        path[1:2] = ["NAME"] if path[1:] else []
    section = ".".join(path[:-1]) or "beside the sections"
    return _TABLES.get(section, {}).get(path[-1])


def _comment(entry: Setting) -> str:
    """Returns the first sentence of a meaning without markup, and the default."""
    sentence = re.sub(r"\[(.*?)\]\(.*?\)|`", r"\1", entry.meaning).split(". ")[0].rstrip(".")
    has_default = not entry.example and entry.default not in (None, ())
    text = entry.default_text.replace("`", "") or (plain_default(entry) if has_default else "")
    return f"{sentence} (default: {text})" if text else sentence
