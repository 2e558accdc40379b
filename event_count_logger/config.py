"""From a YAML file, or the dictionaries that it would give, to checked, immutable values.

All problems are found at once and each names its place. The only module that knows YAML.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import voluptuous as vol

from event_count_logger import keys
from event_count_logger.errors import ConfigError
from event_count_logger.intervals import Interval

if TYPE_CHECKING:
    import yaml

#: Seconds for one answer from Redis. Shorter gives a waiting `log()` back sooner, longer bears slower
#: networks; being too short costs a repeated request, never a wrong count.
DEFAULT_TIMEOUT_S = 1.0

#: Events per group and process. Each costs a few hundred bytes in the process and a key per interval and
#: half in Redis; event IDs made from unchecked input would otherwise fill both.
DEFAULT_MAX_EVENTS = 100_000

_REDIS_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: Where in the configuration, such as `groups.web.intervals[1]`.
        message: What is wrong there, and what was expected.
        file: The file, if the configuration came from one.
        line: The line in it, from 1.
        fatal: Whether the configuration cannot be used because of it.
    """

    path: str
    message: str
    file: str | None = None
    line: int | None = None
    fatal: bool = True

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line) if part is not None]
        return ": ".join(part for part in (":".join(place), self.path, self.message) if part)


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """How to reach Redis: one of `url`, `embedded`, or host and port.

    Attributes:
        host: Name or address.
        port: TCP port.
        db: Number of the database.
        url: `redis://`, `rediss://` or `unix://` address, instead of the three above.
        embedded: Directory of the embedded server, instead of all of the above.
        socket_timeout: Seconds for one answer.
        socket_connect_timeout: Seconds for making a connection.
        options: What else goes to redis-py's connection as it is.
    """

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    url: str | None = None
    embedded: Path | None = None
    socket_timeout: float = DEFAULT_TIMEOUT_S
    socket_connect_timeout: float = DEFAULT_TIMEOUT_S
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def location(self) -> str:
        """Where Redis is, for people to read: without any password."""
        if self.embedded:
            return f"unix://{self.socket_path}"
        if self.url:
            return without_password(self.url)
        return f"{self.host}:{self.port}/{self.db}"

    @property
    def socket_path(self) -> Path:
        """The unix socket of the embedded server."""
        assert self.embedded
        return self.embedded / "valkey.sock"


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """One event group.

    Attributes:
        name: Of the group; every key begins with it.
        intervals: Each is counted and rotated on its own.
        events: The declared event IDs, each once.
        auto_declare_events: Whether other event IDs are counted too, for as long as they are in use.
        sync_interval: Seconds after which local counts are sent at the latest, or None.
        sync_limit: Number of unsent counts of one event at which they are sent, or None.
        max_events: How many event IDs are told apart; the rest is counted as `@overflow`.
    """

    name: str
    intervals: tuple[Interval, ...]
    events: tuple[str, ...] = ()
    auto_declare_events: bool = False
    sync_interval: float | None = None
    sync_limit: int | None = None
    max_events: int = DEFAULT_MAX_EVENTS

    @property
    def direct(self) -> bool:
        """Whether `log()` sends each count at once."""
        return self.sync_interval is None and self.sync_limit is None

    def interval(self, name: str) -> Interval | None:
        """The interval written like this in the configuration, if there is one."""
        return next((interval for interval in self.intervals if interval.name == name), None)


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that can be used.

    Attributes:
        groups: By name.
        redis: How to reach Redis.
        file: Where it was read from, if it was.
        warnings: What is odd in it, though usable.
    """

    groups: Mapping[str, GroupConfig]
    redis: RedisConfig
    file: str | None = None
    warnings: tuple[Problem, ...] = ()


def from_file(path: str | os.PathLike[str]) -> Config:
    """Read a YAML file with the sections `groups` and `redis`; other sections are left alone.

    Raises:
        ConfigError: With every problem of the file.
    """
    file = os.fspath(path)
    content, line_of = _read_yaml(file)
    return _build(content, line_of, file=file, base=Path(file).resolve().parent)


def from_dicts(groups: Mapping[str, Any] | None, redis: Mapping[str, Any] | None = None) -> Config:
    """Check the dictionaries that the sections of a file would give.

    Raises:
        ConfigError: With every problem of both.
    """
    return _build({"groups": groups, "redis": redis}, lambda path: None, file=None, base=Path.cwd())


def without_password(url: str) -> str:
    """The address with what stands before the `@` hidden."""
    return re.sub(r"//[^/@]*@", "//***@", url)


# Reading YAML

_Path = tuple[object, ...]
_LineOf = Callable[[_Path], int | None]


def _read_yaml(file: str) -> tuple[dict[object, Any], _LineOf]:
    import yaml

    def failure(message: str, line: int | None = None) -> ConfigError:
        return ConfigError([Problem("", message, file, line)])

    try:
        with open(file, "rb") as stream:
            loader = yaml.SafeLoader(stream)
            root = loader.get_single_node()
            content = loader.construct_document(root) if root else {}
    except OSError as error:
        raise failure(f"cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise failure(f"is not valid YAML: {error.problem}", line) from error
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise failure(f"is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise failure("is not usable YAML: nested too deeply") from error
    if not isinstance(content, dict):
        raise failure(f"{_show(content)} is not a mapping with the sections 'groups' and 'redis'", 1)
    repeated = list(_repeated_keys(root, ())) if root else []
    if repeated:
        raise ConfigError([Problem(path, "is given twice", file, line) for path, line in repeated])
    return content, lambda path: _line_of(root, path) if root else None


def _line_of(node: yaml.Node, path: _Path) -> int:
    """The line on which `path` begins, or as much of it as the file has."""
    line = node.start_mark.line + 1
    for step in path:
        children = node.value if isinstance(node.value, list) else []
        if isinstance(step, int) and step < len(children) and not isinstance(children[step], tuple):
            node = children[step]
            line = node.start_mark.line + 1
            continue
        pairs = [pair for pair in children if isinstance(pair, tuple)]
        match = [pair for pair in pairs if _same_key(pair[0].value, step)]
        if not match:
            break
        key, node = match[0]
        line = key.start_mark.line + 1
    return line


def _same_key(written: object, step: object) -> bool:
    if isinstance(step, bool):
        return str(written).lower() in (("yes", "true", "on") if step else ("no", "false", "off"))
    return str(step) in (written, str(written).replace("-", "_"))


def _repeated_keys(node: yaml.Node, path: _Path) -> Iterable[tuple[str, int]]:
    """Keys that stand twice in one of the two sections; YAML would silently take the last."""
    for pair in node.value if isinstance(node.value, list) else ():
        if not isinstance(pair, tuple):
            return
        key, value = pair
        if not path and key.value not in ("groups", "redis"):
            continue
        if [other.value for other, _ in node.value].index(key.value) != node.value.index(pair):
            yield _written((*path, key.value)), key.start_mark.line + 1
        if len(path) < 2:
            yield from _repeated_keys(value, (*path, key.value))


# Checking


def _build(content: Mapping[Any, Any], line_of: _LineOf, *, file: str | None, base: Path) -> Config:
    problems: list[Problem] = []

    def report(path: _Path, message: str, *, fatal: bool = True) -> None:
        problems.append(Problem(_written(path), message, file, line_of(path), fatal))

    for section in ("groups", "redis"):
        for key in difflib.get_close_matches(section, [k for k in content if isinstance(k, str)], 1, 0.8):
            if section not in content:
                report((key,), f"is not known (did you mean '{section}'?)")
    groups = _check_groups(content.get("groups"), report)
    redis = _check_redis(content.get("redis"), report, base)
    problems.sort(key=lambda problem: problem.line or 0)
    if any(problem.fatal for problem in problems):
        raise ConfigError(problems)
    return Config(groups, redis, file, tuple(problems))


_Report = Callable[..., None]


def _check_groups(section: object, report: _Report) -> dict[str, GroupConfig]:
    if section is None or section == {}:
        report(("groups",), "is empty: there is nothing to count", fatal=False)
        return {}
    if not isinstance(section, Mapping):
        report(("groups",), f"{_show(section)} is not a mapping of group names to groups")
        return {}
    groups = {}
    for name, spec in section.items():
        path = ("groups", name)
        fault = _group_name_fault(name)
        if fault:
            report(path, fault)
        values = _check(_GROUP, spec, path, report, strict=False)
        if values is None or fault:
            continue
        groups[name] = group = GroupConfig(name=name, **values)
        if group.max_events < len(group.events):
            report(
                (*path, "max_events"),
                f"{group.max_events} is too few for {len(group.events)} declared events",
            )
    return groups


def _check_redis(section: object, report: _Report, base: Path) -> RedisConfig:
    values = _check(_REDIS, {} if section is None else section, ("redis",), report, strict=True)
    if not values:
        return RedisConfig()
    ways = [way for way in ("url", "embedded", "host") if way in values]
    if len(ways) > 1:
        report(("redis", ways[1]), f"is given beside '{ways[0]}': only one of them can say where Redis is")
    if "embedded" in values:
        values["embedded"] = base / Path(values["embedded"]).expanduser()
    options = {key: values.pop(key) for key in _PASSED_ON if key in values}
    if "socket_timeout" in values:
        values.setdefault("socket_connect_timeout", values["socket_timeout"])
    return RedisConfig(**{key: values[key] for key in values if key not in _NO_EFFECT}, options=options)


def _check(
    schema: vol.Schema, section: object, path: _Path, report: _Report, *, strict: bool
) -> dict[str, Any] | None:
    """What the schema makes of a section, without what is empty; None if that fails.

    A key that is not known is a problem; unless `strict`, only one that looks like a slip is fatal,
    because configurations in use may carry keys of their own.
    """
    if not isinstance(section, Mapping):
        report(path, f"{_show(section)} is not a mapping of settings")
        return None
    known = [str(key) for key in schema.schema]
    section = {key.replace("-", "_") if isinstance(key, str) else key: v for key, v in section.items()}
    for key in [key for key in section if key not in known]:
        close = difflib.get_close_matches(str(key), known, 1, 0.75)
        hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        report((*path, key), f"is not known ({hint})", fatal=strict or bool(close))
        del section[key]
    try:
        return {key: value for key, value in schema(section).items() if value is not None}
    except vol.MultipleInvalid as error:
        for each in error.errors:
            report((*path, *(getattr(step, "schema", step) for step in each.path)), each.msg)
        return None


def _written(path: _Path) -> str:
    steps = (f"[{step}]" if depth > 2 else f".{step}" for depth, step in enumerate(path))
    return "".join(steps).removeprefix(".")


def _show(value: object) -> str:
    """A value as its author would recognise it, in one short line."""
    if value is None:
        return "an empty value"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _group_name_fault(name: object) -> str | None:
    if not isinstance(name, str):
        return f"{_show(name)} is not a string{_quoting_hint(name)}"
    if not keys.GROUP_NAME.fullmatch(name):
        return f"'{name}' is not a group name (use letters, digits, '_', '-' and '.')"
    return None


def _quoting_hint(value: object) -> str:
    if isinstance(value, bool):
        return ": YAML reads on, off, yes and no as true and false; put it in quotes"
    if isinstance(value, int | float):
        return f": put it in quotes, '{value}'"
    if isinstance(value, Mapping):
        return ": YAML reads 'a: b' as a mapping; put it in quotes"
    return ""


def _event_id(value: object) -> str:
    if not isinstance(value, str):
        raise vol.Invalid(f"{_show(value)} is not a string{_quoting_hint(value)}")
    fault = keys.event_id_fault(value)
    if fault:
        raise vol.Invalid(f"{_show(value)} is not an event ID: it {fault}")
    return str(value)


def _interval(value: object) -> Interval:
    try:
        return Interval.parse(value if isinstance(value, str) else _show(value))
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def _list(value: object) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise vol.Invalid(f"{_show(value)} is not a list (write [{value}] for a single one)")
    return list(value)


def _distinct(intervals: list[Interval]) -> tuple[Interval, ...]:
    if not intervals:
        raise vol.Invalid("is empty: a group needs at least one interval, for example [5m]")
    by_length: dict[int, Interval] = {}
    for position, interval in enumerate(intervals):
        other = by_length.setdefault(interval.length_ms, interval)
        if other is not interval:
            raise vol.Invalid(f"'{interval.name}' is as long as '{other.name}'", path=[position])
    return tuple(intervals)


def _number(kind: type, what: str, lowest: float = 0) -> Callable[[object], Any]:
    def check(value: object) -> Any:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not lowest < value < math.inf or kind(value) != value:  # type: ignore[operator]
            raise vol.Invalid(f"{_show(value)} is not {what}")
        return kind(value)

    return check


def _optional(check: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else check(value)


def _port(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise vol.Invalid(f"{_show(value)} is not a TCP port (1 to 65535)")
    return int(text)


def _database(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise vol.Invalid(f"{_show(value)} is not the number of a database (0 or more)")
    return int(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise vol.Invalid(f"{_show(value)} is not a string{_quoting_hint(value)}")
    return str(value)


def _secret(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise vol.Invalid("is not a string: put it in quotes")
    return str(value)


def _mapping(value: object) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise vol.Invalid(f"{_show(value)} is not a mapping")
    return dict(value)


def _url(value: object) -> str:
    url = _text(value)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _REDIS_SCHEMES and bool(parts.hostname or parts.path) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        expected = ", ".join(f"{scheme}://..." for scheme in _REDIS_SCHEMES)
        raise vol.Invalid(f"'{without_password(url)}' is not an address of Redis (use {expected})")
    return url


_seconds = _number(float, "a number of seconds above 0")
_positive = _number(int, "a whole number above 0")


_GROUP = vol.Schema(
    {
        vol.Required("intervals", msg="is missing (for example intervals: [5m])"): vol.All(
            _list, [_interval], _distinct
        ),
        "events": _optional(vol.All(_list, [_event_id], lambda events: tuple(dict.fromkeys(events)))),
        "auto_declare_events": _optional(vol.Boolean(msg="is not true or false")),
        "sync_interval": _optional(_seconds),
        "sync_limit": _optional(_positive),
        "max_events": _optional(_positive),
    }
)

#: Given to redis-py's connection as they are.
_PASSED_ON = {
    "username": _optional(_secret),
    "password": _optional(_secret),
    "client_name": _optional(_text),
    "health_check_interval": _optional(_number(float, "a number of seconds, 0 or more", lowest=-1)),
    "socket_keepalive": _optional(vol.Boolean(msg="is not true or false")),
    "socket_keepalive_options": _optional(_mapping),
    "protocol": _optional(vol.In([2, 3], msg="is not 2 or 3")),
    **dict.fromkeys(("credential_provider", "lib_name", "lib_version", "redis_connect_func"), object),
    **dict.fromkeys(("parser_class", "socket_read_size", "socket_type"), object),
}
#: Accepted because configurations have them, though nothing here depends on them: what is text is known,
#: and a commit is repeated, and counted once, in any case.
_NO_EFFECT = dict.fromkeys(
    ("decode_responses", "encoding", "encoding_errors", "retry", "retry_on_error", "retry_on_timeout"), object
)
_REDIS = vol.Schema(
    {
        "host": _optional(_text),
        "port": _optional(_port),
        "db": _optional(_database),
        "url": _optional(_url),
        "embedded": _optional(_text),
        "socket_timeout": _optional(_seconds),
        "socket_connect_timeout": _optional(_seconds),
        **_PASSED_ON,
        **_NO_EFFECT,
    }
)
