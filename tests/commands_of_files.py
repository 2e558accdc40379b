"""Commands in files that administrators use."""

from __future__ import annotations

from tests.fixtures import Run


def fails_only_because_of_its_configuration(run: Run, command: list[str], **environment: str) -> None:
    """Run the arguments of `ecl` in a command with a configuration that does not exist."""
    options = [word for word in command if not word.endswith(".yml")]
    done = run("ecl", *options, "/nowhere.yml", **environment)
    assert done.returncode == 2
    assert "/nowhere.yml: cannot be read" in done.stderr
