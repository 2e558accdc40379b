"""One server and its connections: replies belong to their requests, whatever becomes of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest
from redis._parsers import BaseParser, _RESP2Parser
from redis.exceptions import ResponseError

from event_count_logger.errors import NotConnected, Unavailable
from event_count_logger.store.node import Contact, Node
from event_count_logger.store.resp import request
from event_count_logger.store.server_errors import code_of_whole_server, plain
from tests.servers import Server


@pytest.fixture
def node(server: Server) -> Iterator[Node]:
    options = {"host": "127.0.0.1", "port": server.port, "socket_timeout": 20}
    node = Node(options, "here", Contact(None))
    yield node
    node.close()


def test_several_requests_in_one_packet_have_a_reply_each(node: Node) -> None:
    asked = [request("INCR", "n"), request("INCR", "n"), request("GET", "n")]
    assert node.exchange(asked) == [1, 2, b"2"]


def test_error_in_the_first_reply_is_raised_after_all_are_read(node: Node) -> None:
    done, refused = node.exchange([request("SET", "s", "x"), request("SADD", "s", "y")])
    assert (done, type(refused)) == (b"OK", ResponseError)
    with pytest.raises(ResponseError, match="wrong type|WRONGTYPE"):
        node.exchange([request("SADD", "s", "y"), request("GET", "s")])
    assert node.exchange([request("GET", "s")], connect=False) == [b"x"], "the connection is in step"
    assert node.contact.reachable


def test_late_reply_is_not_read_as_the_next_one(node: Node, own_server: Server) -> None:
    other = Node({"host": "127.0.0.1", "port": own_server.port, "socket_timeout": 3}, "there", Contact(None))
    assert other.exchange([request("SET", "n", "1")]) == [b"OK"]
    own_server.stall()
    with pytest.raises(Unavailable, match="Redis at there cannot be reached"):
        other.exchange([request("INCR", "n"), request("INCR", "n")])
    own_server.go_on()
    assert other.contact.reachable is False
    with pytest.raises(NotConnected):
        other.exchange([request("GET", "n")], connect=False)
    assert other.exchange([request("PING")]) == [b"PONG"]
    assert other.contact.reachable
    other.close()


def test_reply_of_several_packets_is_joined(node: Node) -> None:
    value = "x" * 300_000
    assert node.exchange([request("SET", "s", value), request("GET", "s")]) == [b"OK", value.encode()]


def test_message_pushed_between_replies_is_no_reply(node: Node) -> None:
    assert node.exchange([request("CLIENT", "TRACKING", "ON"), request("GET", "n")]) == [b"OK", None]
    replies = node.exchange([request("SET", "n", "1"), request("GET", "n")])
    assert replies == [b"OK", b"1"]


def test_parser_of_redis_py_is_used_where_it_is_configured(server: Server) -> None:
    options = {"host": "127.0.0.1", "port": server.port, "parser_class": _RESP2Parser, "protocol": 2}
    node = Node(options, "here", Contact(None))
    done, error = node.exchange([request("SET", "s", "x"), request("SADD", "s", "y")])
    assert (done, type(error)) == (b"OK", ResponseError)
    assert node.exchange([request("GET", "s")], connect=False) == [b"x"]
    node.close()


def test_idle_connection_is_pinged_after_health_check_interval(server: Server) -> None:
    options = {"host": "127.0.0.1", "port": server.port, "health_check_interval": 0.01}
    node = Node(options, "here", Contact(None))
    for _ in range(2):
        assert node.exchange([request("GET", "n")]) == [None]
        time.sleep(0.05)
    assert server.client.info("commandstats")["cmdstat_ping"]["calls"] >= 1
    node.close()


def parsers() -> int:
    """Parsers of redis-py that exist, each of which has a buffer."""
    return sum(isinstance(each, BaseParser) for each in gc.get_objects())


def test_closed_connections_leave_no_garbage(node: Node) -> None:
    node.exchange([request("PING")])
    gc.collect()
    before = parsers()
    gc.disable()
    try:
        for _ in range(20):
            node.close()
            node.exchange([request("PING")])
        assert parsers() == before
    finally:
        gc.enable()


def test_number_of_connections_over_time_is_not_limited(node: Node) -> None:
    for _ in range(200):  # redis-py's pools would give up at 100
        node.close()
        assert node.exchange([request("PING")]) == [b"PONG"]


@pytest.mark.parametrize(
    "error",
    [
        "READONLY You can't write against a read only replica.",
        "@user_script: 416: -READONLY You can't write against a read only replica.\r\n",  # Redis 6.2
        "Error running script (call to f_5c): @user_script:27: @user_script: 27: -READONLY You can't write "
        "against a read only replica.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    ],
)
def test_server_that_serves_no_client_is_known_by_its_errors(error: str) -> None:
    assert code_of_whole_server(error) in error
    assert code_of_whole_server("WRONGTYPE Operation against a key holding the wrong kind of value") == ""


def test_script_error_of_redis_6_is_worded_like_those_of_others() -> None:
    assert plain("@user_script: 416: -OOM command not allowed.\r\n") == "OOM command not allowed."
    assert plain("WRONGTYPE Operation against a key") == "WRONGTYPE Operation against a key"


def test_error_of_full_memory_is_shown_without_script() -> None:
    words = "command not allowed when used memory > 'maxmemory'"
    assert plain(f"{words}. script: ae73{'0' * 36}, on @user_script:30.") == words
