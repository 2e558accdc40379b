"""The positions of sources in Redis, and the removal of those whose process has ended."""

from __future__ import annotations

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.store.client import Client
from event_count_logger.store.resp import seconds, text

#: Sources that the server looks at before it answers other clients again.
_SCANNED = 300


def prune_every_s(group: GroupConfig) -> float:
    """Returns the seconds between two checks for ended processes."""
    return min(max(group.source_ttl / 8, 60.0), 3600.0)


class Sources:
    """The sources of counts that Redis knows. A group in these methods is one shard, if it is split."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def position(self, group: GroupConfig, source: str) -> str:
        """Returns the last committed position of a source; '' if there is none.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = keys.sources(group.prefix)
        return text(self._client.ask("HGET", key, source, key=key) or b"")

    def count(self, group: GroupConfig) -> int:
        """Returns the number of sources with a position, in all shards.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        names = [keys.sources(shard.prefix) for shard in group.shards]
        return sum(int(self._client.ask("HLEN", name, key=name)) for name in names)

    def retire(self, group: GroupConfig, source: str) -> None:
        """Remove a source that will not commit again and has no request under way.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = keys.sources(group.prefix)
        self._client.ask("HDEL", key, source, key=key)

    def touch(self, group: GroupConfig, source: str, now: float | None = None) -> None:
        """Record that a process is alive although it has nothing to commit; see `prune`.

        Args:
            group: Group that the process counts in.
            source: Source ID of the process.
            now: Unix seconds; the server's clock if None.

        Raises:
            Unavailable: No answer.
            Rejected: A key has another type.
        """
        seconds = int(self._client.server_time(group) if now is None else now)
        both = [keys.sources(group.prefix), keys.sources_seen(group.prefix)]
        if self._client.run("touch", both, [source, seconds]):
            self._client.note_written(both[0])

    def prune(self, group: GroupConfig, now: float | None = None) -> int:
        """Remove the positions of processes that were not seen for the group's `source_ttl`.

        Does nothing if any master has done it lately. If none has done it for long, processes may have been
        unable to show that they are alive: then all of them count as seen.

        Args:
            group: Group that the processes count in.
            now: Unix seconds; the server's clock if None.

        Returns:
            The number of positions removed.

        Raises:
            Unavailable: No answer.
            Rejected: A key has another type.
        """
        now = self._client.server_time(group) if now is None else now
        both = [keys.sources(group.prefix), keys.sources_seen(group.prefix)]
        last = seconds(self._client.ask("HGET", both[1], "", key=both[1]) or b"") or 0.0
        if 0 <= now - last < prune_every_s(group):
            return 0
        ttl = "" if not 0 <= now - last <= group.source_ttl / 4 else group.source_ttl
        n_removed, any_left = 0, False
        for key in both:
            for page in self._client.scan("HSCAN", key, _SCANNED):
                processes = [source for source in map(text, page[::2]) if keys.is_process(source)]
                if processes:
                    n_removed += self._client.run("prune", both, [ttl, int(now), *processes])
                    any_left = True
        if any_left:
            self._client.ask("HSET", both[1], "", str(int(now)), key=both[1])
        else:
            self._client.ask("HDEL", both[1], "", key=both[1])
        return n_removed
