"""Requests and answers, whichever server they go to, and errors.

Nothing is retried here, because a second INCR would count twice; a commit may be repeated by its
caller, since it carries its position.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from event_count_logger import keys, process
from event_count_logger.config import GroupConfig, RedisConfig
from event_count_logger.errors import NotConnected, NotServing, Rejected, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store.node import NO_KEY, Node
from event_count_logger.store.resp import packed, request, text
from event_count_logger.store.routing import Route, route_to
from event_count_logger.store.scripts import SCRIPTS, Script
from event_count_logger.store.server_errors import refusal_in_words

#: Words in one request that Redis takes before version 7.0; it closes the connection if there are more.
_MOST_WORDS = 1024 * 1024

#: The first version that takes more.
_TAKES_ANY_NUMBER = 7


class Connections:
    """The connections to one Redis database. Threads may share it, and so may forked processes.

    Attributes:
        location: Where Redis is, for messages.
        identity: Which database it is; see `RedisConfig.identity`.
        clock_offset_s: How far the clock of the server that told its time last is ahead of this machine's.
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
        self._config = config
        self._log = log
        self._timeout_s = timeout_s or config.socket_timeout
        self._routes = process.PerProcess(partial(route_to, config, log, self._timeout_s))
        self._routes.get()  # imports what connections need, before a thread does so while the process forks

    @property
    def _route(self) -> Route:
        return self._routes.get()

    def is_away(self, group: GroupConfig) -> bool:
        """Whether requests about a group are known to find no answer for now."""
        return self._route.is_away(keys.sources(group.shard(0).prefix))

    @contextmanager
    def attempt(self, group: GroupConfig, sender: str) -> Iterator[None]:
        """Let only one sender wait for a server that does not answer.

        The senders of a process share one thread. If each waited for the time-out, a server that is stalled
        would hold up the counts for all others.

        Args:
            group: What is sent is about it.
            sender: Who sends it; other groups, and other senders of the same group, have other names.

        Raises:
            NotConnected: Another sender has just waited in vain: nothing was asked.
        """
        node = self._route.node(keys.sources(group.prefix))
        if node and process.has_threads() and not node.contact.may_try(sender):
            raise NotConnected
        began = time.monotonic()
        try:
            yield
        except Unavailable:
            if node:
                node.contact.note_failure(sender, time.monotonic() - began)
            raise

    def settings(self) -> Mapping[str, Mapping[str, str]]:
        """What each server tells of itself that bears on keeping counts, by where it is; what it does not
        tell is missing.

        `server` and `version` are there where INFO is allowed; `maxmemory-policy`, `appendonly` and
        `save` where CONFIG is.

        Raises:
            Unavailable: No answer.
        """
        return {node.location: _settings(node) for node in self._route.primaries()}

    def server_pid(self) -> int:
        """The process of the server."""
        (node,) = self._route.primaries()
        return int(_server_info(node)["process_id"])

    def server_time(self, group: GroupConfig | None = None) -> float:
        """Unix seconds by the clock of the server that has a group, of which `clock_offset_s` takes note."""
        key = keys.sources(group.shard(0).prefix) if group else NO_KEY
        asked_at = time.time()
        seconds, microseconds = self._ask("TIME", key=key)
        server_time = int(seconds) + int(microseconds) / 1e6
        self._learn_clock(asked_at, server_time, key)
        return server_time

    def now(self) -> float:
        """Unix seconds by the server's clock, as far as it is known."""
        return time.time() + self.clock_offset_s

    def clock_offset_of(self, group: GroupConfig) -> float:
        """How far the clock of the server that has a group is ahead of this machine's, as last seen."""
        node = self._route.node(keys.sources(group.shard(0).prefix))
        return node.clock_offset_s if node else 0.0

    def _learn_clock(self, asked_at: float, server_time: float, key: str) -> None:
        node = self._route.node(key)
        if node:
            node.learn_clock(asked_at, server_time)
            self.clock_offset_s = node.clock_offset_s

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
        """Raises Unavailable or Rejected unless every server serves."""
        for node in self._route.primaries():
            ask_node(node, "PING")

    def close(self) -> None:
        """Give the connections back; the next request makes new ones."""
        self._route.close()

    def _run(
        self, name: str, key_names: Sequence[str], arguments: Sequence[Any], key: str | None = None
    ) -> Any:
        """Run a script; `key` is what an error is said to be about, if that is not the first one."""
        words, key = (len(key_names), *key_names, *arguments), key or key_names[0]
        if 2 + len(words) > _MOST_WORDS:
            self._check_takes(2 + len(words), key)
        return self._call(SCRIPTS[name], len(words), packed(words), key)

    def _check_takes(self, n_words: int, key: str) -> None:
        """Raise Rejected if the server takes fewer words in one request. HELLO needs no permission."""
        version = text(pairs(self._ask("HELLO", key=key))[b"version"])
        if int(version.partition(".")[0]) < _TAKES_ANY_NUMBER:
            raise Rejected(
                key,
                f"Redis {version} takes {_MOST_WORDS} words in one request, and this one has {n_words}: "
                f"use 'layout: hash' (ecl migrate), or Redis {_TAKES_ANY_NUMBER}.0 or later",
            )

    def _call(
        self,
        script: Script,
        n_words: int,
        words: bytes,
        key: str,
        connect: bool = True,
        behind: Sequence[bytes] = (),
    ) -> Any:
        """Run a script with arguments that are packed already.

        With other requests `behind` it, on the same connection and in one go: a list of all replies.
        """
        try:
            replies = self._exchange(
                [b"*%d\r\n%b%b" % (2 + n_words, script.by_name, words), *behind], key, connect
            )
        except NoScriptError:
            replies = self._exchange(
                [b"*%d\r\n%b%b" % (2 + n_words, script.in_full, words), *behind], key, connect
            )
        return replies if behind else replies[0]

    def _ask(self, *words: str, key: str = NO_KEY) -> Any:
        (reply,) = self._exchange([request(*words)], key)
        return reply

    def _exchange(self, requests: Sequence[bytes], key: str, connect: bool = True) -> list[Any]:
        """Send requests once, in one go, to the server that has a key, and return the reply to each.

        An error in reply to the first one is raised; to the others, it is among the replies.
        """
        try:
            return self._route.exchange(requests, key, connect)
        except NoScriptError:
            raise
        except ResponseError as error:
            self._note_refusal(key, str(error))
            raise Rejected(key, refusal_in_words(error)) from error

    def _note_written(self, key: str) -> None:
        """Record that the server which has a key has written something."""
        node = self._route.node(key)
        if node:
            node.note_written()

    def _note_refusal(self, key: str, reason: str) -> None:
        if "NOREPLICAS" in reason:
            self._doubt(key)

    def _doubt(self, key: str) -> None:
        """Whoever has a key may have lost touch with its replicas, which have another primary now."""
        node = self._route.node(key)
        if node:
            node.close()

    def _gone(self, key: str, reason: str) -> Unavailable:
        """Whoever has a key serves nobody: the next connections may lead to another server."""
        node = self._route.node(key)
        return node.gone(reason, "unknown") if node else NotServing(self.location, reason, "unknown")


def _settings(node: Node) -> Mapping[str, str]:
    found: dict[str, str] = {}
    with suppress(Rejected):
        info = _server_info(node)
        server = "Valkey" if "valkey_version" in info else "Redis"
        found = {"server": server, "version": info[f"{server.lower()}_version"]}
    for name in ("maxmemory-policy", "appendonly", "save"):
        with suppress(Rejected):
            reply = pairs(ask_node(node, "CONFIG", "GET", name))
            found |= {text(key): text(value) for key, value in reply.items()}
    return found


def pairs(reply: Any) -> Mapping[bytes, Any]:
    """A map in a reply, which is a list of keys and values in version 2 of the protocol."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _server_info(node: Node) -> Mapping[str, str]:
    lines = text(ask_node(node, "INFO", "server")).splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def ask_node(node: Node, *words: str) -> Any:
    """The reply of one server to a command.

    Raises:
        Unavailable: No answer.
        Rejected: It refuses.
    """
    try:
        (reply,) = node.exchange([request(*words)])
    except ResponseError as error:
        raise Rejected(NO_KEY, refusal_in_words(error)) from error
    return reply
