"""A PostgreSQL server for tests and benchmarks: a directory, and a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from server_process import wait_until

#: The user who runs the server if this process is root, which PostgreSQL rejects.
_USER = "postgres"


def postgres_binary(name: str) -> str | None:
    """Returns the path of a program of the newest PostgreSQL; Debian has them outside of PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]), reverse=True
    )
    return str(found[0]) if found else shutil.which(name)


class Postgres:
    """A server with an empty database `ecl` of the user `ecl`, who needs no password.

    Attributes:
        directory: Has the socket. All users may enter it.
    """

    def __init__(self, *more: str) -> None:
        """`more` are settings, such as `shared_buffers=1GB`."""
        self.directory = Path(tempfile.mkdtemp(prefix="ecl-postgres-"))
        self._data = self.directory / "data"
        self._settings = {"unix_socket_directories": str(self.directory), "listen_addresses": ""}
        self._settings |= dict(setting.split("=", 1) for setting in more)
        self._process: subprocess.Popen[bytes] | None = None
        self.directory.chmod(0o755)
        self._data.mkdir(0o700)
        if os.geteuid() == 0:
            for path in (self.directory, self._data):
                shutil.chown(path, _USER, pwd.getpwnam(_USER).pw_gid)
        self._run("initdb", "-D", self._data, "-U", "ecl", "-A", "trust", "-E", "UTF8", "-N", "--no-locale")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://ecl@/ecl?host={quote(str(self.directory), safe='')}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        words = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", self._data, *words), stdout=log, stderr=log, cwd="/"
            )
        wait_until(self._answers, what="PostgreSQL starts")

    def kill(self) -> None:
        """Kill all its processes."""
        if self._process:
            pids = self._signal(signal.SIGKILL)
            self._process.wait()
            wait_until(lambda: not any(map(_is_alive, pids)), what="its processes have ended")
            self._process = None

    def stall(self) -> None:
        """Stop all its processes: connections stay open, and no request is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its data."""
        self.kill()
        shutil.rmtree(self.directory)

    def _signal(self, number: int) -> list[int]:
        """Send a signal to all its processes, and return their pids."""
        pids = self._pids()
        for pid in pids:
            with suppress(ProcessLookupError):  # one that has just ended
                os.kill(pid, number)
        return pids

    def _pids(self) -> list[int]:
        assert self._process
        pid = self._process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def empty(self) -> None:
        """Replace the database by an empty one."""
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS ecl WITH (FORCE)")
            connection.execute("CREATE DATABASE ecl")

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'ecl'").fetchone():
                    connection.execute("CREATE DATABASE ecl")
            return True
        except psycopg.OperationalError:
            assert self._process and self._process.poll() is None, (self.directory / "log").read_text()
            return False

    def _conninfo(self, database: str) -> str:
        return f"host={self.directory} user=ecl dbname={database}"

    def _command(self, name: str, *arguments: object) -> list[str]:
        binary = postgres_binary(name)
        assert binary, f"no {name} on this machine"
        start = ["setpriv", "--pdeathsig", "KILL"]  # it ends with this process
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            start += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return [*start, binary, *map(str, arguments)]

    def _run(self, name: str, *arguments: object) -> None:
        subprocess.run(self._command(name, *arguments), check=True, capture_output=True, cwd="/")


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
