"""Standard input, FIFOs and sockets of `ecl tail`: lines count within a second, and retries never twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import keys
from event_count_logger.config import from_file
from event_count_logger.config.listen_address import ListenAddress
from event_count_logger.errors import ConfigError
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.protocols import InputError
from event_count_logger.sources.tail.inputs.stream_input import Listener
from tests.conftest import BIN
from tests.fixtures import Run, Start, Write
from tests.servers import Server, free_port, wait_until

Configure = Callable[..., Path]

RULES = [{"match": "^line", "events": ["line"]}]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Write a configuration with entries that have the given inputs."""

    def configure(redis: dict[str, Any], *inputs: dict[str, Any]) -> Path:
        groups = {"g": {"events": ["line"], "intervals": ["24h"]}}
        tail = [{"group": "g", "rules": RULES} | each for each in inputs]
        path = tmp_path / "ecl.yml"
        path.write_text(json.dumps({"redis": redis, "groups": groups, "tail": tail}))
        return path

    return configure


def counted(server: Server) -> dict[str, int]:
    return server.counts("g", "24h", "cur")


def n_sources(server: Server) -> int:
    with server.client as client:
        return int(client.hlen("g:@sources"))


def pipe(config: Path, lines: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    arguments = [f"{BIN}/ecl", "tail", f"{config}", "-", *options]
    return subprocess.run(arguments, input=lines, capture_output=True, timeout=30)


@pytest.mark.parametrize(
    "inputs",
    [[{"file": "a.log"}], [{"listen": "tcp:127.0.0.1:1"}], [{"file": "a.log"}, {"input": "stdin"}]],
)
def test_standard_input_is_counted_up_to_its_end(
    server: Server, configure: Configure, inputs: list[dict[str, Any]]
) -> None:
    config = configure(server.config, *inputs)
    long_line = b"line" + b"x" * (3 << 20) + b"\n"
    done = pipe(config, b"\xef\xbb\xbfline\nother\r\n" + long_line + b"line\n" * 100_000 + b"line")
    assert done.returncode == 0
    assert counted(server) == {"line": 100_002, "@unmatched": 1, "@skipped": 1}
    assert b"has a line or record of more than 1 MiB" in done.stderr
    assert n_sources(server) == 0


def test_config_of_the_environment_leaves_the_argument_to_standard_input(
    server: Server, configure: Configure
) -> None:
    config = configure(server.config, {"input": "stdin"})
    environment = {**os.environ, "ECL_CONFIG": f"{config}"}
    subprocess.run([f"{BIN}/ecl", "tail", "-"], input=b"line", env=environment, timeout=30, check=True)
    assert counted(server) == {"line": 1}


@pytest.mark.parametrize("inputs", [[{"file": "a.log"}] * 2, [{"input": "stdin"}] * 2])
def test_standard_input_without_one_entry_is_an_error(
    server: Server, configure: Configure, inputs: list[dict[str, Any]]
) -> None:
    config = configure(server.config, *(each | {"source": str(n)} for n, each in enumerate(inputs)))
    done = pipe(config, b"line\n")
    assert done.returncode == 2
    assert b"standard input needs one entry with 'input: stdin'" in done.stderr


def test_entries_of_standard_input_need_the_argument(server: Server, run: Run, configure: Configure) -> None:
    done = run("ecl", "tail", configure(server.config, {"input": "stdin"}))
    assert (done.returncode, "use 'ecl tail CONFIG -'" in done.stderr) == (2, True)


def test_lines_of_a_running_program_count_within_seconds(server: Server, configure: Configure) -> None:
    config = configure(server.config, {"input": "stdin"})
    process = subprocess.Popen([BIN / "ecl", "tail", config, "-"], stdin=subprocess.PIPE)
    assert process.stdin
    for n in (1, 2):
        process.stdin.write(b"line\nli")
        process.stdin.flush()
        wait_until(lambda: counted(server).get("line", 0) >= 1, what=f"line {n}")
        process.stdin.write(b"ne\n")
        process.stdin.flush()
        wait_until(lambda n=n: counted(server) == {"line": 2 * n})  # type: ignore[misc]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdin.close()
    assert n_sources(server) == 0


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"multiline": {"start": "^line"}}, b"line\nmore\nline\nmore\n"),
        ({"format": "cri"}, b"2026-11-25T03:00:00Z stdout F line\n2026-11-25T03:00:00Z stdout P line\n"),
        ({}, b"line\nline"),
    ],
)
def test_end_by_a_signal_counts_the_last_record(
    server: Server, configure: Configure, settings: dict[str, Any], sent: bytes
) -> None:
    config = configure(server.config, {"input": "stdin", **settings})
    process = subprocess.Popen([BIN / "ecl", "tail", config, "-"], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(sent)
    process.stdin.flush()
    wait_until(lambda: counted(server) == {"line": 1})
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdin.close()
    assert counted(server) == {"line": 2}


def test_closed_standard_input_is_an_error(server: Server, configure: Configure) -> None:
    config = configure(server.config, {"input": "stdin"})
    command = f"{BIN}/ecl tail {config} - <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (2, "ERROR: standard input is closed\n")


def test_kill_loses_no_committed_line_and_leaves_a_source_to_prune(
    server: Server, start: Start, configure: Configure, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    config = configure(server.config, {"file": "fifo"})
    for n in (1, 2):
        process = start("ecl", "tail", config)
        wait_until(lambda n=n: n_sources(server) == n)  # type: ignore[misc]
        with fifo.open("w") as writer:
            writer.write("line\n" * 1000)
        wait_until(lambda n=n: counted(server) == {"line": 1000 * n})  # type: ignore[misc]
        process.kill()
        process.wait()
    with server.client as client:
        assert all(keys.is_process(source) for source in client.hkeys("g:@sources"))


def test_fifo_is_read_on_after_its_writers_have_closed_it(
    server: Server, start: Start, configure: Configure, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start("ecl", "tail", configure(server.config, {"file": "fifo"}))
    for n in range(1, 4):
        with fifo.open("w") as writer:
            writer.write("line\n" * 40_000)
        wait_until(lambda n=n: counted(server) == {"line": 40_000 * n})  # type: ignore[misc]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_once_reads_a_fifo_until_its_writers_have_closed_it(
    server: Server, start: Start, configure: Configure, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start("ecl", "tail", "--once", configure(server.config, {"file": "fifo"}))
    with fifo.open("w") as writer:
        writer.write("line\n" * 40_000 + "line")
    assert process.wait(60) == 0
    assert counted(server) == {"line": 40_001}


def connected(address: str) -> socket.socket:
    kind, _, at = address.partition(":")
    is_datagram = kind in ("udp", "unixgram")
    family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM)
    host, _, port = at.rpartition(":")
    found.connect(at if family == socket.AF_UNIX else (host, int(port)))
    return found


@pytest.mark.parametrize("kind", ["unix", "tcp", "unixgram", "udp"])
def test_socket_counts_the_lines_of_several_clients(
    server: Server, start: Start, configure: Configure, tmp_path: Path, kind: str
) -> None:
    port = free_port()
    address = f"{kind}:{tmp_path}/x.sock" if kind.startswith("unix") else f"{kind}:127.0.0.1:{port}"
    config = configure(server.config, {"listen": address.replace(f"{tmp_path}/", "")})
    for n in (1, 2):  # the second one replaces the socket of a killed process
        process = start("ecl", "tail", config)
        wait_until(lambda n=n: n_sources(server) == n)  # type: ignore[misc]
        clients = [connected(address) for _ in range(3)]
        for client in clients:
            client.sendall(b"line 1\nline")
        for client in clients:
            client.sendall(b" 2\nline 3")
            client.close()
        # A datagram ends its last line.
        expected = {"line": 9 * n} if kind in ("unix", "tcp") else {"line": 9 * n, "@unmatched": 3 * n}
        wait_until(lambda expected=expected: counted(server) == expected)  # type: ignore[misc]
        if n == 1:
            process.kill()
        else:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        process.wait()
    if kind.startswith("unix"):
        assert not (tmp_path / "x.sock").exists()


def test_packet_of_a_unix_socket_may_be_longer_than_64_kib(tmp_path: Path) -> None:
    address = f"unixgram:{tmp_path}/x.sock"
    listener = Listener(ListenAddress.parse(address), TextFormat(), TextFormat())
    (stream,) = listener.streams()
    packet = b"line\n" * 30_000 + b"last"
    client = connected(address)
    client.sendall(packet)
    client.sendall(b"next")
    assert b"".join(stream.chunks(1 << 20, Until.RECORD)) == packet + b"\nnext\n"
    client.close()
    listener.close()


@pytest.mark.parametrize(
    ("encoding", "packets", "lines"),
    [
        ("utf-8", [b"", b"line", b"", b"\n", b"\xef\xbb\xbfline\n", b""], "line\n\nline\n"),
        ("utf-16-le", [b"a\0b\0\n\0c", b"d\0", b"e\0\n\0"], "ab\n\ufffd\nd\ne\n"),
        ("utf-16", ["é".encode("utf-16-le"), b"\xfe\xff\0a", b"\xff\xfea\0", b"\xff"], "é\na\na\n\ufffd\n"),
        ("cp1252", ["é".encode("cp1252")], "é\n"),
    ],
)
def test_each_packet_is_a_text_of_its_own(
    tmp_path: Path, encoding: str, packets: list[bytes], lines: str
) -> None:
    address = f"unixgram:{tmp_path}/x.sock"
    listener = Listener(ListenAddress.parse(address), TextFormat(encoding), TextFormat())
    (stream,) = listener.streams()
    client = connected(address)
    for packet in packets:
        client.send(packet)
    assert b"".join(stream.chunks(1 << 20, Until.RECORD)).decode() == lines
    assert not stream.is_ended
    client.close()
    listener.close()


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_host_that_cannot_be_a_name_is_an_error_with_the_address(host: str) -> None:
    with pytest.raises(InputError, match=f"^tcp:{host}:80 cannot be opened: .*too long"):
        Listener(ListenAddress.parse(f"tcp:{host}:80"), TextFormat(), TextFormat())


def test_socket_in_use_is_an_error_that_names_it(
    server: Server, start: Start, run: Run, configure: Configure, tmp_path: Path
) -> None:
    config = configure(server.config, {"listen": "unix:x.sock"})
    process = start("ecl", "tail", config)
    wait_until(lambda: n_sources(server) == 1)
    done = run("ecl", "tail", config)
    assert done.returncode == 2
    assert f"unix:{tmp_path}/x.sock cannot be opened: Address already in use" in done.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    done = run("ecl", "tail", "--once", config)
    assert done.returncode == 1
    assert "x.sock has no end, which --once would wait for" in done.stderr


def test_reading_stops_while_redis_is_unavailable_and_nothing_counts_twice(
    own_server: Server, start: Start, configure: Configure, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start("ecl", "tail", configure(own_server.config, {"file": "fifo"}))
    wait_until(lambda: n_sources(own_server) == 1)
    with fifo.open("w") as writer:
        writer.write("line\n")
        writer.flush()
        wait_until(lambda: counted(own_server) == {"line": 1})
        own_server.kill()
        writer.write("line\n")
        writer.flush()
        assert process.stderr
        assert "cannot be reached" in process.stderr.readline()
        os.set_blocking(writer.fileno(), False)
        n = 2
        with pytest.raises(BlockingIOError):  # the pipe fills: the command does not read on
            while True:
                n += os.write(writer.fileno(), b"line\n") // 5
        own_server.start()
        wait_until(lambda: counted(own_server) == {"line": n})
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "tail[0].file: is missing"),
        ({"file": "a", "input": "stdin"}, "tail[0].input: is given beside 'file': an entry has one input"),
        ({"file": "a", "listen": "udp:h:1"}, "tail[0].listen: is given beside 'file'"),
        ({"input": "stdout"}, "tail[0].input: 'stdout' is not 'stdin' or 'journald'"),
        ({"input": "stdin", "units": ["a"]}, "tail[0].units: has no effect without 'input: journald'"),
        ({"listen": "tcp:5140"}, "tail[0].listen: 'tcp:5140' is not an address: it is not like unix:"),
        ({"listen": "udp:localhost:65536"}, "'udp:localhost:65536' is not an address"),
        ({"listen": "http://localhost:80"}, "'http://localhost:80' is not an address"),
        ({"file": "a", "encoding": "rot13"}, "tail[0].encoding: 'rot13' is not an encoding of text"),
        ({"file": "a", "encoding": "utf-32"}, "tail[0].encoding: 'utf-32' is not an encoding of text"),
        ({"file": "a", "encoding": "idna"}, "tail[0].encoding: 'idna' is not an encoding of text"),
        ({"file": "a", "encoding": "undefined"}, "tail[0].encoding: 'undefined' is not an encoding of text"),
        (
            {"file": "a", "encoding": "raw_unicode_escape"},
            "encoding: 'raw_unicode_escape' is not an encoding",
        ),
    ],
)
def test_problem_of_an_input_has_its_place(
    config_file: Write, settings: dict[str, Any], expected: str
) -> None:
    tail = [{"group": "g", "rules": RULES} | settings]
    with pytest.raises(ConfigError) as caught:
        from_file(config_file({"groups": {"g": {"intervals": ["5m"], "events": ["line"]}}, "tail": tail}))
    assert expected in str(caught.value)
