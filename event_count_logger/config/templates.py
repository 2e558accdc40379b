"""Text with placeholders, such as `status_{status}`, which a log line or a request fills with values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

#: The form of a placeholder's name: `name`, or `name.in.name` for a value inside another one.
NAME = re.compile(r"[A-Za-z0-9_@-]+(?:\.[A-Za-z0-9_@-]+)*")

_PART = re.compile(rf"\{{\{{|\}}\}}|\{{({NAME.pattern})((?:\|[^{{}}|]*)*)\}}|[{{}}]")

#: Filters without an argument.
_SIMPLE: Mapping[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper}

_FILTERS = "lower, upper, map, map:NAME and default:TEXT"


@dataclass(frozen=True, slots=True)
class Filter:
    """A change of a placeholder's value, such as `lower` in `{method|lower}`.

    Attributes:
        name: `lower`, `upper`, `map` or `default`.
        argument: Name of the map, or the default.
        map: Text in place of a value, by value. Values that it lacks are not changed.
    """

    name: str
    argument: str = ""
    map: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str, placeholder: str) -> Filter:
        """Read `lower`, `upper`, `map` (named like its placeholder), `map:NAME` or `default:TEXT`.

        Raises:
            ValueError: The text is none of these.
        """
        name, colon, argument = text.partition(":")
        if name == "map" and (argument or not colon):
            return cls(name, argument or placeholder)
        if (name == "default" and colon) or (name in _SIMPLE and not colon):
            return cls(name, argument)
        raise ValueError(f"'{text}' is not a filter (there are: {_FILTERS})")

    def apply(self, value: str | None) -> str | None:
        """Returns the changed value; None, for a missing value, is changed by `default` only."""
        if value is None:
            return self.argument if self.name == "default" else None
        if self.name == "map":
            return self.map.get(value, value)
        return _SIMPLE[self.name](value) if self.name in _SIMPLE else value

    def __str__(self) -> str:
        has_argument = self.argument or self.name == "default"
        return f"|{self.name}:{self.argument}" if has_argument else f"|{self.name}"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text with placeholders.

    Attributes:
        names: Names of the placeholders, in their order.
        texts: Text before, between and after the placeholders.
        filters: Filters of each placeholder.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    filters: tuple[tuple[Filter, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read `{name}` or `{name|filter}` as a placeholder, and `{{` or `}}` as one brace.

        Raises:
            ValueError: Another brace, whose position is in the message; or an unknown filter.
        """
        names: list[str] = []
        filters: list[tuple[Filter, ...]] = []
        texts = [""]
        end = 0
        for part in _PART.finditer(text):
            texts[-1] += text[end : part.start()]
            end = part.end()
            if part[1]:
                names.append(part[1])
                filters.append(tuple(Filter.parse(each, part[1]) for each in part[2].split("|")[1:]))
                texts.append("")
            elif len(part[0]) == 1:
                raise ValueError(
                    f"the brace at character {part.start() + 1} is not part of a {{name}}, and not doubled"
                )
            else:
                texts[-1] += part[0][0]
        texts[-1] += text[end:]
        return cls(tuple(names), tuple(texts), tuple(filters))

    def with_maps(self, maps: Mapping[str, Mapping[str, str]]) -> Template:
        """Returns the template with the maps that its filters name.

        Raises:
            ValueError: There is no map of a name.
        """
        return replace(
            self, filters=tuple(tuple(_with_map(each, maps) for each in some) for some in self.filters)
        )

    def render(self, values: Sequence[str | None]) -> str | None:
        """Returns the text with a value in place of each placeholder; None if a value is missing."""
        filled: list[str] = []
        for value, filters in zip(values, self.filters, strict=True):
            for each in filters:
                value = each.apply(value)
            if value is None:
                return None
            filled.append(value)
        return "".join(map("".join, zip(self.texts, (*filled, ""), strict=True)))

    def __str__(self) -> str:
        filled = (
            f"{{{name}{''.join(map(str, filters))}}}"
            for name, filters in zip(self.names, self.filters, strict=True)
        )
        return "".join(map("".join, zip(self.texts, (*filled, ""), strict=True)))


def _with_map(filter: Filter, maps: Mapping[str, Mapping[str, str]]) -> Filter:
    if filter.name != "map":
        return filter
    if filter.argument not in maps:
        raise ValueError(f"there is no map '{filter.argument}' (there are: {', '.join(maps) or 'none'})")
    return replace(filter, map=maps[filter.argument])
