"""Patterns of paths: wildcards, and regular expressions that capture parts of a path."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterator

#: The start of a capture, up to its regular expression.
_CAPTURE = re.compile(r"\(\?P<([A-Za-z_][A-Za-z0-9_]*)>")

#: Wildcards, by what they match. `**/` matches any number of directories, if it is a whole component.
_WILDCARD = re.compile(
    r"(?P<all>(?:(?<=/)|^)\*\*/)|(?P<rest>(?<=/)\*\*$)|(?P<some>\*+)|\?|\[(!?)(\][^]/]*|[^]/]+)\]"
)

#: A range or one character within `[...]`.
_RANGE = re.compile(r"(?P<first>.)-(?P<last>.)|.", re.DOTALL)

#: The parts of a regular expression that decide where a parenthesis belongs to.
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]|[()]", re.DOTALL)


class PathPattern:
    """A path with `*`, `?`, `[...]` and `**`, and with captures `(?P<name>REGEX)` in place of `*`.

    Attributes:
        glob: The pattern with `*` in place of each capture.
        names: Names of the captures.
    """

    def __init__(self, text: str) -> None:
        """Compile a pattern.

        Raises:
            ValueError: A capture is not a valid regular expression, or a wildcard has an empty range.
        """
        self._text = text
        parts = list(_parts(text))
        self.glob = "".join("*" if is_capture else part for part, is_capture in parts)
        regex = "".join(part if is_capture else _regex(part) for part, is_capture in parts)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # about brackets in brackets, which are text
                self._regex = re.compile(regex, re.DOTALL)
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"a capture in it is not a regular expression: {error}") from error
        self.names = tuple(self._regex.groupindex)

    def __str__(self) -> str:
        return self._text

    def captures(self, path: str) -> dict[str, str] | None:
        """Returns the text of each capture in a path; None if the path does not match."""
        found = self._regex.fullmatch(path)
        return found and {name: value for name, value in found.groupdict().items() if value is not None}


def placeholders(text: str) -> tuple[str, ...]:
    """Returns the names of placeholders for a path that a pattern matches, and for its parts."""
    return ("file", "file.name", *PathPattern(text).names)


def absolute(text: str, base: str) -> str:
    """Returns an absolute pattern, normalized in front of its first capture; `~` is the home directory."""
    capture = _CAPTURE.search(text)
    begin = text.rfind("/", 0, capture.start()) + 1 if capture else len(text)
    directory = os.path.abspath(os.path.join(base, os.path.expanduser(text[:begin])))
    return os.path.join(directory, text[begin:]) if capture else directory


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a pattern; True with a capture."""
    end = 0
    while capture := _CAPTURE.search(text, end):
        yield text[end : capture.start()], False
        end = _end_of_group(text, capture.start())
        yield text[capture.start() : end], True
    yield text[end:], False


def _end_of_group(text: str, begin: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(text, begin):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    raise ValueError(f"the capture at character {begin + 1} has no closing parenthesis")


def _regex(part: str) -> str:
    """Returns a regular expression that matches what a part with wildcards matches."""
    if not glob.has_magic(part):
        return re.escape(part)
    regex, end = "", 0
    for found in _WILDCARD.finditer(part):
        regex += re.escape(part[end : found.start()])
        end = found.end()
        if found["all"]:
            regex += "(?:[^/]+/)*"
        elif found["rest"]:
            regex += ".*"
        elif found["some"]:
            regex += "[^/]*"
        elif found[0] == "?":
            regex += "[^/]"
        else:
            regex += f"[{'^' if found[4] else ''}{''.join(map(_range, _RANGE.finditer(found[5])))}]"
    return regex + re.escape(part[end:])


def _range(found: re.Match[str]) -> str:
    """Returns a part of a set in a regular expression, from a range or a character."""
    first, last = found["first"], found["last"]
    if not first:
        return re.escape(found[0])
    if first > last:
        raise ValueError(f"the range {found[0]} of a wildcard in it is empty")
    return f"{re.escape(first)}-{re.escape(last)}"
