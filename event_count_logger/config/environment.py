"""Environment variables in the text of a configuration, such as `${NODE_NAME}`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Set

from event_count_logger.config.report import Place, Report

#: `$$`, `${NAME}`, or a `${` that is neither.
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\{)")

#: Settings of `redis` that are, or may contain, a user or password.
_CREDENTIALS = ("username", "password", "url")


class FromEnvironment(str):
    """Text with values of environment variables. They may be secret, so its repr is the text without them."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, text: str, written: str) -> FromEnvironment:
        """`written` is the text in the configuration, such as `${NODE_NAME}`."""
        made = super().__new__(cls, text)
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(self.written)

    @property
    def names(self) -> list[str]:
        """The variables that it refers to."""
        return [reference["name"] for reference in _REFERENCE.finditer(self.written) if reference["name"]]

    def as_number(self) -> int | float | None:
        """Returns the number that the text stands for, or None: a variable has no other way to be one."""
        for kind in (int, float):
            try:
                return kind(self)
            except ValueError:
                continue
        return None


def as_written(value: object) -> object:
    """Returns a value for messages: text as it is in the configuration."""
    return value.written if isinstance(value, FromEnvironment) else value


class Expansion:
    """Replaces `${NAME}` and `$$` in the values of one configuration; keys are left alone.

    Attributes:
        values: The value of each variable that was put in.
    """

    def __init__(self, report: Report) -> None:
        """`report` takes each variable that is not set, and each `${` without a name and `}`."""
        self.values: dict[str, str] = {}
        self._report = report
        self._failed: set[Place] = set()
        self._done: dict[int, object] = {}  # by its aliases a value may stand in many places, even in itself

    def expand(self, value: object, place: Place) -> object:
        """Returns a copy of the value with all references replaced; those that cannot be are reported."""
        if isinstance(value, str):
            return self._expand_text(value, place) if "$" in value else value
        if id(value) in self._done:
            return self._done[id(value)]
        if isinstance(value, Mapping):
            mapping: dict[object, object] = {}
            self._done[id(value)] = mapping
            mapping.update((key, self.expand(each, (*place, key))) for key, each in value.items())
            return mapping
        if isinstance(value, list | tuple | Set):
            items: list[object] = []
            self._done[id(value)] = items
            items.extend(self.expand(each, (*place, number)) for number, each in enumerate(value))
            return items
        return value

    def has_failed(self, place: Place) -> bool:
        """Returns whether a problem of the text at this place was reported."""
        return _without_hyphens(place) in self._failed

    def _expand_text(self, text: str, place: Place) -> str:
        references = list(_REFERENCE.finditer(text))
        if _is_as_in_1_1(place) and not any(reference["name"] for reference in references):
            return text
        problems = list(filter(None, (_problem(reference, place) for reference in references)))
        if problems:
            self._failed.add(_without_hyphens(place))
            self._report(place, problems[0])
            return text
        self.values.update((each["name"], os.environ[each["name"]]) for each in references if each["name"])
        expanded = _REFERENCE.sub(lambda found: self.values[found["name"]] if found["name"] else "$", text)
        return FromEnvironment(expanded, text) if references else text


def _is_as_in_1_1(place: Place) -> bool:
    """Returns whether a `$$` may be part of a value that version 1.1 has taken as it is."""
    return _is_credential(place) or place[2:3] == ("events",)


def _is_credential(place: Place) -> bool:
    return place[:1] == ("redis",) and place[-1] in _CREDENTIALS


def _problem(reference: re.Match[str], place: Place) -> str | None:
    name = reference["name"]
    if reference["dollar"] or (name and name in os.environ):
        return None
    if name is None:
        return "has a '${' without a name and a '}' (write $${ for the text ${)"
    if _is_credential(place) and not name.isupper():  # it may be a part of a password
        return "refers to an environment variable that is not set (write $${ for the text ${)"
    hint = f"write $${{{name}}} for the text ${{{name}}}"
    return f"refers to environment variable {name}, which is not set ({hint})"


def _without_hyphens(place: Place) -> Place:
    """Settings may be written with hyphens."""
    return tuple(step.replace("-", "_") if isinstance(step, str) else step for step in place)
