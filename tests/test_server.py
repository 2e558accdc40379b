"""`ecl serve` as its clients see it: the real command, a real server, and hostile clients."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from event_count_logger.config import from_dicts
from event_count_logger.store import HistoryPosition
from event_count_logger.web import streams
from event_count_logger.web.bind_address import BindAddress
from event_count_logger.web.connections import ConnectionLimits
from event_count_logger.web.negotiation import prefers
from event_count_logger.web.security import read_token
from event_count_logger.web.streams import Event, Stream
from tests.conftest import BIN
from tests.days import DAY_S, Days
from tests.fixtures import Run, Start, Write
from tests.servers import Server, wait_until

HOSTILE = ["<img src=x onerror=alert(1)>", "\"quoted\" & 'so'", "é\u202e雪😀", "a:b\\c", "</script>"]

GROUPS: dict[str, dict[str, Any]] = {
    "web": {"events": ["ok", "error"], "intervals": ["24h", "48h"], "title": "Web", "labels": {"ok": "Fine"}},
    "hostile": {"auto_declare_events": True, "intervals": ["24h"]},
    "bare": {"events": ["a"], "intervals": ["24h"], "history": 0, "totals": False},
    "fresh": {"events": ["a"], "intervals": ["24h"]},
    "secret": {"events": ["a"], "intervals": ["24h"], "hidden": True},
}

INTERVAL = "/api/v1/groups/web/24h"
STREAM = f"{INTERVAL}/stream"

TOKEN = "correct-horse"


@dataclass
class Site:
    """A running `ecl serve`."""

    process: subprocess.Popen[str]
    port: int
    token: str | None = None

    def open(self, path: str, method: str = "GET", timeout_s: float = 60, **headers: str) -> HTTPResponse:
        """Returns a response whose body is unread; closing it closes the connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        if self.token:
            headers = {"Authorization": f"Bearer {self.token}", **headers}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Connection": "close", **named})
        return connection.getresponse()

    def get(self, path: str, **headers: Any) -> tuple[int, Any]:
        """Returns status and parsed body."""
        with self.open(path, **headers) as response:
            return response.status, json.loads(response.read())

    def raw(self, request: bytes) -> bytes:
        """Send bytes; return everything that the server sends until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            answer = b""
            with suppress(OSError):  # the server may close the connection after its answer
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while some := connection.recv(65536):
                    answer += some
            return answer

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s*(\d+) kB", status)[0]) / 1024


def begin(process: subprocess.Popen[str], token: str | None = None) -> Site:
    assert process.stderr
    line = process.stderr.readline()
    found = re.search(r"\[INFO\] Serving at http://127\.0\.0\.1:(\d+)/", line)
    assert found, line
    return Site(process, int(found[1]), token)


@pytest.fixture
def serve(start: Start) -> Callable[..., Site]:
    def serve(file: Path, *options: object, token: str | None = None) -> Site:
        return begin(start("ecl", "serve", file, "--listen", "127.0.0.1:0", *options), token)

    return serve


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for tests that only read, with the counts of some days."""
    directory = tmp_path_factory.mktemp("site")
    server = Server("valkey", directory)
    days = Days(from_dicts(GROUPS, server.config))
    days.count("web", {"ok": 5}, days_ago=2)
    days.rotate("web", days_ago=1)
    days.count("web", {"ok": 7, "error": 1}, days_ago=1)
    days.rotate("web")
    days.count("web", {"ok": 2**53 + 1})
    days.count("hostile", dict.fromkeys(HOSTILE, 1), days_ago=1)
    days.rotate("hostile")
    days.count("bare", {"a": 3}, days_ago=2)
    days.rotate("bare", days_ago=1)
    file = directory / "ecl.yml"
    file.write_text(json.dumps({"redis": server.config, "groups": GROUPS}))
    command = [str(BIN / "ecl"), "serve", str(file), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    yield begin(process)
    process.kill()
    process.communicate()
    days.store.close()
    server.kill()


@pytest.fixture
def days(server: Server) -> Iterator[Days]:
    days = Days(from_dicts(GROUPS, server.config))
    yield days
    days.store.close()


@pytest.fixture
def file(server: Server, config_file: Write) -> Path:
    return config_file({"redis": server.config, "groups": GROUPS})


def today() -> int:
    return int(time.time()) // DAY_S * DAY_S


# What is answered


def test_shown_groups_are_listed_with_their_state(site: Site) -> None:
    status, found = site.get("/api/v1/groups")
    assert status == 200
    assert [group["name"] for group in found["groups"]] == ["web", "hostile", "bare", "fresh"]
    assert abs(found["server_time"] - time.time()) < 60
    assert (found["master_alive"], found["masters"]) == (False, [])
    web, bare, fresh = (found["groups"][i] for i in (0, 2, 3))
    assert web.pop("intervals")[0] == {
        "name": "24h",
        "length_s": DAY_S,
        "history": 60,
        "overdue_s": 0,
        "stale": False,
        "started": True,
    }
    assert web == {
        "name": "web",
        "title": "Web",
        "unit": "events",
        "labels": {"ok": "Fine"},
        "totals": True,
        "unavailable": False,
        "master_alive": False,
    }
    assert (bare["title"], bare["intervals"][0]["history"], bare["totals"]) == ("bare", 0, False)
    assert bare["intervals"][0]["stale"]
    assert bare["intervals"][0]["overdue_s"] > 0
    assert (fresh["intervals"][0]["overdue_s"], fresh["intervals"][0]["started"]) == (None, False)


def test_interval_has_counts_totals_and_history(site: Site) -> None:
    status, found = site.get(INTERVAL)
    assert status == 200
    assert abs(found.pop("server_time") - time.time()) < 60
    first, second = today() - 2 * DAY_S, today() - DAY_S
    positions = [span.pop("position") for span in found["history"]["spans"]]
    assert [re.fullmatch(r"(\d+)-(\d+)", position)[2] for position in positions] == ["1", "2"]  # type: ignore[index]
    assert found == {
        "group": "web",
        "interval": "24h",
        "length_s": DAY_S,
        "offset_s": 0,
        "title": "Web",
        "unit": "events",
        "labels": {"ok": "Fine"},
        "overdue_s": 0,
        "stale": False,
        "n_events": 2,
        "events": ["ok", "error"],
        "next": None,
        "last": {"start": second, "end": today(), "counts": {"ok": 7, "error": 1}},
        "current": {"start": today(), "counts": {"ok": 2**53 + 1, "error": 0}},
        "totals": {"ok": 2**53 + 13, "error": 1},
        "open_sessions": None,
        "sums": {"last": 8, "current": 2**53 + 1, "total": 2**53 + 14, "history": [5, 8]},
        "step_s": None,
        "history": {
            "begin": None,
            "spans": [
                {"start": start, "end": start + DAY_S, "n_intervals": 1, "covered_s": DAY_S}
                for start in (first, second)
            ],
            "counts": {"ok": [5, 7], "error": [0, 1]},
        },
        "range": {
            "start": first,
            "end": today(),
            "covered_s": 2 * DAY_S,
            "counts": {"ok": 12, "error": 1},
            "sum": 13,
        },
        "top": [],
        "compared": None,
    }


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("since=3d", [5, 7]),
        ("since=3d&until=2d", [5]),
        ("until=2d&history=1", [5]),
        ("since=3d&history=1", [7]),
        ("since=1h", []),
        ("until=2000-01-01", []),
    ],
)
def test_history_is_that_of_the_requested_range(site: Site, query: str, counts: list[int]) -> None:
    status, found = site.get(f"{INTERVAL}?{query}")
    assert (status, found["history"]["counts"].get("ok", [])) == (200, counts)
    assert found["last"]["counts"]["ok"] == 7


@pytest.mark.parametrize(("n", "ends"), [(0, []), (1, [0]), (2, [-1, 0]), (9, [-1, 0])])
def test_history_has_the_requested_length(site: Site, n: int, ends: list[int]) -> None:
    _, found = site.get(f"/api/v1/groups/web/24h?history={n}")
    assert [span["end"] for span in found["history"]["spans"]] == [today() + day * DAY_S for day in ends]


def test_no_interval_and_stale_and_zero_are_three_answers(site: Site) -> None:
    _, fresh = site.get("/api/v1/groups/fresh/24h")
    assert (fresh["last"], fresh["current"], fresh["overdue_s"]) == (None, None, None)
    assert fresh["history"] == {"begin": None, "spans": [], "counts": {}}
    _, old = site.get("/api/v1/groups/bare/24h")
    assert (old["stale"], old["last"]["counts"], old["totals"]) == (True, {"a": 3}, None)
    _, running = site.get("/api/v1/groups/web/48h")
    assert running["last"] is None
    assert running["current"]["counts"]["error"] == 1


def test_event_ids_are_returned_unchanged(site: Site) -> None:
    _, found = site.get("/api/v1/groups/hostile/24h")
    assert found["last"]["counts"] == dict.fromkeys(HOSTILE, 1)


def test_event_id_of_invalid_unicode_is_returned_as_json(
    serve: Any, file: Path, server: Server, days: Days
) -> None:
    days.count("hostile", {"bad \udcff": 1})
    site = serve(file)
    _, found = site.get("/api/v1/groups/hostile/24h")
    assert found["current"]["counts"] == {"bad \udcff": 1}
    with site.open("/metrics") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("accept", "in_openmetrics"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
        (" Application/OpenMetrics-Text ; version=0.0.1; q=0.5 ,text/plain;q=0.4,*/*;q=0.1", True),
        ("application/openmetrics-text;q=0.4,application/openmetrics-text;q=0.9,text/*;q=0.5", True),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.1,*/*", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        ("text/plain;version=0.0.4", False),
        ("*/*", False),
        ("", False),
        (";;q=x,,", False),
    ],
)
def test_media_type_follows_the_weights_of_accept(accept: str, in_openmetrics: bool) -> None:
    assert prefers(accept, "application/openmetrics-text", "text/plain") == in_openmetrics


@pytest.mark.parametrize("media_type", ["application/openmetrics-text", "text/plain"])
def test_metrics_have_the_requested_format(site: Site, media_type: str) -> None:
    with site.open("/metrics", Accept=media_type) as response:
        assert response.headers["Content-Type"].split(";")[0] == media_type
        assert "Accept" in response.headers["Vary"].split(", ")
        page = response.read().decode()
    assert page.endswith("# EOF\n") == (media_type != "text/plain")
    assert 'ecl_last_interval_events{group="web",interval="24h",event="ok"} 7\n' in page
    assert "secret" not in page


def test_large_answers_are_compressed_on_request(site: Site) -> None:
    with site.open("/metrics", Accept_Encoding="gzip") as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert "ecl_up 1\n" in gzip.decompress(response.read()).decode()
    with site.open("/metrics") as response:
        assert response.headers["Content-Encoding"] is None


def test_page_and_its_files_are_served(site: Site) -> None:
    with site.open("/") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        page = response.read()
        tag = response.headers["ETag"]
    with site.open("/static/index.html") as response:
        assert response.read() == page
    with site.open("/", If_None_Match=tag) as response:
        assert (response.status, response.headers["Cache-Control"], response.read()) == (304, "no-cache", b"")
    addresses = re.findall(r'(?:src|href)="(static/[^"]+)"', page.decode())
    assert len({address.rpartition("/")[0] for address in addresses}) == 1
    for address in addresses:  # they are relative: the page may have a path prefix
        assert re.fullmatch(r"static/[0-9a-f]{24}/[\w.]+", address), address
        with site.open(f"/{address}") as response:
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert (response.status, response.headers["Content-Encoding"]) == (200, None)
            content = response.read()
        with site.open(f"/{address}", Accept_Encoding="gzip") as response:
            assert (response.headers["Content-Encoding"], response.headers["Vary"]) == (
                "gzip",
                "Accept-Encoding",
            )
            assert gzip.decompress(response.read()) == content
    for path in (f"/static/{'0' * 24}/page.js", f"/{addresses[0].rpartition('/')[0]}/index.html"):
        assert site.get(path)[0] == 404


def test_openapi_is_generated_and_no_page_loads_from_other_hosts(site: Site) -> None:
    _, description = site.get("/openapi.json")
    assert "/api/v1/groups/{group}/{interval}/stream" in description["paths"]
    assert {"Counts", "Groups", "Readiness"} <= set(description["components"]["schemas"])
    refusals = description["paths"]["/api/v1/groups/{group}/{interval}"]["get"]["responses"]
    assert {"200", "304", "401", "404", "409", "414", "422", "503"} == set(refusals)
    assert list(refusals["404"]["content"]) == ["application/problem+json"]
    for path in ("/docs", "/redoc"):
        assert site.get(path)[0] == 404


def test_help_shows_the_printed_lines(run: Run, start: Start, file: Path) -> None:
    process = start("ecl", "serve", file, "--listen", "127.0.0.1:0")
    assert process.stderr
    printed = process.stderr.readline().partition(" ")[2]
    assert re.sub(r":\d+/", ":8917/", printed) in run("ecl", "serve", "-h").stdout


def test_every_answer_has_security_headers(site: Site) -> None:
    for path in ("/", "/api/v1/groups", "/nothing", "/healthz", "/api/v1/groups/web/24h?history=x"):
        with site.open(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "camera=(), " in response.headers["Permissions-Policy"]
            cached = {"/": "no-cache", "/api/v1/groups": "private, no-cache"}
            assert response.headers["Cache-Control"] == cached.get(path, "no-store")
            assert response.headers["Server"] is None


# What is refused


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/v1/groups/nothing/24h", 404, "nothing"),
        ("/api/v1/groups/secret/24h", 404, "there is no group 'secret'"),
        ("/api/v1/groups/secret/24h/stream", 404, "there is no group 'secret'"),
        ("/api/v1/groups/web/5m", 404, "group 'web' has no interval '5m' (configured: 24h, 48h)"),
        ("/api/v1/groups/web/24h/stream/x", 404, "Not Found"),
        ("/api/v1/groups/", 404, "Not Found"),
        ("/api/v1/groups/web/24h?history=-1", 422, "'history'"),
        ("/api/v1/groups/web/24h?history=x", 422, "'history'"),
        ("/api/v1/groups/web/24h?history=1e99", 422, "'history'"),
        ("/api/v1/groups/web/24h?history=10001", 422, "'history'"),
        ("/api/v1/groups/web/24h?since=x", 422, "since: 'x' is not a time"),
        ("/api/v1/groups/web/24h?until=", 422, "until: '' is not a time"),
        ("/api/v1/groups/web/24h?since=1795000000000", 422, "since: '1795000000000' is beyond 1e12"),
        (
            "/api/v1/groups/web/24h?since=2026-11-30&until=2025-11-30",
            422,
            "since: '2026-11-30' is after until",
        ),
        ("/api/v1/groups/web/24h?history=99999999999999999999", 422, "'history'"),
        ("/api/v1/groups/bare/24h/stream", 404, "keeps no history"),
        ("/api/v1/groups/web/24h/stream?after=x", 400, "after: 'x' is not a position"),
        *[
            (f"/api/v1/groups/web/24h/stream?after={after}", 400, f"after: '{after}' is not a position")
            for after in ("inf", "nan", "1e30", "-1", "-0.5", "1_0", "9999999999999")
        ],
        ("/api/v1/groups/web/24h/stream?after=", 400, "after: '' is not a position"),
        ("/api/v1/groups/web/24h/stream?after=99999999999999999999-1", 400, "is not a position"),
        ("/api/v1/groups/%00/%ff", 404, "there is no group"),
        ("/static/", 404, "Not Found"),
    ],
)
def test_errors_are_problem_documents(site: Site, path: str, status: int, detail: str) -> None:
    with site.open(path) as response:
        assert response.status == status
        assert response.headers["Content-Type"] == "application/problem+json"
        document = json.loads(response.read())
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == status
    assert detail in document["detail"]


def test_invalid_last_event_id_is_rejected(site: Site) -> None:
    status, document = site.get("/api/v1/groups/web/24h/stream?after=1-1", Last_Event_ID="<script>")
    assert (status, document["status"]) == (400, 400)
    assert "Last-Event-ID: '<script>' is not a position" in document["detail"]


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", INTERVAL])
def test_head_is_answered_as_get_without_the_body(site: Site, path: str) -> None:
    with site.open(path) as got, site.open(path, "HEAD") as head:
        assert head.status == got.status == 200
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert head.read() == b""


def test_head_of_a_stream_ends_after_the_head(site: Site) -> None:
    with closing(HTTPConnection("127.0.0.1", site.port, timeout=60)) as connection:
        for method, path in (("HEAD", STREAM), ("GET", "/healthz")):
            connection.request(method, path)
            response = connection.getresponse()
            assert response.status == 200
            response.read()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_are_rejected(site: Site, method: str) -> None:
    with site.open("/api/v1/groups", method=method) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert json.loads(response.read())["title"] == "Method Not Allowed"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/groups/web/24h", "GET, HEAD"),
        ("/api/v1/groups/web/events", "POST"),
        ("/api/v1/groups/web/sessions", "POST"),
        ("/api/v1/annotations", "GET, HEAD, POST"),
        ("/api/v1/annotations/1f", "DELETE"),
    ],
)
def test_allowed_methods_are_exactly_those_of_the_path(site: Site, path: str, allowed: str) -> None:
    with site.open(path, method="PUT") as response:
        assert (response.status, response.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/static/../app.py",
        "/static/../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/..%5capp.py",
        "/static/..\\app.py",
        "/static//etc/passwd",
        "//etc/passwd",
        "/static/index.html%00.js",
        "/static/INDEX.HTML",
        "/static/.",
        "/static/%c0%ae%c0%ae/app.py",
        "http://127.0.0.1/../etc/passwd",
        "http://127.0.0.1/static/../app.py",
        "file:///etc/passwd",
    ],
)
def test_no_path_leads_to_a_file(site: Site, path: str) -> None:
    answer = site.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1.1 40[04] ", answer), answer[:200]
    assert b"root:" not in answer
    assert b"import" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nName\x00: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
        b"\xff" * 1000,
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nName: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"Name: value\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_malformed_or_oversized_request_is_rejected_and_next_one_served(site: Site, request_: bytes) -> None:
    answer = site.raw(request_)
    assert re.match(rb"HTTP/1.1 (400|414|431|501) ", answer) or not answer, answer[:200]
    assert b"Traceback" not in answer
    assert site.get("/healthz") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8917", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8917", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.0.2.1", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_request_with_foreign_host_name_is_rejected(site: Site, host: str, status: int) -> None:
    assert site.get("/healthz", Host=host)[0] == status


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://127.0.0.1/healthz", "localhost", 200),
        ("HTTP://localhost:8917/healthz", "localhost", 200),
        ("https://localhost/healthz?a=http://b/", "localhost", 200),
        ("http://localhost", "localhost", 200),
        ("http://localhost?a=b", "localhost", 200),
        ("http://localhost/healthz", "evil.example", 200),
        ("http://localhost/none", "localhost", 404),
        ("http://localhost/%68ealthz", "localhost", 200),
        ("http://evil.example/healthz", "localhost", 421),
        ("http://localhost@evil.example/healthz", "localhost", 404),
        ("http://evil.example@localhost/healthz", "localhost", 404),
        ("http:///healthz", "localhost", 404),
        ("ftp://localhost/healthz", "localhost", 404),
    ],
)
def test_absolute_target_names_the_host(site: Site, target: str, host: str, status: int) -> None:
    answer = site.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]


def test_connection_without_request_is_closed(site: Site) -> None:
    connections = []
    for part in (
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET",
    ):
        connections.append(socket.create_connection(("127.0.0.1", site.port), timeout=60))
        connections[-1].sendall(part)
    for connection in connections:
        with closing(connection), suppress(ConnectionResetError):
            while connection.recv(1000):
                pass


def test_connection_with_slow_body_is_closed(serve: Any, file: Path) -> None:
    site = serve(file)
    head = b"POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=1) as connection:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n")

        def is_cut_off() -> bool:
            try:
                connection.sendall(b" ")
                return connection.recv(100) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(is_cut_off)


# Limits


def test_oldest_idle_connection_is_closed_for_a_new_one(serve: Any, file: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    site = serve(file)
    try:
        with ExitStack() as stack:
            stream = stack.enter_context(site.open(STREAM))
            active = stack.enter_context(closing(HTTPConnection("127.0.0.1", site.port, timeout=60)))

            def ask() -> int:
                active.request("GET", "/api/v1/groups")
                response = active.getresponse()
                return len(response.read()) and response.status

            assert ask() == 200
            idle = [
                stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=60))
                for _ in range(100)
            ]
            assert ask() == 200, "another connection has been idle for longer"
            for number in range(850):
                stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=60))
                if number % 100 == 0:
                    assert ask() == 200
            for path in ("/healthz", "/api/v1/groups"):
                assert site.get(path)[0] == 200
            assert idle[0].recv(1) == b""
            assert ask() == 200
            assert stream.readline() == b"retry: 1000\n"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Line:
    """A connection of `ConnectionLimits`."""

    def __init__(self, host: str | None, is_idle: bool = True) -> None:
        self.client = None if host is None else (host, 1)
        self.is_idle = is_idle
        self.is_dropped = False

    def drop(self) -> None:
        self.is_dropped = True


def connections(per_client: int) -> ConnectionLimits:
    return ConnectionLimits(from_dicts(GROUPS, serve={"connections_per_client": per_client}))


@pytest.mark.parametrize(
    ("others", "shared"),
    [
        (["192.0.2.1"], True),
        (["::ffff:192.0.2.1"], True),
        (["192.0.2.2", "2001:db8::1", "127.0.0.1", None], False),
    ],
)
def test_client_at_its_limit_loses_only_its_own_connections(others: list[str | None], shared: bool) -> None:
    lines = [Line("192.0.2.1", is_idle=False), Line("192.0.2.1"), Line("192.0.2.1")]
    room = connections(3)
    for each in lines:
        room.add(each)
    for host in others:
        room.add(Line(host))
    assert [each.is_dropped for each in lines] == [False, shared, False]


@pytest.mark.parametrize("setting", [0, None])
def test_limit_per_client_can_be_changed_and_removed(setting: int | None) -> None:
    room = connections(1)
    room.use(from_dicts(GROUPS, serve={"connections_per_client": setting}))
    lines = [Line("192.0.2.1") for _ in range(150)]
    for each in lines:
        room.add(each)
    assert not any(each.is_dropped for each in lines)
    room.use(from_dicts(GROUPS, serve={"connections_per_client": 1}))
    room.add(Line("192.0.2.1"))
    assert [each.is_dropped for each in lines[:2]] == [True, False]


def test_ipv6_clients_of_one_network_share_a_limit() -> None:
    lines = [Line(f"2001:db8::{n}") for n in range(1, 4)]
    room = connections(2)
    for each in lines:
        room.add(each)
    assert [each.is_dropped for each in lines] == [True, False, False]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", None])
def test_clients_of_this_machine_have_no_limit(host: str | None) -> None:
    lines = [Line(host) for _ in range(10)]
    room = connections(2)
    for each in lines:
        room.add(each)
    assert not any(each.is_dropped for each in lines)


def test_connection_is_closed_when_none_is_idle() -> None:
    room = connections(0)
    used = [Line(f"192.0.2.{n % 250}", is_idle=False) for n in range(900)]
    for each in used:
        room.add(each)
    new = Line("192.0.2.251")
    room.add(new)
    assert new.is_dropped
    room.remove(used[0])
    new = Line("192.0.2.251")
    room.add(new)
    assert not new.is_dropped


def test_requests_are_limited_in_all_and_per_client_except_health() -> None:
    async def statuses() -> list[Any]:
        room = connections(3)
        over = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/":
                await over.wait()

        limited = room.limited(app)
        sent: list[Any] = []

        async def ask(host: str, path: str = "/") -> None:
            async def send(message: Any) -> None:
                sent.append((host, path, message.get("status")))

            await limited({"type": "http", "path": path, "client": (host, 1)}, None, send)  # type: ignore[arg-type]

        waiting = [asyncio.ensure_future(ask("192.0.2.1")) for _ in range(4)]
        waiting += [asyncio.ensure_future(ask("127.0.0.1")) for _ in range(846)]
        await asyncio.sleep(0)
        first, sent[:] = [each for each in sent if each[2]], []
        waiting.append(asyncio.ensure_future(ask("127.0.0.1")))
        await asyncio.sleep(0)
        for path in ("/healthz", "/readyz", "/other"):
            await ask("192.0.2.9", path)
        second, sent[:] = [each for each in sent if each[2]], []
        over.set()
        await asyncio.gather(*waiting)
        await ask("192.0.2.1")
        return [first, second, sent]

    assert asyncio.run(statuses()) == [[("192.0.2.1", "/", 503)], [("192.0.2.9", "/other", 503)], []]


# The token


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


def test_data_needs_the_token(serve: Any, file: Path, token_file: Path) -> None:
    site = serve(file, "--token-file", token_file)
    data = ("/api/v1/groups", STREAM, "/metrics", "/openapi.json", "/nothing")
    wrong = ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xe9")
    for path in data:
        for authorization in wrong:
            with site.open(path, Authorization=authorization) as response:
                assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert TOKEN not in response.read().decode()
    with site.open("/api/v1/groups") as response:
        assert response.status == 401
    for path in ("/", "/static/index.html", "/healthz", "/readyz"):
        with site.open(path) as response:
            assert response.status in (200, 503), path
    site.token = TOKEN
    assert site.get("/api/v1/groups")[0] == 200
    assert site.get("/api/v1/groups", Authorization=f"bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        ("", 0o600, "expected one line with a token"),
        ("\n", 0o600, "expected one line with a token"),
        ("two\nlines\n", 0o600, "expected one line with a token"),
        ("two words\n", 0o600, "expected one line with a token"),
        ("é\n", 0o600, "expected one line with a token"),
        (f"{TOKEN}\n", 0o604, "other users may access this file"),
        (None, 0, "No such file or directory"),
    ],
)
def test_unusable_token_file_is_rejected(
    tmp_path: Path, content: str | None, mode: int, expected: str
) -> None:
    path = tmp_path / "bad"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises((ValueError, OSError), match=expected) as refused:
        read_token(path)
    assert "bad" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_serve_with_unusable_token_file_does_not_start(run: Run, file: Path, token_file: Path) -> None:
    token_file.chmod(0o644)
    done = run("ecl", "serve", file, "--token-file", token_file)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"ERROR: {token_file}: other users may access this file")
    done = run("ecl", "serve", file, "--token-file", token_file.with_name("none"))
    assert (done.returncode, done.stderr) == (
        2,
        f"ERROR: {token_file.with_name('none')}: No such file or directory\n",
    )


def test_public_address_needs_a_token_or_without_token(run: Run, file: Path) -> None:
    done = run("ecl", "serve", file, "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert re.fullmatch(
        r"ERROR: refusing to listen on .* without authentication: .*--token-file.*\n", done.stderr
    )


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.10:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("0:1", False),
        ("192.0.2.1:1", False),
        ("[2001:db8::1]:1", False),
    ],
)
def test_public_address_is_recognised(address: str, is_loopback: bool) -> None:
    assert BindAddress.resolve(address).is_loopback == is_loopback


@pytest.mark.parametrize(
    "text",
    ["", "8917", "127.0.0.1", "h:65536", "h:x", "h:-1", "::1:80", "[::1]", "[h]:1", "a b:1", "http://h:1"],
)
def test_invalid_address_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        BindAddress.resolve(text)


def test_serve_without_token_listens_on_all_addresses(start: Start, file: Path) -> None:
    process = start("ecl", "serve", file, "--listen", "0.0.0.0:0", "--without-token")
    assert process.stderr
    line = process.stderr.readline()
    found = re.search(r"Serving at http://0\.0\.0\.0:(\d+)/, without a token", line)
    assert found, line
    assert Site(process, int(found[1])).get("/healthz", Host="any.example")[0] == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--listen", "8917"], "'8917' is not an address"),
        (["--listen", "no.such.host.invalid:1"], "no.such.host.invalid:1: "),
        (["--without-token", "--token-file", "x"], "exclude each other"),
    ],
)
def test_wrong_options_are_reported_in_one_line(
    run: Run, file: Path, options: list[str], expected: str
) -> None:
    done = run("ecl", "serve", file, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert expected in done.stderr


def test_address_in_use_is_reported_in_one_line(run: Run, file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = run("ecl", "serve", file, "--listen", address)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"ERROR: {address}: Address already in use")


def test_missing_server_extra_is_named_with_its_installation(file: Path) -> None:
    program = """
import sys
sys.modules["fastapi"] = sys.modules["starlette"] = sys.modules["uvicorn"] = None
sys.argv = ["ecl", "serve", *sys.argv[1:]]
from event_count_logger.cli.ecl import ecl
ecl()
"""
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"ERROR: .*pip install '\.\[server\]' in a checkout, or, .*\n", done.stderr)


# Redis and masters


def test_unavailable_redis_is_reported_until_it_is_back(
    serve: Any, own_server: Server, config_file: Write
) -> None:
    own_server.kill()
    site = serve(config_file({"redis": own_server.config, "groups": GROUPS}))
    for path in ("/api/v1/groups", INTERVAL, STREAM):
        with site.open(path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1"), path
            assert json.loads(response.read())["detail"] == "Redis does not answer"
    assert site.get("/healthz")[0] == 200
    assert site.get("/readyz") == (503, {"ready": False, "problems": ["Redis does not answer"]})
    with site.open("/metrics") as response:
        page = response.read().decode()
    assert (response.status, "ecl_up 0\n" in page, "ecl_last_interval" in page) == (200, True, False)
    own_server.start()
    wait_until(lambda: site.get("/api/v1/groups")[0] == 200)
    wait_until(lambda: site.get(INTERVAL)[0] == 200)


def test_hanging_redis_blocks_no_other_request_and_no_stop(
    serve: Any, own_server: Server, config_file: Write
) -> None:
    site = serve(config_file({"redis": own_server.config | {"socket_timeout": 30}, "groups": GROUPS}))
    assert site.get("/api/v1/groups")[0] == 200
    own_server.stall()
    with ExitStack() as waiting:
        for n in range(40):
            connection = HTTPConnection("127.0.0.1", site.port)
            waiting.enter_context(closing(connection))
            connection.request("GET", f"/api/v1/groups/web/24h?history={n}")
        for path in ("/healthz", "/"):
            with site.open(path) as response:
                assert response.status == 200
        site.process.terminate()
        assert site.process.wait(20) == 0, "it does not wait for the 30 s after which Redis is given up"
    own_server.go_on()


def test_rejection_by_redis_is_explained_in_the_log(serve: Any, file: Path, server: Server) -> None:
    with server.client as client:
        client.set("web:24h:@history", "something else")
    site = serve(file)
    for path in (INTERVAL, STREAM):
        status, document = site.get(path)
        assert (status, document["detail"]) == (503, "Redis rejected the request; see the server log")
        assert "WRONGTYPE" in site.process.stderr.readline()


def test_server_is_ready_with_a_live_master_and_nothing_overdue(
    serve: Any, start: Start, server: Server, config_file: Write
) -> None:
    groups = {"g": {"events": ["a"], "intervals": ["0.5s"], "hidden": True}}
    file = config_file({"redis": server.config, "groups": groups})
    site = serve(file)
    assert site.get("/readyz") == (503, {"ready": False, "problems": ["no master is alive"]})
    master = start("ecl_master", file)
    wait_until(lambda: site.get("/readyz") == (200, {"ready": True, "problems": []}))
    master.terminate()
    assert master.wait(60) == 0

    def problems() -> Any:
        status, found = site.get("/readyz")
        return status == 503 and len(found["problems"]) == 2 and found["problems"]

    overdue = wait_until(problems)[1]
    assert re.fullmatch(r"1 of 1 interval is overdue, by up to \d+ s", overdue)


def test_group_or_interval_without_master_is_not_ready(
    serve: Any, start: Start, server: Server, config_file: Write
) -> None:
    master = start("ecl_master", config_file({"redis": server.config, "groups": GROUPS}, "master.yml"))
    some = {"web": {**GROUPS["web"], "intervals": [*GROUPS["web"]["intervals"], "7m"]}}
    site = serve(
        config_file({"redis": server.config, "groups": {**GROUPS, **some, "new": {"intervals": ["1h"]}}})
    )
    n_groups, n_intervals = len(GROUPS) + 1, sum(len(each["intervals"]) for each in GROUPS.values()) + 2
    problems = [
        f"no master of 1 of {n_groups} groups is alive",
        f"1 of {n_intervals} intervals is not yet rotated by a master",
    ]
    wait_until(lambda: site.get("/readyz") == (503, {"ready": False, "problems": problems}))
    assert master.poll() is None
    listed = {group["name"]: group["master_alive"] for group in site.get("/api/v1/groups")[1]["groups"]}
    assert (listed["web"], listed["new"]) == (True, False)


def test_group_with_a_key_of_another_type_hides_no_other_group(
    serve: Any, server: Server, config_file: Write
) -> None:
    site = serve(config_file({"redis": server.config, "groups": GROUPS}))
    server.client.set("web:@masters", "text")
    status, answer = site.get("/api/v1/groups")
    assert (status, answer["master_alive"]) == (200, False)
    assert {group["name"]: group["unavailable"] for group in answer["groups"]} == {
        "web": True, "hostile": False, "bare": False, "fresh": False,
    }  # fmt: skip
    web = answer["groups"][0]
    states = [(each["overdue_s"], each["stale"], each["started"]) for each in web["intervals"]]
    assert (web["master_alive"], states) == (False, [(None, True, False)] * 2)


def test_readiness_distinguishes_rejecting_and_unreachable_redis(
    serve: Any, own_server: Server, config_file: Write
) -> None:
    own_server.client.lpush("web:24h:cur:@ts", "no string")
    site = serve(config_file({"redis": own_server.config, "groups": GROUPS}))
    assert site.get("/readyz")[1]["problems"] == ["Redis rejected the request"]
    own_server.kill()
    wait_until(lambda: site.get("/readyz")[1]["problems"] == ["Redis does not answer"])


def test_wrong_password_is_reported_as_a_rejection(
    serve: Any, own_server: Server, config_file: Write
) -> None:
    own_server.client.config_set("requirepass", "right")
    site = serve(config_file({"redis": {**own_server.config, "password": "wrong"}, "groups": GROUPS}))
    assert site.get("/readyz")[1]["problems"] == ["Redis rejected the request"]
    status, document = site.get(INTERVAL)
    assert (status, document["detail"]) == (503, "Redis rejected the request; see the server log")


def test_concurrent_viewers_share_one_read(serve: Any, file: Path, server: Server) -> None:
    site = serve(file)
    site.get("/api/v1/overview")  # the server prepares it no more

    def scripts_run() -> int:
        with server.client as client:
            stats = client.info("commandstats")
            return int(
                sum(stats[f"cmdstat_{name}"]["calls"] for name in ("evalsha",) if f"cmdstat_{name}" in stats)
            )

    before = scripts_run()
    with ExitStack() as stack:
        connections = [HTTPConnection("127.0.0.1", site.port, timeout=60) for _ in range(50)]
        for connection in connections:
            stack.enter_context(closing(connection))
            connection.request("GET", "/api/v1/groups/web/24h?history=0")
        assert {connection.getresponse().status for connection in connections} == {200}
    assert scripts_run() - before < 25


# Streams


class Events:
    """A reader of a stream."""

    def __init__(self, site: Site, path: str, timeout_s: float = 60, **headers: str) -> None:
        self.response = site.open(path, timeout_s=timeout_s, **headers)
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"].startswith("text/event-stream")

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *exception: object) -> None:
        self.response.close()

    def next(self) -> Any:
        """Returns the data of the next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                assert value == "interval"
            fields[name] = value
            if not name and "data" in fields:
                data = json.loads(fields["data"])
                assert fields["id"] == data["position"]
                return data
        return None


def number(event: Any) -> int:
    return int(event["position"].partition("-")[2])


def test_stream_sends_intervals_that_finish_from_now_on(serve: Any, file: Path, days: Days) -> None:
    days.count("web", {"ok": 1}, days_ago=9)
    days.rotate("web", days_ago=8)
    with Events(serve(file), STREAM) as events:
        days.count("web", {"ok": 2}, days_ago=8)
        days.rotate("web", days_ago=7)
        event = events.next()
    position = event.pop("position")
    assert position == f"{(days.today - 7 * DAY_S) * 1000}-2"
    assert event == {
        "group": "web",
        "interval": "24h",
        "start": days.today - 8 * DAY_S,
        "end": days.today - 7 * DAY_S,
        "missed": 0,
        "counts": {"ok": 2, "error": 0},
    }


def test_stream_has_headers_against_buffering(site: Site) -> None:
    with site.open(f"{STREAM}?after=0-0", Accept_Encoding="gzip") as response:
        assert response.headers["Content-Encoding"] is None
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store"
        preamble = [b"retry: 1000\n", b"id: 0-0\n", b"\n"]
        assert [response.readline() for _ in range(4)] == [*preamble, b"event: interval\n"]


def test_stream_continues_after_a_position(serve: Any, file: Path, days: Days) -> None:
    for ago in range(9, 4, -1):
        days.count("web", {"ok": ago}, days_ago=ago)
        days.rotate("web", days_ago=ago - 1)
    site = serve(file)
    with Events(site, f"{STREAM}?after=0-0") as events:
        positions = [events.next()["position"] for _ in range(5)]
    with (
        Events(site, f"{STREAM}?after={positions[1]}") as by_query,
        Events(site, f"{STREAM}?after={positions[0]}", Last_Event_ID=positions[2]) as by_header,
    ):
        days.count("web", {"ok": 4}, days_ago=4)
        days.rotate("web", days_ago=3)
        assert [number(by_query.next()) for _ in range(4)] == [3, 4, 5, 6]
        assert [number(by_header.next()) for _ in range(3)] == [4, 5, 6]


def test_stream_continues_after_a_time(serve: Any, file: Path, days: Days) -> None:
    for ago in range(5, 0, -1):
        days.finish("web", {"ok": ago}, ago)
    site = serve(file)
    for after in (days.start(2), days.start(2) + 0.25):
        with Events(site, f"{STREAM}?after={after}") as events:
            assert [number(events.next()) for _ in range(2)] == [4, 5]


def test_stream_reports_the_number_of_missed_intervals(
    serve: Any, server: Server, config_file: Write
) -> None:
    groups = {"web": {"events": ["ok"], "intervals": ["24h"], "history": 2}}
    days = Days(from_dicts(groups, server.config))
    for ago in range(9, 4, -1):
        days.count("web", {"ok": ago}, days_ago=ago)
        days.rotate("web", days_ago=ago - 1)
    first = f"{(days.today - 8 * DAY_S) * 1000}-1"
    site = serve(config_file({"redis": server.config, "groups": groups}))
    with Events(site, STREAM, Last_Event_ID=first) as events:
        assert [(number(event), event["missed"]) for event in (events.next(), events.next())] == [
            (4, 2),
            (5, 0),
        ]
    days.store.close()


def test_stream_sends_each_interval_once_through_restarts(
    serve: Any, start: Start, own_server: Server, config_file: Write
) -> None:
    groups = {"web": {"events": ["ok"], "intervals": ["0.4s"], "history": 1000}}
    file = config_file({"redis": own_server.config, "groups": groups})
    master, site = start("ecl_master", file), serve(file)
    path = "/api/v1/groups/web/0.4s/stream"
    wait_until(lambda: site.get("/readyz")[0] == 200)
    with Events(site, f"{path}?after=0-0") as events:
        seen = [events.next(), events.next()]
        master.terminate()
        assert master.wait(60) == 0
        restarted = start("ecl_master", "-v", file)
        assert restarted.stderr and "starting" in restarted.stderr.readline(), "it can be stopped from now on"
        seen += [events.next(), events.next()]
        own_server.kill()
        own_server.start()
        seen += [events.next() for _ in range(3)]
        with Events(site, path, Last_Event_ID=seen[1]["position"]) as resumed:
            seen += [events.next() for _ in range(2)]
            assert [resumed.next() for _ in seen[2:]] == seen[2:]
    assert [number(event) for event in seen] == list(range(1, len(seen) + 1))
    assert [event["start"] for event in seen[1:]] == [event["end"] for event in seen[:-1]]
    assert {event["missed"] for event in seen} == {0}
    restarted.terminate()
    assert restarted.wait(60) == 0


def test_200_streams_cost_the_server_and_redis_little(
    serve: Any, file: Path, server: Server, days: Days
) -> None:
    days.count("web", {f"event {n}": n for n in range(1000)} | {"ok": 1}, days_ago=9)
    site = serve(file)

    def reads() -> int:
        with server.client as client:
            return int(client.info("commandstats").get("cmdstat_xrange", {}).get("calls", 0))

    with ExitStack() as stack:
        streams = [stack.enter_context(Events(site, STREAM)) for _ in range(200)]
        before = wait_until(reads)
        days.rotate("web", days_ago=8)
        assert {number(events.next()) for events in streams} == {1}
        assert reads() - before < 100
        assert site.rss_mb() < 150
        site.process.terminate()
        assert site.process.wait(20) == 0
        assert streams[0].response.read() == b"", "it was ended, not cut off"
    assert site.process.stderr
    assert site.process.stderr.read() == ""


def test_client_that_does_not_read_is_disconnected_and_can_resume(
    serve: Any, server: Server, config_file: Write
) -> None:
    groups = {"web": {"auto_declare_events": True, "intervals": ["24h"], "history": 100}}
    days = Days(from_dicts(groups, server.config))
    site = serve(config_file({"redis": server.config, "groups": groups}))
    counts = {f"{n:0500}": n for n in range(800)}
    n_days, at_once = 40, 10
    with Events(site, STREAM) as idle, Events(site, STREAM) as events:
        for ago in range(n_days, 0, -1):
            days.count("web", counts, days_ago=ago)
            days.rotate("web", days_ago=ago - 1)
            n_finished = n_days - ago + 1
            if n_finished % at_once == 0:
                numbers = [number(events.next()) for _ in range(at_once)]
                assert numbers == list(range(n_finished - at_once + 1, n_finished + 1))
        assert site.rss_mb() < 150
        got = []
        while event := idle.next():
            got.append(event)
        assert [number(event) for event in got] == list(range(1, len(got) + 1))
        assert len(got) < n_days
    with Events(site, STREAM, Last_Event_ID=got[-1]["position"]) as resumed:
        assert [number(resumed.next()) for _ in range(n_days - len(got))] == list(
            range(len(got) + 1, n_days + 1)
        )
    days.store.close()


def test_interval_from_both_history_and_feed_is_sent_once() -> None:
    events = [Event(HistoryPosition(end_ms, n), b"%d" % n) for n, end_ms in enumerate((1000, 2000, 3000), 1)]

    class Feed:
        async def since(self, position: HistoryPosition) -> AsyncIterator[Event]:
            for event in events[:2]:
                yield event

    async def chunks_sent() -> list[bytes]:
        stream = Stream(Feed(), lambda stream: None)  # type: ignore[arg-type]
        for event in events[1:]:
            stream.put(event)
        stream.end()
        return [chunk async for chunk in stream.chunks()]

    assert asyncio.run(chunks_sent())[1:] == [b"1", b"2", b"3"]


class Silent:
    """A feed whose history never returns an event."""

    async def since(self, position: HistoryPosition) -> AsyncIterator[Event]:
        await asyncio.Event().wait()
        yield Event(position, b"")


def test_silent_stream_sends_keep_alives_also_while_catching_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_KEEP_ALIVE_S", 0.01)

    async def chunks_sent() -> list[bytes]:
        chunks = Stream(Silent(), lambda stream: None).chunks()  # type: ignore[arg-type]
        return [await asyncio.wait_for(anext(chunks), 60) for _ in range(3)]

    assert asyncio.run(chunks_sent())[1:] == [b":\n\n"] * 2


def test_stream_after_a_time_does_not_wait_for_its_own_interval(server: Server, days: Days) -> None:
    days.finish("web", {"ok": 1})
    end = HistoryPosition(days.today * 1000)
    group = days.config.group("web")

    async def caught_up() -> list[bytes]:
        hub = streams.Hub(days.store)
        stream = await hub.open(group, group.intervals[0], end)
        stream.end()
        sent = [chunk async for chunk in stream.chunks()]
        stream.close()
        return sent

    assert asyncio.run(asyncio.wait_for(caught_up(), 60)) == [f"retry: 1000\nid: {end}\n\n".encode()]


def test_stream_broken_before_its_first_event_resumes_at_its_start(
    serve: Any, file: Path, days: Days
) -> None:
    days.finish("web", {"ok": 1}, 3)
    site = serve(file)
    with site.open(STREAM) as response:
        assert response.readline() == b"retry: 1000\n"
        position = response.readline().decode().removeprefix("id: ").strip()
    assert position == f"{days.start(2) * 1000}-1"
    days.finish("web", {"ok": 2}, 2)
    with Events(site, STREAM, Last_Event_ID=position) as events:
        assert number(events.next()) == 2


# Its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_server(serve: Any, file: Path, number: int) -> None:
    site = serve(file)
    assert site.get("/healthz")[0] == 200
    os.kill(site.process.pid, number)
    assert site.process.wait(20) == 0
    assert site.process.stderr
    assert site.process.stderr.read() == ""


#: `ecl serve` that gives open requests a minute when it stops.
PATIENT = """
from event_count_logger.cli.ecl import ecl
from event_count_logger.web import server
server._LAST_ANSWERS_S = 60
ecl()
"""


def test_second_signal_stops_the_server_at_once(start: Start, own_server: Server, config_file: Write) -> None:
    file = config_file({"redis": own_server.config | {"socket_timeout": 30}, "groups": GROUPS})
    site = begin(start(sys.executable, "-c", PATIENT, "serve", file, "--listen", "127.0.0.1:0"))
    own_server.stall()
    with closing(HTTPConnection("127.0.0.1", site.port)) as connection:
        connection.request("GET", INTERVAL)
        site.get("/healthz")
        site.process.terminate()
        wait_until(lambda: not is_open(site.port))
        site.process.terminate()
        assert site.process.wait(20) == -signal.SIGTERM
    own_server.go_on()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True
