"""Messages about a configuration, without values of environment variables.

A check names the text at fault, and may quote an error of Python about it. Both contain values of variables,
whole or in parts. One function removes them from every message, so that no check needs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

from event_count_logger.config.environment import FromEnvironment
from event_count_logger.config.report import Place

#: Characters of a word, at least, that is looked for; and of one that is looked for within other words, too.
#: Shorter ones are part of too many other words.
_SHORTEST, _SHORTEST_WITHIN = 4, 6

#: Words of the messages themselves. As values of variables they are no secret, such as the host `redis`.
_OF_MESSAGES = frozenset(
    (
        "address",
        "cluster",
        "count",
        "counts",
        "event",
        "events",
        "false",
        "group",
        "groups",
        "host",
        "interval",
    )
    + ("line", "list", "localhost", "name", "none", "number", "redis", "rediss", "service", "session")
    + ("sessions", "string", "template", "time", "true", "unix")
)

#: The keys that lead to a group, an entry of `tail`, or a setting of another section: their settings are
#: checked against each other, so a message about one may quote another.
_DEPTH = 2


def concealed(message: str, place: Place, content: Mapping[object, object], values: Mapping[str, str]) -> str:
    """Returns a message with `${NAME}` in place of the values of variables.

    Args:
        message: What is wrong.
        place: Where it is wrong.
        content: The configuration, with the values in it.
        values: The value of each variable in it.

    Returns:
        The message; a general one if it contains a part of a value, such as the name of a group in a pattern.
    """
    for text in _texts(content, set()):
        message = message.replace(f"'{text}'", f"'{text.written}'")
    names = {name for text in _texts(_at(content, place), set()) for name in text.names}
    secrets = {name: values[name] for name in names if values[name].lower() not in _OF_MESSAGES}
    for name in sorted(secrets, key=lambda name: len(secrets[name]), reverse=True):
        if len(secrets[name]) >= _SHORTEST:
            message = message.replace(secrets[name], f"${{{name}}}")
    rest = re.sub(r"\$\{\w+\}", "", message).lower()
    for name, value in secrets.items():
        if _have_in_common(rest, value.lower()):
            return (
                f"cannot be used (the reason is not shown, since it has a part of the value of ${{{name}}})"
            )
    return message


def _have_in_common(message: str, value: str) -> bool:
    """Returns whether a message has a word of a value, or a part of one where it cuts a long text."""
    shown = set(_words(message))
    return any(
        word in shown or (len(word) >= _SHORTEST_WITHIN and word in message) for word in _words(value)
    ) or any(len(word) >= 2 * _SHORTEST_WITHIN and word in value for word in shown)


def _words(text: str) -> Iterator[str]:
    found = re.findall(rf"\w{{{_SHORTEST},}}", text)
    return (word for word in found if word not in _OF_MESSAGES)


def _at(content: Mapping[object, object], place: Place) -> object:
    """Returns what is at a place, to the depth at which settings are checked against each other."""
    found: object = content
    for step in place[:_DEPTH]:
        with suppress(LookupError, TypeError):
            found = found[step]  # type: ignore[index]
    return found


def _texts(value: object, visited: set[int]) -> Iterator[FromEnvironment]:
    if isinstance(value, FromEnvironment):
        yield value
    if isinstance(value, Mapping | list) and id(value) not in visited:
        visited.add(id(value))  # by its aliases it may stand in many places, even in itself
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each, visited)
