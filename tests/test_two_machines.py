"""Two machines, made of network namespaces: counts sent over a broken network are counted once."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import redis

from tests.conftest import BIN, ROOT, needs_debian
from tests.servers import BINARIES, wait_until

#: Seconds for which a machine is cut off.
CUT_OFF_S = float(os.environ.get("ECL_CUT_OFF_S", "6"))

PORT = 6379
CONFIG = """
redis: {{url: "redis://{host}:6379", socket_timeout: 1}}
groups:
  direct: {{events: [one, other], intervals: [9000h], auto_declare_events: true}}
  cached: {{events: [one, other], intervals: [9000h], auto_declare_events: true, sync_interval: 0.2}}
"""


class Network:
    """A machine with a server, and two machines that are each connected to it by a cable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = f"ecl{os.getpid()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.socket = folder / "server.sock"
        self.client = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def open(self) -> None:
        self._ip("netns", "add", self._machine("server"))
        for number, machine in enumerate(("one", "other")):
            self._connect(machine, number)
        settings = f"--bind 0.0.0.0 --protected-mode no --port {PORT} --unixsocket {self.socket}"
        binary = BINARIES["valkey"]()
        assert binary
        self.start("server", binary, *settings.split(), "--save", "", "--logfile", self._folder / "log")
        wait_until(self._serves)

    def _serves(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def _machine(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _connect(self, machine: str, number: int) -> None:
        name, server = self._machine(machine), self._machine("server")
        self._ip("netns", "add", name)
        ends = (
            "link",
            "add",
            machine,
            "netns",
            server,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            name,
        )
        self._ip(*ends)
        for where, device, last in ((server, machine, 1), (name, "cable", 2)):
            self._ip("-n", where, "address", "add", f"10.99.{number}.{last}/24", "dev", device)
            self._ip("-n", where, "link", "set", device, "up")
        (self._folder / f"{machine}.yml").write_text(CONFIG.format(host=f"10.99.{number}.1"))

    def cut_off(self, machine: str) -> None:
        self._ip("-n", self._machine("server"), "link", "set", machine, "down")

    def heal(self, machine: str) -> None:
        self._ip("-n", self._machine("server"), "link", "set", machine, "up")

    def start(self, machine: str, *command: object) -> subprocess.Popen[bytes]:
        """Start a program on a machine, with spool files of that machine."""
        spool = {"ECL_SPOOL_DIR": str(self._folder / f"spool-{machine}")}
        words = ["ip", "netns", "exec", self._machine(machine), *map(str, command)]
        self._processes.append(subprocess.Popen(words, cwd=ROOT, env={**os.environ, **spool}))
        return self._processes[-1]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for machine in ("server", "one", "other"):
            subprocess.run(["ip", "netns", "delete", self._machine(machine)], check=False)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    needs_debian("iproute2", "ip")
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    network = Network(tmp_path)
    try:
        network.open()
        yield network
    finally:
        network.close()


def test_machine_cut_off_from_redis_loses_and_doubles_nothing(network: Network, tmp_path: Path) -> None:
    notes = {}
    workers = {}
    for machine, event_id in (("one", "one"), ("other", "other"), ("one", "killed")):
        notes[event_id] = tmp_path / f"notes-{event_id}"
        notes[event_id].write_bytes(bytes(16))
        program = (sys.executable, "-m", "tests.programs.machine", tmp_path / f"{machine}.yml")
        workers[event_id] = network.start(machine, *program, notes[event_id], event_id)

    def is_counted(event_id: str) -> bool:
        return _count(network, "direct", event_id) > 100

    for event_id in workers:
        wait_until(partial(is_counted, event_id))

    network.cut_off("one")
    time.sleep(CUT_OFF_S / 2)
    workers["killed"].send_signal(signal.SIGKILL)
    before = {event_id: _count(network, "direct", event_id) for event_id in workers}
    time.sleep(CUT_OFF_S / 2)
    assert _count(network, "direct", "one") == before["one"], "this machine is cut off"
    assert _count(network, "direct", "other") > before["other"], "the other machine is not cut off"
    network.heal("one")

    wait_until(lambda: _count(network, "direct", "one") > before["one"], what="it counts again")
    for event_id in ("one", "other"):
        workers[event_id].terminate()
        assert workers[event_id].wait(30) == 0
    assert network.start("one", BIN / "ecl", "recover", tmp_path / "one.yml").wait(30) == 0
    for event_id, file in notes.items():
        begun, done = struct.unpack("=QQ", file.read_bytes())
        counted = sum(_count(network, group, event_id) for group in ("direct", "cached"))
        assert done <= counted <= begun
        assert begun - done <= (event_id == "killed")


def _count(network: Network, group: str, event_id: str) -> int:
    return int(network.client.get(f"{group}:9000h:cur:{event_id}") or 0)
