"""Routes to the server that has a key: a single server, the master behind sentinels, a node of a cluster."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import ResponseError
from redis.retry import Retry

from event_count_logger.config import Address, GroupConfig, RedisConfig
from event_count_logger.errors import NotConnected, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store.cluster import Cluster
from event_count_logger.store.node import Contact, Node, Options, make_ready
from event_count_logger.store.resp import request, text

_EMBEDDED_HINT = "; the embedded server is started by ecl_master with this configuration"


class Route(Protocol):
    """A route to the server that has a key. Threads may share it; a forked process needs one of its own."""

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Node.exchange`. All requests have keys in the slot of `key`."""

    def node(self, key: str) -> Node | None:
        """Returns the server that is known to have a key, without a request."""

    def primaries(self) -> list[Node]:
        """Returns all servers that accept counts now.

        Raises:
            Unavailable: No sentinel or node answers.
        """

    def is_unavailable(self, group: GroupConfig) -> bool:
        """Returns whether requests about a group are known to find no answer."""

    def close(self) -> None:
        """Close all idle connections."""

    @property
    def commands(self) -> tuple[str, ...]:
        """Returns the commands that the route itself needs."""


def route_to(config: RedisConfig, log: Log | None, timeout_s: float) -> Route:
    """Returns the route to the server of a configuration; does not connect."""
    options = _options(config, timeout_s)
    make_ready(options)
    if config.cluster:
        return Cluster(config, options, log)
    if config.sentinel:
        return ViaSentinel(config, options, log)
    hint = _EMBEDDED_HINT if config.embedded else ""
    return Node(options, config.location, Contact(log), hint)


class ViaSentinel:
    """The server that sentinels name as the master of a service, asked before each new connection."""

    commands: tuple[str, ...] = ()

    def __init__(self, config: RedisConfig, options: Options, log: Log | None) -> None:
        self._config = config
        self._options = options
        self._contact = Contact(log)
        assert config.sentinel
        self._sentinels = [_sentinel(options, config.sentinel.options, *at) for at in config.sentinel.nodes]
        self._node: Node | None = None
        self._epoch = 0  # of the newest master that was named

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Route`."""
        node = self._node
        if node:
            with suppress(NotConnected):
                return self._exchange_with(node, requests, key, connect=False)
        if not connect:
            raise NotConnected
        return self._exchange_with(self._master(), requests, key, connect=True)

    def _exchange_with(self, node: Node, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        try:
            return node.exchange(requests, key, connect)
        except Unavailable:
            node.close()  # the master may be another server now
            raise

    def node(self, key: str) -> Node | None:
        """See `Route`."""
        return self._node

    def primaries(self) -> list[Node]:
        """See `Route`."""
        return [self._master()]

    def is_unavailable(self, group: GroupConfig) -> bool:
        """See `Route`."""
        return self._contact.reachable is False

    def close(self) -> None:
        """See `Route`."""
        if self._node:
            self._node.close()

    def _master(self) -> Node:
        host, port = self._ask_sentinels()
        assert self._config.sentinel
        location = f"{host}:{port}/{self._config.db} (master of '{self._config.sentinel.service}')"
        before = self._node
        if before and before.location == location:
            return before
        self._node = Node({**self._options, "host": host, "port": port}, location, self._contact)
        if before:
            before.close()
        return self._node

    def _ask_sentinels(self) -> Address:
        """See redis.io/docs/latest/develop/reference/sentinel-clients.

        A sentinel with an old state may name the previous master. That one, started again, accepts counts
        until it becomes a replica, and then loses them. Each failover increases the epoch.
        """
        failure: object = None
        outdated: list[tuple[int, Address]] = []
        for sentinel in random.sample(self._sentinels, len(self._sentinels)):
            try:
                epoch, master = self._ask_sentinel(sentinel)
            except (Unavailable, ResponseError, LookupError) as error:
                failure = error
                continue
            if epoch >= self._epoch:
                self._epoch = epoch
                return master
            outdated.append((epoch, master))
        if outdated:  # all have an older epoch, perhaps because all were set up again
            self._epoch, master = max(outdated)
            return master
        lost = Unavailable(self._config.location, f"none of them names the master ({failure})", "no")
        self._contact.lost(lost)
        raise lost

    def _ask_sentinel(self, sentinel: Node) -> tuple[int, Address]:
        """Returns the epoch and the address of the master that a sentinel names.

        Raises:
            Unavailable: No answer.
            ResponseError: It is no sentinel, or rejects the request.
            LookupError: It does not watch the service.
        """
        settings = self._config.sentinel
        assert settings
        try:
            found, state = sentinel.exchange(
                [request("SENTINEL", word, settings.service) for word in _QUESTIONS]
            )
        finally:
            sentinel.close()
        if not found:
            raise LookupError(f"{sentinel.location} does not know it")
        return _epoch(state), (text(found[0]), int(found[1]))


def _sentinel(options: Options, own_options: Options, host: str, port: int) -> Node:
    """Returns one sentinel, with the options of the database where it has none of its own."""
    common = {name: value for name, value in options.items() if name not in _OF_THE_DATABASE}
    there = {**common, **own_options, "host": host, "port": port, "socket_read_size": _SENTINEL_BUFFER}
    return Node(there, f"{host}:{port}", Contact(None))


#: Bytes of the buffer of a connection to a sentinel. Each thread may have one. Replies take 1 KiB.
_SENTINEL_BUFFER = 4096

#: Questions to sentinels. The first reply has the address, where it changes first; the second one has the
#: epoch.
_QUESTIONS = ("GET-MASTER-ADDR-BY-NAME", "MASTER")


def _epoch(state: Any) -> int:
    """Returns the epoch of a sentinel's configuration; 0 without permission for the question."""
    if isinstance(state, ResponseError):
        return 0
    words = [word for pair in state.items() for word in pair] if isinstance(state, dict) else state
    return int(dict(zip(words[::2], words[1::2], strict=True)).get(b"config-epoch", 0))


#: Options of the database that do not apply to sentinels.
_OF_THE_DATABASE = ("db", "username", "password", "credential_provider", "health_check_interval")


def _options(config: RedisConfig, timeout_s: float) -> Options:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, config.socket_connect_timeout),
        **config.options,
        "retry": Retry(NoBackoff(), 0),
    }
    if config.embedded:
        path = str(config.socket_path)
        return {
            **options,
            "connection_class": redis.UnixDomainSocketConnection,
            "path": path,
            "db": config.db,
        }
    if config.url:
        return {**options, **parse_url(config.url)}
    if config.ssl:
        options["connection_class"] = redis.SSLConnection
    return {**options, "host": config.host, "port": config.port, "db": config.db}
