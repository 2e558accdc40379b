"""The client of one Redis database: sends each request to the server that has its key.

Nothing is retried here: a second INCR would count twice. A caller may repeat a commit, which carries its
position.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from event_count_logger import keys, process
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.errors import NotConnected, NotServing, Rejected, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store.node import NO_KEY, Node
from event_count_logger.store.resp import encoded, packed, pairs, request, text
from event_count_logger.store.routing import Route, route_to
from event_count_logger.store.scripts import SCRIPTS, Script
from event_count_logger.store.server_errors import rejection_reason

#: Words in one request that Redis accepts before version 7.0. It closes the connection if there are more.
_MOST_WORDS = 1024 * 1024

#: The first version without that limit.
_NO_LIMIT_SINCE = 7


class Client:
    """Requests to one Redis database. Threads may share it, and so may forked processes.

    Attributes:
        config: The address of Redis.
        timeout_s: Seconds for one reply.
        clock_offset_s: Seconds that the clock of the server asked last is ahead of this machine's.
    """

    def __init__(self, config: RedisConfig, log: Log | None = None, timeout_s: float | None = None) -> None:
        """Does not connect.

        Args:
            config: The address of Redis.
            log: Reports the beginning and the end of each outage.
            timeout_s: Seconds for one reply, instead of the configured ones.
        """
        self.config = config
        self.timeout_s = timeout_s or config.socket_timeout
        self.clock_offset_s = 0.0
        self._routes = process.PerProcess(partial(route_to, config, log, self.timeout_s))
        self._routes.get()  # imports what connections need, before a thread does so while the process forks

    @property
    def route(self) -> Route:
        """The route of this process."""
        return self._routes.get()

    def ask(self, *words: str, key: str = NO_KEY) -> Any:
        """Send a command and return its reply; `key` selects the server and is named in errors.

        Raises:
            Unavailable: No answer.
            Rejected: Redis answers with an error.
        """
        (reply,) = self.exchange([request(*words)], key)
        return reply

    def ask_all(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        """Send commands in one packet and return their replies.

        The second word of each command is its key. The key of the first command selects the server. All keys
        must be in one slot.

        Raises:
            Unavailable: No answer.
            Rejected: Redis answers with an error.
        """
        replies = self.ask_each(commands, commands[0][1])
        for reply in replies:
            if isinstance(reply, Rejected):
                raise reply
        return replies

    def ask_each(self, commands: Sequence[Sequence[str]], key: str = NO_KEY) -> list[Any]:
        """Send commands in one packet and return their replies, in which `Rejected` stands for an error.

        Args:
            commands: Their second words are their keys, which must all be on one server.
            key: Selects the server; named if the first command is rejected.

        Raises:
            Unavailable: No answer.
            Rejected: Redis answers with an error to the first command.
        """
        replies = self.exchange([request(*words) for words in commands], key)
        return [
            self._rejected(words[1] if len(words) > 1 else "", reply)
            if isinstance(reply, ResponseError)
            else reply
            for words, reply in zip(commands, replies, strict=True)
        ]

    def scan(self, command: str, key: str, count: int) -> Iterator[list[bytes]]:
        """Yields the elements of a set or hash in pages; HSCAN has fields and values in turn.

        Args:
            command: SSCAN or HSCAN.
            key: Key of the set or hash.
            count: Elements that the server looks at before it answers other clients again.
        """
        cursor = "0"
        while True:
            next_cursor, page = self.ask(command, key, cursor, "COUNT", str(count), key=key)
            yield page
            cursor = text(next_cursor)
            if cursor == "0":
                return

    def run(
        self, name: str, key_names: Sequence[str], arguments: Sequence[Any], key: str | None = None
    ) -> Any:
        """Run a script and return its reply; `key` is named in errors, the first key if None."""
        words, key = (len(key_names), *key_names, *arguments), key or key_names[0]
        if 2 + len(words) > _MOST_WORDS:
            self._check_accepts(2 + len(words), key)
        return self.call(SCRIPTS[name], len(words), packed(words), key)[0]

    def call(
        self,
        script: Script,
        n_words: int,
        words: str,
        key: str,
        connect: bool = True,
        behind: Sequence[bytes] = (),
    ) -> list[Any]:
        """Run a script and return its reply, followed by the replies to the requests `behind` it.

        Args:
            script: Sent by its name first; in full if the server does not know it.
            n_words: Number of `words`.
            words: Number of keys, keys and arguments of the script, packed.
            key: Selects the server; named in errors.
            connect: Whether to make a connection if there is none, which may take long.
            behind: Requests on the same connection, in the same packet.

        Raises:
            NotConnected: There is no connection; nothing was sent.
            Unavailable: No answer.
            Rejected: Redis answers with an error to the script; other errors are among the replies.
        """
        try:
            request = encoded(f"*{2 + n_words}\r\n{script.by_name}{words}")
            return self._routes.get().exchange((request, *behind), key, connect)
        except NoScriptError:
            request = encoded(f"*{2 + n_words}\r\n{script.in_full}{words}")
            return self.exchange((request, *behind), key, connect)
        except ResponseError as error:
            raise self._rejected(key, error) from error

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool = True) -> list[Any]:
        """Send requests once, in one packet, to the server that has a key, and return the replies.

        Raises:
            NotConnected: There is no connection; nothing was sent.
            Unavailable: No answer.
            Rejected: Redis answers with an error to the first request; other errors are among the replies.
        """
        try:
            return self._routes.get().exchange(requests, key, connect)
        except ResponseError as error:
            raise self._rejected(key, error) from error

    def is_unavailable(self, group: GroupConfig) -> bool:
        """Returns whether the server that has a group is known to be unavailable."""
        return self._routes.get().is_unavailable(group)

    @contextmanager
    def attempt(self, group: GroupConfig, sender: str) -> Iterator[None]:
        """Let only one sender at a time wait for a server that does not answer.

        The senders of a process share one thread. If each waited for the time-out, a stalled server would
        delay the counts for all other servers.

        Args:
            group: Group that the requests are about.
            sender: Name of the sender, unique among all senders of all groups.

        Raises:
            NotConnected: Another sender has just waited without an answer; nothing was sent.
        """
        node = self._node(group)
        if node and process.has_threads() and not node.contact.may_try(sender):
            raise NotConnected
        began = time.monotonic()
        try:
            yield
        except Unavailable:
            if node:
                node.contact.note_failure(sender, time.monotonic() - began)
            raise

    def server_time(self, group: GroupConfig | None = None) -> float:
        """Returns Unix seconds by the clock of the server that has a group, and updates `clock_offset_s`."""
        key = keys.sources(group.shard(0).prefix) if group else NO_KEY
        asked_at = time.time()
        seconds, microseconds = self.ask("TIME", key=key)
        server_time = int(seconds) + int(microseconds) / 1e6
        self.learn_clock(asked_at, server_time, key)
        return server_time

    def now(self) -> float:
        """Returns Unix seconds by the server's clock, as last seen."""
        return time.time() + self.clock_offset_s

    def clock_offset_of(self, group: GroupConfig) -> float:
        """Returns seconds that the clock of the server that has a group is ahead of this machine's."""
        node = self._node(group)
        return node.clock_offset_s if node else 0.0

    def learn_clock(self, asked_at: float, server_time: float, key: str) -> None:
        """Record the clock of the server that has a key, as in its reply to a request sent at `asked_at`."""
        node = self._routes.get().node(key)
        if node:
            self.clock_offset_s = node.learn_clock(asked_at, server_time)

    def note_written(self, key: str) -> None:
        """Record that the server that has a key has written something, which ends any outage."""
        node = self._routes.get().node(key)
        if node:
            node.note_written()

    def drop_connections(self, key: str) -> None:
        """Close the connections to the server that has a key: its replicas may have another primary now."""
        node = self._routes.get().node(key)
        if node:
            node.close()

    def not_serving(self, key: str, reason: str) -> Unavailable:
        """Close the connections to the server that has a key, and return the error that says why."""
        node = self._routes.get().node(key)
        if node:
            return node.not_serving(reason, "unknown")
        return NotServing(self.config.location, reason, "unknown")

    def note_rejection(self, key: str, reason: str) -> None:
        """Drop the connections if the server has lost its replicas."""
        if "NOREPLICAS" in reason:
            self.drop_connections(key)

    def close(self) -> None:
        """Close the idle connections; the next request makes new ones."""
        self._routes.get().close()

    def _node(self, group: GroupConfig) -> Node | None:
        return self._routes.get().node(keys.sources(group.shard(0).prefix))

    def _rejected(self, key: str, error: ResponseError) -> Rejected:
        self.note_rejection(key, str(error))
        return Rejected(key, rejection_reason(error))

    def _check_accepts(self, n_words: int, key: str) -> None:
        """Raises Rejected if the server accepts fewer words in one request.

        Asks for the version with HELLO, which needs no permission.
        """
        version = text(pairs(self.ask("HELLO", key=key))[b"version"])
        if int(version.partition(".")[0]) < _NO_LIMIT_SINCE:
            raise Rejected(
                key,
                f"Redis {version} takes {_MOST_WORDS} words in one request, and this one has {n_words}: "
                f"use 'layout: hash' (ecl migrate), or Redis {_NO_LIMIT_SINCE}.0 or later",
            )
