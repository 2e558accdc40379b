"""What else the project asks of Redis, with one typed method per script: rotation, and who is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected, StoreError, Unavailable
from event_count_logger.intervals import Interval
from event_count_logger.store.client import ask_node
from event_count_logger.store.cluster import slot_of
from event_count_logger.store.commits import CommittingStore
from event_count_logger.store.counter_index import index_counters
from event_count_logger.store.resp import seconds, text
from event_count_logger.store.results import MasterInfo, Rotation

#: Seconds after which a master that gives no sign is forgotten.
_MASTER_FORGOTTEN_S = 3600

#: Keys that the server looks at before it answers others again.
_SCANNED = 1000


#: Sources that are looked at in one go; the server serves nobody else meanwhile.
_SCAN_COUNT = "300"


def prune_every_s(group: GroupConfig) -> float:
    """Seconds between looks for processes that have ended."""
    return min(max(group.source_ttl / 8, 60.0), 3600.0)


class Store(CommittingStore):
    """Counts and rotates in one Redis database. Threads may share it, and so may forked processes."""

    def retire(self, group: GroupConfig, source: str) -> None:
        """Forget a source that will not commit again, and of which no request is under way.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = keys.sources(group.prefix)
        self._ask("HDEL", key, source, key=key)

    def touch(self, group: GroupConfig, source: str, now: float | None = None) -> None:
        """Note that a process is there though it has nothing to commit; see `prune`.

        Args:
            group: A shard of it, if it has some.
            source: Of the process.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under those keys.
        """
        seconds = int(self.server_time(group) if now is None else now)
        both = [keys.sources(group.prefix), keys.sources_seen(group.prefix)]
        if self._run("touch", both, [source, seconds]):
            self._note_written(both[0])

    def prune(self, group: GroupConfig, now: float | None = None) -> int:
        """Forget the positions of processes that have not been seen for the group's `source_ttl`.

        Does nothing if it was done lately, by anyone. If it was not done for long, processes may have been
        unable to show themselves, so that all of them count as seen.

        Args:
            group: A shard of it, if it has some.
            now: Unix seconds; the server's clock if None.

        Returns:
            How many were forgotten.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under those keys.
        """
        now = self.server_time(group) if now is None else now
        both = [keys.sources(group.prefix), keys.sources_seen(group.prefix)]
        last = seconds(self._ask("HGET", both[1], "", key=both[1]) or b"") or 0.0
        if 0 <= now - last < prune_every_s(group):
            return 0
        ttl = "" if not 0 <= now - last <= group.source_ttl / 4 else group.source_ttl
        n_forgotten, any_left = 0, False
        for key in both:
            for page in self._processes_in(key):
                n_forgotten += self._run("prune", both, [ttl, int(now), *page])
                any_left = True
        if any_left:
            self._ask("HSET", both[1], "", str(int(now)), key=both[1])
        else:
            self._ask("HDEL", both[1], "", key=both[1])
        return n_forgotten

    def _processes_in(self, key: str) -> Iterator[list[str]]:
        """The processes in a hash of sources, some hundred at a time."""
        cursor = "0"
        while True:
            found, fields = self._ask("HSCAN", key, cursor, "COUNT", _SCAN_COUNT, key=key)
            page = [source for source in map(text, fields[::2]) if keys.is_process(source)]
            if page:
                yield page
            cursor = text(found)
            if cursor == "0":
                return

    def rotate(self, group: GroupConfig, interval: Interval, now: float | None = None) -> Rotation:
        """End the running interval of a group if its time is over.

        Args:
            group: Its declared events have a counter even when it is 0.
            interval: The interval to end.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer: repeat.
            Rejected: Nothing was done.
        """
        strangers = self.strangers(group, interval)
        rotation = self._layout(group).rotate(group, interval, now)
        if rotation.outcome != "waiting":
            self._note_written(keys.sources(group.prefix))
        return replace(rotation, obstacles=(*rotation.obstacles, *strangers))

    def index_counters(self, groups: Sequence[GroupConfig]) -> Iterator[int]:
        """Find counters of undeclared events that only version 1.1 knows of, and add them to the indexes.

        Searches the whole database, some keys at a time.

        Args:
            groups: Those that version 1.1 cannot count in are left out. If none is left, nothing is asked.

        Returns:
            How many counters were added, for each step of the search.

        Raises:
            Unavailable: No answer.
            Rejected: This user may not search.
        """
        return index_counters(self, groups)

    def note_master(self, groups: Iterable[GroupConfig], master: MasterInfo) -> None:
        """Note that a master is there, which rotates these groups: their intervals in all their shards.

        Raises:
            Unavailable: No answer.
            Rejected: Not noted for all of them.
        """
        failure = None
        for group in groups:
            if failure and self.is_away(group.shard(0)):
                continue
            try:
                self._heartbeat(group, master)
            except (Rejected, Unavailable) as error:
                failure = error
        if failure:
            raise failure

    def note_stop(self, groups: Iterable[GroupConfig], master: MasterInfo) -> None:
        """Note that a master no longer rotates these groups, until another one notes that it does."""
        for group in groups:
            if self.is_away(group.shard(0)):
                continue
            with suppress(StoreError):  # it counts as gone after a while
                self._heartbeat(group, replace(master, stopped=True))

    def _heartbeat(self, group: GroupConfig, master: MasterInfo) -> None:
        described = {
            "host": master.host,
            "pid": master.pid,
            "version": master.version,
            "since": master.since,
            "intervals": [interval.name for interval in group.intervals],
            "shards": group.n_shards,
        }
        if master.stopped:
            described["stopped"] = True
        arguments = [master.id, json.dumps(described), _MASTER_FORGOTTEN_S]
        self._run("heartbeat", [_masters(group)], arguments)
        self._note_written(_masters(group))

    def masters(self, group: GroupConfig) -> list[MasterInfo]:
        """The masters of a group, oldest first.

        Those that have stopped or were not seen for an hour are left out once another one was there since.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        key = _masters(group)
        values = self._ask("HVALS", key, key=key)
        now = self.server_time(group)
        found = [_master_info(text(value), now) for value in values]
        return sorted(filter(None, found), key=lambda master: master.since)

    def is_taken(self, group: GroupConfig, interval: Interval) -> bool:
        """Returns whether a master has rotated an interval, or is waiting for its end: in all shards.

        A master of version 1.1 is known by what it has rotated.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        return all(self._is_taken(shard, interval) for shard in group.shards)

    def _is_taken(self, shard: GroupConfig, interval: Interval) -> bool:
        key = keys.finished(shard.prefix, interval.name)
        if self._ask("GET", key, key=key) is not None:
            return True
        return bool(self.read(shard, interval, ["last"]).counts["last"])

    def open_sessions(self, group: GroupConfig, now: float | None = None) -> int:
        """How many sessions have neither ended nor expired.

        Args:
            group: It must have settings for sessions.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        assert group.sessions
        _, key, _ = keys.sessions(group.prefix)
        since = int(((self.server_time(group) if now is None else now) - group.sessions.expire_after) * 1000)
        return int(self._ask("ZCOUNT", key, f"({since}", "+inf", key=key))

    def n_sources(self, group: GroupConfig) -> int:
        """Of how many sources of counts a position is known.

        Raises:
            Unavailable: No answer.
            Rejected: There is something else under that key.
        """
        names = [keys.sources(shard.prefix) for shard in group.shards]
        return sum(int(self._ask("HLEN", name, key=name)) for name in names)

    def keys_of(self, group_name: str) -> Iterator[list[str]]:
        """All keys of a group, some at a time, whatever configuration they come from.

        Raises:
            Unavailable: No answer.
            Rejected: This user may not ask that.
        """
        # One pass for all prefixes: each looks at every key that there is.
        pattern = f"*{group_name}*:*"
        for node in self._route.primaries():
            cursor = ""
            while cursor != "0":
                reply = ask_node(node, "SCAN", cursor or "0", "MATCH", pattern, "COUNT", str(_SCANNED))
                cursor = text(reply[0])
                yield [key for key in map(text, reply[1]) if keys.belongs_to(key, group_name)]

    def purge(self, group_name: str) -> int:
        """Delete all keys of a group; returns how many there were.

        Raises:
            Unavailable: No answer: some may be left.
            Rejected: This user may not do that.
        """
        return sum(self._unlink(some) for some in self.keys_of(group_name))

    def _unlink(self, names: Iterable[str]) -> int:
        """One request for all keys that are in one slot, which without a cluster all of them are."""

        def slot(key: str) -> int:
            return slot_of(key) if self._config.cluster else 0

        of_slots = [list(some) for _, some in groupby(sorted(names, key=slot), slot)]
        return sum(int(self._ask("UNLINK", *some, key=some[0])) for some in of_slots)

    def probe(self, group: GroupConfig) -> Sequence[str]:
        """Try every command that is needed on a scratch key; returns what the server said against any."""
        key = keys.probe(group.prefix)
        errors = [text(error) for error in self._run("probe", [key], [])]
        for command in ("PING", *self._route.commands):
            try:
                self._ask(command, key=key)
            except Rejected as error:
                errors.append(str(error))
        return errors


def _masters(group: GroupConfig) -> str:
    """Where the masters of a group are noted: of one that is split, in its first shard."""
    return keys.masters(group.shard(0).prefix)


def _master_info(value: str, now: float) -> MasterInfo | None:
    seen, _, described = value.partition(" ")
    try:
        fields = dict(json.loads(described))
        fields["intervals"] = tuple(fields.get("intervals", ()))
        return MasterInfo(**fields, seen_s=max(0.0, now - float(seen)))
    except (ValueError, TypeError):
        return None  # not noted by a master
