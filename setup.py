"""The parts that pyproject.toml cannot express: C extension, shared files, links of the README."""

from __future__ import annotations

import re
import runpy
import sys
from collections import defaultdict
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).parent
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")

#: A link or an image of Markdown with a path in the repository, such as `](docs/start.md)`.
RELATIVE_LINK = re.compile(r"(!\[[^\[\]]*)?\]\((?![a-z]+:|#)")


def require_platform() -> None:
    """End with one line on a system without fork and file locks, such as Windows."""
    check = runpy.run_path(str(ROOT / "event_count_logger" / "installation.py"))["require_platform"]
    try:
        check()
    except ImportError as error:
        sys.exit(f"ERROR: {error}")


def in_project(pattern: str) -> str:
    """Returns a value of pyproject.toml."""
    match = re.search(pattern, PROJECT, re.MULTILINE)
    assert match, f"pyproject.toml: no line matches {pattern}"
    return match[1]


def long_description() -> str:
    """Returns the README with links to the files of this version, because a package index has no files."""
    source, version = in_project('^Source = "(.+)"$'), in_project('^version = "(.+)"$')

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1] else "blob"
        return f"{link[1] or ''}]({source}/{kind}/v{version}/"

    return RELATIVE_LINK.sub(absolute, (ROOT / "README.md").read_text("utf-8"))


def data_files() -> dict[str, list[str]]:
    """Returns the files for services, monitoring and `man`, by their folder beside the bin directory."""
    found = defaultdict(list)
    for source, target in (
        ("deploy", "share/event-count-logger"),
        ("munin", "share/event-count-logger/munin"),
        ("docs/man", "share/man/man1"),
    ):
        for path in sorted(path for path in (ROOT / source).rglob("*") if path.is_file()):
            folder = Path(target, path.parent.relative_to(ROOT / source))
            found[str(folder)].append(str(path.relative_to(ROOT)))
    return found


# Counters in C. Where they cannot be built, the package falls back to counters in Python.
native = Extension("event_count_logger._native", ["event_count_logger/_native.c"], optional=True)

require_platform()
setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    ext_modules=[native],
    data_files=sorted(data_files().items()),
)
