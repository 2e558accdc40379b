"""The workflows of continuous integration: their schema, and the Pythons that they name."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMA = ("--builtin-schema", "vendor.github-workflows")  # part of the package, so that nothing is downloaded


def check(*workflows: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", *SCHEMA, *map(str, workflows)]
    return subprocess.run(command, capture_output=True, text=True)


def jobs(name: str) -> dict[str, Any]:
    parsed = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    found: dict[str, Any] = parsed["jobs"]
    return found


def supported() -> set[str]:
    """The Pythons in the metadata, such as 3.13."""
    named = re.findall(
        r"Python :: (3\.\d+)", "\n".join(metadata("event-count-logger").get_all("Classifier") or ())
    )
    return set(named)


def test_workflows_follow_their_schema() -> None:
    done = check(*WORKFLOWS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_wrong_workflow_fails_the_schema(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    assert check(wrong).returncode == 1


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_have_a_version(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)", workflow.read_text())
    assert used
    assert [each for each in used if not re.search(r"@(v\d[\d.]*|release/v1)$", each)] == []


def test_ci_runs_each_supported_python() -> None:
    assert set(jobs("ci.yml")["tests"]["strategy"]["matrix"]["python"]) == supported()


def test_wheels_are_built_for_each_supported_python() -> None:
    (built,) = re.findall(r"^build = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {f"3.{minor}" for minor in re.findall(r'"cp3(\d+)-\*"', built)} == supported()
    assert '"cp314t-*"' in built


def test_only_a_tag_publishes() -> None:
    wheels = jobs("wheels.yml")
    able = [name for name, job in wheels.items() if "id-token" in job.get("permissions", {})]
    assert able == ["publish"]
    assert wheels["publish"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
