"""Which server has a key: the only one, the one that is master now, or the one of a cluster."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoPermissionError, ResponseError, TryAgainError
from redis.retry import Retry

from event_count_logger.config import Address, RedisConfig
from event_count_logger.errors import NotConnected, Unauthorized, Unavailable
from event_count_logger.logs import Log
from event_count_logger.store.node import Contact, Node, Options, make_ready
from event_count_logger.store.wire import encoded, request, text

#: In place of a key, for what any server can answer.
NO_KEY = "-"

#: As many as threads ask at once; redis-py would give up at 100.
_MOST_CONNECTIONS = 10_000

#: How often a request is sent on from one node of a cluster to another.
_MOST_REDIRECTS = 5

_EMBEDDED_HINT = "; the embedded server is started by ecl_master with this configuration"

_ASKING = request("ASKING")


class Route(Protocol):
    """The way to the server that has a key. Threads may share it; a forked process needs one of its own."""

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Node.exchange`; all requests are about keys of the same slot as `key`."""

    def node(self, key: str) -> Node | None:
        """The server that is known to have a key; asks nobody."""

    def primaries(self) -> list[Node]:
        """Every server that takes counts, as it is now.

        Raises:
            Unavailable: Nobody tells which they are.
        """

    def is_away(self, key: str) -> bool:
        """Whether requests about a key are known to find no answer."""

    def close(self) -> None:
        """Give all connections back."""

    @property
    def reachable(self) -> bool | None:
        """Whether the last request to each server was answered; None before the first one."""

    @property
    def commands(self) -> tuple[str, ...]:
        """What this way needs of servers, beside what is asked of them."""


def route_to(config: RedisConfig, log: Log | None, timeout_s: float) -> Route:
    """The way to what a configuration names; connects to nothing yet."""
    options = _options(config, timeout_s)
    make_ready(options)
    if config.cluster:
        return Cluster(config, options, log)
    if config.sentinel:
        return ViaSentinel(config, options, log)
    hint = _EMBEDDED_HINT if config.embedded else ""
    return Single(Node(options, config.location, Contact(log), hint))


class Single:
    """One server."""

    commands: tuple[str, ...] = ()

    def __init__(self, node: Node) -> None:
        self._node = node

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Route`."""
        return self._node.exchange(requests, connect)

    def node(self, key: str) -> Node | None:
        """See `Route`."""
        return self._node

    def primaries(self) -> list[Node]:
        """See `Route`."""
        return [self._node]

    def is_away(self, key: str) -> bool:
        """See `Route`."""
        return self._node.contact.reachable is False

    def close(self) -> None:
        """See `Route`."""
        self._node.close()

    @property
    def reachable(self) -> bool | None:
        """See `Route`."""
        return self._node.contact.reachable


class ViaSentinel:
    """The server that sentinels call the master of a service. They are asked before each new connection."""

    commands: tuple[str, ...] = ()

    def __init__(self, config: RedisConfig, options: Options, log: Log | None) -> None:
        self._config = config
        self._options = options
        self._contact = Contact(log)
        self._node: Node | None = None

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Route`."""
        node = self._node
        if node:
            with suppress(NotConnected):
                return self._exchange_with(node, requests, connect=False)
        if not connect:
            raise NotConnected
        return self._exchange_with(self._master(), requests, connect=True)

    def _exchange_with(self, node: Node, requests: Sequence[bytes], connect: bool) -> list[Any]:
        try:
            return node.exchange(requests, connect)
        except Unavailable:
            node.close()  # whoever is the master now
            raise

    def node(self, key: str) -> Node | None:
        """See `Route`."""
        return self._node

    def primaries(self) -> list[Node]:
        """See `Route`."""
        return [self._master()]

    def is_away(self, key: str) -> bool:
        """See `Route`."""
        return self._contact.reachable is False

    def close(self) -> None:
        """See `Route`."""
        if self._node:
            self._node.close()

    @property
    def reachable(self) -> bool | None:
        """See `Route`."""
        return self._contact.reachable

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
        """See redis.io/docs/latest/develop/reference/sentinel-clients."""
        settings = self._config.sentinel
        assert settings
        options = {name: value for name, value in self._options.items() if name not in _OF_THE_DATABASE}
        question = request("SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings.service)
        failure: object = None
        for host, port in random.sample(settings.nodes, len(settings.nodes)):
            there = {**options, **settings.options, "host": host, "port": port}
            sentinel = Node(there, f"{host}:{port}", Contact(None))
            try:
                (found,) = sentinel.exchange([question])
            except (Unavailable, ResponseError) as error:
                failure = error
            else:
                if found:
                    return text(found[0]), int(found[1])
                failure = f"{host}:{port} does not know it"
            finally:
                sentinel.close()
        lost = Unavailable(self._config.location, f"none of them names the master ({failure})")
        self._contact.lost(lost)
        raise lost


class Cluster:
    """The nodes of a cluster, each of which has some of the slots that keys fall into
    (redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec).

    Requests that a node sends on were not done, so that they may be repeated.
    """

    commands: tuple[str, ...] = ("ASKING",)

    def __init__(self, config: RedisConfig, options: Options, log: Log | None) -> None:
        self._config = config
        self._options = options
        self._log = log
        self._contact = Contact(log)  # with those that know who has what
        self._owners: dict[int, Address] = {}  # by slot
        self._nodes: dict[Address, Node] = {}
        self._is_stale = True  # whether `_owners` is to be asked for again

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Route`."""
        node, asking = self._node_of(key, connect), False
        for _ in range(_MOST_REDIRECTS):
            try:
                return (
                    _exchange_asking(node, requests, connect) if asking else node.exchange(requests, connect)
                )
            except AskError as error:
                asking = not isinstance(error, MovedError)
                address = (error.host or self._address_of(node)[0], error.port)
                if not asking:
                    self._owners[error.slot_id] = address
                node = self._node_at(address)
            except TryAgainError as error:  # of this slot, some keys are there and some are here
                raise Unavailable(node.location, error) from error
            except Unavailable:
                self._is_stale = True
                raise
        self._is_stale = True
        raise Unavailable(node.location, "nodes send each other what is asked")

    def node(self, key: str) -> Node | None:
        """See `Route`."""
        if key == NO_KEY:
            nodes = [self._node_at(address) for address in dict.fromkeys(self._owners.values())]
            return min(nodes, key=lambda node: node.contact.reachable is False, default=None)
        address = self._owners.get(key_slot(encoded(key)))
        return self._node_at(address) if address else None

    def primaries(self) -> list[Node]:
        """See `Route`."""
        self._refresh()
        return [self._node_at(address) for address in sorted(set(self._owners.values()))]

    def is_away(self, key: str) -> bool:
        """See `Route`."""
        node = self.node(key)
        return (node.contact if node else self._contact).reachable is False

    def close(self) -> None:
        """See `Route`."""
        for node in tuple(self._nodes.values()):
            node.close()

    @property
    def reachable(self) -> bool | None:
        """See `Route`."""
        answers = {node.contact.reachable for node in self._nodes.values()} | {self._contact.reachable}
        return False if False in answers else True if True in answers else None

    def _node_of(self, key: str, connect: bool) -> Node:
        if self._is_stale and connect:
            # At most one thread: the others go on with what is known, and those who fail ask again.
            self._is_stale = False
            try:
                self._refresh()
            except Unavailable:
                self._is_stale = True
                if not self._owners:
                    raise
        node = self.node(key)
        if node:
            return node
        if not connect:
            raise NotConnected
        self._is_stale = True
        raise Unavailable(self._config.location, f"no node has the slot of key {key}")

    def _refresh(self) -> None:
        """Ask who has what, one node after the other until one answers."""
        failure: Exception | None = None
        for address in self._informants():
            node = self._node_at(address)
            try:
                (slots,) = node.exchange([_CLUSTER_SLOTS])
            except Unauthorized:
                raise
            except NoPermissionError as error:
                raise Unauthorized(node.location, error) from error
            except (Unavailable, ResponseError) as error:
                failure = error
            else:
                self._learn(slots, address)
                return
        lost = Unavailable(self._config.location, f"none of these nodes tells who has what ({failure})")
        self._contact.lost(lost)
        raise lost

    def _informants(self) -> list[Address]:
        """Whom to ask; in turn, since any of them may have lost touch with the others."""
        known = list({*self._owners.values(), *self._config.nodes})
        random.shuffle(known)
        return sorted(known, key=lambda address: self._node_at(address).contact.reachable is False)

    def _learn(self, slots: Any, told_by: Address) -> None:
        owners: dict[int, Address] = {}
        for first, last, (host, port, *_), *_ in slots:
            owners |= dict.fromkeys(range(first, last + 1), (text(host or b"") or told_by[0], port))
        self._owners = owners
        self._contact.made(self._config.location)
        needed = {*owners.values(), *self._config.nodes}
        for address in [address for address in self._nodes if address not in needed]:
            node = self._nodes.pop(address)
            node.contact.ended(node.location)
            node.close()

    def _node_at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            options = {**self._options, "host": host, "port": port}
            node = self._nodes.setdefault(address, Node(options, f"{host}:{port}", Contact(self._log)))
        return node

    def _address_of(self, node: Node) -> Address:
        return next((address for address, each in self._nodes.items() if each is node), self._config.nodes[0])


_CLUSTER_SLOTS = request("CLUSTER", "SLOTS")

#: What the settings say of the database, and not of the sentinels.
_OF_THE_DATABASE = ("db", "username", "password", "credential_provider", "health_check_interval")


def _exchange_asking(node: Node, requests: Sequence[bytes], connect: bool) -> list[Any]:
    """Ask the node that a slot is being moved to, and that does not answer for it yet."""
    replies = node.exchange([each for request in requests for each in (_ASKING, request)], connect)[1::2]
    if isinstance(replies[0], ResponseError):
        raise replies[0]
    return replies


def _options(config: RedisConfig, timeout_s: float) -> Options:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, config.socket_connect_timeout),
        **config.options,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": _MOST_CONNECTIONS,
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
        return {**options, **parse_url(config.url)}  # type: ignore[no-untyped-call]
    if config.ssl:
        options["connection_class"] = redis.SSLConnection
    return {**options, "host": config.host, "port": config.port, "db": config.db}
