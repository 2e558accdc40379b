"""A release: checks the tree, runs all checks, builds the distributions, tries them, and tags the commit.

The steps, each of which ends the release if it fails:

1. The tree is clean and on `main`; `pyproject.toml` and `CHANGELOG.md` have the same version; its tag is new.
2. `scripts/test` passes with `CI=true`, which fails tests that would be skipped, and leaves the tree clean.
3. A source distribution and a wheel are built from the commit itself, so that no ignored file gets in.
4. Both have the version in their metadata. The wheel installs in a new virtual environment, and its
   `ecl --version` prints the version.
5. The source distribution, unpacked, passes `scripts/test --fast`, which installs what it needs.
6. The distributions are copied to `dist`, and an annotated tag is created.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
BRANCH = "main"
TAG_PREFIX = "v"


class Failure(Exception):
    """A reason to release nothing."""


class Distributions(NamedTuple):
    source: Path
    wheel: Path


def main() -> None:
    options = parse_options()
    try:
        version, commit = check_tree()
        run_checks(commit)
        with tempfile.TemporaryDirectory(prefix="release-") as directory:
            built = build(commit, Path(directory))
            check_metadata(built, version)
            try_wheel(built.wheel, version, Path(directory))
            try_source(built.source, Path(directory))
            DIST.mkdir(exist_ok=True)
            kept = Distributions(*(Path(shutil.copy(path, DIST)) for path in built))
        if not options.dry_run:
            git("tag", "--annotate", f"--message=Version {version}", tag_of(version), commit)
    except Failure as failure:
        sys.exit(f"ERROR: {failure}")
    print_next_steps(version, kept, options.dry_run)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/release", description="Check, build and tag a release. Nothing is pushed or uploaded."
    )
    parser.add_argument("--dry-run", "--check", action="store_true", help="Do everything but the tag.")
    return parser.parse_args()


def check_tree() -> tuple[str, str]:
    """Returns the version and the commit to release.

    Raises:
        Failure: The tree cannot be released; names every reason.
    """
    version = find("pyproject.toml", r'^version = "(.+)"$')
    changes = find("CHANGELOG.md", r"^## (\S+)")
    branch = git("branch", "--show-current")
    reasons = []
    if branch != BRANCH:
        reasons.append(f"branch {branch or '(none)'}, expected {BRANCH}")
    if changed := git("status", "--porcelain"):
        reasons.append(f"uncommitted changes:\n{changed}")
    if changes != version:
        reasons.append(f"version {version} in pyproject.toml, {changes} first in CHANGELOG.md")
    if git("tag", "--list", tag_of(version)):
        reasons.append(f"tag {tag_of(version)} exists: raise the version in pyproject.toml and CHANGELOG.md")
    if reasons:
        raise Failure("\nERROR: ".join(reasons))
    return version, git("rev-parse", "HEAD")


def find(name: str, pattern: str) -> str:
    """Returns the version in the first line of a file that matches."""
    match = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
    if not match:
        raise Failure(f"{name}: no version (no line matches {pattern})")
    return match[1]


def tag_of(version: str) -> str:
    return f"{TAG_PREFIX}{version}"


def run_checks(commit: str) -> None:
    """Run all checks of the commit."""
    done = subprocess.run([ROOT / "scripts" / "test"], cwd=ROOT, env={**os.environ, "CI": "true"})
    if done.returncode:
        raise Failure(f"scripts/test failed with exit status {done.returncode}")
    if git("rev-parse", "HEAD") != commit or git("status", "--porcelain"):
        raise Failure("the tree changed while scripts/test ran: start again")


def build(commit: str, directory: Path) -> Distributions:
    """Build a source distribution of a commit, and a wheel from it."""
    source, built = directory / "source", directory / "built"
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source)
    return Distributions(only(built, "*.tar.gz"), only(built, "*.whl"))


def only(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise Failure(f"the build made {len(found)} files {pattern}, expected 1")
    return found[0]


def check_metadata(built: Distributions, version: str) -> None:
    """Compare the versions in the metadata of the distributions with the version to release."""
    metadata = {built.source: source_metadata(built.source), built.wheel: wheel_metadata(built.wheel)}
    for path, headers in metadata.items():
        found = BytesHeaderParser().parsebytes(headers)["Version"]
        if found != version:
            raise Failure(f"{path.name}: version {found} in its metadata, expected {version}")


def source_metadata(path: Path) -> bytes:
    """Returns PKG-INFO, which is in the root directory of a source distribution."""
    with tarfile.open(path) as archive:
        (name,) = (name for name in archive.getnames() if re.fullmatch("[^/]+/PKG-INFO", name))
        file = archive.extractfile(name)
        assert file
        return file.read()


def wheel_metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return archive.read(name)


def try_wheel(wheel: Path, version: str, directory: Path) -> None:
    """Install the wheel in a new virtual environment, and run it."""
    environment = directory / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python")
    run(*pip, "install", "--quiet", "--disable-pip-version-check", wheel)
    printed = run(environment / "bin" / "ecl", "--version")
    if printed.split()[:2] != ["ecl", version]:
        raise Failure(f"ecl --version of {wheel.name} prints {printed!r}, expected 'ecl {version}'")


def try_source(source: Path, directory: Path) -> None:
    """Unpack the source distribution, and run its fast tests."""
    with tarfile.open(source) as files:
        files.extractall(directory / "unpacked", filter="data")
    run(only(directory / "unpacked", "*/scripts/test"), "--fast", CI="true", PYTHON=sys.executable)


def run(*command: object, **environment: str) -> str:
    """Returns the output of a command."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        output = done.stdout + done.stderr
        raise Failure(f"exit status {done.returncode} of {' '.join(words)}:\n{output}".rstrip())
    return done.stdout.rstrip()


def git(*arguments: str) -> str:
    return run("git", *arguments)


def print_next_steps(version: str, kept: Distributions, is_dry_run: bool) -> None:
    source, wheel = (path.relative_to(ROOT) for path in kept)
    tag = tag_of(version)
    print(f"Built and tried: {source} {wheel}")
    if is_dry_run:
        print(f"Next: run scripts/release without --dry-run, which creates the tag {tag}.")
        return
    print(f"Created the annotated tag {tag}. Nothing was pushed or uploaded. Next:")
    print(f"  git push origin {BRANCH} {tag}")
    print("  .github/workflows/wheels.yml then builds the wheels of all platforms, and publishes them")
    print(f"  without that workflow: upload {source}; {wheel} is for this platform only")
    print(f"To undo: git tag --delete {tag}")


if __name__ == "__main__":
    main()
