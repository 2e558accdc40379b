"""Types of the public names, as strict type checkers see them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fixtures import Run

PROGRAM = (Path(__file__).parent / "programs" / "typed_calls.py").read_text()

#: Lines with wrong types: each checker must find each of them.
WRONG = ("half('3')", "use(ecl.get_group('auth'))", "ecl['auth'].log(3)")


def check_with_mypy(folder: Path, run: Run) -> str:
    options = ("--strict", "--config-file=", f"--cache-dir={folder / 'cache'}", "--no-error-summary")
    return run("mypy", *options, folder / "program.py", PYTHONPATH=str(ROOT), timeout=110).stdout


def check_with_pyright(folder: Path, run: Run) -> str:
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    options = ("--project", folder, "--pythonpath", sys.executable)
    return run("pyright", *options, PYTHONPATH=str(ROOT), timeout=110).stdout


@pytest.mark.parametrize("check", [check_with_mypy, check_with_pyright])
def test_strict_type_checker_finds_exactly_the_wrong_calls(
    check: Callable[[Path, Run], str], tmp_path: Path, run: Run
) -> None:
    (tmp_path / "program.py").write_text("\n".join([PROGRAM, *WRONG]))
    first = PROGRAM.count("\n") + 2
    found = [line for line in check(tmp_path, run).splitlines() if "error:" in line]
    assert [line.split("program.py:")[1].split(":")[0] for line in found] == [
        str(first + number) for number in range(len(WRONG))
    ]
