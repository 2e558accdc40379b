"""Lua scripts are joined from the files that they include."""

from __future__ import annotations

from pathlib import Path

import pytest

import event_count_logger
from event_count_logger.store.scripts import SCRIPTS, joined


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clock.lua").write_text("-- clock\n")
    (tmp_path / "count.lua").write_text("--!include clock\n-- count\n")
    (tmp_path / "script.lua").write_text(
        "-- contract\n--!include clock\n--!include count | other\nreturn 1\n"
    )
    return tmp_path


def test_parts_replace_their_lines_and_each_is_included_once(folder: Path) -> None:
    assert joined("script", "count", folder) == "-- contract\n-- clock\n\n\n-- count\n\nreturn 1\n"


def test_missing_part_is_an_error_that_names_file_and_part(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^script\.lua includes 'other', but there is no file .*/other\.lua$"
    ):
        joined("script", "other", folder)


def test_part_that_is_not_offered_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^script\.lua includes 'count \| other': choose one, not 'clock'$"):
        joined("script", "clock", folder)


def test_every_lua_file_is_in_a_script() -> None:
    texts = "\n".join(script.in_full for script in SCRIPTS.values())
    for file in (Path(event_count_logger.__file__).parent / "lua").iterdir():
        assert file.read_text().partition("\n")[0] in texts, file.name
