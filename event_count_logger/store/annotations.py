"""Annotations of groups in Redis, such as deployments."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import inf

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.store.client import Client
from event_count_logger.store.resp import text as decoded

#: Annotations of a group that are kept, the newest ones. With the longest texts and tags they take some 4 MB.
MOST_ANNOTATIONS = 1_000


@dataclass(frozen=True, slots=True)
class Annotation:
    """An event of the outside world, such as a deployment.

    Attributes:
        time: Unix seconds.
        text: Description for people.
        end: Its end, Unix seconds; None for a point in time.
        tags: Keywords.
    """

    time: float
    text: str
    end: float | None = None
    tags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """A name that only the same annotation has, in any group."""
        return sha256(str(self).encode()).hexdigest()[:24]

    def overlaps(self, since: float, until: float) -> bool:
        """Returns whether a part of it is in a range of time."""
        return self.time < until and max(self.time, self.end or 0.0) >= since

    def __str__(self) -> str:
        """The annotation as one JSON object; `parse` reads it."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def parse(cls, given: str) -> Annotation | None:
        """Returns the annotation that `str()` has written; None for any other text."""
        try:
            fields = json.loads(given)
            end = None if fields["end"] is None else float(fields["end"])
            return cls(float(fields["time"]), str(fields["text"]), end, tuple(map(str, fields["tags"])))
        except (KeyError, TypeError, ValueError):
            return None


class Annotations:
    """The newest annotations of each group."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, group: GroupConfig, annotation: Annotation) -> bool:
        """Add an annotation once; returns False if it is older than all that are kept.

        Raises:
            Unavailable: No answer; it may have been added.
            Rejected: The key has another type, or Redis rejects writes.
        """
        key = _key(group)
        arguments = [repr(annotation.time), str(annotation), MOST_ANNOTATIONS]
        is_kept = bool(self._client.run("annotate", [key], arguments))
        self._client.note_written(key)
        return is_kept

    def remove(self, group: GroupConfig, id: str) -> bool:
        """Remove the annotation with an ID; returns False if there is none.

        Raises:
            Unavailable: No answer; it may have been removed.
            Rejected: The key has another type, or Redis rejects writes.
        """
        key = _key(group)
        members = map(decoded, self._client.ask("ZRANGEBYSCORE", key, "-inf", "+inf", key=key))
        found = [each for each in members if (note := Annotation.parse(each)) and note.id == id]
        return bool(found) and self._client.ask("ZREM", key, *found, key=key) > 0

    def between(self, group: GroupConfig, since: float = -inf, until: float = inf) -> list[Annotation]:
        """Returns the annotations of which a part is in a range of time, oldest first.

        Raises:
            Unavailable: No answer.
            Rejected: The key has another type.
        """
        key = _key(group)
        members = self._client.ask("ZRANGEBYSCORE", key, "-inf", f"({until!r}", key=key)
        found = filter(None, (Annotation.parse(decoded(member)) for member in members))
        return [each for each in found if each.overlaps(since, until)]


def _key(group: GroupConfig) -> str:
    """Returns the key of a group's annotations. A split group has it in its first shard."""
    return keys.notes(group.shard(0).prefix)
