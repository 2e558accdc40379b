"""Matching of lines with the rules of a configuration, and the tally of what they count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from event_count_logger import keys
from event_count_logger.config import TailConfig
from event_count_logger.sources.tail.formats.line_format import LineFormat
from event_count_logger.sources.tail.rules.rows import Rows
from event_count_logger.sources.tail.rules.rule_matcher import RuleList, Search
from event_count_logger.sources.tail.rules.tally import MatchedAction, Tally
from event_count_logger.sources.tail.rules.time_limit import TimeLimit, are_long, may_be_long

_NOTHING: Mapping[str, str] = {}


class Matcher:
    """Applies the rules of one entry of the section `tail`."""

    def __init__(
        self, config: TailConfig, limit: TimeLimit, new_search: Callable[[TimeLimit, bool], Search] = Search
    ) -> None:
        """Compile the rules.

        Args:
            config: The entry.
            limit: Time limit of the patterns; ties the matcher to the main thread, see `TimeLimit`.
            new_search: Makes the search of each chunk.
        """
        self._rules = RuleList(config.rules, "rules")
        self._format = LineFormat(config, limit)
        self._limit = limit
        self._new_search = new_search

    def tally(self, data: bytes, constants: Mapping[str, str] = _NOTHING) -> Tally:
        """Apply the rules to complete lines; bytes that are not UTF-8 are replaced by U+FFFD.

        Args:
            data: The lines, from the start of a record to the end of one.
            constants: Values that all lines of a file have in common, by name.
        """
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        lines = data.decode(errors="replace").split("\n")
        lines.pop()  # the empty text after the last line feed
        records = self._format.records(lines, constants)
        is_long = may_be_long(data) if self._format.is_plain else are_long(records.texts)
        search = self._new_search(self._limit, is_long)
        search.too_slow.update(records.too_slow)
        self._rules.search(Rows(records.texts, records.columns), search)
        tally = Tally()
        tally.counts[keys.MALFORMED] += records.n_malformed
        tally.malformed = records.malformed
        for rule in search.too_slow.values():
            tally.skip(f"{rule} is slow", f"{rule} takes too long for a line: line skipped")
        self._count(search, len(records.texts), tally)
        return tally

    def _count(self, search: Search, n_records: int, tally: Tally) -> None:
        """Count the rows of all hits, without the records that took too long: these match no rule."""
        hits = [(rule, _without(rows, search.too_slow)) for rule, rows, _ in search.hits]
        actions: list[tuple[int, MatchedAction]] = []
        for rule, rows in hits:
            rule.count(rows, tally)
            actions += rule.actions(rows, tally)
        tally.actions += [action for _, action in sorted(actions, key=itemgetter(0))]
        tally.counts[keys.UNMATCHED] += (
            n_records - _n_records([rows for _, rows in hits]) - len(search.too_slow)
        )


def _n_records(selected: Sequence[Rows]) -> int:
    """Returns the number of records that are in any of these selections."""
    if len(selected) == 1:
        return len(selected[0])
    return len(set[int]().union(*(rows.numbers for rows in selected)))


def _without(rows: Rows, numbers: Mapping[int, object]) -> Rows:
    return rows.select([number not in numbers for number in rows.numbers]) if numbers else rows
