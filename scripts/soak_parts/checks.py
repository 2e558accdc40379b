"""Comparisons of what was counted with what workers have logged; each yields a line per difference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from soak_parts.finished_intervals import Finished
from soak_parts.shared_memory import SharedMemory

#: Messages that programs may log while the server is killed and started.
_EXPECTED = re.compile(
    r"cannot be (reached|used now: it is loading)|is back|Recovered [\d,]+ counts?|ECL Master|rotated .* to"
    r"|Closed with [\d,]+ counts?|The process ends with [\d,]+ counts?"
)

_MOST_LINES = 40


def wrong_counts(memory: SharedMemory, group: str, counted: Mapping[str, int]) -> Iterator[str]:
    """Yields events that were not counted as often as they were logged."""
    logged = memory.counts(group)
    for event_id in sorted({*counted, *logged}):
        possible = _possible_counts(logged.get(event_id, ()))
        count = counted.get(event_id, 0)
        if count not in possible:
            expected = " or ".join(map(str, sorted(possible)))
            yield f"{group}, {event_id}: {count} counted, {expected} logged"


def _possible_counts(threads: Sequence[tuple[int, int]]) -> set[int]:
    """Returns all sums that are exact: each thread that was killed inside `log()` adds one count or not."""
    possible = {0}
    for begun_and_ended in threads:
        possible = {count + more for count in possible for more in begun_and_ended}
    return possible


def unequal_counts(group: str, what: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yields events whose counts differ. `what` has two descriptions with the counts of each."""
    (first, counts), (second, others) = what.items()
    for event_id in sorted({*counts, *others}):
        count, other = counts.get(event_id, 0), others.get(event_id, 0)
        if count != other:
            yield f"{group}, {event_id}: {count} in {first}, {other} in {second}"


def wrong_snapshots(followed: Finished, finished: Finished, missed: int) -> Iterator[str]:
    """Yields intervals whose counts differ between a follower and the server, and missed ones."""
    for (group, start), counts in finished.items():
        if counts != followed.get((group, start)):
            yield f"{group}, from {start}: counts were {counts}, read were {followed.get((group, start))}"
    if len(followed) > len(finished) or missed:
        yield f"{len(followed)} intervals were read and {missed} missed, but {len(finished)} have finished"


def unexpected_messages(log_file: Path) -> Iterator[str]:
    """Yields the first lines of a log that no fault explains."""
    lines = [line for line in log_file.read_text(errors="replace").splitlines() if line.strip()]
    unexpected = [line for line in lines if not _EXPECTED.search(line)]
    yield from (f"logged: {line}" for line in unexpected[:_MOST_LINES])
    if len(unexpected) > _MOST_LINES:
        yield f"... and {len(unexpected) - _MOST_LINES} more lines"


def tracebacks(log_file: Path) -> Iterator[str]:
    if "Traceback" in log_file.read_text(errors="replace"):
        yield "a process has logged an error with a traceback (see --keep)"


def recovered_files(log_file: Path) -> int:
    """Returns the number of spool files that masters and workers report as recovered."""
    found = re.findall(r"Recovered .* from (?:([\d,]+) )?process", log_file.read_text(errors="replace"))
    return sum(int(number.replace(",", "") or 1) for number in found)
