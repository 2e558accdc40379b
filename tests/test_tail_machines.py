"""Two machines with one host name and one path: each line counts once at most, and an ERROR names `source`.

A machine is a mount namespace with a machine ID and a log directory of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, needs_debian
from tests.fixtures import Start, Write
from tests.servers import Server, wait_until

MACHINE_IDS = [Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")]

NAMES_SOURCE = "app.log: the stored position of source 'localhost' belongs to another machine"


class Machines:
    """Machines that follow files of the same path."""

    def __init__(self, start: Start, server: Server, config_file: Write, directory: Path) -> None:
        self._start = start
        self._server = server
        self._directory = directory
        self.path = directory / "log"
        self.path.mkdir()
        self._config_file = config_file
        self._entries: list[dict[str, Any]] = []
        self.follow("app.log", "localhost")

    def follow(self, name: str, source: str) -> None:
        """Add an entry to the configuration of all."""
        rules = [{"match": "x", "events": ["line"]}]
        self._entries.append({"file": str(self.path / name), "group": "g", "source": source, "rules": rules})
        groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
        self._config = self._config_file(
            {"redis": self._server.config, "groups": groups, "tail": self._entries}
        )

    def start(self, name: str, machine_id: str, *options: str) -> subprocess.Popen[str]:
        """Run `ecl tail` on a machine; `name` is that of its log directory."""
        id_file = self._directory / f"id-{name}"
        id_file.write_text(machine_id and f"{machine_id}\n")
        log = self._directory / name
        log.mkdir(exist_ok=True)
        ids = [path for path in MACHINE_IDS if path.exists()]
        mounts = [f"mount --bind {log} {self.path}", *(f"mount --bind {id_file} {path}" for path in ids)]
        command = f"{' && '.join(mounts)} && exec {BIN / 'ecl'} tail {' '.join(options)} {self._config}"
        return self._start("unshare", "--mount", "sh", "-c", command)

    def write(self, name: str, n: int, file_name: str = "app.log") -> None:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        with open(directory / file_name, "a") as file:
            file.write("x\n" * n)

    def a_clone_counts(self) -> None:
        """Store the position of a machine with the same identity and another file."""
        with self._server.client as client:
            ((source, position),) = client.hgetall("g:@sources").items()
            number, done, [mark], machine = json.loads(position)
            _, _, inode, _, _, _, digest, _ = mark
            mark[2], mark[6] = inode + 1, digest[::-1]
            client.hset("g:@sources", source, json.dumps([number + 1, done, [mark], machine]))

    def counted(self) -> int:
        return self._server.counts("g", "24h", "cur").get("line", 0)


@pytest.fixture
def machines(start: Start, server: Server, config_file: Write, tmp_path: Path) -> Machines:
    needs_debian("util-linux", "unshare")
    if os.geteuid() != 0 or not MACHINE_IDS[0].exists():
        pytest.skip("only root can make mount namespaces, and a machine ID to hide is needed")
    return Machines(start, server, config_file, tmp_path)


ONE, OTHER = "1" * 32, "2" * 32


def test_position_of_another_machine_is_rejected(machines: Machines) -> None:
    machines.write("one", 1000)
    machines.write("other", 1000)
    one = machines.start("one", ONE, "--from", "start")
    wait_until(lambda: machines.counted() == 1000)
    other = machines.start("other", OTHER, "--from", "start")
    _, errors = other.communicate(timeout=60)
    assert (other.returncode, NAMES_SOURCE in errors) == (2, True)
    machines.write("one", 16)
    wait_until(lambda: machines.counted() == 1016)
    one.terminate()
    assert "ERROR" not in one.communicate(timeout=60)[1]


def test_machine_with_new_identity_continues_its_files(machines: Machines) -> None:
    machines.write("one", 1000)
    assert machines.start("one", ONE, "--from", "start", "--once").wait(60) == 0
    machines.write("one", 16)
    assert machines.start("one", OTHER, "--once").wait(60) == 0
    assert machines.counted() == 1016


def test_containers_without_machine_id_count_no_line_twice(machines: Machines) -> None:
    """The directories of the containers differ."""
    machines.write("one", 1000)
    machines.write("other", 500)
    for round in range(2):
        assert machines.start("one", "", "--from", "start", "--once").wait(60) == 0
        other = machines.start("other", "", "--from", "start", "--once")
        _, errors = other.communicate(timeout=60)
        assert (other.returncode, NAMES_SOURCE in errors) == (2, True)
        assert machines.counted() == 1000 + 16 * round
        machines.write("one", 16)


def test_clones_running_at_once_count_no_line_twice(machines: Machines) -> None:
    machines.write("one", 1000)
    one = machines.start("one", ONE, "--from", "start")
    wait_until(lambda: machines.counted() == 1000)
    machines.a_clone_counts()
    machines.write("one", 16)
    assert one.stderr
    while NAMES_SOURCE not in one.stderr.readline():
        assert one.poll() is None
    one.terminate()
    assert one.wait(60) == 0
    assert machines.counted() == 1000


def test_entry_of_another_machine_does_not_stop_other_entries(machines: Machines) -> None:
    machines.write("one", 1)
    assert machines.start("one", ONE, "--from", "start", "--once").wait(60) == 0
    machines.follow("own.log", "of the other")
    machines.write("other", 1)
    machines.write("other", 3, "own.log")
    other = machines.start("other", OTHER, "--from", "start")
    wait_until(lambda: machines.counted() == 4)
    other.terminate()
    _, errors = other.communicate(timeout=60)
    assert (other.returncode, errors.count(NAMES_SOURCE)) == (0, 1)
