"""The README works word for word, from the first command to the first figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.servers import wait_until
from tests.shells import Shell, copy_project, install

README = (ROOT / "README.md").read_text()
SECTION = README.partition("\n## In one minute\n")[2].partition("\nOr look at all of it:\n")[0]

#: A paragraph that ends with a colon, and the fenced block below it.
_PART = re.compile(r"^(\S.*(?:\n\S.*)*:)\n\n```(?:sh|console|yaml|python)\n((?:.*\n)*?)```$", re.MULTILINE)


def parts() -> Iterator[tuple[str, str]]:
    """Yields each block of the section with the name of its file; '' for commands."""
    for words, block in _PART.findall(SECTION):
        name = re.search(r"`([\w.]+)`:$", words)
        yield name[1] if name else "", block


FILES = {name: block for name, block in parts() if name}
INSTALLING, MASTER, COUNTING, READING = (block for name, block in parts() if not name)


def test_readme_section_has_all_parts_under_test() -> None:
    assert list(FILES) == ["ecl.yml", "count.py", "read.py"]
    assert "pip install" in INSTALLING
    assert MASTER.startswith("ecl_master ")
    assert SECTION.count("```") == 2 * len(list(parts()))
    assert not re.findall(r"^ {4}\S.*$", re.sub(r"```(?:.|\n)*?```", "", SECTION), re.MULTILINE)


@pytest.mark.timeout(300)  # it installs in a new virtual environment
def test_first_minute_works_word_for_word_in_a_new_environment(short_path: Path) -> None:
    checkout = copy_project(short_path)
    with Shell(checkout, short_path / "first") as first, Shell(checkout, short_path / "second") as second:
        install(first, INSTALLING)
        for name, content in FILES.items():
            (checkout / "counts" / name).write_text(content)
        first.begin(MASTER)
        wait_until(lambda: "Master starting" in first.printed, what="the master runs")
        for command in COUNTING.splitlines():
            status, output = second.run(command)
            assert status == 0, (command, output)
        command, figures = READING.removeprefix("$ ").split("\n", 1)
        assert second.run(command) == (0, figures)
        second.begin("python -u read.py")
        wait_until(lambda: re.search(r"^4\n\d+\.0 \d+\.0 {", second.printed, re.MULTILINE), what="it follows")
        assert first.interrupt() == 0
