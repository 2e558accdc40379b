"""The settings of a group, and of its sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal
from zlib import crc32

from event_count_logger import keys
from event_count_logger.config.checks import (
    Check,
    Fault,
    Invalid,
    boolean,
    check,
    check_each,
    duration,
    event_id,
    items,
    line,
    list_of,
    mapping_of,
    nested,
    one_of,
    or_zero,
    parsed,
    path,
    seconds,
    show,
    whole_number,
)
from event_count_logger.config.history_setting import DEFAULT, History, history
from event_count_logger.config.settings import section, setting, settings_of
from event_count_logger.config.spool_directories import default_spool_dir, default_spool_dirs
from event_count_logger.intervals import Interval

#: Layout of the counts of a group in Redis.
Layout = Literal["keys", "hash"]

#: Acknowledgement that a batch needs: Redis has it in memory, on disk, or on all replicas, at least one.
Durability = Literal["memory", "fsync", "replicas"]

#: Each shard is rotated and read separately.
_MOST_SHARDS = 1024

#: Seconds. A process sends a heartbeat every quarter of its `source_ttl`, and each master looks for expired
#: ones every eighth: neither may load Redis.
_SHORTEST_SOURCE_TTL_S = 600.0


#: Seconds. Longest gap of a session that counts in full.
_SESSION_TIMEOUT_S = 15 * 60.0


@check("an interval")
def _interval(value: object) -> Interval:
    return parsed(value, Interval.parse)


@check("a list", kind="a list of intervals")
def _intervals(value: object) -> tuple[Interval, ...]:
    given = items(value)
    if not given:
        raise Invalid("is empty: a group needs at least one interval, for example [5m]")
    intervals = check_each(enumerate(given), _interval)
    for number, interval in enumerate(intervals):
        first = next(at for at, one in enumerate(intervals) if one.begins_as(interval))
        if first != number:
            message = f"{show(given[number])} is as long as {show(given[first])}"
            raise Invalid(faults=[Fault((number,), message)])
    return intervals


def _source_ttl(value: object) -> float:
    found = duration(value)
    if found < _SHORTEST_SOURCE_TTL_S:
        raise Invalid(f"{show(value)} is less than {_SHORTEST_SOURCE_TTL_S // 60:g}m")
    return found


@check("a length of time, 0 or 'auto'", "for example 15m", kind="a length of time, 0 or `auto`")
def _session_timeout(value: object) -> float | Literal["auto"]:
    return "auto" if value == "auto" else or_zero(duration).convert(value)


@section
class SessionsConfig:
    """Timing and expiry of the sessions of a group."""

    timeout: float | Literal["auto"] = setting(
        _session_timeout,
        default=_SESSION_TIMEOUT_S,
        since="2.0",
        meaning="Longest gap between two times of a session that counts in full; 0 for no limit. A longer "
        "gap adds only this much to the session's time. With `auto`, the gap between a start and an end "
        "counts in full if no heartbeat is between them. The limit of other gaps is 1.25 times the heartbeat "
        "interval that [Grafana's panel](sources.md#grafana-dashboards) sends, and 15m in other sessions.",
    )
    expire_after: float = setting(
        duration,
        default=72 * 3600.0,
        since="2.0",
        meaning="A report of a session that is later than the one before it by more than this begins a new "
        "session. The times of the reports are compared, not those of their arrival.",
    )
    # Each session takes some 260 bytes in Redis, and more with many gaps.
    max_sessions: int = setting(
        whole_number(0),
        default=100_000,
        unit="sessions",
        since="2.0",
        meaning="Limit of remembered session IDs; 0 for none. Above it, the longest idle ones are forgotten.",
    )

    @property
    def is_auto(self) -> bool:
        """True if the timeout depends on the session."""
        return self.timeout == "auto"

    @property
    def timeout_s(self) -> float:
        """The timeout of sessions that have none of their own, in seconds; 0 for no limit."""
        return _SESSION_TIMEOUT_S if self.timeout == "auto" else self.timeout


@section
class GroupConfig:
    """One event group.

    Attributes:
        name: Name of the group; every key begins with it.
        key_prefix: Prefix of the keys, if that is not the name.
    """

    name: str
    intervals: tuple[Interval, ...] = setting(
        _intervals,
        example="[5m]",
        since="1.1",
        meaning="Lengths of time that are counted separately, such as `[5s, 5m]`. Each one divides the time "
        "since 1970 (UTC) into intervals. Those in days (`1d`) begin at 00:00 UTC, and those in weeks (`1w`) "
        "on Monday. The shortest is 0.1 s.",
    )
    events: tuple[str, ...] = setting(
        list_of(event_id, "a list of event IDs"),
        default=(),
        since="1.1",
        meaning="IDs of the declared events. A declared event always has a count, which may be 0.",
    )
    auto_declare_events: bool = setting(
        boolean,
        default=False,
        since="1.1",
        meaning="Count undeclared events too, while they are in use. Otherwise such an event is not "
        "counted, and a warning is logged.",
    )
    sync_interval: float | None = setting(
        or_zero(seconds, "a number of seconds, 0 or more"),
        default=None,
        since="1.1",
        meaning="Seconds until local counts are sent at the latest; they are also sent before an interval "
        "ends. With 0 a background thread sends each count at once, and `log()` does not wait. Without this "
        "and `sync_limit` the group is [direct](concepts.md#local-counters): each `log()` sends its count, "
        "and waits for Redis.",
    )
    sync_limit: int | None = setting(
        whole_number(1),
        default=None,
        since="1.1",
        meaning="Number of unsent counts of one event at which they are sent. Not with `sync_interval: 0`.",
    )
    # Each event costs a few hundred bytes in the process, and a key per interval and a half in Redis. Without
    # a limit, event IDs made from unchecked input would fill both.
    max_events: int = setting(
        whole_number(1),
        default=100_000,
        unit="events",
        since="2.0",
        meaning="Limit of event IDs in use in one process; others are counted as `@overflow`.",
    )
    history: History = setting(
        history,
        default=History(),
        unit="intervals",
        since="2.0",
        meaning="Finished intervals that are kept, for each of `intervals`; 0 for none. A length of time, "
        "such as `7d`, keeps the intervals that cover it. A mapping, such as `{5m: 7d, 1h: 90d}`, has a "
        f"value for each interval; one that it does not name keeps {DEFAULT}. All of them are in the "
        "[memory of Redis](layouts.md#memory-of-the-history).",
    )
    totals: bool = setting(
        boolean, default=True, since="2.0", meaning="Keep the all-time total of each event."
    )
    # A weekend.
    expire_after: float = setting(
        duration,
        default=72 * 3600.0,
        since="2.0",
        meaning="Time after which an undeclared event that is not logged is dropped. It loses its all-time "
        "total, and its place among `max_events`. A third of this time is enough when a new event finds no "
        "place.",
    )
    layout: Layout = setting(
        one_of("keys", "hash"),
        default="keys",
        since="2.0",
        meaning="Layout of the counts in Redis: `keys` has a key for each, `hash` has one hash for each "
        "interval. See [layouts](layouts.md).",
    )
    hidden: bool = setting(
        boolean, default=False, since="2.0", meaning="Leave the group out of exports and lists of groups."
    )
    title: str | None = setting(
        line,
        default=None,
        default_text="the name of the group",
        since="2.0",
        meaning="Title for people, for example of a chart.",
    )
    unit: str = setting(line, default="events", since="2.0", meaning="What is counted, in the plural.")
    labels: Mapping[str, str] = setting(
        mapping_of(event_id, line, "event IDs to labels"),
        default_factory=dict,
        hash=False,
        since="2.0",
        meaning="Names of events for people, by event ID.",
    )
    n_shards: int = setting(
        whole_number(1, _MOST_SHARDS),
        default=1,
        name="shards",
        since="2.0",
        meaning="Number of parts of the group. Each part has its own keys, and takes the counts of some "
        "processes.",
    )
    sessions: SessionsConfig | None = setting(
        nested,
        default=None,
        since="2.0",
        meaning="Count [sessions](sources.md#sessions), with the settings below. May be empty.",
    )
    spool: bool = setting(
        boolean,
        default=True,
        is_shared=True,
        since="2.0",
        meaning="Keep local counters in files, so that they survive the process.",
    )
    spool_dir: Path | None = setting(
        path,
        default=None,
        default_text="`ECL_SPOOL_DIR` in the environment, else `event-count-logger-UID` in the first of "
        "`/dev/shm`, `/tmp` and `/var/tmp` that is writable",
        is_shared=True,
        since="2.0",
        meaning="Directory of these files, relative to the configuration.",
    )
    durability: Durability = setting(
        one_of("memory", "fsync", "replicas"),
        default="memory",
        is_shared=True,
        since="2.0",
        meaning="Acknowledgement that a batch needs: Redis has it in memory (`memory`), on its disk "
        "(`fsync`), or on all replicas, at least one (`replicas`). See [durability](durability.md).",
    )
    source_ttl: float = setting(
        Check(_source_ttl, "a length of time"),
        default=7 * 24 * 3600.0,
        is_shared=True,
        since="2.0",
        meaning="Time for which the position of an ended process is kept. It must be longer than any outage "
        "after which unsent counts of that process may still arrive.",
    )
    key_prefix: str = ""

    @property
    def prefix(self) -> str:
        """The prefix of its keys. A group with shards has none: only its shards have keys."""
        assert self.n_shards == 1, f"group '{self.name}' is split: only its shards have keys"
        return self.key_prefix or self.name

    @property
    def label(self) -> str:
        """Its name in messages; that of a shard includes the number."""
        return self.name if self.n_shards > 1 else self.prefix.strip("{}")

    @property
    def shards(self) -> tuple[GroupConfig, ...]:
        """Its shards: groups with keys of their own that share its counts; only itself if it has none."""
        return tuple(map(self.shard, range(self.n_shards)))

    def shard(self, number: int) -> GroupConfig:
        """Returns one shard; numbers begin at 0."""
        if self.n_shards == 1:
            return self
        return replace(self, key_prefix=keys.prefix(self.name, shard=number), n_shards=1)

    def shard_of(self, source: str) -> GroupConfig:
        """Returns the shard that a source counts in, always the same one."""
        return self.shard(crc32(source.encode("utf-8", "surrogateescape")) % self.n_shards)

    @property
    def totals_interval(self) -> Interval:
        """The interval whose counts are added to the totals, unless Redis has the name of another one."""
        return min(self.intervals, key=lambda interval: interval.length_ms)

    def n_history(self, interval: Interval) -> int:
        """Returns the number of finished intervals that the history of an interval holds."""
        return self.history.length_of(interval).n_intervals(interval)

    def keeps_history(self, interval: Interval) -> bool:
        """Returns whether finished intervals are kept in the history."""
        return self.n_history(interval) > 0

    @property
    def notes_created(self) -> bool:
        """True if commits note when the total of a new event begins; declared events begin with 0."""
        return self.auto_declare_events and self.totals

    @property
    def spool_directory(self) -> Path | None:
        """The directory for files of this process, by default one of its current user; None without files."""
        return (self.spool_dir or default_spool_dir()) if self.spool else None

    @property
    def spool_directories(self) -> list[Path]:
        """All directories that may have files of the group."""
        if not self.spool:
            return []
        return [self.spool_dir] if self.spool_dir else default_spool_dirs()

    @property
    def direct(self) -> bool:
        """True if `log()` sends each count itself, and waits until Redis has confirmed it."""
        return self.sync_interval is None and self.sync_limit is None

    @property
    def at_once(self) -> bool:
        """True if the background thread sends each count as soon as it can, and `log()` does not wait."""
        return self.sync_interval == 0

    @property
    def longest_unsent_s(self) -> float:
        """Longest wait of a count, in seconds: at most until an interval ends; 0 if it is sent at once."""
        if self.direct or self.at_once:
            return 0.0
        shortest_s = min(interval.length_s for interval in self.intervals)
        return shortest_s if self.sync_interval is None else min(self.sync_interval, shortest_s)

    def is_session_time(self, event_id: str) -> bool:
        """Returns whether an event counts milliseconds of sessions."""
        return self.sessions is not None and keys.is_session_time(event_id)

    def addable(self, events: Collection[str]) -> list[str]:
        """Returns the events whose counts may be added up.

        The others count milliseconds of sessions, or are buckets of histograms, which count the same numbers
        several times.
        """
        known = set(events)
        of_histogram = {event_id: keys.parse_bucket(event_id) for event_id in events}
        return [
            event_id
            for event_id, bucket in of_histogram.items()
            if not (self.is_session_time(event_id) or (bucket and bucket[0] in known))
        ]

    def mean_length_s(self, counts: Mapping[str, int]) -> float | None:
        """Returns the mean length of the sessions in some counts, in seconds; None without sessions."""
        times = [event_id for event_id in counts if self.is_session_time(event_id)]
        n = sum(counts.get(keys.event_of_sessions(event_id), 0) for event_id in times)
        return sum(counts[event_id] for event_id in times) / 1000 / n if n else None

    def interval(self, name: str) -> Interval | None:
        """Returns the interval with this name, or None; `60s` and `1m` are different names."""
        return next((interval for interval in self.intervals if interval.name == name), None)


GROUP = settings_of(GroupConfig)

SESSIONS = settings_of(SessionsConfig)

#: Settings that may also stand beside the section `groups`, for all groups.
FOR_ALL_GROUPS = {name: entry for name, entry in GROUP.items() if entry.is_shared}
