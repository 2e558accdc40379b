"""Counting over HTTP: the real command, a real server and real browsers, with failures between them."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from playwright.sync_api import Browser, Page
from starlette.types import Message

from event_count_logger.config import from_file
from event_count_logger.errors import ConfigError
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.store import Store
from event_count_logger.web import recorder, request_bodies
from event_count_logger.web.json_body import BodyReader
from event_count_logger.web.problems import HTTPProblem
from tests.browsers import chromium
from tests.conftest import BIN
from tests.fixtures import Make, Start, Write
from tests.servers import Proxy, Server, free_port, wait_until
from tests.serving import JSON, Serving

GROUPS: dict[str, Any] = {
    "web": {"events": ["req1", "req2", "error"], "intervals": ["24h"]},
    "buffered": {"events": ["a"], "intervals": ["24h"], "sync_interval": 3600},
    "open": {"auto_declare_events": True, "intervals": ["24h"], "max_events": 5, "sync_interval": 0.1},
    "many": {"auto_declare_events": True, "intervals": ["24h"], "sync_interval": 0.1},
    "secret": {"events": ["a"], "intervals": ["24h"], "hidden": True},
    "visits": {"events": ["shop"], "intervals": ["24h"], "sessions": {"timeout": "1h"}},
}
EVENTS = "/api/v1/groups/web/events"
SESSIONS = "/api/v1/groups/visits/sessions"
PAGES = "https://www.example.org"
LARGEST = 2**53 - 1


def write(config_file: Write, redis: dict[str, Any], *origins: str) -> Path:
    return config_file({"redis": redis, "groups": GROUPS, "serve": {"allowed_origins": list(origins)}})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server("valkey", tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shared_site(shared: Server) -> Iterator[Serving]:
    file = shared.directory / "ecl.yml"
    file.write_text(json.dumps({"redis": shared.config, "groups": GROUPS}))
    started: list[subprocess.Popen[Any]] = []

    def start(*command: object, **options: Any) -> subprocess.Popen[Any]:
        name, *arguments = map(str, command)
        environment = {**os.environ, "ECL_SPOOL_DIR": str(shared.directory / "spool")}
        process = subprocess.Popen(
            [BIN / name, *arguments], stderr=subprocess.PIPE, text=True, env=environment, **options
        )
        started.append(process)
        return process

    yield Serving(start, file)
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def site(shared_site: Serving, shared: Server) -> Serving:
    """A server for several tests, with the Redis `shared`, which is empty at the start of each test."""
    assert shared_site.post(f"{EVENTS}?wait=1", {"events": {}})[0] == 200  # it has sent all earlier counts
    with shared.client as client:
        client.flushall()
    return shared_site


# Counts


def test_counts_are_accepted_at_once_and_committed_on_request(site: Serving, shared: Server) -> None:
    assert site.post(EVENTS, {"events": {"req1": 3, "error": 1}}) == (202, {"committed": False})
    assert site.post(f"{EVENTS}?wait=1", {"events": {"req1": 1, "req2": 0}}) == (200, {"committed": True})
    assert shared.counts("web", "24h", "cur") == {"req1": 4, "error": 1}
    buffered = "/api/v1/groups/buffered/events"
    assert site.post(buffered, {"events": {"a": LARGEST}})[0] == 202
    assert shared.counts("buffered", "24h", "cur") == {}
    assert site.post(f"{buffered}?wait=1", {"events": {"a": 1}}) == (200, {"committed": True})
    assert shared.counts("buffered", "24h", "cur") == {"a": 2**53}


def test_hidden_group_is_counted(site: Serving, shared: Server) -> None:
    assert site.post("/api/v1/groups/secret/events?wait=1", {"events": {"a": 1}})[0] == 200
    assert shared.counts("secret", "24h", "cur") == {"a": 1}


def test_request_repeated_with_its_key_is_counted_once(site: Serving, shared: Server) -> None:
    key = "order 7!~"
    same: list[dict[str, int]] = [
        {"req1": 3, "req2": 1},
        {"req2": 1, "req1": 3},
        {"req1": 3, "req2": 1, "error": 0},
    ]
    for counts in same:
        assert site.post(EVENTS, {"events": counts}, Idempotency_Key=key) == (200, {"committed": True})
    others: list[dict[str, int]] = [{"req1": 4, "req2": 1}, {"req1": 3}, {"req1": 1, "req2": 3}, {}]
    for counts in others:
        status, document = site.post(EVENTS, {"events": counts}, Idempotency_Key=key)
        assert (status, document["title"]) == (409, "Conflict")
    assert shared.counts("web", "24h", "cur") == {"req1": 3, "req2": 1}
    with shared.client as client:
        (known,) = client.scan_iter("web:@request:*")
        assert 86_300 < client.ttl(known) <= 86_400


def test_keyed_requests_with_only_zero_counts_are_equal(site: Serving, shared: Server) -> None:
    for counts in ({}, {"req1": 0}, {"error": 0, "req2": 0}):
        assert site.post(EVENTS, {"events": counts}, Idempotency_Key="k") == (200, {"committed": True})
    assert site.post(EVENTS, {"events": {"req1": 1}}, Idempotency_Key="k")[0] == 409
    assert shared.counts("web", "24h", "cur") == {}


def test_request_with_two_or_invalid_keys_is_rejected(site: Serving, shared: Server) -> None:
    body = {"events": {"req1": 1}}
    for keys in ({"Idempotency_Key": "a", "idempotency_key": "b"}, {"Idempotency_Key": "x" * 256}):
        assert site.post(EVENTS, body, **keys)[0] == 400
    assert shared.counts("web", "24h", "cur") == {}


def test_event_with_count_0_does_not_use_the_cardinality_limit(site: Serving, shared: Server) -> None:
    for number in range(10):
        path = "/api/v1/groups/open/events?wait=1"
        status, _ = site.post(path, {"events": {"a": 1, f"not {number}": 0}})
        assert status == 200
    assert shared.counts("open", "24h", "cur") == {"a": 10}


WRONG_COUNTS: list[Any] = [True, 1.5, "3", -1, None, LARGEST + 1, 10**400, {}]
WRONG: list[tuple[Any, int, str | None]] = [
    (b"{", 400, None),
    (b"", 400, None),
    (b"\xff{}", 400, None),
    (b'{"events": {"req1": 1, "req1": 1}}', 400, None),
    (b'{"events": {"req1": NaN}}', 400, None),
    (b'{"events": {"req1": 1e999}}', 400, None),
    (b'{"events": {"req1": %s}}' % (b"9" * 5000), 400, None),
    (b"[" * 200_000, 400, None),
    ([], 422, None),
    (b"null", 422, None),
    ({}, 422, "events"),
    ({"events": [1]}, 422, "events"),
    ({"events": {"req1": 1}, "event": {}}, 422, "event"),
    ({"events": {"req1": 1, "nothing": 1}}, 422, "events.nothing"),
    ({"events": {"req1": 1, "\ud800": 1}}, 422, "events.\ud800"),
    *[({"events": {"error": 1, "req1": wrong}}, 422, "events.req1") for wrong in WRONG_COUNTS],
    ({"events": {f"e{n}": 1 for n in range(10_001)}}, 422, "events"),
    ({"events": {}, **{f"e{n}": 1 for n in range(100)}}, 422, None),
    ({"events": {f"e{n}": 1 for n in range(20_002)}}, 413, None),
    ({"events": {f"e{n}": "" for n in range(20_002)}}, 413, None),
    ({"events": {"e": [1] * 20_002}}, 413, None),
    ({"events": {}, **{f"e{n}": "" for n in range(20_002)}}, 413, None),
    (b'{"events": {"req1": ' + b'{"a": ' * 33 + b"1" + b"}" * 35, 400, None),
    (b'{"events": {"req1": 0.%s}}' % (b"9" * 5000), 400, None),
    (b'{"events": {"req1": 1}}' + b" " * (1 << 20), 413, None),
]


def test_request_with_one_wrong_event_counts_nothing(site: Serving, shared: Server) -> None:
    before = shared.everything()
    without_and_with_key: list[dict[str, Any]] = [{}, {"Idempotency_Key": "k"}]
    for body, expected, field in WRONG:
        for headers in without_and_with_key:
            status, content, answered = site.ask("POST", EVENTS, body, Content_Type=JSON, **headers)
            answer = (status, answered["content-type"])
            assert answer == (expected, "application/problem+json"), (str(body)[:100], content)
            if field and "\ud800" not in field:
                assert f'"field": "{field}"' in content.decode()
                assert f"{field}: " in content.decode()
    assert shared.everything() == before


def posted(body: bytes) -> Request:
    """A request with this body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_commas_in_strings_are_not_counted_as_values(site: Serving, shared: Server) -> None:
    events = {f'{n}"\\,\\",' + "," * 30: 1 for n in range(1000)}
    status, document = site.post("/api/v1/groups/many/events?wait=1", {"events": events})
    assert (status, document) == (200, {"committed": True})
    assert shared.counts("many", "24h", "cur") == events


def test_hostile_bodies_take_little_memory(site: Serving) -> None:
    def peak_mb() -> float:
        status = Path(f"/proc/{site.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024

    head = b'{"uuid": "u", "type": "start", "time": 1, "dashboard": {"name": "n"}, "variables": ['
    bodies = [
        ("/write", head + b"1," * 520_000 + b"1]}"),
        ("/write", head + b"{}," * 340_000 + b"{}]}"),
        ("/write", head + b"[" * 900_000),
        (EVENTS, b'{"events": {' + b",".join(b'"%d":""' % n for n in range(90_000)) + b"}}"),
        (EVENTS, b'{"events": {' + b",".join(b'"%d":[]' % n for n in range(90_000)) + b"}}"),
        (SESSIONS, b'{"id": "s", ' + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}"),
        (SESSIONS, b'{"id": "' + b"\\u0041" * 170_000 + b'"}'),
    ]
    assert site.post("/write", head + b"]}")[0] == 201
    before = peak_mb()
    for path, body in bodies:
        status, content, _ = site.ask("POST", path, body, Content_Type=JSON)
        assert status in (400, 413, 422), content
    assert peak_mb() - before < 40


def test_large_body_is_parsed_while_others_are_answered() -> None:
    answered = threading.Event()

    async def both() -> bool:
        request = posted(json.dumps(["x" * 100_000]).encode())
        parsed = asyncio.ensure_future(body_reader.read(request, lambda document: answered.wait(10)))
        for _ in range(3):  # until the request is running
            await asyncio.sleep(0)
        answered.set()
        return await parsed

    with closing(BodyReader()) as body_reader:
        assert asyncio.run(both())


def test_number_of_large_bodies_is_limited_and_small_ones_pass(site: Serving) -> None:
    head = (
        f"POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 50000\r\n\r\n"
    )
    large = json.dumps({"events": {"req1": 1}}).encode() + b" " * 50_000
    with ExitStack() as stack:
        for _ in range(32):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            connection.sendall(head.encode() + b"{")
        _, _, headers = wait_until(
            lambda: (answer := site.ask("POST", EVENTS, large, Content_Type=JSON))[0] == 503 and answer
        )
        assert headers["retry-after"] == "1"
        assert site.post(EVENTS, {"events": {"req1": 1}})[0] == 202
    wait_until(lambda: site.post(EVENTS, large)[0] == 202)


CHUNKED = (
    f"POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n"
)


@pytest.mark.parametrize(
    ("size", "n_bytes", "status"), [(1, 90, 202), (1, 150, 400), (63, 9_000, 400), (64, 9_000, 202)]
)
def test_body_of_many_tiny_chunks_is_rejected(site: Serving, size: int, n_bytes: int, status: int) -> None:
    body = b'{"events": {"req1": 1}}'.ljust(n_bytes // size * size)
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
    with socket.create_connection(("127.0.0.1", site.port), timeout=60) as connection:
        connection.sendall(f"{CHUNKED}\r\n".encode() + chunks)
        assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)


def test_request_with_two_lengths_is_rejected(site: Serving) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=60) as connection:
        body = b'17\r\n{"events": {"req1": 1}}\r\n0\r\n\r\n'
        connection.sendall(f"{CHUNKED}Content-Length: 23\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_error_reaches_a_client_that_still_sends(site: Serving) -> None:
    status, content, _ = site.ask("POST", EVENTS, b" " * 6_000_000, Content_Type=JSON, Connection="close")
    assert status == 413, content


@pytest.mark.parametrize("path", [EVENTS, "/write"])
def test_compressed_body_is_rejected(site: Serving, path: str) -> None:
    compressed = gzip.compress(b'{"events": {"req1": 1}}')
    status, content, _ = site.ask("POST", path, compressed, Content_Type=JSON, Content_Encoding="gzip")
    assert (status, b"Content-Encoding" in content) == (415, True)


def test_fault_of_a_long_event_id_is_reported(site: Serving) -> None:
    status, document = site.post("/api/v1/groups/open/events", {"events": {"x" * 600: 1}})
    assert status == 422
    assert document["detail"].endswith("is not an event ID: it has 600 bytes in UTF-8, more than 512")
    assert len(document["detail"]) == 500


@pytest.mark.parametrize(
    ("form", "document"),
    [
        (request_bodies.EVENTS, {"events": {f"e{n}": 1 for n in range(9_999)} | {"wrong": ""}}),
        (request_bodies.EVENTS, {"events": {f"e{n}": "" for n in range(10_000)}}),
        (request_bodies.PAYLOAD, {"uuid": "u", "time": 1, "dashboard": {}, "variables": [{}] * 9_999 + [1]}),
        (request_bodies.PAYLOAD, {"uuid": "u", "time": 1, "dashboard": {}, "variables": [1] * 10_000}),
    ],
)
def test_first_wrong_entries_of_many_are_reported(form: request_bodies.Form[Any], document: Any) -> None:
    refusal_text = ""
    try:
        read(form, document)
    except HTTPProblem as refusal:
        refusal_text = str(refusal)
    assert re.match(r"(events|variables)\.", refusal_text)
    assert sum(map(int, re.findall(r"and (\d+) more", refusal_text))) < 100


def read(form: request_bodies.Form[Any], document: Any) -> Any:
    with closing(BodyReader()) as body_reader:
        return asyncio.run(form.read(posted(json.dumps(document).encode()), body_reader))


def test_many_valid_entries_are_read() -> None:
    events = {"events": {f"e{n}": n for n in range(10_000)}}
    payload = {"uuid": "u", "time": 1, "dashboard": {}, "variables": [{"n": n} for n in range(9_000)]}
    for form, document in ((request_bodies.EVENTS, events), (request_bodies.PAYLOAD, payload)):
        assert read(form, document) == document


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/groups/nothing/events", {}, 404),
        (f"{EVENTS}?wait=2", {}, 422),
        (EVENTS, {"Idempotency_Key": ""}, 400),
        (EVENTS, {"Idempotency_Key": "x" * 256}, 400),
        (EVENTS, {"Idempotency_Key": "\xe9"}, 400),
        (EVENTS, {"Content_Type": "text/plain"}, 415),
        (EVENTS, {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        (EVENTS, {"Content_Type": "text/plain", "Origin": "http://localhost:1"}, 403),
        (EVENTS, {"Origin": "https://www.example.org.evil.example"}, 403),
        (EVENTS, {"Origin": "http://www.example.org"}, 403),
        (EVENTS, {"Origin": "null"}, 403),
        (EVENTS, {"Origin": "http://["}, 403),
        (f"{EVENTS}%0a", {"Origin": "https://evil.example"}, 403),
        ("/write%0a", {"Content_Type": "text/plain", "Origin": "https://evil.example"}, 403),
        (EVENTS, {"Origin": ""}, 403),
        (EVENTS, {"Host": "www.example.org", "Origin": PAGES}, 421),
    ],
)
def test_unacceptable_request_counts_nothing(
    site: Serving, shared: Server, path: str, headers: dict[str, Any], status: int
) -> None:
    body = b'{"events": {"req1": 1}}'
    answer, content, answered = site.ask("POST", path, body, **{"Content_Type": JSON, **headers})
    assert (answer, answered["content-type"]) == (status, "application/problem+json"), content
    assert shared.everything() == {}


@pytest.mark.parametrize(
    ("target", "host", "origin", "status"),
    [
        ("http://127.0.0.1:1", "evil.example", "http://127.0.0.1:1", 202),
        ("http://127.0.0.1:1", "evil.example", "http://evil.example", 403),
        ("http://evil.example", "127.0.0.1:1", "http://127.0.0.1:1", 421),
        ("http://evil.example", "127.0.0.1:1", "http://evil.example", 421),
    ],
)
def test_origin_is_compared_with_the_host_of_an_absolute_target(
    site: Serving, target: str, host: str, origin: str, status: int
) -> None:
    body, path = {"events": {"req1": 0}}, f"{target}{EVENTS}"
    answer, content, _ = site.ask("POST", path, body, Content_Type=JSON, Host=host, Origin=origin)
    assert answer == status, content


def test_request_above_the_cardinality_limit_is_rejected(site: Serving, shared: Server) -> None:
    path = "/api/v1/groups/open/events?wait=1"
    status, document = site.post(path, {"events": dict.fromkeys("abcdef", 1)})
    assert (status, document["field"]) == (422, "events")
    assert site.post(path, {"events": dict.fromkeys("abc", 1)})[0] == 200
    assert site.post(path, {"events": dict.fromkeys("def", 1)}, Idempotency_Key="k")[0] == 422
    assert site.post(path, {"events": dict.fromkeys("de", 1)}, Idempotency_Key="k")[0] == 200
    assert site.post(path, {"events": {"f": 1}})[0] == 422
    counts = shared.counts("open", "24h", "cur")
    counts.pop("@lost", 0)  # earlier tests have emptied the server
    assert counts == dict.fromkeys("abcde", 1)


# What fails


def test_outage_keeps_counts_and_rejects_keyed_requests(
    own_server: Server, start: Start, config_file: Write
) -> None:
    own_server.kill()
    site = Serving(start, write(config_file, own_server.config))
    assert site.post(EVENTS, {"events": {"req1": 1}})[0] == 202
    assert site.post(f"{EVENTS}?wait=1", {"events": {"req1": 1}}) == (202, {"committed": False})
    for path, body in (
        (EVENTS, {"events": {"req1": 1}}),
        (SESSIONS, {"id": "s", "event": "shop", "action": "start"}),
    ):
        status, _, headers = site.ask("POST", path, body, Content_Type=JSON, Idempotency_Key="k")
        assert (status, headers["retry-after"]) == (503, "1")
    own_server.start()
    wait_until(lambda: own_server.counts("web", "24h", "cur") == {"req1": 2})
    assert site.post(EVENTS, {"events": {"req1": 1}}, Idempotency_Key="k")[0] == 200
    assert own_server.counts("web", "24h", "cur") == {"req1": 3}


def test_unconfirmed_request_is_reported_as_applied(
    own_server: Server, start: Start, config_file: Write
) -> None:
    own_server.client.config_set("appendonly", "no")
    group = {"events": ["a"], "intervals": ["24h"], "durability": "fsync", "sessions": {"timeout": "1h"}}
    site = Serving(start, config_file({"redis": own_server.config, "groups": {"g": group}}))
    for _ in range(2):
        status, problem = site.post("/api/v1/groups/g/events", {"events": {"a": 1}}, Idempotency_Key="k")
        assert (status, problem["applied"]) == (503, "yes")
        assert problem["detail"] == (
            "Redis did not confirm the request as the setting 'durability' demands; the request was applied; "
            "see the server log"
        )
    assert own_server.counts("g", "24h", "cur") == {"a": 1}
    status, problem = site.post("/api/v1/groups/g/sessions", {"id": "s", "action": "end"})
    assert (status, problem["applied"]) == (503, "yes")


def test_unanswered_request_is_reported_as_unknown_and_counts_once(
    own_server: Server, start: Start, config_file: Write
) -> None:
    """The first attempt reaches the stalled server; further ones cannot connect."""
    site = Serving(start, write(config_file, {**own_server.config, "socket_timeout": 2}))
    assert site.ask("GET", "/api/v1/overview")[0] == 200  # the server prepares it no more
    assert site.post(EVENTS, {"events": {"req1": 1}}, Idempotency_Key="first")[0] == 200
    own_server.stall()
    status, problem = site.post(EVENTS, {"events": {"req1": 1}}, Idempotency_Key="k")
    own_server.go_on()
    assert (status, problem["applied"]) == (503, "unknown")
    assert problem["detail"] == "Redis does not answer; the request may have been applied"
    assert site.post(EVENTS, {"events": {"req1": 1}}, Idempotency_Key="k")[0] == 200
    assert own_server.counts("web", "24h", "cur") == {"req1": 2}


def test_rejected_request_is_reported_as_not_applied(
    own_server: Server, start: Start, config_file: Write
) -> None:
    own_server.client.set("web:24h:cur:req1", "foreign")
    site = Serving(start, write(config_file, own_server.config))
    status, problem = site.post(EVENTS, {"events": {"req1": 1, "req2": 1}}, Idempotency_Key="k")
    assert (status, problem["applied"]) == (503, "no")
    assert problem["detail"] == ("Redis rejected the request; the request had no effect; see the server log")
    assert own_server.client.get("web:24h:cur:req2") is None


def test_many_events_are_accepted_without_waiting_for_redis(
    server: Server, config_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"direct": {"auto_declare_events": True, "intervals": ["24h"]}}
    config = from_file(config_file({"redis": server.config, "groups": groups}))
    counts = {f"e{number}": 1 for number in range(5000)}
    monkeypatch.setattr(recorder, "LONGEST_WAIT_S", 0.1)
    with closing(Store(config.redis)) as store:
        recording = recorder.Recorder(config, store)
        group = recording.group("direct")
        assert asyncio.run(recording.count(group, counts, wait=False)) is False
        wait_until(lambda: server.counts("direct", "24h", "cur") == counts)


def test_keyed_request_with_lost_reply_is_counted_once(
    server: Server, proxy: Proxy, start: Start, config_file: Write
) -> None:
    site = Serving(start, write(config_file, proxy.config))
    assert site.ask("GET", "/api/v1/overview")[0] == 200  # the server prepares it no more
    proxy.lose_replies = 2
    assert site.post(EVENTS, {"events": {"req1": 1}}, Idempotency_Key="k")[0] == 200
    assert proxy.lost == 2
    proxy.lose_replies = 1
    assert site.post(SESSIONS, {"id": "s", "event": "shop", "action": "start"})[0] == 200
    assert server.counts("web", "24h", "cur") == {"req1": 1}
    assert server.counts("visits", "24h", "cur") == {"shop": 1}
    site.kill()


def test_counts_survive_a_killed_server(server: Server, start: Start, config_file: Write, run: Any) -> None:
    file = write(config_file, server.config)
    site = Serving(start, file)
    path = "/api/v1/groups/buffered/events"
    assert site.post(path, {"events": {"a": 2}})[0] == 202
    site.kill()
    assert run("ecl", "recover", file).returncode == 0
    assert server.counts("buffered", "24h", "cur") == {"a": 2}
    site.start()
    assert site.post(path, {"events": {"a": 1}})[0] == 202
    assert site.stop() == ""
    assert server.counts("buffered", "24h", "cur") == {"a": 3}


def test_stopped_server_leaves_no_spool_file_of_sent_counts(
    server: Server, start: Start, config_file: Write, spool_dir: Path
) -> None:
    site = Serving(start, write(config_file, server.config))
    assert site.post("/api/v1/groups/buffered/events", {"events": {"a": 1}})[0] == 202
    assert [*spool_dir.iterdir()]
    assert site.stop() == ""
    assert server.counts("buffered", "24h", "cur") == {"a": 1}
    assert not [*spool_dir.iterdir()]


def test_requests_are_counted_exactly_through_two_kills(
    own_server: Server, start: Start, config_file: Write, chance: random.Random
) -> None:
    batches = [
        {event: chance.randrange(1, 9) for event in chance.sample(["req1", "req2"], 2)} for _ in range(1000)
    ]
    sent = [*range(1000), *chance.sample(range(1000), 100)]
    chance.shuffle(sent)
    site = Serving(start, write(config_file, own_server.config))
    answered: Counter[int] = Counter()

    def send(number: int) -> None:
        while True:
            try:
                status, _ = site.post(EVENTS, {"events": batches[number]}, Idempotency_Key=f"key {number}")
            except (OSError, HTTPException):
                continue  # it is unknown whether the request was counted
            assert status in (200, 503), status
            if status == 200:
                answered[number] += 1
                return

    def has_answered(n: int) -> bool:
        return answered.total() >= n

    with ThreadPoolExecutor(4) as senders:
        done = [senders.submit(send, number) for number in sent]
        for part in (300, 700):
            wait_until(partial(has_answered, part))
            site.kill()
            site.start()
    assert [each.exception() for each in done] == [None] * 1100
    expected: Counter[str] = Counter()
    for batch in batches:
        expected.update(batch)
    assert own_server.counts("web", "24h", "cur") == expected


def test_counts_beyond_the_unsent_limit_add_nothing(
    logger: Make,
) -> None:
    group = logger(GROUPS, {"host": "127.0.0.1", "port": free_port()})["buffered"]
    assert isinstance(group, RedisEventGroup)
    group.declare_event_id("b")
    group.log("a", 2**62)
    with pytest.raises(OverflowError, match="of event 'a'"):
        recorder.add_counts(group, {"b": 1, "a": 1})
    assert group.local.unsent() == {"a": 2**62}


# Sessions


def test_session_over_http_counts_once_through_a_restart(
    own_server: Server, start: Start, config_file: Write
) -> None:
    site = Serving(start, write(config_file, own_server.config))
    begun = 1_764_000_000.5
    for action, at in (("start", 0), ("heartbeat", 10.25), ("restart", 0), ("heartbeat", 10.25), ("end", 20)):
        if action == "restart":
            for each in (site, own_server):
                each.kill()
                each.start()
            continue
        body = {"id": "s1", "event": "shop", "action": action, "time": begun + at}
        assert site.post(SESSIONS, body) == (200, {"committed": True})
    assert own_server.counts("visits", "24h", "cur") == {"shop": 1, "shop:ms": 20_000}


def test_session_action_without_time_is_now_and_end_needs_no_event(site: Serving, shared: Server) -> None:
    began = time.time()
    assert site.post(SESSIONS, {"id": "s1", "event": "shop", "action": "start"})[0] == 200
    wait_until(lambda: time.time() > began + 0.2)
    assert site.post(SESSIONS, {"id": "s1", "action": "end"})[0] == 200
    assert site.post(SESSIONS, {"id": "unknown", "action": "end"})[0] == 200
    counts = shared.counts("visits", "24h", "cur")
    assert counts["shop"] == 1
    assert 100 <= counts["shop:ms"] <= 1000 * (time.time() - began + 1)


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"id": ""}, 422, "id"),
        ({"id": 1}, 422, "id"),
        ({"id": "x" * 513}, 422, "id"),
        ({"id": "a\nb"}, 422, "id"),
        ({"event": "nothing"}, 422, "event"),
        ({"event": None}, 422, "event"),
        ({"action": "stop"}, 422, "action"),
        ({"time": -1}, 422, "time"),
        ({"time": "1764000000"}, 422, "time"),
        ({"time": True}, 422, "time"),
        ({"time": 1764000000000}, 422, "time"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_invalid_session_action_is_rejected(
    site: Serving, shared: Server, changed: dict[str, Any], status: int, field: str
) -> None:
    action = {"id": "s1", "event": "shop", "action": "start", "time": 1}
    answer, document = site.post(SESSIONS, action | changed)
    assert (answer, document["field"]) == (status, field)
    assert shared.everything() == {}


def test_session_start_needs_an_event_and_a_group_with_sessions(site: Serving) -> None:
    status, document = site.post(SESSIONS, {"id": "s1", "action": "start"})
    assert (status, document["field"]) == (422, "event")
    status, document = site.post("/api/v1/groups/web/sessions", {"id": "s1", "action": "end"})
    assert (status, document["detail"]) == (404, "group 'web' has no sessions")


# Pages


def test_allowed_pages_count_without_token_and_do_nothing_else(
    server: Server, start: Start, config_file: Write, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret")
    token_file.chmod(0o600)
    site = Serving(start, write(config_file, server.config, PAGES), "--token-file", token_file)
    counting = partial(site.ask, "POST", EVENTS, {"events": {"req1": 1}}, Content_Type="text/plain")
    assert counting()[0] == 401
    assert counting(Origin="https://evil.example")[0] == 403
    assert counting(Origin=f"http://127.0.0.1:{site.port}")[0] == 401, (
        "pages of the server itself need the token"
    )
    status, _, headers = counting(Origin=PAGES)
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (202, PAGES, "Origin")
    asked: dict[str, Any] = {"Access_Control_Request_Method": "POST"}
    assert site.ask("OPTIONS", EVENTS, Origin=PAGES, **asked)[0] == 204
    assert site.ask("OPTIONS", EVENTS, Origin="https://evil.example", **asked)[0] == 403
    for method, path in (("GET", "/api/v1/groups"), ("OPTIONS", "/api/v1/groups"), ("GET", "/metrics")):
        status, _, headers = site.ask(method, path, Origin=PAGES, **asked)
        assert (status, headers.get("access-control-allow-origin")) == (401, None)
    assert site.stop().count("Pages of 'https://evil.example' may not count here") == 1


class Pages(BaseHTTPRequestHandler):
    """An empty page for each path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def origins() -> Iterator[list[str]]:
    """Two web sites."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Pages) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
    for thread in threads:
        thread.start()
    yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


COUNT_IN_ALL_WAYS = """async ([events, write]) => {
    const counts = JSON.stringify({events: {req1: 1}});
    const json = {"Content-Type": "application/json"};
    const beacons = [counts, new Blob([counts], {type: "application/json"})];
    const results = beacons.map((body) => navigator.sendBeacon(events, body));
    const keyed = {...json, "Idempotency-Key": "k"};
    for (const headers of [json, keyed, keyed]) {
        try {
            const answer = await fetch(events + "?wait=1", {method: "POST", body: counts, headers});
            results.push(await answer.json());
        } catch (error) { results.push(error.name); }
    }
    const session = {uuid: "u", type: "start", time: 1, dashboard: {name: "shop", uid: "x"}};
    const asThePanelSends = {method: "POST", mode: "no-cors", headers: json, keepalive: true};
    try {
        results.push((await fetch(write, {...asThePanelSends, body: JSON.stringify(session)})).type);
    } catch (error) { results.push(error.name); }
    return results;
}"""


def test_browsers_count_from_allowed_pages_only(
    server: Server, start: Start, config_file: Write, origins: list[str], browser: Browser
) -> None:
    allowed, other = origins
    site = Serving(start, write(config_file, server.config, allowed))
    addresses = [f"http://127.0.0.1:{site.port}{path}" for path in (EVENTS, "/write")]

    def count(page: Page, origin: str) -> Any:
        page.goto(origin)
        return page.evaluate(COUNT_IN_ALL_WAYS, addresses)

    with browser.new_context() as context:
        page = context.new_page()
        assert count(page, other)[2:] == ["TypeError"] * 4
        assert server.counts("web", "24h", "cur") == {}
        assert count(page, allowed)[2:] == [{"committed": True}] * 3 + ["opaque"]
        wait_until(lambda: server.counts("web", "24h", "cur") == {"req1": 4})
    assert server.counts("visits", "24h", "cur") == {"shop": 1}


# Configuration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "serve: {allowed_origins: [http://a.example/path]}",
            "serve.allowed_origins[0]: 'http://a.example/path'",
        ),
        ("serve: {allowed_origins: [a.example]}", "serve.allowed_origins[0]: 'a.example' is not an origin"),
        ("serve: {allowed_origins: ['*', http://a]}", "serve.allowed_origins: has '*'"),
        ("serve: {allowed_origins: http://a}", "serve.allowed_origins: 'http://a' is not a list"),
        ("serve: {connections_per_client: -1}", "serve.connections_per_client: -1 is not a whole number, 0"),
        ("serve: {connections_per_client: many}", "serve.connections_per_client: 'many' is not a whole"),
        ("serve: {origins: []}", "serve.origins: is not known"),
        ("serve: 5", "serve: is not a mapping"),
    ],
)
def test_section_of_the_server_is_checked(config_file: Write, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_file(config_file(f"{text}\ngroups: {{g: {{events: [a], intervals: [5m]}}}}"))
    assert f"ecl.yml:1: {expected}" in str(refused.value)


@pytest.mark.parametrize(
    ("written", "as_sent"),
    [
        ("HTTPS://WWW.Example.org:443", "https://www.example.org"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("*", "*"),
    ],
)
def test_origins_are_normalised_as_browsers_send_them(config_file: Write, written: str, as_sent: str) -> None:
    assert from_file(config_file({"serve": {"allowed_origins": [written]}})).serve.allowed_origins == (
        as_sent,
    )
