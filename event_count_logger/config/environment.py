"""Environment variables in the text of a configuration, such as `${NODE_NAME}`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Set

#: `$$`, `${NAME}`, or a `${` that is neither.
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\{)")

#: Sections with credentials, and their settings that are or may contain a user name or password.
_WITH_CREDENTIALS = ("redis", "export")
_CREDENTIALS = ("username", "password", "url")

#: The keys and positions that lead to a value.
_Place = tuple[object, ...]


class FromEnvironment(str):
    """Text with values of environment variables, which may be secret.

    Its repr is the text in the configuration, such as `'${NODE_NAME}'`. Messages show values by their repr:
    none contains the value of a variable. Checks convert it to a plain `str`.
    """

    __slots__ = ("written",)
    written: str

    def __new__(cls, text: str, written: str) -> FromEnvironment:
        """`written` is the text in the configuration, such as `${NODE_NAME}`."""
        made = super().__new__(cls, text)
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(self.written)

    def as_number(self) -> int | float | None:
        """Returns the text as a number, or None: the value of a variable is always text."""
        for kind in (int, float):
            try:
                return kind(self)
            except ValueError:
                continue
        return None


def as_written(value: object) -> object:
    """Returns a value with `${NAME}` in place of the values of variables."""
    return value.written if isinstance(value, FromEnvironment) else value


class Expansion:
    """Replaces `${NAME}` and `$$` in the values of one configuration; leaves keys unchanged."""

    def __init__(self, report: Callable[[_Place, str], None]) -> None:
        """`report` takes each variable that is not set, and each `${` without a name and `}`."""
        self._report = report
        self._done: dict[int, object] = {}  # YAML aliases put one value in many places, even in itself

    def expand(self, value: object, place: _Place) -> object:
        """Returns a copy of the value with all references replaced, and reports those without a value."""
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

    def _expand_text(self, text: str, place: _Place) -> str:
        references = list(_REFERENCE.finditer(text))
        if _keeps_dollars(place) and not any(reference["name"] for reference in references):
            return text
        problems = list(filter(None, (_problem(reference, place) for reference in references)))
        if problems:
            self._report(place, problems[0])
            return text
        expanded = _REFERENCE.sub(lambda found: os.environ[found["name"]] if found["name"] else "$", text)
        return FromEnvironment(expanded, text) if references else text


def _keeps_dollars(place: _Place) -> bool:
    """Returns whether `$$` stays `$$`, as in version 1.1: in credentials and event IDs without variables."""
    return _is_credential(place) or place[2:3] == ("events",)


def _is_credential(place: _Place) -> bool:
    return place[0] in _WITH_CREDENTIALS and place[-1] in _CREDENTIALS


def _problem(reference: re.Match[str], place: _Place) -> str | None:
    name = reference["name"]
    if reference["dollar"] or (name and name in os.environ):
        return None
    if name is None:
        return "has a '${' without a name and a '}' (write $${ for the text ${)"
    may_be_secret = _is_credential(place) or place[:1] == ("notify",)
    if may_be_secret and not name.isupper():  # the name may be part of a password
        return "refers to an environment variable that is not set (write $${ for the text ${)"
    hint = f"write $${{{name}}} for the text ${{{name}}}"
    return f"refers to environment variable {name}, which is not set ({hint})"
