"""Compares what was counted with what each thread says about itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from soak_parts.finished import Finished
from soak_parts.page import GROUPS, Page

#: What programs may say while the server comes and goes.
_EXPECTED = re.compile(
    r"cannot be reached|is back|Recovered [\d,]+ counts?|ECL Master|rotated .* to|Closed with \d+ counts"
    r"|The process ends with \d+ counts"
)

_MOST_LINES = 40


def differences(
    page: Page,
    counts: Mapping[str, Mapping[str, int]],
    of_short_intervals: Mapping[str, Mapping[str, int]],
    totals: Mapping[str, Mapping[str, int]],
) -> Iterator[str]:
    """Between both kinds of intervals, the totals, and what was logged; a line each."""
    for number, group in enumerate(GROUPS):
        counted, in_short = counts[group], of_short_intervals[group]
        possible = _possible(page, number)
        for event_id in sorted({*counted, *in_short, *possible}):
            count, short = counted.get(event_id, 0), in_short.get(event_id, 0)
            if count != short:
                yield f"{group}, {event_id}: {count} in the long interval, {short} in the short ones"
            if count != totals[group].get(event_id, 0):
                yield f"{group}, {event_id}: {count} counted, {totals[group].get(event_id, 0)} in the totals"
            if count not in possible[event_id]:
                logged = " or ".join(map(str, sorted(possible[event_id])))
                yield f"{group}, {event_id}: {count} counted, {logged} logged"


def misread(seen: Finished, finished: Finished, missed: int) -> Iterator[str]:
    """Intervals of which a follower was given something else than the server had."""
    for (group, start), counts in finished.items():
        if counts != seen.get((group, start)):
            yield f"{group}, from {start}: it was {counts}, but was given as {seen.get((group, start))}"
    if len(seen) > len(finished) or missed:
        yield f"{len(seen)} intervals were given and {missed} missed, but {len(finished)} have finished"


def _possible(page: Page, group: int) -> Mapping[str, set[int]]:
    """The counts of each event: a thread that was killed may have been in the middle of one `log()`."""
    possible: defaultdict[str, set[int]] = defaultdict(lambda: {0})
    for row in page.rows():
        for shared, event_id in enumerate(row.events):
            of_row = row.begun_and_done(group, bool(shared))
            possible[event_id] = {count + more for count in possible[event_id] for more in of_row}
    return possible


def unexpected_lines(log_file: Path) -> Iterator[str]:
    """What programs have said that nothing here explains; the first lines of it."""
    lines = [line for line in log_file.read_text(errors="replace").splitlines() if line.strip()]
    unexpected = [line for line in lines if not _EXPECTED.search(line)]
    yield from (f"said: {line}" for line in unexpected[:_MOST_LINES])
    if len(unexpected) > _MOST_LINES:
        yield f"... and {len(unexpected) - _MOST_LINES} more lines"


def recovered_files(log_file: Path) -> int:
    """How many spool files somebody has finished."""
    found = re.findall(r"Recovered .* from (?:([\d,]+) )?process", log_file.read_text(errors="replace"))
    return sum(int(number.replace(",", "") or 1) for number in found)
