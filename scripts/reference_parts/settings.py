"""Every setting of a configuration: what it may be, what it is if not given, and what it means.

The first comes from what its check says of a value that is never right, the second from the field of the
value that it becomes, the third from the docstring of that; `words` has what these do not tell.
"""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import voluptuous as vol

from event_count_logger import config
from event_count_logger.config import model
from event_count_logger.config.checks import a_duration
from reference_parts.words import DEFAULTS, FIELDS, MEANINGS

#: All that the modules of the configuration know by names in capital letters, such as schemas.
RULES = {
    name: value
    for module in pkgutil.iter_modules(config.__path__, f"{config.__name__}.")
    for name, value in vars(import_module(module.name)).items()
    if name.isupper()
}
SCHEMAS = {name: value for name, value in RULES.items() if isinstance(value, vol.Schema)}

#: Settings of `redis` that are checked, and then without any effect.
IGNORED = tuple(RULES["NO_EFFECT"])


@dataclass(frozen=True)
class Section:
    """A part of a configuration, with the name of the schema that checks it and the value that it becomes."""

    path: str
    schema_name: str
    value: type

    @property
    def schema(self) -> vol.Schema:
        return SCHEMAS[self.schema_name]


@dataclass(frozen=True)
class Setting:
    """A line of the reference."""

    name: str
    kind: str
    default: str
    meaning: str


SECTIONS = (
    Section("redis", "REDIS", model.RedisConfig),
    Section("redis.sentinel", "SENTINEL", model.SentinelConfig),
    Section("groups.NAME", "GROUP", model.GroupConfig),
    Section("groups.NAME.sessions", "SESSIONS", model.SessionsConfig),
    Section("tail[]", "TAIL", model.TailConfig),
    Section("tail[].rules[]", "TAIL_RULE", model.TailRule),
    Section("tail[].rules[].session", "TAIL_SESSION", model.TailSession),
    Section("tail[].rules[].time", "TAIL_TIME", model.TailTime),
    Section("serve", "SERVE", model.ServeConfig),
    Section("grafana", "GRAFANA", model.GrafanaConfig),
    Section("beside the sections", "KEEPING", model.GroupConfig),
)


class NothingSaid(Exception):
    """The code does not tell enough of a setting."""


class _NeverRight:
    def __repr__(self) -> str:
        return "?"


def settings(section: Section) -> Iterator[Setting]:
    """What may stand in a section, in the order of its schema.

    Raises:
        NothingSaid: Of one of them it is not known what it means or what it is by default.
    """
    meanings = _attributes(section.value)
    fields = {field.name: field for field in dataclasses.fields(section.value)}
    for key, check in section.schema.schema.items():
        name, path = str(key), f"{section.path}.{key}"
        field = FIELDS.get(path, name)
        if section.path == "redis" and name in IGNORED:
            continue
        meaning = MEANINGS.get(path) or meanings.get(field)
        if not meaning:
            where = f"the docstring of {section.value.__name__}, or scripts/reference_parts/words.py"
            raise NothingSaid(f"{path} has no meaning: give it one in {where}")
        default = _default(path, isinstance(key, vol.Required), fields.get(field), check)
        yield Setting(name, _kind(path, check), default, meaning)


def _attributes(value: type) -> dict[str, str]:
    """The section `Attributes` of a docstring."""
    text = inspect.getdoc(value) or ""
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text.partition("Attributes:")[2], re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def _kind(path: str, check: Any) -> str:
    if any(section.path in (f"{path}", f"{path}[]") for section in SECTIONS):
        return "settings, see below"
    said = _complaint(check, _NeverRight())
    each = _complaint(check, [_NeverRight()]) if said == "a list" else ""
    return f"{said}, of each: {each}" if each else said or "anything"


def _complaint(check: Any, value: object) -> str:
    """What a check says was expected instead of a value."""
    try:
        vol.Schema(check)(value)
    except vol.Invalid as error:
        return re.sub(r"^.*?\bis not (an? )?|:? put it in quotes|\(use .*\)$", r"\1", error.msg).strip()
    return ""


def _default(path: str, required: bool, field: dataclasses.Field[Any] | None, check: Any) -> str:
    if required:
        return "must be given"
    if path in DEFAULTS:
        return DEFAULTS[path]
    if path.removeprefix("redis.") in RULES["PASSED_ON"]:
        return "that of redis-py"
    if field is None or field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        raise NothingSaid(f"{path} has no default: give it one in scripts/reference_parts/words.py")
    factory = field.default_factory
    default = field.default if factory is dataclasses.MISSING else factory()
    return _written(default, _is_duration(check))


def _is_duration(check: Any) -> bool:
    return _complaint(check, _NeverRight()) == _complaint(a_duration, _NeverRight())


def _written(default: object, duration: bool) -> str:
    """A default as one would write it in a configuration."""
    if default is None or default in ((), {}):
        return "none"
    if duration and isinstance(default, float):
        length, unit = (default / 3600, "h") if default % 3600 == 0 else (default / 60, "m")
        return f"`{length:g}{unit}`"
    if isinstance(default, bool):
        return f"`{default}`".lower()
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
