"""The route to the node of a cluster that has a key."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    ResponseError,
    TryAgainError,
)

from event_count_logger import keys
from event_count_logger.config import Address, GroupConfig, RedisConfig
from event_count_logger.errors import ConnectionRejected, NotConnected, Unavailable, Unserved
from event_count_logger.logs import Log
from event_count_logger.store.node import NO_KEY, Contact, Node, Options, with_first_raised
from event_count_logger.store.resp import encoded, request, text
from event_count_logger.store.server_errors import plain

#: Redirections from one node to another before a request fails.
_MOST_REDIRECTS = 5

#: Factor of the time without an answer for which a node then gets no requests.
_REST = 3

#: Seconds between requests for the slots, however many requests fail in between.
_LEARN_EVERY_S = 0.2

_ASKING, _CLUSTER_SLOTS = request("ASKING"), request("CLUSTER", "SLOTS")


def slot_of(key: str) -> int:
    """Returns the slot of a key, of 16384."""
    return key_slot(encoded(key))


class Cluster:
    """The nodes of a cluster, each with some of the slots
    (redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec).

    A node that answers with a redirection has done nothing: the request may be repeated.
    """

    commands: tuple[str, ...] = ("ASKING",)

    def __init__(self, config: RedisConfig, options: Options, log: Log | None) -> None:
        self._config = config
        self._options = options
        self._log = log
        self._contact = Contact(log)  # with the nodes that are asked for the slots
        # By slot. Replaced and never changed, because other threads iterate over it.
        self._owners: dict[int, Address] = {}
        self._nodes: dict[Address, Node] = {}
        self._resting: dict[Node, float] = {}  # unavailable nodes: no request until this monotonic time
        self._is_stale = True  # whether `_owners` may be wrong
        self._learned_at = -math.inf  # by the monotonic clock

    def exchange(self, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
        """See `Route`, in routing.py."""
        node, asking = self._node_of(key, connect), False
        for _ in range(_MOST_REDIRECTS):
            try:
                return self._exchange_with(node, requests, connect, asking)
            except AskError as error:
                asking = not isinstance(error, MovedError)
                address = (error.host or self._address_of(node)[0], error.port)
                if not asking:
                    self._owners = {**self._owners, error.slot_id: address}
                node = self._node_at(address)
            except ClusterDownError as error:  # of one slot
                self._is_stale = True
                raise Unserved(self._config.location, key, "no node has its slot") from error
            except TryAgainError as error:
                reason = f"its slot is being moved, and some keys are on another node than {node.location}"
                raise Unserved(self._config.location, key, reason) from error
            except Unavailable:
                self._is_stale = True
                raise
        self._is_stale = True
        raise Unserved(self._config.location, key, "its nodes redirect the request to each other")

    def _exchange_with(self, node: Node, requests: Sequence[bytes], connect: bool, asking: bool) -> list[Any]:
        """Send requests to a node. One that is unavailable rests, so that requests to others do not wait."""
        exchange = _exchange_asking if asking else Node.exchange
        if node.contact.reachable is not False:
            return exchange(node, requests, NO_KEY, connect)
        began = time.monotonic()
        if began < self._resting.get(node, 0):
            raise Unavailable(node.location, "it did not answer, retrying soon", "no")
        self._resting[node] = math.inf  # for other threads, meanwhile
        try:
            return exchange(node, requests, NO_KEY, connect)
        finally:
            now = time.monotonic()
            self._resting[node] = now + _REST * (now - began)

    def node(self, key: str) -> Node | None:
        """See `Route`, in routing.py."""
        if key == NO_KEY:
            nodes = map(self._node_at, dict.fromkeys(self._owners.values()))
            return min(nodes, key=lambda node: node.contact.reachable is False, default=None)
        address = self._owners.get(slot_of(key))
        return self._node_at(address) if address else None

    def primaries(self) -> list[Node]:
        """See `Route`, in routing.py."""
        self._refresh()
        return [self._node_at(address) for address in sorted(set(self._owners.values()))]

    def is_unavailable(self, group: GroupConfig) -> bool:
        """See `Route`, in routing.py."""
        node = self.node(keys.sources(group.shard(0).prefix))
        return (node.contact if node else self._contact).reachable is False

    def close(self) -> None:
        """See `Route`, in routing.py."""
        for node in list(self._nodes.values()):
            node.close()

    def _node_of(self, key: str, connect: bool) -> Node:
        if connect and (self._may_learn() or not self._owners):
            # Mostly one thread: the others go on with what is known, if anything is.
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
        raise Unserved(self._config.location, key, "no node has its slot")

    def _may_learn(self) -> bool:
        return self._is_stale and time.monotonic() - self._learned_at > _LEARN_EVERY_S

    def _refresh(self) -> None:
        """Ask for the slots, one node after the other until one answers."""
        failure: Exception | None = None
        for address in self._informants():
            node = self._node_at(address)
            try:
                (slots,) = node.exchange([_CLUSTER_SLOTS])
            except ConnectionRejected:
                raise
            except NoPermissionError as error:
                raise ConnectionRejected(node.location, plain(error)) from error
            except (Unavailable, ResponseError) as error:
                failure = error
            else:
                self._learn(slots, address)
                return
        lost = Unavailable(
            self._config.location, f"none of these nodes names the owners of the slots ({failure})", "no"
        )
        self._contact.lost(lost)
        raise lost

    def _informants(self) -> list[Address]:
        """Returns the nodes to ask, in random order: any of them may have lost contact with the others."""
        known = list({*self._owners.values(), *self._config.nodes})
        random.shuffle(known)
        return sorted(known, key=lambda address: self._node_at(address).contact.reachable is False)

    def _learn(self, slots: Any, informant: Address) -> None:
        owners: dict[int, Address] = {}
        for first, last, (host, port, *_), *_ in slots:
            owners |= dict.fromkeys(range(first, last + 1), (text(host or b"") or informant[0], port))
        self._owners, self._learned_at = owners, time.monotonic()
        self._contact.made(self._config.location)
        needed = {*owners.values(), *self._config.nodes}
        for address in set(self._nodes) - needed:
            node = self._nodes.pop(address, None)
            if node:  # else another thread has removed it
                self._resting.pop(node, None)
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
        nodes = list(self._nodes.items())
        return next((address for address, each in nodes if each is node), self._config.nodes[0])


def _exchange_asking(node: Node, requests: Sequence[bytes], key: str, connect: bool) -> list[Any]:
    """Send requests to the node that imports a slot, each behind ASKING."""
    both = [each for request in requests for each in (_ASKING, request)]
    return with_first_raised(node.exchange(both, key, connect)[1::2])
