"""The settings that the rest of the project works with: checked, immutable values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timezone, tzinfo
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from zlib import crc32

from event_count_logger import keys
from event_count_logger.config.spool_directories import default_spool_dir, default_spool_dirs
from event_count_logger.config.templates import Template
from event_count_logger.errors import NotConfigured, Problem
from event_count_logger.intervals import Interval

#: Seconds for one answer from Redis. Shorter gives a waiting `log()` back sooner, longer bears slower
#: networks; being too short costs a repeated request, never a wrong count.
DEFAULT_TIMEOUT_S = 2.0

#: Events per group and process. Each costs a few hundred bytes in the process and a key per interval and
#: half in Redis; event IDs made from unchecked input would otherwise fill both.
DEFAULT_MAX_EVENTS = 100_000

#: Finished intervals per group and interval: five hours of 5 minutes. Each takes some 20 bytes per event in
#: Redis.
DEFAULT_HISTORY = 60

#: Seconds for which the total of an undeclared event is kept when it is not logged any more: a weekend.
DEFAULT_EXPIRE_AFTER_S = 72 * 3600.0

#: Seconds that one gap between two moments of a session may add to its time.
DEFAULT_SESSION_TIMEOUT_S = 15 * 60.0

#: Sessions that a group knows of at once. Each takes some 260 bytes in Redis, and more with many gaps.
DEFAULT_MAX_SESSIONS = 100_000

#: Seconds for which the position of a process that has ended is kept: longer than any outage after which
#: what it left unsent can still come.
DEFAULT_SOURCE_TTL_S = 7 * 24 * 3600.0

#: A live process gives a sign every quarter of its `source_ttl`, and each master looks every eighth, which is
#: to be no burden.
SHORTEST_SOURCE_TTL_S = 600.0

#: How the counts of a group lie in Redis.
Layout = Literal["keys", "hash"]

#: What Redis must have done with a batch before it is taken for counted: have it in memory; have it on disk;
#: have it on all replicas, of which there must be one.
Durability = Literal["memory", "fsync", "replicas"]

#: The dashboard's name, as people know it.
DEFAULT_GRAFANA_EVENT = Template.parse("{dashboard.name}")

DEFAULT_PORT = 6379


#: Host and TCP port.
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SentinelConfig:
    """Who knows which server is the master now.

    Attributes:
        nodes: The sentinels.
        service: What they call the master and its replicas.
        options: What else goes to redis-py's connections to the sentinels as it is.
    """

    nodes: tuple[Address, ...]
    service: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """How to reach Redis: one of `url`, `embedded`, `sentinel`, host and port, or the nodes of a cluster.

    Attributes:
        host: Name or address.
        port: TCP port.
        db: Number of the database.
        url: `redis://`, `rediss://` or `unix://` address, instead of the three above.
        embedded: Directory of the embedded server, instead of all of the above.
        cluster: Whether it is a cluster.
        nodes: Some nodes of the cluster; the others are found by them.
        sentinel: Who knows where it is.
        ssl: Whether to connect with TLS, if there is no `url` that tells.
        socket_timeout: Seconds for one answer.
        socket_connect_timeout: Seconds for making a connection.
        options: What else goes to redis-py's connection as it is.
    """

    host: str = "localhost"
    port: int = DEFAULT_PORT
    db: int = 0
    url: str | None = field(default=None, repr=False)
    embedded: Path | None = None
    cluster: bool = False
    nodes: tuple[Address, ...] = ()
    sentinel: SentinelConfig | None = None
    ssl: bool = False
    socket_timeout: float = DEFAULT_TIMEOUT_S
    socket_connect_timeout: float = DEFAULT_TIMEOUT_S
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def location(self) -> str:
        """Where Redis is, for people to read: without any password."""
        if self.embedded:
            return f"unix://{self.socket_path}"
        if self.cluster:
            return f"cluster {_written(self.nodes)}"
        if self.sentinel:
            return f"'{self.sentinel.service}' of sentinels {_written(self.sentinel.nodes)}"
        if self.url:
            return without_password(self.url)
        return f"{self.host}:{self.port}/{self.db}"

    @property
    def identity(self) -> str:
        """Which database it is, the same for all ways to write its address, and without anything secret.

        A cluster is known by the nodes that are given, and what sentinels watch by its name alone.
        """
        if self.embedded:
            return f"unix:{self.socket_path}/{self.db}"
        if self.cluster:
            return "cluster:" + ",".join(sorted(f"{_host(host)}:{port}" for host, port in self.nodes))
        if self.sentinel:
            return f"sentinel:{self.sentinel.service}/{self.db}"
        if not self.url:
            return f"{_host(self.host)}:{self.port}/{self.db}"
        parts = urlsplit(self.url)
        is_socket = parts.scheme == "unix"
        in_path = "" if is_socket else parts.path.strip("/")
        db = int(parse_qs(parts.query).get("db", [in_path or "0"])[-1])
        if is_socket:
            return f"unix:{unquote(parts.path)}/{db}"
        return f"{_host(parts.hostname or '')}:{parts.port or DEFAULT_PORT}/{db}"

    @property
    def socket_path(self) -> Path:
        """The unix socket of the embedded server."""
        assert self.embedded
        return self.embedded / "valkey.sock"


@dataclass(frozen=True, slots=True)
class SessionsConfig:
    """How the sessions of a group are timed, and how long they are remembered.

    Attributes:
        timeout: Seconds that one gap between two moments adds at most; 0 for any number.
        expire_after: Seconds after its last update when a session is forgotten.
        max_sessions: How many are remembered, or 0 for any number; above it the longest idle are forgotten.
    """

    timeout: float = DEFAULT_SESSION_TIMEOUT_S
    expire_after: float = DEFAULT_EXPIRE_AFTER_S
    max_sessions: int = DEFAULT_MAX_SESSIONS


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """One event group.

    Attributes:
        name: Of the group; every key begins with it.
        intervals: Each is counted and rotated on its own.
        events: The declared event IDs, each once.
        auto_declare_events: Whether other event IDs are counted too, for as long as they are in use.
        sync_interval: Seconds after which local counts are sent at the latest, or None; see `at_once`.
        sync_limit: Number of unsent counts of one event at which they are sent, or None.
        max_events: How many event IDs may be in use in one process; the rest is counted as `@overflow`.
        spool: Whether local counters are kept in files, so that they survive the process.
        spool_dir: Where these files are; None for the default.
        history: How many finished intervals are kept, for each of `intervals`; 0 for none.
        totals: Whether it is kept what each event has counted since ever.
        expire_after: Seconds after which an undeclared event is dropped, if it is not logged: its total, and
            its place among `max_events`. Where a new event finds no place, a third of that is enough.
        hidden: Whether the group is left out of what exports or lists groups.
        title: For people, such as the title of a chart; the name if None.
        unit: What is counted, in the plural.
        labels: What events are called for people, by event ID; the others are called by their ID.
        sessions: How sessions are counted; None if the group has none.
        key_prefix: What its keys begin with, if that is not its name.
        n_shards: Into how many parts it is split, each of which has keys of its own; see `shards`.
        layout: How its counts lie in Redis: each under a key, or those of one interval in one hash.
        durability: What must be sure of a batch before it is taken for counted.
        source_ttl: Seconds after which the position of a process that has ended is forgotten.
    """

    name: str
    intervals: tuple[Interval, ...]
    events: tuple[str, ...] = ()
    auto_declare_events: bool = False
    sync_interval: float | None = None
    sync_limit: int | None = None
    max_events: int = DEFAULT_MAX_EVENTS
    spool: bool = True
    spool_dir: Path | None = None
    history: int = DEFAULT_HISTORY
    totals: bool = True
    expire_after: float = DEFAULT_EXPIRE_AFTER_S
    hidden: bool = False
    title: str | None = None
    unit: str = "events"
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    sessions: SessionsConfig | None = None
    key_prefix: str = ""
    n_shards: int = 1
    layout: Layout = "keys"
    durability: Durability = "memory"
    source_ttl: float = DEFAULT_SOURCE_TTL_S

    @property
    def prefix(self) -> str:
        """What its keys begin with; only its shards have keys if it is split."""
        assert self.n_shards == 1, f"group '{self.name}' is split: only its shards have keys"
        return self.key_prefix or self.name

    @property
    def label(self) -> str:
        """Its name in messages, where a shard has its number, too."""
        return self.name if self.n_shards > 1 else self.prefix.strip("{}")

    @property
    def shards(self) -> tuple[GroupConfig, ...]:
        """Its parts: groups under other keys that share its counts; itself if it is not split."""
        return tuple(map(self.shard, range(self.n_shards)))

    def shard(self, number: int) -> GroupConfig:
        """One of its parts, which are counted from 0."""
        if self.n_shards == 1:
            return self
        return replace(self, key_prefix=keys.prefix(self.name, shard=number), n_shards=1)

    def shard_of(self, source: str) -> GroupConfig:
        """The part of the group that a source counts in: always the same one."""
        return self.shard(crc32(source.encode("utf-8", "surrogateescape")) % self.n_shards)

    @property
    def totals_interval(self) -> Interval:
        """The interval whose counts are added to the totals, if nothing else is noted in Redis."""
        return min(self.intervals, key=lambda interval: interval.length_ms)

    @property
    def spool_directory(self) -> Path | None:
        """Where this process makes its files; None if it makes none. The default depends on its user now."""
        return (self.spool_dir or default_spool_dir()) if self.spool else None

    @property
    def spool_directories(self) -> list[Path]:
        """Where its processes may have made files."""
        if not self.spool:
            return []
        return [self.spool_dir] if self.spool_dir else default_spool_dirs()

    @property
    def direct(self) -> bool:
        """True if `log()` sends each count itself, and waits until Redis has confirmed it."""
        return self.sync_interval is None and self.sync_limit is None

    @property
    def at_once(self) -> bool:
        """True if the background thread sends each count as soon as it can; `log()` does not wait for it."""
        return self.sync_interval == 0

    @property
    def longest_unsent_s(self) -> float:
        """Seconds within which a process tries to send each count: at the latest before an interval ends."""
        if self.direct or self.at_once:
            return 0.0
        shortest_s = min(interval.length_s for interval in self.intervals)
        return shortest_s if self.sync_interval is None else min(self.sync_interval, shortest_s)

    def interval(self, name: str) -> Interval | None:
        """The interval written like this in the configuration, if there is one."""
        return next((interval for interval in self.intervals if interval.name == name), None)


@dataclass(frozen=True, slots=True)
class TailSession:
    """What a line says about a session.

    Attributes:
        id: Tells the session from others.
        event: What it is counted as; None for whatever it is known as.
        action: What has happened.
    """

    id: Template
    event: Template | None
    action: Literal["start", "heartbeat", "end"]


@dataclass(frozen=True, slots=True)
class TailTime:
    """When a line was written.

    Attributes:
        value: The time in the line.
        format: As of Python's `datetime.strptime`.
        zone: Of times that do not name theirs.
    """

    value: Template
    format: str
    zone: tzinfo = timezone.utc

    @property
    def has_year(self) -> bool:
        """Whether the year is in the line."""
        return has_year(self.format)


@dataclass(frozen=True, slots=True)
class TailRule:
    """What the lines count that match a pattern.

    Attributes:
        pattern: Is looked for in each line.
        events: Each is counted once for a line.
        counts: Events, each with the number that a line adds to it.
        session: What a line says about a session, if it does.
        time: When it was written; None for when it is read.
    """

    pattern: re.Pattern[str]
    events: tuple[Template, ...] = ()
    counts: tuple[tuple[Template, Template], ...] = ()
    session: TailSession | None = None
    time: TailTime | None = None


@dataclass(frozen=True, slots=True)
class TailConfig:
    """Log files that are followed.

    Attributes:
        file: Absolute path, which may contain wildcards.
        group: Name of the group in which lines are counted.
        source: Tells machines apart that count in the same group.
        rules: Each that matches a line counts it.
    """

    file: str
    group: str
    source: str
    rules: tuple[TailRule, ...]

    @property
    def source_id(self) -> str:
        """The name of its position in Redis."""
        return f"tail:{self.source}:{self.file}"


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """What the HTTP server lets others do.

    Attributes:
        allowed_origins: Whose pages may count, as browsers name them; '*' for any.
        connections_per_client: Limit for each address but those of this machine; 0 for none.
    """

    allowed_origins: tuple[str, ...] = ()
    connections_per_client: int = 200


@dataclass(frozen=True, slots=True)
class GrafanaConfig:
    """What the sessions of Grafana's dashboards are counted as; filled from what its panel sends.

    Attributes:
        group: The group; None for the only one that has sessions.
        event: The event in it.
    """

    group: Template | None = None
    event: Template = DEFAULT_GRAFANA_EVENT


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that can be used.

    Attributes:
        groups: By name.
        redis: How to reach Redis.
        file: Where it was read from, if it was.
        warnings: What is odd in it, though usable.
        serve: What the HTTP server lets others do.
        grafana: What the sessions of Grafana's dashboards are counted as.
        tail: The log files that are followed.
    """

    groups: Mapping[str, GroupConfig]
    redis: RedisConfig
    file: str | None = None
    warnings: tuple[Problem, ...] = ()
    serve: ServeConfig = ServeConfig()
    grafana: GrafanaConfig = GrafanaConfig()
    tail: tuple[TailConfig, ...] = ()

    def group(self, name: str) -> GroupConfig:
        """The group of that name.

        Raises:
            NotConfigured: There is none.
        """
        group = self.groups.get(name)
        if group is None:
            raise NotConfigured(f"Group '{name}' not found in configuration")
        return group

    @property
    def shown_groups(self) -> list[GroupConfig]:
        """The groups that are not hidden."""
        return [group for group in self.groups.values() if not group.hidden]

    @property
    def spool_dirs(self) -> list[Path]:
        """Where there may be spool files of its groups."""
        return sorted({each for group in self.groups.values() for each in group.spool_directories})


def has_year(format: str) -> bool:
    """Whether times of a format of `datetime.strptime` have a year."""
    return bool(re.search("%[YycxG]", format))


def _host(name: str) -> str:
    return "localhost" if name in ("127.0.0.1", "::1") else name.lower()


def _written(nodes: tuple[Address, ...]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in nodes)


def without_password(url: str) -> str:
    """The address without whatever in it may be secret: user, password, query."""
    return re.sub(r"(?s)^(.*//)?.*@", r"\1***@", url).partition("?")[0]
