"""A trial of the rules of one entry: matches, counts and time of each rule, on a sample of lines.

The lines go through the `Matcher` of `ecl tail`, with a search that also measures time. The search of
`ecl tail` itself does not.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from re import Pattern
from statistics import median_low
from typing import BinaryIO

from event_count_logger import keys
from event_count_logger.config import GroupConfig, TailConfig, TailRule
from event_count_logger.config.path_pattern import PathPattern, placeholders
from event_count_logger.counting.admission import Admission, check_event_id
from event_count_logger.logs import Log
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.formats.record_framing import framing_of
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.discovery import discover
from event_count_logger.sources.tail.inputs.record_buffer import RecordBuffer
from event_count_logger.sources.tail.matching import Matcher
from event_count_logger.sources.tail.rules.rows import Rows
from event_count_logger.sources.tail.rules.rule_matcher import Hit, Search
from event_count_logger.sources.tail.rules.tally import Tally
from event_count_logger.sources.tail.rules.time_limit import Found, TimeLimit

#: Most bytes of a sample.
SAMPLE_BYTES = 16 << 20

#: Seconds after which a trial ends early. It is checked after each chunk.
TRIAL_S = 30.0

#: Bytes of the first chunk. Each further one is twice as large: slow patterns are noticed early.
_FIRST_CHUNK = 1 << 12

#: Bytes of the largest chunk, if no line is longer.
_CHUNK = 1 << 20

#: Examples of counts of a rule, and of unmatched lines.
_N_EXAMPLES = 3

#: A rule is slow if it takes more than this many times the median time per line.
_SLOW = 5

#: A rule that took less time in all is never slow, because so short a time is inaccurate.
_LEAST_S = 0.001

#: A search of a chunk is repeated up to this number of times while all of them took less than this time.
#: The shortest CPU time counts, so that a busy machine does not make a rule look slow.
_N_SEARCHES = 3
_ENOUGH_S = 0.05

#: Parts of patterns that make them slow.
_GROUP = r"\^?(?:\((?:\?:|\?P<\w+>)?)*"
_ANY_CASE = re.compile(r"\(\?[a-zA-Z]*i")
_ANY_TEXT_FIRST = re.compile(rf"{_GROUP}\.[*+]")
_BOUNDARY_FIRST = re.compile(rf"{_GROUP}\\b")


@dataclass(slots=True)
class RuleTrial:
    """The result of one rule.

    Attributes:
        rule: Settings of the rule.
        name: Its place, such as `rules[0].rules[1]`.
        n_tried: Lines that the rule was applied to.
        n_matched: Lines that it matches.
        seconds: CPU time for searching its patterns.
        tally: What it counts.
    """

    rule: TailRule
    name: str
    n_tried: int = 0
    n_matched: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)

    @property
    def seconds_per_line(self) -> float | None:
        """Time per line that it was applied to; None without lines."""
        return self.seconds / self.n_tried if self.n_tried else None

    @property
    def examples(self) -> list[tuple[str, int]]:
        """The largest of its counts, and its session actions."""
        actions = Counter(f"session {action.action}" for action in self.tally.actions)
        counts = Counter(dict(_unreserved(self.tally)))
        return (counts + actions).most_common(_N_EXAMPLES)

    @property
    def advice(self) -> str:
        """A reason why its pattern takes long, and what to do; '' if none is known.

        `re` finds the literal text that a pattern begins with many times as fast as anything else.
        """
        pattern = self.rule.pattern.pattern if self.rule.pattern else ""
        if _ANY_CASE.search(pattern):
            return "(?i) compares each character; begin with exact letters"
        if _ANY_TEXT_FIRST.match(pattern):
            return "leave out the wildcard at its beginning, since it is searched anywhere in the line"
        if _BOUNDARY_FIRST.match(pattern):
            return r"\b is tried at each character; begin with text"
        return ""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a trial.

    Attributes:
        n_lines: Lines tried.
        is_complete: False if the trial ended early.
        rules: The rules as configured; each is followed by those in it.
        reserved: The counts of reserved events, such as `@unmatched`.
        faults: Reasons for parts that are not counted, the first of each kind.
        malformed: The first line that is not of the entry's format; '' for none.
        unmatched: Some of the lines that no rule matches.
    """

    n_lines: int
    is_complete: bool
    rules: Sequence[RuleTrial]
    reserved: Mapping[str, int]
    faults: Sequence[str]
    malformed: str
    unmatched: Sequence[str]

    @property
    def slow(self) -> list[tuple[RuleTrial, float]]:
        """The rules that take long, each with its time per line as a multiple of the median."""
        times = [rule.seconds_per_line for rule in self.rules if rule.rule.pattern and rule.seconds_per_line]
        median = median_low(times) if times else 0.0
        return [
            (rule, rule.seconds_per_line / median)
            for rule in self.rules
            if rule.seconds >= _LEAST_S and rule.seconds_per_line and rule.seconds_per_line > _SLOW * median
        ]


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a log.

    Attributes:
        data: Its first bytes.
        is_cut: True if the log has more.
    """

    data: bytes
    is_cut: bool

    @classmethod
    def read(cls, stream: BinaryIO) -> Sample:
        """Read from a file or a pipe."""
        data = stream.read(SAMPLE_BYTES + 1)
        return cls(data[:SAMPLE_BYTES], len(data) > SAMPLE_BYTES)

    def chunks(self, format: TextFormat) -> Iterator[tuple[bytes, int]]:
        """Yield complete lines in UTF-8, and the number of lines before them that are too long."""
        buffer = RecordBuffer(format)
        begin, size = 0, _FIRST_CHUNK
        while begin < len(self.data):
            block, begin, size = self.data[begin : begin + size], begin + size, min(2 * size, _CHUNK)
            is_last = begin >= len(self.data) and not self.is_cut
            for chunk in buffer.take(block, Until.FILE if is_last else Until.RECORD):
                yield chunk, buffer.n_skipped
                buffer.n_skipped = 0


def values_of_path(entry: TailConfig, path: str) -> Mapping[str, str] | None:
    """Returns the values of placeholders for the path of a file; None if the entry does not follow it."""
    if not entry.file:
        return None
    pattern, real = PathPattern(entry.file), os.path.realpath(path)
    listing = discover(pattern, ())
    for found in listing.files:
        if found.is_input and found.path == real:
            captures = listing.captures.get(found.original_path, pattern.captures(found.original_path))
            return {**values_of_name(found.original_path), **(captures or {})}
    return None


def values_of_name(path: str) -> Mapping[str, str]:
    """Returns the values of placeholders for a path that no entry follows."""
    return {"file": path, "file.name": os.path.basename(path)}


def values_of_unknown_path(entry: TailConfig, name: str) -> Mapping[str, str]:
    """Returns values of placeholders for a sample that an entry does not follow: `<name>` for a capture."""
    return {**{each: f"<{each}>" for each in placeholders(entry.file)}, **values_of_name(name)}


def try_rules(
    entry: TailConfig, group: GroupConfig, sample: Sample, values: Mapping[str, str], limit: TimeLimit
) -> Trial:
    """Apply the rules of an entry to the lines of a sample.

    Args:
        entry: The entry.
        group: Its group.
        sample: The sample.
        values: Values of placeholders for the path of the sample.
        limit: Time limit of the patterns.
    """
    run = _Run(entry, values, limit)
    end = time.monotonic() + TRIAL_S
    chunks = sample.chunks(TextFormat(entry.encoding, framing_of(entry, limit)))
    for chunk, n_skipped in chunks:
        run.add(chunk, n_skipped)
        if time.monotonic() >= end:
            break
    return run.result(group, is_complete=next(chunks, None) is None)


class _TimedSearch(Search):
    """A search that adds the time of each rule, by its name, to `seconds`."""

    def __init__(self, limit: TimeLimit, is_long: bool, seconds: defaultdict[str, float]) -> None:
        super().__init__(limit, is_long)
        self._seconds = seconds

    def find(self, pattern: Pattern[str], rows: Rows, name: str) -> Found:
        return self._timed(name, partial(super().find, pattern, rows, name))

    def find_value(self, pattern: Pattern[str], rows: Rows, value: str, name: str) -> Found:
        return self._timed(name, partial(super().find_value, pattern, rows, value, name))

    def _timed(self, name: str, find: Callable[[], Found]) -> Found:
        times: list[float] = []
        while len(times) < _N_SEARCHES and sum(times) < _ENOUGH_S:
            begin = time.thread_time()
            found = find()
            times.append(time.thread_time() - begin)
        self._seconds[name] += min(times)
        return found


class _Run:
    """A running trial."""

    def __init__(self, entry: TailConfig, values: Mapping[str, str], limit: TimeLimit) -> None:
        self._values = values
        self._matcher = Matcher(entry, limit, self._new_search)
        self._search: Search
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._rules: dict[str, RuleTrial] = {}
        self._total = Tally()
        self._n_lines = 0
        self._unmatched: list[str] = []

    def add(self, chunk: bytes, n_skipped: int) -> None:
        """Try some lines; `n_skipped` are too long."""
        self._n_lines += chunk.count(b"\n") + n_skipped
        if n_skipped:
            self._total.skip("long", "a line or record has more than 1 MiB: skipped", n_skipped)
        tally = self._matcher.tally(chunk, self._values)
        self._total.counts.update(tally.counts)
        self._total.faults = {**tally.faults, **self._total.faults}
        self._total.malformed = self._total.malformed or tally.malformed
        for hit in self._search.hits:
            self._add_hit(hit)
        self._add_unmatched()

    def result(self, group: GroupConfig, is_complete: bool) -> Trial:
        """Returns what the rules have done with all lines so far."""
        for name, rule in self._rules.items():
            rule.seconds = self._seconds[name]
        refused = self._refused(group)
        reserved = {event_id: n for event_id, n in self._total.counts.items() if keys.is_reserved(event_id)}
        return Trial(
            self._n_lines,
            is_complete,
            list(self._rules.values()),
            {event_id: n for event_id, n in reserved.items() if n},
            [*self._total.faults.values(), *refused],
            self._total.malformed,
            self._unmatched,
        )

    def _new_search(self, limit: TimeLimit, is_long: bool) -> Search:
        self._search = _TimedSearch(limit, is_long, self._seconds)
        return self._search

    def _add_hit(self, hit: Hit) -> None:
        trial = self._rules.setdefault(hit.rule.name, RuleTrial(hit.rule.rule, hit.rule.name))
        counted = self._without_slow(hit.rows)
        trial.n_tried += len(hit.tried)
        trial.n_matched += len(counted)
        hit.rule.count(counted, trial.tally)
        trial.tally.actions += [action for _, action in hit.rule.actions(counted, trial.tally)]

    def _without_slow(self, rows: Rows) -> Rows:
        return rows.select([number not in self._search.too_slow for number in rows.numbers])

    def _add_unmatched(self) -> None:
        hits = self._search.hits
        if hits and len(self._unmatched) < _N_EXAMPLES:
            matched = set[int]().union(*(hit.rows.numbers for hit in hits))
            rows = self._without_slow(hits[0].tried)  # the first rule is applied to all lines
            others = rows.select([number not in matched for number in rows.numbers])
            self._unmatched += others.texts[: _N_EXAMPLES - len(self._unmatched)]

    def _refused(self, group: GroupConfig) -> list[str]:
        """Count events with invalid names as skipped; return the reason why others are not counted."""
        valid = []
        for event_id, n in _unreserved(self._total):
            try:
                check_event_id(event_id)
            except ValueError as error:
                self._total.skip("event", f"{error}", n)
            else:
                valid.append(event_id)
        fault = Admission(group, Log(__name__)).fault(valid)
        return [fault] if fault else []


def _unreserved(tally: Tally) -> list[tuple[str, int]]:
    """Returns the counts of events that are not reserved."""
    return [(event_id, n) for event_id, n in tally.counts.items() if not keys.is_reserved(event_id)]
