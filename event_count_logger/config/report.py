"""Places in a configuration, and how what is wrong there is reported."""

from __future__ import annotations

from typing import Protocol

#: The keys and positions that lead to a place.
Place = tuple[object, ...]


class Report(Protocol):
    """Takes note of a problem; one that is not fatal leaves the configuration usable."""

    def __call__(self, place: Place, message: str, *, fatal: bool = True) -> None:
        """Note that something is wrong at `place`."""


def written(place: Place) -> str:
    """A place in words, such as `groups.web.intervals[1]` or `tail[0].rules[1].match`."""
    in_groups = place[:1] == ("groups",)  # whose third step may be a number, too
    steps = (
        f"[{step}]" if (depth > 2 if in_groups else isinstance(step, int)) else f".{step}"
        for depth, step in enumerate(place)
    )
    return "".join(steps).removeprefix(".")
