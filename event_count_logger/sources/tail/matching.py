"""Matching of lines with the rules of a configuration, and the tally of what they count."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from event_count_logger import keys
from event_count_logger.config import TailRule, TailTime, Template
from event_count_logger.config.session_actions import ActionName
from event_count_logger.sources.tail.time_limit import Found, TimeLimit, may_be_long

#: Largest number that a line may add to an event.
_LARGEST = 10**12

_T = TypeVar("_T")

_NUMBER = re.compile("[0-9]{1,13}")

Matches = list["re.Match[str]"]


class MatchedAction(NamedTuple):
    """An action of a session that a line reports; `at` is in Unix seconds, None for the time of reading."""

    id: str
    event: str | None
    action: ActionName
    at: float | None


@dataclass(slots=True)
class Tally:
    """The counts and session actions of some lines.

    Attributes:
        counts: Count per event ID, including `@skipped` and `@unmatched`. The IDs are as the rules render
            them, not yet checked.
        actions: Actions of sessions, in the order of the lines.
        faults: Reasons for skipped lines: the first message of each topic.
    """

    counts: Counter[str] = field(default_factory=Counter)
    actions: list[MatchedAction] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    def skip(self, topic: str, message: str, n: int = 1) -> None:
        """Count skipped lines, and keep the reason."""
        self.counts[keys.SKIPPED] += n
        self.faults.setdefault(topic, message)

    def add(self, other: Tally) -> None:
        """Add the tally of other lines."""
        self.counts.update(other.counts)
        self.actions += other.actions
        self.faults = other.faults | self.faults


class Matcher:
    """Applies the rules of one entry of the section `tail`."""

    def __init__(self, rules: Sequence[TailRule], limit: TimeLimit) -> None:
        """`limit` ties the matcher to the main thread; see `TimeLimit`."""
        self._rules = [_RuleMatcher(rule, f"rules[{number}]") for number, rule in enumerate(rules)]
        self._limit = limit

    def tally(self, data: bytes) -> Tally:
        """Apply the rules to complete lines; bytes that are not UTF-8 are replaced by U+FFFD."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        lines = data.decode(errors="replace").split("\n")
        lines.pop()  # the empty text after the last line feed
        tally = Tally()
        found, too_slow = self._search(lines, may_be_long(data), tally)
        for rule, of_lines in zip(self._rules, found, strict=True):
            rule.count(list(filter(None, of_lines)), tally)
        tally.counts[keys.UNMATCHED] += _n_unmatched(found, len(lines)) - len(too_slow)
        return tally

    def _search(self, lines: Sequence[str], is_long: bool, tally: Tally) -> tuple[list[Found], set[int]]:
        """Returns the matches of each rule, and the numbers of lines that took too long for any rule.

        Such a line matches no rule.
        """
        all_found: list[Found] = []
        too_slow: set[int] = set()
        for rule in self._rules:
            found, slow = self._limit.search(rule.pattern, lines, is_long)
            all_found.append(found)
            for number in slow:
                tally.skip(f"{rule.name} is slow", f"{rule.name} takes too long for a line: line skipped")
                tally.counts[keys.SKIPPED] -= number in too_slow  # already skipped by an earlier rule
                too_slow.add(number)
        for found in all_found:
            for number in too_slow:
                found[number] = None
        return all_found, too_slow


def _n_unmatched(found: Sequence[Found], n_lines: int) -> int:
    if len(found) == 1:
        return found[0].count(None)
    return sum(not any(of_line) for of_line in zip(*found, strict=True)) if found else n_lines


class _RuleMatcher:
    """Counts the matches of one rule."""

    def __init__(self, rule: TailRule, name: str) -> None:
        self.pattern = rule.pattern
        self.name = name
        self._events = [_BulkTemplate(event, rule.pattern) for event in rule.events]
        self._counts = [
            (_BulkTemplate(event, rule.pattern), itemgetter(rule.pattern.groupindex[number.names[0]]))
            for event, number in rule.counts
        ]
        self._session, self._time = rule.session, rule.time

    def count(self, matches: Matches, tally: Tally) -> None:
        """Add the counts and session actions of matches to a tally."""
        for event in self._events:
            for event_id, n in event.tally(matches):
                tally.counts[event_id] += n
        for event, get_number in self._counts:
            for event_id, numbers in event.rendered(event.grouped(matches, map(get_number, matches))):
                tally.counts[event_id] += self._total(numbers, tally)
        if self._session:
            tally.actions += filter(None, (self._action(match, tally) for match in matches))

    def _total(self, numbers: Sequence[str | None], tally: Tally) -> int:
        """Returns the sum of captured numbers. None, for a group that took no part in a match, adds 0."""
        if _are_plain(numbers):
            return sum(map(int, numbers))  # type: ignore[arg-type]
        total = 0
        for number in numbers:
            if number is None:
                continue
            if _NUMBER.fullmatch(number) and int(number) <= _LARGEST:
                total += int(number)
            else:
                fault = f"{number[:40]!r} is not a whole number from 0 to 10^12; number not counted"
                tally.skip(f"{self.name} number", f"{self.name}: {fault}")
        return total

    def _action(self, match: re.Match[str], tally: Tally) -> MatchedAction | None:
        assert self._session
        id = _render(self._session.id, match)
        event = _render(self._session.event, match) if self._session.event else None
        if id is None or (event is None and self._session.event):
            return None
        try:
            return MatchedAction(id, event, self._session.action, _time_of(match, self._time))
        except ValueError as error:
            tally.skip(f"{self.name} time of a session", f"{self.name}: {error}; session action not counted")
            return None


class _BulkTemplate:
    """A template that is rendered once per distinct captured value, not once per match."""

    def __init__(self, template: Template, pattern: re.Pattern[str]) -> None:
        self._template = template
        groups = [pattern.groupindex[name] for name in template.names]
        self._is_single = len(groups) == 1
        self._get: Callable[[re.Match[str]], Any] = itemgetter(*groups) if groups else lambda match: ()

    def tally(self, matches: Matches) -> Iterator[tuple[str, int]]:
        """Returns each rendered text and its number of matches."""
        return self.rendered(Counter(map(self._get, matches)) if self._template.names else {(): len(matches)})

    def grouped(self, matches: Matches, values: Iterable[_T]) -> dict[Any, list[_T]]:
        """Group values, one per match, by the captured texts of the matches."""
        if not self._template.names:
            return {(): list(values)}
        groups: defaultdict[Any, list[_T]] = defaultdict(list)
        for captured, value in zip(map(self._get, matches), values, strict=True):
            groups[captured].append(value)
        return groups

    def rendered(self, results: dict[Any, _T]) -> Iterator[tuple[str, _T]]:
        """Replace captured texts by the rendered template; drop those where a group took no part."""
        for captured, result in results.items():
            values = (captured,) if self._is_single else captured
            if None not in values:
                yield self._template.render(values), result


def _are_plain(numbers: Sequence[str | None]) -> bool:
    """Returns whether all numbers are present, made of digits, and shorter than the largest one."""
    if not all(numbers):
        return not numbers
    digits = "".join(numbers).encode()  # type: ignore[arg-type]
    return digits.isdigit() and len(max(numbers, key=len)) < len(str(_LARGEST))  # type: ignore[arg-type]


def _render(template: Template, match: re.Match[str]) -> str | None:
    values = [match[name] for name in template.names]
    return None if None in values else template.render(values)


def _time_of(match: re.Match[str], time: TailTime | None) -> float | None:
    """Returns the time of a line in Unix seconds; None if the rule has no time.

    Raises:
        ValueError: The line has no time, or one of another format.
    """
    if time is None:
        return None
    text = _render(time.value, match)
    if text is None:
        raise ValueError("there is no time in the line")
    return read_time(text, time, datetime.now(time.zone)).timestamp()


def read_time(text: str, time: TailTime, now: datetime) -> datetime:
    """Parse a time. Without a year in the format, return the latest such time that is not after tomorrow.

    Raises:
        ValueError: The text does not match the format.
    """
    if not time.has_year:
        found = _read(f"{now.year} {text}", f"%Y {time.format}", time)
        is_of_last_year = found > now + timedelta(days=1)
        return _read(f"{now.year - 1} {text}", f"%Y {time.format}", time) if is_of_last_year else found
    return _read(text, time.format, time)


def _read(text: str, format: str, time: TailTime) -> datetime:
    try:
        found = datetime.strptime(text, format)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not a time of the format '{format}'") from None
    return found if found.tzinfo else found.replace(tzinfo=time.zone)
