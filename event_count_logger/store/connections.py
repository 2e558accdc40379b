"""The way to the server: requests and answers, connections that break, and errors. Alone in importing redis.

Nothing is retried here, because a second INCR would count twice; a commit may be repeated by its
caller, since it carries its position.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - see Connections._connect_nothing_yet
import os
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from event_count_logger.config import RedisConfig
from event_count_logger.errors import NotConnected, Rejected, StoreError, Unauthorized, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store.wire import Script, command, packed, script, text

#: Error codes of a server that answers but cannot serve anyone now; what was asked was not done.
_NOT_SERVING = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY")

#: What redis-py raises, and what it lets through; ValueError is what some names of hosts lead to. Nothing
#: else: an exception that a signal handler raises is for the program.
_FAILURES = (RedisError, OSError, ValueError)

#: As many as threads ask at once; redis-py would give up at 100.
_MOST_CONNECTIONS = 10_000

#: Seconds that an answer may take to tell what time it is: half of that is the error.
_CLOCK_SAMPLE_S = 0.05

_SCRIPT_NAMES = ("adopt", "heartbeat", "probe", "prune", "read", "retire", "rotate", "touch")

SCRIPTS = {name: script(name) for name in _SCRIPT_NAMES} | {"commit": script("count", "sessions", "commit")}


class Connections:
    """The connections to one Redis database. Threads may share it, and so may forked processes.

    Attributes:
        location: Where Redis is, for messages.
        identity: Which database it is; see `RedisConfig.identity`.
        clock_offset_s: How far the server's clock is ahead of this machine's, as last seen.
        reachable: Whether the last request was answered; None before the first one.
    """

    def __init__(self, config: RedisConfig, log: Log | None = None, timeout_s: float | None = None) -> None:
        """Connects to nothing yet.

        Args:
            config: How to reach Redis.
            log: Is told when Redis goes away, and when it is back.
            timeout_s: Seconds for one answer, instead of the configured ones.
        """
        self.location = config.location
        self.identity = config.identity
        self.clock_offset_s = 0.0
        self.reachable: bool | None = None
        self._config = config
        self._log = log
        self._timeout_s = timeout_s or config.socket_timeout
        self._connect_nothing_yet()
        _stores.add(self)

    def _connect_nothing_yet(self) -> None:
        """Also in a forked child: the connections, and the locks of the pool, belong to the parent."""
        self.reachable = None
        self._pool = _connection_pool(self._config, self._timeout_s)
        # Not the pool's own: its lock would have to be free when a process forks or a signal comes.
        self._idle: deque[Any] = deque()
        self._client = redis.Redis(connection_pool=self._pool)
        # Makes no connection, but imports all that one needs: a process that forks while a thread is in the
        # middle of an import has children in which that import is never finished.
        self._pool.connection_class(**self._pool.connection_kwargs)

    def settings(self) -> Mapping[str, str]:
        """What the server tells of itself that bears on keeping counts; what it does not tell is missing.

        `server` and `version` are there where INFO is allowed; `maxmemory-policy`, `appendonly` and
        `save` where CONFIG is.
        """
        found: dict[str, str] = {}
        with suppress(Rejected):
            info = self._server_info()
            server = "Valkey" if "valkey_version" in info else "Redis"
            found = {"server": server, "version": info[f"{server.lower()}_version"]}
        for name in ("maxmemory-policy", "appendonly", "save"):
            with suppress(Rejected), self._translated():
                found |= {str(key): str(value) for key, value in self._client.config_get(name).items()}
        return found

    def server_pid(self) -> int:
        """The process of the server."""
        return int(self._server_info()["process_id"])

    def _server_info(self) -> Mapping[str, Any]:
        with self._translated():
            return self._client.info("server")

    def server_time(self) -> float:
        """Unix seconds by the server's clock, of which `clock_offset_s` takes note."""
        asked_at = time.time()
        seconds, microseconds = self._ask("TIME")
        server_time = int(seconds) + int(microseconds) / 1e6
        self._learn_clock(asked_at, server_time)
        return server_time

    def now(self) -> float:
        """Unix seconds by the server's clock, as far as it is known."""
        return time.time() + self.clock_offset_s

    def _learn_clock(self, asked_at: float, server_time: float) -> None:
        answered_at = time.time()
        if 0 <= answered_at - asked_at < _CLOCK_SAMPLE_S:
            self.clock_offset_s = server_time - (asked_at + answered_at) / 2

    def shut_down_server(self) -> None:
        """Ask the server to save what it has and to end."""
        with suppress(Unavailable):  # the server closes the connection in place of an answer
            self._ask("SHUTDOWN")

    def type_of(self, key: str) -> str:
        """What kind of value is under a key, as TYPE calls it; `none` where there is nothing.

        Raises:
            Unavailable: No answer.
            Rejected: This user may not ask that.
        """
        return text(self._ask("TYPE", key, key=key))

    def ping(self) -> None:
        """Raises Unavailable or Rejected unless the server serves."""
        self._ask("PING")

    def close(self) -> None:
        """Give the connections back; the next request makes new ones."""
        self._pool.disconnect()
        self._disconnect_idle()

    def __del__(self) -> None:
        self._disconnect_idle()

    def _disconnect_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().disconnect()

    def _run(
        self, name: str, key_names: Sequence[str], arguments: Sequence[Any], key: str | None = None
    ) -> Any:
        """Run a script; `key` is what an error is said to be about, if that is not the first one."""
        words = (len(key_names), *key_names, *arguments)
        return self._call(SCRIPTS[name], len(words), packed(words), key or key_names[0])

    def _call(
        self,
        script: Script,
        n_words: int,
        words: bytes,
        key: str,
        connect: bool = True,
        behind: Sequence[bytes] = (),
    ) -> Any:
        """Run a script with arguments that are packed already; see `_exchange`."""
        try:
            return self._exchange(b"*%d\r\n%b%b" % (2 + n_words, script.by_name, words), key, connect, behind)
        except NoScriptError:
            return self._exchange(b"*%d\r\n%b%b" % (2 + n_words, script.in_full, words), key, connect, behind)

    def _ask(self, *words: str, key: str = "-") -> Any:
        return self._exchange(command(*words), key)

    def _exchange(self, request: bytes, key: str, connect: bool = True, behind: Sequence[bytes] = ()) -> Any:
        """Send one request once, and return its answer.

        With other requests `behind` it, on the same connection and in one go, a list of all answers. An error
        that is the answer to one of those is in the list.
        """
        connection = self._idle_connection()
        answered = False
        try:
            connected = connection.is_connected
            if connected and _is_stale(connection):
                connection.disconnect()
                connected = False
            if not (connected or connect):
                raise NotConnected
            reply = self._exchange_on(connection, connected, request, key, behind)
            answered = True
            return reply
        except (Rejected, NoScriptError):
            answered = True
            raise
        except Unavailable as error:
            self._note_reachable(False, error)
            raise
        finally:
            if not answered:
                # Also when interrupted: the answer to this request must not be taken for the next one's.
                connection.disconnect()
            elif not self.reachable:
                self._note_reachable(True)
            self._idle.append(connection)

    def _idle_connection(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._pool.make_connection()
        except OSError as error:  # it reads a file, for which there may be no descriptor left
            away = Unavailable(self.location, error)
            self._note_reachable(False, away)
            raise away from error

    def _exchange_on(
        self, connection: Any, connected: bool, request: bytes, key: str, behind: Sequence[bytes]
    ) -> Any:
        try:
            if not connected:
                connection.connect()
            if behind:
                return _answers(connection, [request, *behind])
            connection.send_packed_command((request,))
            return connection.read_response()
        except NoScriptError:
            raise
        except _FAILURES as error:
            raise self._own_error(error, key) from error

    def _gone(self, reason: str) -> Unavailable:
        """Its connections lead to a server that serves nobody: the next ones may lead to another."""
        error = Unavailable(self.location, reason, self._hint())
        self._note_reachable(False, error)
        self.close()
        return error

    def _note_reachable(self, reachable: bool, error: Unavailable | None = None) -> None:
        before, self.reachable = self.reachable, reachable
        if self._log and error and before is not False:
            self._log.warning("%s", error)
        elif self._log and reachable and before is False:
            self._log.info("Redis at %s is back", self.location)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise self._own_error(error) from error

    def _own_error(self, error: Exception, key: str = "-") -> StoreError:
        """This package's error for what redis-py raised."""
        if isinstance(error, AuthenticationError | AuthorizationError):
            return Unauthorized(self.location, error)
        if not isinstance(error, ResponseError):
            return Unavailable(self.location, error, self._hint())
        if is_not_serving(str(error)):
            return Unavailable(self.location, error)
        return Rejected(key, error)

    def _hint(self) -> str:
        if not self._config.embedded:
            return ""
        return "; the embedded server is started by ecl_master with this configuration"


_stores: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for store in tuple(_stores):
        store._connect_nothing_yet()


os.register_at_fork(after_in_child=_after_fork)


def _answers(connection: Any, requests: Sequence[bytes]) -> list[Any]:
    """The answers to all requests. All are read even if the first one, which is then raised, is an error."""
    connection.send_packed_command((b"".join(requests),))
    answers = [_answer(connection) for _ in requests]
    if isinstance(answers[0], ResponseError):
        raise answers[0]
    return answers


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _is_stale(connection: Any) -> bool:
    """Whether the other end was closed, or has sent what nobody waits for."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _connection_pool(config: RedisConfig, timeout_s: float) -> redis.ConnectionPool:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, config.socket_connect_timeout),
        **config.options,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": _MOST_CONNECTIONS,
    }
    if config.embedded:
        return redis.ConnectionPool(
            redis.UnixDomainSocketConnection, path=str(config.socket_path), db=config.db, **options
        )
    if config.url:
        return redis.ConnectionPool.from_url(config.url, **options)
    return redis.ConnectionPool(host=config.host, port=config.port, db=config.db, **options)


def is_not_serving(error: str) -> bool:
    """Whether an error says that the server serves nobody now; scripts put words of their own before it."""
    return any(code in error.split() for code in _NOT_SERVING)
