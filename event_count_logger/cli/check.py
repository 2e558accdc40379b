"""ecl check: finds problems in a configuration, and in its Redis server."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import click

from event_count_logger import config as configuration
from event_count_logger.cli.base import ExitStatus, command, config_argument, warn, with_version
from event_count_logger.config import Config, ExportConfig
from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.errors import ConfigError, ConnectionRejected, Unavailable, Unserved
from event_count_logger.export.faults import DatabaseUnusable
from event_count_logger.installation import how_to_install
from event_count_logger.logs import counted
from event_count_logger.reading import history_memory, machine_checks, server_checks
from event_count_logger.service import embedded_server
from event_count_logger.sources.tail.inputs.absence import absence
from event_count_logger.store import Store


@command()
@config_argument
@click.option(
    "--rules",
    "sample",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Try the rules of the section `tail` on the lines of FILE, - for standard input. Needs no Redis.",
)
@with_version
def check(config_file: str, sample: str | None) -> None:
    """Check CONFIG, its spool directories and its Redis server, and print all problems.

    The last line shows the number of problems, and whether Redis could be checked. A NOTE is a next step and
    no problem, for example before the first start of a master.

    --rules counts nothing. It prints what each rule matches and counts, how long its patterns take, and lines
    that no rule matches. It tries the entries that follow FILE, all entries if none does. It reads at most
    16 MiB, and ends early after 30 s.

    \b
    Example:
      $ ecl check ecl.yml
      ecl.yml:12: groups.web.intervals[1]: '5x' is not an interval (use ...)
      ecl.yml: 1 problem
      $ ecl check ecl.yml --rules access.log

    \b
    Exit status: 0 no problem; 1 problems; 3 no problem, but Redis could not be
    checked. With --rules: 0 rules tried; 1 CONFIG has no section `tail`;
    2 unusable configuration, or no line in FILE.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    if sample is not None:
        from event_count_logger.cli.check_rules import check_rules

        check_rules(config_file, sample)
        return
    report = _examine(config_file)
    for line in report.lines:
        print(line)
    conclusion = counted(len(report.problems), "problem") if report.problems else "no problems"
    if report.unchecked:
        subject = "" if report.problems else "configuration has "
        conclusion = f"{subject}{conclusion}; Redis could not be checked: {report.unchecked}"
    print(f"{config_file}: {conclusion}")
    sys.exit(
        ExitStatus.PROBLEMS
        if report.problems
        else ExitStatus.UNREACHABLE
        if report.unchecked
        else ExitStatus.OK
    )


@dataclass(slots=True)
class _Report:
    """The findings; `unchecked` is the reason why Redis could not be checked, or ''."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchecked: str = ""

    @property
    def lines(self) -> list[str]:
        return [*self.facts, *self.problems, *self.notes]


def _examine(config_file: str) -> _Report:
    report = _Report()
    try:
        config = configuration.from_file(config_file)
    except ConfigError as error:
        report.problems += map(str, error.problems)
        return report
    report.problems += map(str, config.warnings)
    report.problems += [f"{config_file}: {problem}" for problem in machine_checks.spool_problems(config)]
    if config.redis.embedded and (missing := embedded_server.missing_package()):
        report.problems.append(f"{config_file}: {missing}")
    if config.notify:
        from event_count_logger.alerts import target_checks

        report.problems += [f"{config_file}: {problem}" for problem in target_checks.problems(config)]
    _examine_server(config_file, config, report)
    if config.export and (fault := _export_fault(config.export)):
        report.notes.append(f"{config_file}: NOTE: 'ecl export' cannot run on this machine: {fault}")
    facts = [machine_checks.counting_fact(), *machine_checks.spool_facts(config)]
    report.facts += [f"{config_file}: {fact}" for fact in facts]
    if warning := machine_checks.spool_warning(config):
        warn(warning)
    for entry in config.tail:
        if entry.file and (reason := absence(PathPattern(entry.file))):
            warn(f"{config_file}: nothing to read for 'ecl tail' now: {reason}")
    return report


def _export_fault(export: ExportConfig) -> str:
    """Returns the reason why the database cannot be used here, without a connection; '' if there is none."""
    try:
        from event_count_logger.export.database import Database

        Database(export).close()
    except ImportError as error:
        return f"{error}: {how_to_install('export')}"
    except DatabaseUnusable as error:
        return str(error)
    return ""


def _examine_server(config_file: str, config: Config, report: _Report) -> None:
    store = Store(config.redis)
    try:
        for location, settings in store.servers.settings().items():
            server = f"{settings.get('server', 'a server')} {settings.get('version', 'of unknown version')}"
            report.facts.append(f"{config_file}: {server} at {location}")
        for problem in server_checks.examine(config, store):
            report.problems.append(f"{config_file}: {problem}")
        found = history_memory.estimate(config, store)
        too_large = list(history_memory.problem(found, store.servers.settings()))
        report.problems += [f"{config_file}: {problem}" for problem in too_large]
        report.facts += [
            f"{config_file}: {fact}" for fact in ([] if too_large else history_memory.fact(found))
        ]
        report.notes += [f"{config_file}: NOTE: {note}" for note in server_checks.notes(config, store)]
    except (ConnectionRejected, Unserved) as error:
        report.problems.append(f"{config_file}: {error}")
        report.unchecked = "see above"
    except Unavailable as error:
        report.unchecked = " ".join(str(error).split())
