"""Text with placeholders, such as `status_{status}`, which a log line or a request fills with values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text with placeholders.

    Attributes:
        names: Names of the placeholders, in their order.
        texts: Text before, between and after the placeholders.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read `{name}` or `{name.in.name}` as a placeholder, and `{{` or `}}` as one brace.

        Raises:
            ValueError: Another brace; its position is in the message.
        """
        names: list[str] = []
        texts = [""]
        end = 0
        for part in _PART.finditer(text):
            texts[-1] += text[end : part.start()]
            end = part.end()
            if part[1]:
                names.append(part[1])
                texts.append("")
            elif len(part[0]) == 1:
                raise ValueError(
                    f"the brace at character {part.start() + 1} is not part of a {{name}}, and not doubled"
                )
            else:
                texts[-1] += part[0][0]
        texts[-1] += text[end:]
        return cls(tuple(names), tuple(texts))

    def render(self, values: Sequence[str]) -> str:
        """Returns the text with a value in place of each placeholder."""
        return "".join(map("".join, zip(self.texts, (*values, ""), strict=True)))

    def __str__(self) -> str:
        return self.render([f"{{{name}}}" for name in self.names])
