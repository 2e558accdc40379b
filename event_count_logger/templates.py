"""Names that are made from what a document holds: `{dashboard.name}` stands for a value in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLACE = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places in it that are filled from documents; see `parse`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a text in which `{a.b}` stands for the value `b` of the object `a`.

        Raises:
            ValueError: A brace is not part of such a place.
        """
        paths = _PLACE.findall(text)
        if re.search("[{}]", _PLACE.sub("", text)) or not all(map(_PATH.fullmatch, paths)):
            raise ValueError(f"'{text}' is not a template (places look like {{dashboard.name}})")
        return cls(text)

    @property
    def has_places(self) -> bool:
        """Whether it is different for different documents."""
        return "{" in self.text

    def fill(self, document: Mapping[str, Any]) -> str:
        """The text with the values of a document.

        Raises:
            MissingValue: There is no such value, or it is neither a string nor a number.
        """
        return _PLACE.sub(lambda place: _value(document, place[1]), self.text)


class MissingValue(ValueError):
    """A document has no usable value at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__("is neither a string nor a number")


def _value(document: Any, path: str) -> str:
    for step in path.split("."):
        document = document.get(step) if isinstance(document, Mapping) else None
    if isinstance(document, bool) or not isinstance(document, str | int | float):
        raise MissingValue(path)
    return str(document)
