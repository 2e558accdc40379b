"""Checks of the Redis server and its data, for `ecl check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product

from event_count_logger.config import Config, GroupConfig
from event_count_logger.errors import Rejected
from event_count_logger.intervals import Interval
from event_count_logger.logs import counted
from event_count_logger.reading.reader import Reader, is_overdue
from event_count_logger.reading.rejections import Rejections
from event_count_logger.reading.running_masters import parts, running_masters
from event_count_logger.reading.unrotated import find_unrotated
from event_count_logger.store import Store

#: Seconds that the clocks of this machine and of Redis may be apart. Intervals follow the clock of Redis.
_CLOCK_TOLERANCE_S = 1.0

_OLDEST_VERSION = (6, 2)

#: Intervals that one line names, at most.
_MOST_NAMES = 3


def examine(config: Config, store: Store) -> Iterator[str]:
    """Yield a sentence for each problem.

    Raises:
        Unavailable: Redis does not answer.
    """
    servers = store.servers.settings()
    for location, settings in servers.items():
        where = f"{location}: " if len(servers) > 1 else ""
        yield from (f"{where}{problem}" for problem in _settings(settings))
    yield from _clock(config, store)
    shards = [shard for group in config.groups.values() for shard in group.shards]
    rejections = _probe(shards, store)
    yield from rejections.lines()
    for shard in shards:
        yield from (f"group '{shard.label}': {problem}" for problem in _stored(shard, store, rejections))
        with suppress(Rejected):  # reported by the probe
            fault = "" if rejections.concern_server else store.commits.durability_fault(shard)
            if fault:
                yield f"group '{shard.label}': {fault}"
    yield from _overdue(config, store, rejections)
    for group in config.groups.values():
        with suppress(Rejected):  # the key is reported above
            yield from map(str, find_unrotated(group, store))


def notes(config: Config, store: Store) -> Iterator[str]:
    """Yield a sentence about intervals that no master has started yet, which is no problem by itself.

    Raises:
        Unavailable: Redis does not answer.
    """
    reader = Reader(store)
    not_started = []
    for group in config.groups.values():
        for shard, interval in product(group.shards, group.intervals):
            with suppress(Rejected):  # reported as a problem
                if not store.rotation.has_rotated(shard, interval) and not is_overdue(
                    reader.overdue_s(shard, interval)
                ):
                    not_started.append(f"group '{shard.label}', interval '{interval.name}'")
    if not_started:
        named, more = "; ".join(not_started[:_MOST_NAMES]), len(not_started) - _MOST_NAMES
        rest = f"; and {more:,} more" if more > 0 else ""
        have = f"{counted(len(not_started), 'interval')} {'has' if len(not_started) == 1 else 'have'}"
        step = "start ecl_master, or send it SIGHUP to reload the configuration"
        yield f"{have} no master yet ({step}): {named}{rest}"


def _probe(shards: Sequence[GroupConfig], store: Store) -> Rejections:
    rejections = Rejections(store.location)
    for shard in shards:
        try:
            rejections.add(shard.label, store.servers.probe(shard))
        except Rejected as error:
            rejections.add(shard.label, [error])
    return rejections


def _settings(settings: Mapping[str, str]) -> Iterator[str]:
    if settings.get("server") == "Redis" and _version(settings["version"]) < _OLDEST_VERSION:
        yield f"Redis {settings['version']} is too old: 6.2 or later is needed"
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        yield f"maxmemory-policy is '{policy}': the server may drop counters at any time (use noeviction)"
    if settings.get("appendonly") == "no" and settings.get("save") == "":
        yield "persistence is off: a restart of the server loses all counts (use appendonly yes)"


def _clock(config: Config, store: Store) -> Iterator[str]:
    offset_s = 0.0
    shards: list[GroupConfig | None] = [shard for group in config.groups.values() for shard in group.shards]
    for shard in shards or [None]:
        with suppress(Rejected):  # reported by the probe
            store.client.server_time(shard)
        offset_s = max(offset_s, store.client.clock_offset_s, key=abs)
    if abs(offset_s) > _CLOCK_TOLERANCE_S:
        where = "ahead of" if offset_s > 0 else "behind"
        yield f"the clock of Redis, which intervals follow, is {abs(offset_s):.1f} s {where} this machine's"


def _stored(shard: GroupConfig, store: Store, rejections: Rejections) -> Iterator[str]:
    """Yield a sentence for each key whose value cannot be used."""
    for key, expected in store.keyspace.expected_types(shard).items():
        with suppress(Rejected):  # a user without permission for TYPE can still count
            found = store.keyspace.type_of(key)
            if found not in (expected, "none"):
                yield f"key {key} has an unexpected type ({found}, expected {expected}): rename or delete it"
    with suppress(Rejected):
        for key in (
            key for interval in shard.intervals for key in store.keyspace.foreign_keys(shard, interval)
        ):
            yield (
                f"key {key} belongs to another layout than '{shard.layout}': the group was not migrated "
                "(ecl migrate), or processes use both layouts (see docs/layouts.md)"
            )
    for interval in shard.intervals:
        try:
            store.reads.history(shard, interval, 1)
        except Rejected as error:
            if not rejections.explain(shard.label, error):
                yield str(error)


def _overdue(config: Config, store: Store, rejections: Rejections) -> Iterator[str]:
    reader = Reader(store)
    for group in config.groups.values():
        for interval in group.intervals:
            where = f"group '{group.name}', interval '{interval.name}'"
            try:
                (snapshot,) = reader.read(group, interval, "cur")
            except Rejected as error:
                if not any(rejections.explain(shard.label, error) for shard in group.shards):
                    yield f"{where}: {error}"
                continue
            if is_overdue(snapshot.overdue_s):
                overdue = f"{where}: rotation is {snapshot.overdue_s:.0f} s overdue"
                yield f"{overdue}: {_why_overdue(group, interval, store)}"


def _why_overdue(group: GroupConfig, interval: Interval, store: Store) -> str:
    """Returns the cause, or the next step."""
    masters = running_masters(group, store)
    if not masters:
        return "start ecl_master"
    lacking = [shard for shard, _ in parts(group) if interval.name not in masters.ended_in(shard)]
    return (
        f"configurations differ: {masters.difference(lacking[0])}" if lacking else "see the log of the master"
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
