"""Places in a configuration, and the problems found there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from event_count_logger.config.checks import show
from event_count_logger.config.environment import FromEnvironment
from event_count_logger.errors import Problem

#: The keys and positions that lead to a place.
Place = tuple[object, ...]

#: Returns the line of a place in its file, or None.
LineOf = Callable[[Place], int | None]


class Report:
    """Collects the problems of one configuration.

    Attributes:
        problems: Problems found so far.
        content: The configuration, with the values of environment variables.
    """

    def __init__(self, file: str | None, line_of: LineOf) -> None:
        self.problems: list[Problem] = []
        self.content: Mapping[object, object] = {}
        self._file = file
        self._line_of = line_of
        self._unusable: set[Place] = set()

    def __call__(self, place: Place, message: str, *, fatal: bool = True) -> None:
        """Record a problem; one that is not fatal leaves the configuration usable."""
        if _normal(place) not in self._unusable:
            line = self._line_of(place)
            self.problems.append(Problem(written(place), _printable(message), self._file, line, fatal))

    def unusable(self, place: Place, message: str) -> None:
        """Record a problem of a text, and ignore later problems at the same place."""
        self(place, message)
        self._unusable.add(_normal(place))

    def shown(self, place: Place, value: object, show: Callable[[object], str] = show) -> str:
        """Returns a value for messages; if it comes from a text with `${NAME}`, returns that text.

        `place` is that of the value, or of a list with the value. With `repr` as `show`, a path is not
        shortened.
        """
        found = self._at(place)
        if isinstance(found, list):
            found = next((item for item in found if item == value), None)
        return show(found if isinstance(found, FromEnvironment) else value)

    def is_from_environment(self, place: Place) -> bool:
        """Returns whether the text at a place has values of environment variables."""
        return isinstance(self._at(place), FromEnvironment)

    def _at(self, place: Place) -> object:
        found: object = self.content
        for step in place:
            if isinstance(found, Mapping):
                found = {_normal_step(key): each for key, each in found.items()}.get(step)
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
        return found


def written(place: Place) -> str:
    """Returns a place as text, such as `groups.web.intervals[1]` or `tail[0].rules[1].match`."""
    in_groups = place[:1] == ("groups",)  # a group may have a number for a name, which is an error
    steps = (
        f"[{step}]" if (depth > 2 if in_groups else isinstance(step, int)) else f".{step}"
        for depth, step in enumerate(place)
    )
    return _printable("".join(steps).removeprefix("."))


def _printable(text: str) -> str:
    r"""Returns text with characters that act on a terminal escaped, such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _normal(place: Place) -> Place:
    return tuple(map(_normal_step, place))


def _normal_step(step: object) -> object:
    """Returns a key with underscores, because settings may be written with hyphens."""
    return step.replace("-", "_") if isinstance(step, str) else step
