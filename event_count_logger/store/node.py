"""One server: its connections, requests and replies. Nothing is retried here."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - see make_ready
import math
import socket
import time
import weakref
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from threading import get_native_id
from typing import Any

import redis
from redis.exceptions import ResponseError

from event_count_logger.config import GroupConfig
from event_count_logger.errors import (
    Applied,
    ConnectionRejected,
    NotConnected,
    NotServing,
    Rejected,
    Unavailable,
)
from event_count_logger.logs import Log
from event_count_logger.store.connection import CONNECTIONS, Connection
from event_count_logger.store.resp import request, text
from event_count_logger.store.server_errors import (
    FAILURES,
    READONLY,
    code_of_whole_server,
    connection_rejection_reason,
    failure_reason,
    in_words,
    is_rejection,
    is_timeout,
    plain,
    rejection_reason,
    tls_hint,
)

#: Requests that a server answers even while it is LOADING or MASTERDOWN.
_ALWAYS_ANSWERED = frozenset((request("TIME"), request("ROLE")))

#: Outcomes of commit.lua that write the position.
_WRITTEN = (b"applied", b"duplicate", b"conflict")

#: Outcome of commit.lua when a key could not be written.
_REFUSED = [b"refused"]

#: Seconds that a reply may take to be used as a sample of the server's clock. Half of it is the error.
_CLOCK_SAMPLE_S = 0.05

#: Seconds after which a failed request has delayed other senders.
_SLOW_S = 0.05

#: Seconds between attempts of different senders to reach a server that does not answer: the pace of retries.
_REST_S = 0.5

#: The key of requests that any server can answer.
NO_KEY = ""

#: Arguments of redis-py's connection pool.
Options = Mapping[str, Any]


class Proof(IntEnum):
    """Replies that prove that a server can be used, weakest first."""

    ANSWER = 0
    READ = 1
    WRITE = 2


class Contact:
    """The state of the contact with a server. Each change between reachable and unreachable is logged.

        state                 event                      next state
        --------------------  -------------------------  ----------------------------------------
        unknown, reachable    lost(needs=P)              unreachable until P       (logs a warning)
        unreachable until P   lost(needs=Q)              unreachable until the stronger of P and Q
        unreachable until P   made(a weaker proof)       unreachable until P
        unreachable until P   made(P or a stronger one)  reachable                 (logs the end)

    An outage ends only by a proof that is as strong as needed. Otherwise, each read from a replica would end
    an outage that the next write begins again.

    Attributes:
        reachable: Whether the server can be used; None before the first request.
    """

    def __init__(self, log: Log | None) -> None:
        self.reachable: bool | None = None
        self._log = log
        self._needs = Proof.ANSWER
        self._waited = ("", -math.inf)  # the last sender without an answer, and until when others do not try

    def lost(self, error: Unavailable, needs: Proof = Proof.ANSWER) -> None:
        """Record a failed request, and the proof that ends the outage."""
        before, self.reachable = self.reachable, False
        self._needs = max(self._needs, needs)
        if self._log and before is not False:
            self._log.warning("%s", error)

    def made(self, location: str, proof: Proof = Proof.ANSWER) -> None:
        """Record a successful request, and what it proves."""
        if proof < self._needs:
            return
        self._needs = Proof.ANSWER
        before, self.reachable = self.reachable, True
        if self._log and before is False:
            self._log.info("Redis at %s is back", location)

    def may_try(self, sender: str) -> bool:
        """Returns False if another sender has just waited for the server without an answer."""
        waited, until = self._waited
        return self.reachable is not False or sender == waited or time.monotonic() >= until

    def note_failure(self, sender: str, took_s: float) -> None:
        """Record the seconds that a sender has waited without an answer."""
        if took_s > _SLOW_S:
            self._waited = (sender, time.monotonic() + _REST_S)

    def ended(self, location: str) -> None:
        """Log that the server is no longer needed, if it is unreachable."""
        if self._log and self.reachable is False:
            self._log.info("Redis at %s is no longer needed: other servers have its keys", location)


class Node:
    """The connections to one server, and the `Route` to it where it is the only one.

    Threads may share it; a forked process needs one of its own.

    Attributes:
        location: Its address, for messages.
        contact: The state of the contact with it.
        clock_offset_s: Seconds that its clock is ahead of this machine's, as last seen.
    """

    commands: tuple[str, ...] = ()

    def __init__(self, options: Options, location: str, contact: Contact, hint: str = "") -> None:
        """Does not connect; `hint` is added to the message that the server cannot be reached."""
        self.location = location
        self.contact = contact
        self.clock_offset_s = 0.0
        self._hint = hint
        self._pool = redis.ConnectionPool(**options)
        # Not the pool's own: its lock would have to be free when a process forks or a signal comes.
        self._idle: deque[tuple[Hashable, Connection]] = deque()
        weakref.finalize(self, _disconnect, self._idle).atexit = False

    def node(self, key: str) -> Node:
        """See `Route`."""
        return self

    def primaries(self) -> list[Node]:
        """See `Route`."""
        return [self]

    def is_unavailable(self, group: GroupConfig) -> bool:
        """See `Route`."""
        return self.contact.reachable is False

    def close(self) -> None:
        """Close all idle connections. The next requests open them again.

        Their objects are reused: each has a buffer of 64 KiB and a parser that refers to itself. An object
        that is dropped frees its memory only at the next garbage collection.
        """
        self._idle.extend(_disconnect(self._idle))

    def exchange(self, requests: Sequence[bytes], key: str = NO_KEY, connect: bool = True) -> list[Any]:
        """Send requests once, in one packet, and return the replies.

        Args:
            requests: Packed requests.
            key: Not used, because the server has all keys; see `Route`.
            connect: Whether to make a connection if there is none, which may take long.

        Raises:
            NotConnected: There is no connection; nothing was sent.
            Unavailable: No answer, and the requests may have been done; or the server serves no client now.
            ResponseError: The reply to the first request; other errors are among the replies.
        """
        made = socket.socket
        owner = made if made.__module__ == "socket" else (made, get_native_id())  # see `_idle_connection`
        connection = self._idle_connection(owner)
        replies: list[Any] = []
        applied: Applied = "no"
        try:
            if not connection.is_open or connection.is_stale():
                connection.disconnect()
                if not connect:
                    raise NotConnected
                connection.open()
            applied = "unknown"
            connection.send(requests[0] if len(requests) == 1 else b"".join(requests))
            replies = connection.receive(requests)
        except FAILURES as error:
            raise self._lost(without_frames(error), applied) from error
        finally:
            if not replies:
                # Also when a signal handler raises: a late reply would be read as that to the next request.
                connection.disconnect()
            self._idle.append((owner, connection))
        return self._checked(requests, replies)

    def ask(self, *words: str) -> Any:
        """Send a command and return its reply.

        Raises:
            Unavailable: No answer.
            Rejected: The server answers with an error.
        """
        try:
            (reply,) = self.exchange([request(*words)])
        except ResponseError as error:
            raise Rejected(NO_KEY, rejection_reason(error)) from error
        return reply

    def not_serving(self, reason: str, applied: Applied, needs: Proof = Proof.ANSWER) -> Unavailable:
        """Close the connections to a server that serves no client, and return the error to raise.

        The next connections may lead to another server.

        Args:
            reason: For the message.
            applied: Whether the request was done; see `StoreError`.
            needs: The proof that ends the outage; see `Contact`.
        """
        error = NotServing(self.location, reason, applied)
        self.contact.lost(error, needs)
        self.close()
        return error

    def note_written(self) -> None:
        """Record that the server has written something, which ends any outage."""
        if not self.contact.reachable:
            self.contact.made(self.location, Proof.WRITE)

    def learn_clock(self, asked_at: float, server_time: float) -> float:
        """Record the server's clock, as in its reply to a request sent at `asked_at`; returns the offset."""
        answered_at = time.time()
        if 0 <= answered_at - asked_at < _CLOCK_SAMPLE_S:
            self.clock_offset_s = server_time - (asked_at + answered_at) / 2
        return self.clock_offset_s

    def _idle_connection(self, owner: Hashable) -> Connection:
        """Returns a connection that is free, or a new one.

        Only the owner of a connection can use it. gevent and eventlet replace `socket.socket`, perhaps long
        after this module was imported. Their sockets work only in the OS thread that made them. An older
        socket would block all green threads of its user.
        """
        try:
            for _ in range(len(self._idle)):
                made_by, connection = self._idle.pop()
                if made_by == owner:
                    return connection
                self._idle.appendleft((made_by, connection))
        except IndexError:  # other threads take connections, too
            pass
        try:
            return _connection_of(self._pool)
        except FAILURES as error:  # TLS reads a file, and the process may have no descriptor left
            raise self._lost(error, "no") from error

    def _lost(self, error: BaseException, applied: Applied) -> Unavailable:
        code = code_of_whole_server(error)
        if code:
            lost: Unavailable = NotServing(self.location, in_words(code), applied)
        elif is_rejection(error):
            lost = ConnectionRejected(self.location, connection_rejection_reason(error))
        else:
            reason = f"{failure_reason(error)}{self._advice(error, applied)}"
            lost = Unavailable(self.location, reason, applied)
        self.contact.lost(lost, _proof_after(code))
        return lost

    def _advice(self, error: BaseException, applied: Applied) -> str:
        if self._hint:  # a server that is only slow was started
            return "" if is_timeout(error) else self._hint
        return self._tls_hint(error) if applied == "no" else ""

    def _tls_hint(self, error: BaseException) -> str:
        if "host" not in self._pool.connection_kwargs:
            return ""  # a unix socket
        return tls_hint(error, issubclass(self._pool.connection_class, redis.SSLConnection))

    def _checked(self, requests: Sequence[bytes], replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, bytes) or (isinstance(reply, list) and reply[:1] != _REFUSED):
                continue
            code = _code_of_whole_server(reply)
            if code:
                # An error in reply to a later request does not tell whether the first one was done.
                applied: Applied = "no" if reply is replies[0] else "unknown"
                raise self.not_serving(in_words(code), applied, _proof_after(code))
        if not self.contact.reachable:
            self.contact.made(self.location, _proof(requests[0], replies[0]))
        return with_first_raised(replies) if isinstance(replies[0], ResponseError) else replies


def _disconnect(idle: deque[tuple[Hashable, Connection]]) -> list[tuple[Hashable, Connection]]:
    """Remove all connections and close them; returns them."""
    closed = []
    with suppress(IndexError):
        while True:
            closed.append(idle.pop())
            closed[-1][1].disconnect()
    return closed


def _code_of_whole_server(reply: Any) -> str:
    """Returns the code of an error, also one in a reply of commit.lua, if the server serves no client."""
    if isinstance(reply, ResponseError):
        return code_of_whole_server(reply)
    is_refusal = isinstance(reply, list) and len(reply) >= 3 and reply[:1] == _REFUSED
    if not is_refusal or not isinstance(reply[2], list):
        return ""
    codes = (code_of_whole_server(plain(text(word))) for word in reply[2][2::3])
    return next(filter(None, codes), "")


def _proof(request: bytes, reply: Any) -> Proof:
    """Returns what a reply proves."""
    if request in _ALWAYS_ANSWERED:
        return Proof.ANSWER
    is_commit = isinstance(reply, list) and bool(reply) and reply[0] in _WRITTEN
    return Proof.WRITE if is_commit else Proof.READ


def _proof_after(code: str) -> Proof:
    """Returns the proof that ends an outage with this error code; '' for no answer."""
    if code == READONLY:
        return Proof.WRITE  # a replica answers reads
    return Proof.READ if code else Proof.ANSWER


def with_first_raised(replies: list[Any]) -> list[Any]:
    """Returns the replies; raises the first one if it is an error."""
    first = replies[0]
    if isinstance(first, ResponseError):
        # A copy: the error itself would refer to this frame, which refers to the error and to the callers.
        # Their groups would live on until the next garbage collection.
        raise type(first)(*first.args)
    return replies


def without_frames(error: BaseException) -> BaseException:
    """Remove the tracebacks from an error and its causes; returns it.

    Frames of redis-py refer to their errors and to their callers. Files of a caller would stay open until the
    next garbage collection.
    """
    each: BaseException | None = error
    while each:
        each.__traceback__ = None
        each = each.__context__
    return error


def make_ready(options: Options) -> None:
    """Import all modules that a connection needs.

    If a process forks while a thread imports a module, the import never ends in the child process.
    """
    _connection_of(redis.ConnectionPool(**options))


def _connection_of(pool: redis.ConnectionPool) -> Connection:
    """Returns a new connection. The pool's own method has a limit, and counts closed connections, too."""
    return CONNECTIONS[pool.connection_class](**pool.connection_kwargs)
