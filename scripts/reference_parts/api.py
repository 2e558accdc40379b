"""The page of the Python API, from the signatures and docstrings of the code."""

from __future__ import annotations

import builtins
import re
import textwrap
from collections.abc import Callable, Iterator

import griffe
from griffe import DocstringSectionKind as Kind

from reference_parts.api_objects import (
    PACKAGE,
    anchors,
    comment,
    find,
    meanings,
    methods,
    package,
    sections,
    title,
    types,
)
from reference_parts.api_parts import COMPACT, HEAD, MADE_BY_PROGRAMS, PARTS, TYPES

#: Characters in a line of the page, and of a signature.
_WIDTH, _CODE_WIDTH = 120, 100

_CODE = re.compile(r"`([\w.]+)(\(\))?`")

_STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}


def page() -> str:
    """Returns the page for docs/api.md."""
    return HEAD + "".join(f"\n{block}\n" for block in _blocks())


def _blocks() -> Iterator[str]:
    for part in PARTS:
        yield f"## {part.title}"
        yield _wrapped(part.intro)
        for path in part.names:
            yield from _thing(path)
    yield "## Types"
    yield "These names in signatures stand for other types:"
    yield "\n".join(_type(name, module) for name, module in TYPES.items())


def _thing(path: str) -> Iterator[str]:
    name, found = title(path), find(path)
    if isinstance(found, griffe.Function):
        yield from _function(found, name, "###")
    elif isinstance(found, griffe.Class):
        yield from _class(found, name)
    else:
        yield f"### {name}"
        yield _linked(comment(found), name)


def _class(found: griffe.Class, name: str) -> Iterator[str]:
    yield f"### {name}"
    if name in MADE_BY_PROGRAMS:
        yield _code(_signature(found.parameters, name))
    bases = list(_bases(found))
    if bases:
        yield f"Derives from {' and '.join(bases)}."
    yield from _texts(found, name)
    init = found.members.get("__init__")
    if name in MADE_BY_PROGRAMS and isinstance(init, griffe.Function):
        yield from _texts(init, name)
    yield from _attributes(found, name)
    if name in COMPACT:
        yield "\n".join(_line(function, name) for function in methods(found).values())
        return
    for method, function in methods(found).items():
        yield from _function(function, f"{name}.{method}", "####")


def _bases(found: griffe.Class) -> Iterator[str]:
    """Yields the base classes that readers know; instead of an internal one, its own ones."""
    for base in found.bases:
        if str(base) in anchors() or hasattr(builtins, str(base)):
            yield _type_link(str(base))
    for internal in found.resolved_bases:
        if internal.name not in anchors() and isinstance(internal, griffe.Class):
            yield from _bases(internal)


def _attributes(found: griffe.Class, name: str) -> Iterator[str]:
    described, of_attributes = meanings(found), types(found)
    if described:
        yield "Attributes:"
        yield "\n".join(
            _item(f"`{each}`", of_attributes.get(each, ""), text, name) for each, text in described.items()
        )


def _function(function: griffe.Function, name: str, level: str) -> Iterator[str]:
    yield f"{level} `{name}()`" if "__" in name else f"{level} {name}()"
    owner = name.rpartition(".")[0]
    yield _code("\n".join(_declaration(each, owner) for each in function.overloads or [function]))
    texts = list(_texts(function, owner))
    link = _type_link(str(function.returns))
    if "](#" in link and not any(section.kind is Kind.returns for section in sections(function)):
        texts.insert(_n_first_texts(function), f"Result: {link}.")
    yield from texts


def _n_first_texts(function: griffe.Function) -> int:
    """Returns the number of paragraphs before the first section."""
    first, *_ = [*sections(function), None]
    return len(first.value.split("\n\n")) if first and first.kind is Kind.text else 0


def _line(function: griffe.Function, owner: str) -> str:
    text = function.docstring.value.partition("\n\n")[0] if function.docstring else ""
    return _item(f"`{_signature(function.parameters, function.name, function.returns)}`", "", text, owner)


def _declaration(function: griffe.Function, owner: str) -> str:
    decorator = "@classmethod\n" if "classmethod" in function.labels else ""
    keyword = "async def" if "async" in function.labels else "def"
    parameters = _signature(function.parameters, function.name)
    # A private type that is no parameter's stands for the class or a subclass.
    returns = re.sub(
        r"\b_[A-Z]\w*", lambda name: name[0] if name[0] in parameters else owner, str(function.returns)
    )
    signature = re.sub(r"\b_(?=[A-Z])", "", _signature(function.parameters, function.name, returns))
    return f"{decorator}{keyword} {signature}"


def _signature(parameters: griffe.Parameters, name: str, returns: object = None) -> str:
    shown = [each for each in parameters if each.name not in ("self", "cls")]
    texts = [_parameter(each) for each in shown]
    n_keyword_only = sum(each.kind is griffe.ParameterKind.keyword_only for each in shown)
    if n_keyword_only and not any(each.kind is griffe.ParameterKind.var_positional for each in shown):
        n_after = n_keyword_only + sum(each.kind is griffe.ParameterKind.var_keyword for each in shown)
        texts.insert(len(texts) - n_after, "*")
    result = f" -> {returns}" if returns is not None else ""
    line = f"{name}({', '.join(texts)}){result}"
    if len(line) <= _CODE_WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {text}," for text in texts), f"){result}"])


def _parameter(parameter: griffe.Parameter) -> str:
    stars = _STARS.get(parameter.kind, "") if parameter.kind else ""
    annotation = f": {parameter.annotation}" if parameter.annotation else ""
    is_optional = parameter.default is not None and not stars
    default = f" = {_default(parameter.default)}" if is_optional else ""
    return f"{stars}{parameter.name}{annotation}{default}"


def _default(default: str | griffe.Expr | None) -> str:
    """Returns a default as a literal: a constant by its value."""
    path = default.canonical_path if isinstance(default, griffe.Expr) else ""
    if path.startswith(f"{PACKAGE}."):
        return str(package()[path.removeprefix(f"{PACKAGE}.")].value)
    return str(default)


def _texts(of: griffe.Object, owner: str) -> Iterator[str]:
    for section in sections(of):
        render = _RENDERERS.get(section.kind)
        if render:
            yield from render(section, owner)


def _text(section: griffe.DocstringSection, owner: str) -> Iterator[str]:
    for text in section.value.split("\n\n"):
        items = re.split(r"^\* ", text, flags=re.MULTILINE)
        is_list = len(items) > 1 and not items[0]
        yield (
            "\n".join(_list_item(_linked(item, owner)) for item in items[1:])
            if is_list
            else _wrapped(_linked(text, owner))
        )


def _arguments(section: griffe.DocstringSection, owner: str) -> Iterator[str]:
    yield "Arguments:"
    yield "\n".join(
        _item(f"`{each.name}`", str(each.annotation or ""), each.description, owner) for each in section.value
    )


def _returns(section: griffe.DocstringSection, owner: str) -> Iterator[str]:
    (each,) = section.value
    yield _wrapped(f"Result ({_type_link(str(each.annotation))}): {_linked(each.description, owner)}")


def _raises(section: griffe.DocstringSection, owner: str) -> Iterator[str]:
    yield "Raises:"
    yield "\n".join(
        _item(_type_link(str(each.annotation)), "", each.description, owner) for each in section.value
    )


def _example(section: griffe.DocstringSection, owner: str) -> Iterator[str]:
    yield "Example:"
    yield _code(section.value.contents)


_RENDERERS: dict[Kind, Callable[[griffe.DocstringSection, str], Iterator[str]]] = {
    Kind.text: _text,
    Kind.parameters: _arguments,
    Kind.returns: _returns,
    Kind.raises: _raises,
    Kind.admonition: _example,
}


def _list_item(text: str) -> str:
    return _wrapped(f"* {text}", "  ")


def _item(name: str, type: str, text: str, owner: str) -> str:
    kind = f" ({_type_link(type)})" if type else ""
    return _wrapped(f"* {name}{kind}: {_linked(text, owner)}", "  ")


def _wrapped(text: str, indent: str = "") -> str:
    text = " ".join(text.split())
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _type_link(type: str) -> str:
    """Returns a type as code, with links to the things of this page in it."""
    known = {name for name in re.findall(r"\w+", type) if name in anchors()}
    if len(known) == 1:
        return f"[`{type}`](#{anchors()[known.pop()]})"
    return " | ".join(map(_type_link, type.split(" | "))) if known else f"`{type}`"


def _linked(text: str, owner: str) -> str:
    """Returns a text in which the names of other things of this page are links."""

    def link(match: re.Match[str]) -> str:
        for name in (f"{owner}.{match[1]}", match[1]):
            if name in anchors() and name != owner:
                return f"[{match[0]}](#{anchors()[name]})"
        return match[0]

    return _CODE.sub(link, text)


def _type(name: str, module: str) -> str:
    found = package()[f"{module}.{name}"]
    return _wrapped(f"* `{name}` = `{found.value}`: {comment(found)}", "  ")


def _code(text: str) -> str:
    return f"```python\n{text}\n```"
