"""Errors of Redis: what each says, whether the request was done, and when to repeat it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from event_count_logger.config import GroupConfig, from_dicts
from event_count_logger.errors import (
    ConnectionRejected,
    NotServing,
    Rejected,
    StoreError,
    Unavailable,
)
from event_count_logger.intervals import Interval
from event_count_logger.store import Store
from tests.servers import Server, free_port, wait_until

GROUP = GroupConfig("g", (Interval.parse("1h"),))


def error_of(settings: dict[str, Any], timeout_s: float = 30) -> StoreError:
    """The error that a commit raises."""
    store = Store(from_dicts({}, settings).redis, timeout_s=timeout_s)
    try:
        with pytest.raises(StoreError) as caught:
            store.commits.commit(GROUP, "source", "", 1, {"a": 1})
        return caught.value
    finally:
        store.close()


def axes(error: StoreError) -> tuple[str, str]:
    return error.applied, error.retry


def test_refused_connection_names_the_address_once() -> None:
    port = free_port()
    error = error_of({"host": "127.0.0.1", "port": port})
    assert str(error) == f"Redis at 127.0.0.1:{port}/0 cannot be reached: Connection refused"
    assert axes(error) == ("no", "now")


def test_server_without_tls_gives_a_client_with_tls_a_hint(server: Server) -> None:
    error = error_of({**server.config, "ssl": True}, timeout_s=1)
    assert str(error).endswith("it did not answer in time (does the server use TLS? 'ssl')")


def test_server_without_hello_is_reached_with_protocol_2(own_server: Server) -> None:
    own_server.kill()
    own_server.more = ("--rename-command", "HELLO", "HI")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "client", property(lambda self: redis.Redis(port=self.port, protocol=2)))
        own_server.start()
    error = error_of(own_server.config)
    assert str(error).endswith("unknown command 'HELLO' ('protocol: 2' connects without it)")
    Store(from_dicts({}, {**own_server.config, "protocol": 2}).redis).servers.ping()


def test_server_stalled_while_connecting_has_not_counted(own_server: Server) -> None:
    own_server.stall()
    error = error_of(own_server.config, timeout_s=1)
    own_server.go_on()
    assert str(error).endswith("cannot be reached: it did not answer in time")
    assert axes(error) == ("no", "now"), "no connection was made"


def test_server_stalled_after_the_request_may_have_counted(own_server: Server) -> None:
    store = Store(from_dicts({}, own_server.config).redis, timeout_s=3)
    assert store.commits.commit(GROUP, "source", "", 1, {"a": 1}).outcome == "applied"
    own_server.stall()
    with pytest.raises(Unavailable) as caught:
        store.commits.commit(GROUP, "source", 1, 2, {"a": 1})
    own_server.go_on()
    assert axes(caught.value) == ("unknown", "now")
    assert store.commits.commit(GROUP, "source", 1, 2, {"a": 1}).outcome in ("applied", "duplicate")
    assert own_server.counts("g", "1h", "cur") == {"a": 2}
    store.close()


def test_replica_is_named_as_read_only(own_server: Server) -> None:
    own_server.client.replicaof("127.0.0.1", free_port())
    error = error_of(own_server.config)
    assert str(error).endswith("cannot be used now: it is a read-only replica (READONLY)")
    assert (type(error), axes(error)) == (NotServing, ("no", "now"))


@pytest.fixture
def busy(own_server: Server) -> Iterator[Server]:
    """A server that runs a script until the test ends."""
    own_server.client.config_set("busy-reply-threshold", 50)

    def run() -> None:
        with own_server.client as client, pytest.raises(redis.exceptions.ResponseError):
            client.eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            with own_server.client as client:
                client.get("x")
        except redis.exceptions.ResponseError as error:
            return "BUSY" in str(error)
        return False

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(is_busy)
    yield own_server
    with own_server.client as client:
        client.script_kill()
    thread.join()


def test_server_with_a_long_script_is_named_as_busy(busy: Server) -> None:
    error = error_of(busy.config)
    assert str(error).endswith("cannot be used now: it is busy with a script (BUSY)")
    assert (type(error), axes(error)) == (NotServing, ("no", "now"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "it requires a password, and none is configured ('password')"),
        ({"password": "wrong"}, "wrong user name or password ('username', 'password')"),
        (
            {"username": "unknown", "password": "right"},
            "wrong user name or password ('username', 'password')",
        ),
        ({"password": "right", "db": 99}, "DB index is out of range ('db')"),
    ],
)
def test_rejected_connection_names_the_setting(
    own_server: Server, settings: dict[str, Any], words: str
) -> None:
    own_server.client.config_set("requirepass", "right")
    error = error_of({**own_server.config, **settings})
    location = f"127.0.0.1:{own_server.port}/{settings.get('db', 0)}"
    assert str(error) == f"Redis at {location} rejects the connection: {words}"
    assert (type(error), axes(error)) == (ConnectionRejected, ("no", "later"))


def test_renamed_eval_is_named_without_the_script(tmp_path: Path) -> None:
    server = Server("valkey", tmp_path, "--rename-command", "EVAL", "", "--rename-command", "EVALSHA", "")
    try:
        error = error_of(server.config)
    finally:
        server.kill()
    assert str(error) == (
        "Redis rejects the request (key g:@sources): unknown command 'EVALSHA' (renamed or disabled in the "
        "server's configuration, or the server is too old)"
    )
    assert (type(error), axes(error)) == (Rejected, ("no", "later"))
