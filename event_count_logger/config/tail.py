"""Checks of the section `tail`: its entries, and the groups that they count in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from event_count_logger import keys
from event_count_logger.config.checks import show
from event_count_logger.config.format_settings import (
    CSV,
    MULTILINE,
    PARSERS,
    WRAPPERS,
    CsvConfig,
    MultilineConfig,
)
from event_count_logger.config.group_settings import GroupConfig
from event_count_logger.config.path_pattern import absolute, placeholders
from event_count_logger.config.report import Place, Report
from event_count_logger.config.rule_settings import TailBuckets, TailRule
from event_count_logger.config.rules import RuleChecks, Scope
from event_count_logger.config.settings import Table, check_section
from event_count_logger.config.tail_settings import TAIL, TailConfig
from event_count_logger.config.templates import Template

T = TypeVar("T")

#: Settings that name the input of an entry, and those that belong to one of them.
_INPUTS = ("file", "input", "listen")
_OF_JOURNALD = ("units", "directory")

_EXAMPLE = "/var/log/nginx/access.log"


def check_tail(
    given: object, groups: Mapping[str, GroupConfig], named: Collection[object], base: Path, report: Report
) -> tuple[TailConfig, ...]:
    """Returns the usable entries of the section.

    Args:
        given: A list of entries, or None.
        groups: The groups without problems, by name.
        named: The names of all groups, also of those with problems.
        base: Directory of relative paths.
        report: Takes the problems.
    """
    if given is None:
        return ()
    if not isinstance(given, list):
        report(("tail",), f"{show(given)} is not a list of entries with 'file', 'group' and 'rules'")
        return ()
    entries: dict[tuple[str, str], TailConfig] = {}
    for number, spec in enumerate(given):
        place: Place = ("tail", number)
        values = check_section(TAIL, spec, place, report, strict=True)
        if values is None:
            continue
        group = groups.get(values["group"])
        if group is None and values["group"] not in named:
            shown = report.shown((*place, "group"), values["group"])
            report((*place, "group"), f"{shown} is not a group (there are: {', '.join(map(str, named))})")
        scope = _scope(values, place, report)
        checks = RuleChecks(group, (*place, "group"), values.get("maps", {}), report)
        try:
            values["rules"] = tuple(checks.rules(values["rules"], scope, (*place, "rules")))
        except RecursionError:
            report((*place, "rules"), "are nested too deeply (an alias may stand within its own anchor)")
            continue
        if group is None:
            continue
        input = _input(values, spec, place, report)
        if not input:
            continue
        shown = report.shown((*place, input), spec[input], repr)
        entry = TailConfig(**_absolute(values, f"{base}"))
        if entries.setdefault((group.name, entry.source_id), entry) is not entry:
            in_group = report.shown((*place, "group"), group.name)
            report((*place, input), f"{shown} is followed for group {in_group} twice (give one a 'source')")
    return tuple(entries.values())


def with_bucket_events(
    groups: Mapping[str, GroupConfig], entries: Iterable[TailConfig]
) -> dict[str, GroupConfig]:
    """Returns the groups with the events of the histograms that rules count in them.

    Only groups that declare their events need this. A histogram counts there if its own event is declared.
    """
    events = {name: dict.fromkeys(group.events) for name, group in groups.items()}
    for entry in entries:
        for event, buckets in _histograms(entry.rules):
            if str(event) in groups[entry.group].events:
                events[entry.group] |= dict.fromkeys(keys.bucket(str(event), each) for each in buckets.bounds)
    return {
        name: replace(group, events=tuple(events[name])) if len(events[name]) > len(group.events) else group
        for name, group in groups.items()
    }


def _scope(values: dict[str, Any], place: Place, report: Report) -> Scope:
    """Returns the names that the lines of an entry offer, after the checks of its format."""
    formats = values.get("format", ())
    csv = _nested(CSV, CsvConfig, "csv", values, place, report) or CsvConfig()
    multiline = _nested(MULTILINE, MultilineConfig, "multiline", values, place, report)
    parser = next((name for name in formats if name in PARSERS), "")
    is_wrapped = any(name in WRAPPERS for name in formats)
    if values.get("csv") and parser != "csv":
        report((*place, "csv"), "has no effect without 'format: csv'")
    if multiline and parser:
        report((*place, "multiline"), f"joins lines of text, and not of the format '{parser}'")
    is_journal = values.get("input") == "journald"
    for name in ("multiline", "format"):
        if is_journal and values.get(name):
            report((*place, name), "does not apply to the journal, whose entries have fields")
    return Scope(
        (
            *placeholders(values.get("file", "")),
            *(("stream", "time") if is_wrapped else ()),
            *(csv.columns if parser == "csv" else ()),
        ),
        is_open=is_journal or parser in ("json", "logfmt", "journal"),
        has_numbers=parser == "csv",
    )


def _nested(
    table: Table, make: Callable[..., T], name: str, values: dict[str, Any], place: Place, report: Report
) -> T | None:
    """Replace the settings of a nested section by what they make; returns it, or None if it is missing."""
    given = values.pop(name, None)
    checked = None if given is None else check_section(table, given, (*place, name), report, strict=True)
    if checked is None:
        return None
    made = values[name] = make(**checked)
    return made


def _input(values: Mapping[str, Any], spec: Mapping[str, Any], place: Place, report: Report) -> str:
    """Returns the name of the setting with the input of an entry; '' after a report."""
    given = [name for name in _INPUTS if values.get(name)]
    if not given:
        report((*place, "file"), f"is missing (for example file: {_EXAMPLE}; or 'input', or 'listen')")
        return ""
    for other in given[1:]:
        report((*place, other), f"is given beside '{given[0]}': an entry has one input")
    for name in _OF_JOURNALD:
        if values.get(name) and values.get("input") != "journald":
            report((*place, name), "has no effect without 'input: journald'")
    return given[0]


def _absolute(values: dict[str, Any], base: str) -> dict[str, Any]:
    """Returns the values of an entry with absolute paths."""
    if values.get("file"):
        values["file"] = absolute(values["file"], base)
    if values.get("directory"):
        values["directory"] = absolute(values["directory"], base)
    if values.get("listen"):
        values["listen"] = values["listen"].below(base)
    return values


def _histograms(rules: Iterable[TailRule]) -> Iterator[tuple[Template, TailBuckets]]:
    for rule in rules:
        yield from rule.buckets
        yield from _histograms(rule.rules)
        yield from _histograms(rule.otherwise)
