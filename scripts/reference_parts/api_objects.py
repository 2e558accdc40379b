"""The classes, functions and values on the page of the Python API, as griffe finds them in the code."""

from __future__ import annotations

import re
from functools import cache

import griffe
from griffe import DocstringSectionKind as Kind

from reference_parts.api_parts import COMPACT, INTERNAL, PARTS, SETTINGS, TYPES

PACKAGE = "event_count_logger"

#: Methods whose names begin with an underscore, and that programs use.
_OPERATORS = ("__getitem__", "__call__")


@cache
def package() -> griffe.Module:
    """Returns the package, parsed without importing it."""
    options = griffe.GoogleOptions(returns_multiple_items=False, returns_named_value=False)
    found = griffe.load(PACKAGE, docstring_parser="google", docstring_options=options, allow_inspection=False)
    assert isinstance(found, griffe.Module)
    return found


def find(path: str) -> griffe.Object:
    """Returns a class, function or value of the package."""
    found = package()[path]
    return found.final_target if isinstance(found, griffe.Alias) else found


def title(path: str) -> str:
    """Returns the name on the page: that of a class, or of a function with its module."""
    return path if isinstance(find(path), griffe.Function) else path.rpartition(".")[2]


def methods(of: griffe.Object) -> dict[str, griffe.Function]:
    """Returns the public methods that a class defines, by name."""
    return {name: each for name, each in _members(of).items() if isinstance(each, griffe.Function)}


def attributes(of: griffe.Object) -> dict[str, griffe.Attribute]:
    """Returns the public attributes and properties that a class defines, by name."""
    return {name: each for name, each in _members(of).items() if isinstance(each, griffe.Attribute)}


def _members(of: griffe.Object) -> dict[str, griffe.Object | griffe.Alias]:
    return {name: each for name, each in of.members.items() if _is_public(name, of.name)}


def _is_public(name: str, owner: str) -> bool:
    return (not name.startswith("_") or name in _OPERATORS) and f"{owner}.{name}" not in INTERNAL


def meanings(of: griffe.Object) -> dict[str, str]:
    """Returns the meaning of each documented attribute, from the docstrings of the class and its properties."""
    properties = {name: each.docstring.value for name, each in attributes(of).items() if each.docstring}
    return {each.name: each.description for each in _documented(of)} | properties


def _documented(of: griffe.Object) -> list[griffe.DocstringAttribute]:
    return [each for section in sections(of) if section.kind is Kind.attributes for each in section.value]


@cache
def anchors() -> dict[str, str]:
    """Returns the anchors of this page by the names of things, such as `EventGroup.log`."""
    classes = {title(path): find(path) for part in PARTS for path in part.names}
    of_methods = [
        f"{name}.{method}"
        for name, each in classes.items()
        if name not in COMPACT
        for method in methods(each)
    ]
    own = {name: re.sub(r"[^\w-]", "", name.lower()) for name in [*classes, *of_methods]}
    with_modules = {path: own[title(path)] for part in PARTS for path in part.names}
    return {
        **own,
        **with_modules,
        **dict.fromkeys(TYPES, "types"),
        **dict.fromkeys(SETTINGS, "configurations"),
    }


def types(of: griffe.Class) -> dict[str, str]:
    """Returns the types of attributes; that of one which is set to a parameter is that of the parameter."""
    given = {each.name: each.annotation for each in of.parameters}
    found = {name: each.annotation or given.get(str(each.value)) for name, each in attributes(of).items()}
    documented = {each.name: str(each.annotation) for each in _documented(of) if each.annotation}
    return {name: str(annotation) for name, annotation in found.items() if annotation} | documented


def sections(of: griffe.Object) -> list[griffe.DocstringSection]:
    """Returns the parts of a docstring."""
    return of.docstring.parsed if of.docstring else []


def comment(of: griffe.Object) -> str:
    """Returns the comment `#:` above a value."""
    above = of.module.lines[: (of.lineno or 1) - 1]
    found: list[str] = []
    while above and above[-1].startswith("#:"):
        found.insert(0, above.pop().removeprefix("#:").strip())
    return " ".join(found)
