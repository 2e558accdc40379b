"""Two machines with one host name and one path: each line counts once at most, and an ERROR names `source`.

A machine is a mount namespace with a machine ID and a log directory of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, needs_debian
from tests.servers import Server, wait_until

Start = Callable[..., "subprocess.Popen[str]"]
ConfigFile = Callable[..., Path]

MACHINE_ID = Path("/etc/machine-id")

NAMES_SOURCE = "app.log: source 'localhost' is also used by another machine"


class Machines:
    """Machines that follow the same path."""

    def __init__(
        self, start: Start, server: Server, config_file: Callable[..., Path], directory: Path
    ) -> None:
        self._start = start
        self._server = server
        self._directory = directory
        self.path = directory / "log"
        self.path.mkdir()
        rules = [{"match": "x", "events": ["line"]}]
        entry = {"file": str(self.path / "app.log"), "group": "g", "source": "localhost", "rules": rules}
        groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
        self._config = config_file({"redis": server.config, "groups": groups, "tail": [entry]})

    def start(self, name: str, machine_id: str, *options: str) -> subprocess.Popen[str]:
        """Run `ecl tail` on a machine; `name` is that of its log directory."""
        id_file = self._directory / f"id-{name}"
        id_file.write_text(machine_id and f"{machine_id}\n")
        log = self._directory / name
        log.mkdir(exist_ok=True)
        mount = f"mount --bind {log} {self.path} && mount --bind {id_file} {MACHINE_ID}"
        command = f"{mount} && exec {BIN / 'ecl'} tail {' '.join(options)} {self._config}"
        return self._start("unshare", "--mount", "sh", "-c", command)

    def write(self, name: str, n: int) -> None:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        with open(directory / "app.log", "a") as file:
            file.write("x\n" * n)

    def counted(self) -> int:
        return self._server.counts("g", "24h", "cur").get("line", 0)


@pytest.fixture
def machines(start: Start, server: Server, config_file: ConfigFile, tmp_path: Path) -> Machines:
    needs_debian("util-linux", "unshare")
    if os.geteuid() != 0 or not MACHINE_ID.exists():
        pytest.skip("only root can make mount namespaces, and a machine ID to hide is needed")
    return Machines(start, server, config_file, tmp_path)


ONE, OTHER = "1" * 32, "2" * 32


def test_position_of_another_machine_is_not_read_on_from(machines: Machines) -> None:
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


def test_machine_with_a_new_identity_reads_its_files_on(machines: Machines) -> None:
    machines.write("one", 1000)
    assert machines.start("one", ONE, "--from", "start", "--once").wait(60) == 0
    machines.write("one", 16)
    assert machines.start("one", OTHER, "--once").wait(60) == 0
    assert machines.counted() == 1016


def test_machines_without_identity_count_no_line_twice(machines: Machines) -> None:
    machines.write("one", 1000)
    machines.write("other", 500)
    one = machines.start("one", "", "--from", "start")
    wait_until(lambda: machines.counted() == 1000)
    other = machines.start("other", "")
    wait_until(lambda: machines.counted() == 1500)
    machines.write("one", 16)
    assert one.stderr
    while NAMES_SOURCE not in one.stderr.readline():
        assert one.poll() is None
    machines.write("other", 16)
    wait_until(lambda: machines.counted() == 1516)
    for process in (one, other):
        process.terminate()
        process.wait(60)
    assert machines.counted() == 1516
