"""Measures this library side by side with others, and prints tables."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import sys
import tempfile
import textwrap
import time
from importlib import metadata
from pathlib import Path

from bench_parts.processes import FOLDERS, QUICK, Bench, Effort, Server
from bench_parts.report import Section, targets_section
from bench_parts.sections import (
    alerts,
    capacity,
    direct,
    event_loop,
    export,
    footprint,
    layouts,
    log,
    page,
    pause,
    rotate,
    sessions,
    startup,
    sync,
    tail,
)
from long_run import exit_with

SECTIONS = {
    "log": log,
    "direct": direct,
    "event_loop": event_loop,
    "sync": sync,
    "pause": pause,
    "rotate": rotate,
    "capacity": capacity,
    "layouts": layouts,
    "sessions": sessions,
    "tail": tail,
    "alerts": alerts,
    "export": export,
    "startup": startup,
    "footprint": footprint,
    "page": page,
}

COMPARED = ("redis", "hiredis", "prometheus-client", "statsd", "opentelemetry-sdk")

INTRODUCTION = """\
This page shows what counting costs, measured side by side with other libraries. `{command}` wrote this
document. All figures come from that one run: {facts}. Absolute times are those of that machine. Ratios
are comparable between machines. Unless stated otherwise, each figure is a median of {runs}, in turn with
the libraries that it is compared with. The server is a Valkey on the same machine, reached over TCP,
without persistence."""


def main() -> None:
    options = parse_arguments()
    effort = QUICK if options.quick else Effort()
    folder = Path(tempfile.mkdtemp(prefix="ecl-bench-", dir=FOLDERS))
    server = Server(folder)
    try:
        server.start()
        facts = describe(server)
        print(wrapped(facts), "\n", flush=True)
        sections = run(options.sections or list(SECTIONS), Bench(effort, server, folder))
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    if options.markdown:
        options.markdown.write_text(document(sections, facts, effort))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all if none"
    )
    parser.add_argument("--quick", action="store_true", help="a short run: the figures mean nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the results to a file")
    options = parser.parse_args()
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"unknown section: {', '.join(unknown)} (known: {', '.join(SECTIONS)})")
    return options


def run(names: list[str], bench: Bench) -> list[Section]:
    """Measure and print the sections; returns them with the targets first, which readers look for."""
    sections = []
    for name in names:
        bench.server.restart()  # data of the section before could make it slower
        sections.append(SECTIONS[name].run(bench))
        show(sections[-1])
    for kind, reason in bench.missing.items():
        print(f"{kind}: {reason}\n")
    sections.insert(0, targets_section(sections))
    show(sections[0])
    return sections


def show(section: Section) -> None:
    tables = "\n\n".join(table.text() for table in section.tables)
    print(f"{section.title}\n{'-' * len(section.title)}\n{wrapped(section.text)}\n\n{tables}\n", flush=True)


def describe(server: Server) -> str:
    """Returns the date, the machine and the versions that were measured."""
    versions = [f"{name} {version}" for name in COMPARED if (version := _version(name))]
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.python_implementation()} {platform.python_version()}, "
        f"{len(os.sched_getaffinity(0))} processor cores ({platform.machine()}), "
        f"Valkey {server.client.info('server').get('valkey_version', '')}, {', '.join(versions)}"
    )


def wrapped(text: str) -> str:
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def document(sections: list[Section], facts: str, effort: Effort) -> str:
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    runs = f"{effort.repeats} runs or more" if effort.repeats > 1 else "one short run, so it means nothing"
    parts = ["# Performance", wrapped(INTRODUCTION.format(command=command, facts=facts, runs=runs))]
    for section in sections:
        tables = [table.markdown() for table in section.tables]
        parts += [f"## {section.title}", wrapped(section.text), *tables]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    exit_with(main)
