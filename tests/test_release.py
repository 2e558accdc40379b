"""Tests of scripts/release on a temporary repository of a small package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

FILES = {
    ".gitignore": "dist/\n",
    "CHANGELOG.md": "# Changes\n\n## 3.1.0\n\n* New.\n\n## 3.0.0\n",
    "pyproject.toml": (
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
        '[project]\nname = "small"\nversion = "3.1.0"\n\n'
        '[project.scripts]\necl = "small:main"\n\n'
        '[tool.setuptools]\npy-modules = ["small"]\n'
    ),
    "small.py": 'def main():\n    print("ecl 3.1.0 (counting: native)")\n',
    "MANIFEST.in": "graft scripts\n",
    "scripts/test": '#!/bin/sh\ntest "$CI" = true\n',
}

PROJECT = '[project]\nname = "small"\nversion = "'

#: A table whose version comes before that of the project.
OTHER = '[tool.other]\nversion = "3.1.0"\n\n'

Edit = Callable[[Path], Any]


def git(project: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.strip()


def release(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "scripts" / "release.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def replace(name: str, old: str, new: str) -> Edit:
    """Returns an edit of one file."""

    def edit(project: Path) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))

    return edit


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean repository that can be released as 3.1.0."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Name")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "name@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    directory = tmp_path / "project"
    (directory / "scripts").mkdir(parents=True)
    for name, content in FILES.items():
        (directory / name).write_text(content)
    (directory / "scripts" / "test").chmod(0o755)
    shutil.copy(ROOT / "scripts" / "release.py", directory / "scripts")
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit(directory)
    return directory


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=Change")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (replace("small.py", "3", "4"), "uncommitted changes:\n M small.py"),
        (lambda project: (project / "new.py").touch(), "uncommitted changes:\n?? new.py"),
        (lambda project: git(project, "checkout", "--quiet", "-b", "work"), "branch work, expected main"),
        (lambda project: git(project, "checkout", "--quiet", "--detach"), "branch (none), expected main"),
        (
            lambda project: git(project, "tag", "v3.1.0"),
            "tag v3.1.0 exists: raise the version in pyproject.toml and CHANGELOG.md",
        ),
    ],
    ids=["changed file", "new file", "other branch", "no branch", "existing tag"],
)
def test_state_of_the_repository_is_rejected(project: Path, edit: Edit, reason: str) -> None:
    edit(project)
    done = release(project)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ERROR: {reason}\n")
    assert not (project / "dist").exists()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            replace("CHANGELOG.md", "## 3.1.0\n\n* New.\n\n", ""),
            "version 3.1.0 in pyproject.toml, 3.0.0 first in CHANGELOG.md",
        ),
        (replace("CHANGELOG.md", "## ", "### "), r"CHANGELOG.md: no version (no line matches ^## (\S+))"),
        (replace("pyproject.toml", "version", "#"), "pyproject.toml: no version"),
        (replace("scripts/test", "test ", "exit 7; "), "scripts/test failed with exit status 7"),
        (replace("scripts/test", "test ", "touch new; test "), "the tree changed while scripts/test ran"),
        (replace("pyproject.toml", "setuptools.build_meta", "missing"), "exit status 1 of "),
        (
            replace("pyproject.toml", f"{PROJECT}3.1.0", f"{OTHER}{PROJECT}3.0.9"),
            "small-3.0.9.tar.gz: version 3.0.9 in its metadata, expected 3.1.0",
        ),
        (
            replace("small.py", "3.1.0", "3.0.9"),
            "prints 'ecl 3.0.9 (counting: native)', expected",
        ),
        (replace("scripts/test", "test ", 'test "$1" != --fast && test '), "/scripts/test --fast:"),
    ],
    ids=[
        "versions",
        "changes",
        "no version",
        "checks",
        "tree",
        "build",
        "metadata",
        "installed version",
        "source that fails its tests",
    ],
)
def test_committed_mistake_is_rejected_without_a_tag(project: Path, edit: Edit, reason: str) -> None:
    edit(project)
    commit(project)
    done = release(project)
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.startswith("ERROR: ")
    assert git(project, "tag") == ""
    assert not (project / "dist").exists()


def test_all_reasons_are_reported_together(project: Path) -> None:
    git(project, "tag", "v3.1.0")
    (project / "new.py").touch()
    assert release(project, "--check").stderr.count("ERROR: ") == 2


def test_dry_run_builds_both_distributions_without_a_tag(project: Path) -> None:
    done = release(project, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (project / "dist").iterdir()} == {
        "small-3.1.0.tar.gz",
        "small-3.1.0-py3-none-any.whl",
    }
    assert git(project, "tag") == ""


def test_release_creates_an_annotated_tag_of_the_commit(project: Path) -> None:
    done = release(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert git(project, "cat-file", "-t", "v3.1.0") == "tag"
    assert git(project, "rev-parse", "v3.1.0^{commit}") == git(project, "rev-parse", "HEAD")
    assert "git push origin main v3.1.0" in done.stdout
    assert git(project, "status", "--porcelain") == ""
