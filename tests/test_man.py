"""The manual pages: complete, and free of warnings."""

from __future__ import annotations

import os
import subprocess

from reference_parts import man

from tests.conftest import ROOT, needs_debian

FOLDER = ROOT / "docs" / "man"
PAGES = sorted(FOLDER.iterdir())


def printed(*command: object) -> str:
    """Returns what a command prints, with the warnings."""
    done = subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
    )
    return done.stdout


def test_each_program_and_command_has_a_page() -> None:
    assert {path.name for path in PAGES} == set(man.pages())
    assert {"ecl.1", "ecl-status.1", "ecl_reader.1", "ecl_master.1", "ecl_log_event.1"} <= set(man.pages())


def test_pages_have_no_warnings_of_mandoc() -> None:
    needs_debian("mandoc", "mandoc")
    lines = printed("mandoc", "-Tlint", "-Wwarning", *PAGES).splitlines()
    # Pages without a date are the same whenever they are written.
    assert [line for line in lines if "WARNING: missing date" not in line] == []


def test_pages_have_no_warnings_of_groff() -> None:
    needs_debian("groff-base", "groff")
    assert printed("groff", "-ww", "-man", "-Tutf8", "-z", *PAGES) == ""


def test_man_shows_special_characters_and_examples() -> None:
    needs_debian("man-db", "man")
    text = printed("man", "--warnings", "-l", FOLDER / "ecl_log_event.1")
    assert "ecl_log_event - count EVENT of GROUP, once or COUNT times\n" in text
    assert "       $ cut -d' ' -f9 access.log | ecl_log_event ecl.yml http -\n" in text
    assert "\nEXIT STATUS\n       0 all counts are in Redis; 1 unknown group or event" in text
    sections = [line for line in text.splitlines()[1:-1] if line and not line.startswith(" ")]
    assert sections[2:] == ["DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"]
