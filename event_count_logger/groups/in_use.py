"""A registry of objects that are in use in this process, for features that must find all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


def _ignore(each: object) -> None:
    """Does nothing."""


class InUse(Generic[T]):
    """The objects of one kind that are in use. It keeps none of them alive.

    Attributes:
        on_add: Called with each new object.
    """

    def __init__(self) -> None:
        self.on_add: Callable[[T], object] = _ignore
        self._by_id: WeakValueDictionary[int, T] = WeakValueDictionary()

    def add(self, each: T) -> None:
        """Add a new object."""
        self._by_id[id(each)] = each
        self.on_add(each)

    def all(self) -> list[T]:
        """Returns all objects."""
        return [each for ref in self._by_id.valuerefs() if (each := ref()) is not None]
