"""The way to the node of a cluster that has a key."""

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

#: How often a request is sent on from one node to another.
_MOST_REDIRECTS = 5

#: How long a node that does not answer is left alone, in times of what asking it took.
_REST = 3

#: Seconds between questions who has what, however much goes wrong in between.
_LEARN_EVERY_S = 0.2

_ASKING, _CLUSTER_SLOTS = request("ASKING"), request("CLUSTER", "SLOTS")


def slot_of(key: str) -> int:
    """Which of the 16384 parts of a cluster's keys a key belongs to."""
    return key_slot(encoded(key))


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
        # By slot. Replaced, and never changed, because other threads iterate over it.
        self._owners: dict[int, Address] = {}
        self._nodes: dict[Address, Node] = {}
        self._left_alone: dict[Node, float] = {}  # of those that are away: until when, by the monotonic clock
        self._is_stale = True  # whether `_owners` is to be asked for again
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
            except ClusterDownError as error:  # not all of it
                self._is_stale = True
                raise Unserved(self._config.location, key, "no node has its slot") from error
            except TryAgainError as error:
                reason = f"its slot is being moved, and some keys are on another node than {node.location}"
                raise Unserved(self._config.location, key, reason) from error
            except Unavailable:
                self._is_stale = True
                raise
        self._is_stale = True
        raise Unserved(self._config.location, key, "its nodes send each other what is asked")

    def _exchange_with(self, node: Node, requests: Sequence[bytes], connect: bool, asking: bool) -> list[Any]:
        """Ask a node, so that one that is away does not keep everybody waiting: the others answer."""
        exchange = _exchange_asking if asking else Node.exchange
        if node.contact.reachable is not False:
            return exchange(node, requests, NO_KEY, connect)
        began = time.monotonic()
        if began < self._left_alone.get(node, 0):
            raise Unavailable(node.location, "it did not answer, and will be asked again soon", "no")
        self._left_alone[node] = math.inf  # by others, meanwhile
        try:
            return exchange(node, requests, NO_KEY, connect)
        finally:
            now = time.monotonic()
            self._left_alone[node] = now + _REST * (now - began)

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
        """Ask who has what, one node after the other until one answers."""
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
        lost = Unavailable(self._config.location, f"none of these nodes tells who has what ({failure})", "no")
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
        self._owners, self._learned_at = owners, time.monotonic()
        self._contact.made(self._config.location)
        needed = {*owners.values(), *self._config.nodes}
        for address in set(self._nodes) - needed:
            node = self._nodes.pop(address, None)
            if node:  # else another thread was quicker
                self._left_alone.pop(node, None)
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
    """Ask the node that a slot is being moved to, and that does not answer for it yet."""
    both = [each for request in requests for each in (_ASKING, request)]
    return with_first_raised(node.exchange(both, key, connect)[1::2])
