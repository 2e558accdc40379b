"""One rule: the selection of rows that meet its conditions, and what they add to a tally."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from re import Pattern
from typing import Any, NamedTuple, TypeVar

from event_count_logger import keys
from event_count_logger.config import TailRule, TailSession, TailTime, Template
from event_count_logger.sources.tail.rules.numbers import Adder, Captured, Histogram, Skip
from event_count_logger.sources.tail.rules.rows import Rows
from event_count_logger.sources.tail.rules.tally import MatchedAction, Tally
from event_count_logger.sources.tail.rules.time_limit import Found, TimeLimit
from event_count_logger.sources.tail.rules.times import read_time

_T = TypeVar("_T")


class Hit(NamedTuple):
    """A rule, the rows that it counts, and those that it was applied to."""

    rule: RuleMatcher
    rows: Rows
    tried: Rows


class Search:
    """A search of one chunk.

    Attributes:
        hits: The rules that match, with their rows.
        too_slow: For each line that took too long for a pattern, by its number, the name of the first such
            rule.
    """

    def __init__(self, limit: TimeLimit, is_long: bool) -> None:
        """`is_long` is True if lines may be long; see `may_be_long`."""
        self.hits: list[Hit] = []
        self.too_slow: dict[int, str] = {}
        self._limit = limit
        self._is_long = is_long

    def find(self, pattern: Pattern[str], rows: Rows, name: str) -> Found:
        """Search a pattern in the text of each row; returns a match or None for each."""
        found, slow = self._limit.search(pattern, rows.texts, self._is_long)
        self._note_slow(slow, rows, name)
        return found

    def find_value(self, pattern: Pattern[str], rows: Rows, value: str, name: str) -> Found:
        """Match a pattern with a whole value of each row; returns a match or None for each."""
        column = rows.column(value)
        distinct = [each for each in set(column) if each is not None]
        found, slow = self._limit.search(pattern, distinct, is_whole=True)
        slow_values = {distinct[number] for number in slow}
        if slow:
            self._note_slow([i for i, each in enumerate(column) if each in slow_values], rows, name)
        match_of: dict[str | None, Any] = dict(zip(distinct, found, strict=True))
        return list(map(match_of.get, column))

    def _note_slow(self, slow: Iterable[int], rows: Rows, name: str) -> None:
        for number in slow:
            self.too_slow.setdefault(rows.numbers[number], name)


class RuleMatcher:
    """Selects the rows of one rule and of the rules in it, and counts them.

    Attributes:
        rule: The settings of the rule.
        name: Its place, such as `rules[0].else[1]`.
    """

    def __init__(self, rule: TailRule, name: str) -> None:
        self.rule = rule
        self.name = name
        self._where_before: list[tuple[str, Pattern[str]]] = []
        self._where_behind: list[tuple[str, Pattern[str]]] = []
        captured = set[str](rule.pattern.groupindex) if rule.pattern else set[str]()
        for name_of_value, pattern in rule.where:
            names = {name_of_value, *pattern.groupindex}
            if captured.isdisjoint(names):
                self._where_before.append((name_of_value, pattern))
            else:  # in the order of the configuration, in which later captures replace earlier ones
                self._where_behind.append((name_of_value, pattern))
                captured |= names
        self._inner = RuleList(rule.rules, f"{name}.rules")
        self._otherwise = RuleList(rule.otherwise, f"{name}.else")
        self._events = [_BulkTemplate(event) for event in rule.events]
        self._counts = [
            (_BulkTemplate(event), _Numbers(number.value), Adder(number)) for event, number in rule.counts
        ]
        self._buckets = [
            (_BulkTemplate(event), _Numbers(buckets.value), Histogram(buckets))
            for event, buckets in rule.buckets
        ]

    def search(self, rows: Rows, search: Search) -> Rows:
        """Note the rows that match this rule and those in it; returns the rows that later rules see."""
        selected = self._select(rows, search)
        search.hits.append(Hit(self, selected, rows))
        self._inner.search(selected, search)
        if not (self.rule.first or self.rule.otherwise):
            return rows
        matching = set(selected.numbers)
        others = rows.select([number not in matching for number in rows.numbers])
        self._otherwise.search(others, search)
        return others if self.rule.first else rows

    def _select(self, rows: Rows, search: Search) -> Rows:
        """Returns the rows that meet all conditions.

        Conditions on values that are known already come first: fewer texts are then searched.
        """
        for value, pattern in self._where_before:
            rows = rows.select(search.find_value(pattern, rows, value, self.name), pattern)
        if self.rule.pattern:
            found = search.find(self.rule.pattern, rows, self.name)
            rows = rows.select(found, self.rule.pattern)
        for value, pattern in self._where_behind:
            rows = rows.select(search.find_value(pattern, rows, value, self.name), pattern)
        return rows

    def count(self, rows: Rows, tally: Tally) -> None:
        """Add the counts of rows to a tally."""
        for event in self._events:
            for event_id, n in event.counted(rows):
                tally.add(event_id, n)
        skip = self._skip(tally)
        for event, numbers, adder in self._counts:
            for event_id, some in event.grouped(rows, numbers.of(rows)):
                tally.add(event_id, adder.total(some, skip))
        for event, numbers, histogram in self._buckets:
            for event_id, some in event.grouped(rows, numbers.of(rows)):
                for bound, n in histogram.count(some, skip):
                    tally.add(event_id if bound is None else keys.bucket(event_id, bound), n)

    def actions(self, rows: Rows, tally: Tally) -> Iterator[tuple[int, MatchedAction]]:
        """Returns the session actions of rows, each with the number of its record."""
        return self._actions(rows, self.rule.session, tally) if self.rule.session else iter(())

    def _skip(self, tally: Tally) -> Skip:
        return lambda fault: tally.skip(f"{self.name} number", f"{self.name}: {fault}")

    def _actions(self, rows: Rows, session: TailSession, tally: Tally) -> Iterator[tuple[int, MatchedAction]]:
        ids = _rendered(session.id, rows)
        events = _rendered(session.event, rows) if session.event else [None] * len(rows)
        time = self.rule.time
        times = _rendered(time.value, rows) if time else [None] * len(rows)
        for number, id, event, text in zip(rows.numbers, ids, events, times, strict=True):
            if id is None or (event is None and session.event):
                continue
            try:
                at = None if time is None else _time_of(text, time)
            except ValueError as error:
                fault = f"{self.name}: {error}; session action not counted"
                tally.skip(f"{self.name} time of a session", fault)
            else:
                yield number, MatchedAction(id, event, session.action, at)


class RuleList:
    """Rules that are applied in turn."""

    def __init__(self, rules: Sequence[TailRule], name: str) -> None:
        self._rules = [RuleMatcher(rule, f"{name}[{number}]") for number, rule in enumerate(rules)]

    def search(self, rows: Rows, search: Search) -> None:
        """Note the rows that match each rule."""
        for rule in self._rules:
            rows = rule.search(rows, search)


class _BulkTemplate:
    """A template that is rendered once per distinct value, not once per row."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._names = template.names

    def counted(self, rows: Rows) -> Iterator[tuple[str, int]]:
        """Returns each rendered text and its number of rows."""
        return self._render(Counter(self._values(rows)) if self._names else {(): len(rows)})

    def grouped(self, rows: Rows, values: Iterable[_T]) -> Iterator[tuple[str, list[_T]]]:
        """Returns each rendered text and the values of its rows; there is one value per row."""
        if not self._names:
            return self._render({(): list(values)})
        groups: defaultdict[Any, list[_T]] = defaultdict(list)
        for captured, value in zip(self._values(rows), values, strict=True):
            groups[captured].append(value)
        return self._render(groups)

    def _values(self, rows: Rows) -> Iterable[Any]:
        return rows.column(self._names[0]) if len(self._names) == 1 else rows.tuples(self._names)

    def _render(self, results: dict[Any, _T]) -> Iterator[tuple[str, _T]]:
        is_single = len(self._names) == 1
        for captured, result in results.items():
            text = self._template.render((captured,) if is_single else captured)
            if text is not None:
                yield text, result


class _Numbers:
    """The numbers of rows, as text: those of one placeholder, or of the two of a difference."""

    def __init__(self, template: Template) -> None:
        self._names = template.names
        self._parts = [Template((name,), ("", ""), (filters,)) for name, filters in _placeholders(template)]
        self._has_filters = any(template.filters)

    def of(self, rows: Rows) -> Iterable[Captured]:
        if self._has_filters:
            columns: list[Sequence[str | None]] = [_rendered(part, rows) for part in self._parts]
        else:
            columns = [rows.column(name) for name in self._names]
        return columns[0] if len(columns) == 1 else zip(*columns, strict=True)


def _placeholders(template: Template) -> Iterator[tuple[str, Any]]:
    return zip(template.names, template.filters, strict=True)


def _rendered(template: Template, rows: Rows) -> list[str | None]:
    """Returns the rendered template of each row; None where a value is missing."""
    render: Callable[[Sequence[str | None]], str | None] = template.render
    return list(map(render, rows.tuples(template.names))) if template.names else [render(())] * len(rows)


def _time_of(text: str | None, time: TailTime) -> float:
    """Returns the time of a line in Unix seconds.

    Raises:
        ValueError: The line has no time, or one of another format.
    """
    if text is None:
        raise ValueError("there is no time in the line")
    return read_time(text, time, datetime.now(time.zone))
