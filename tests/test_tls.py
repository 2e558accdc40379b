"""TLS: servers with a trusted certificate are used, and all others are rejected."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from event_count_logger import Unavailable
from event_count_logger.config import from_dicts
from event_count_logger.store import Store
from tests.conftest import needs_debian
from tests.fixtures import Run, Write
from tests.servers import Server, free_port, wait_until


def openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def certified(directory: Path, name: str, signed_by: str = "") -> tuple[Path, Path]:
    """Make a certificate for this machine and its key, signed by an earlier certificate or by itself."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    signer = ["-CA", directory / f"{signed_by}.pem", "-CAkey", directory / f"{signed_by}.key"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    usage = [
        "-addext",
        "keyUsage=critical,digitalSignature,keyCertSign",
    ]  # Python 3.13 rejects an authority without
    common = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2]
    openssl(
        *("req", *common, *usage, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate),
        *([*signer, *names] if signed_by else []),
    )
    return certificate, key


class TlsServer(Server):
    """Answers with TLS only."""

    def _listening(self) -> list[str]:
        return ["--port", "0", "--tls-port", str(self.port)]

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "ssl": True}

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, ssl=True, ssl_cert_reqs="none", decode_responses=True)


def with_tls(directory: Path) -> list[str]:
    """Returns the arguments of a server with TLS."""
    settings = {
        "--tls-cert-file": directory / "server.pem",
        "--tls-key-file": directory / "server.key",
        "--tls-ca-cert-file": directory / "ca.pem",
        "--tls-auth-clients": "optional",
    }
    return [str(word) for pair in settings.items() for word in pair]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_debian("openssl", "openssl")
    directory = tmp_path_factory.mktemp("certificates")
    for name, signed_by in (("ca", ""), ("other", ""), ("server", "ca"), ("client", "ca")):
        certified(directory, name, signed_by)
    return directory


@pytest.fixture(scope="module")
def tls_server(directory: Path) -> Iterator[Server]:
    needs_debian("redis-server", "redis-server")
    server = TlsServer("redis", directory, *with_tls(directory))
    yield server
    server.kill()


def test_server_certified_by_configured_authority_is_used(
    tls_server: Server, directory: Path, run: Run, config_file: Write
) -> None:
    secure = {**tls_server.config, "ssl_ca_certs": str(directory / "ca.pem")}
    file = config_file({"redis": secure, "groups": {"web": {"events": ["a"], "intervals": ["5m"]}}})
    assert run("ecl", "log_event", file, "web", "a").returncode == 0
    assert run("ecl", "reader", file, "-g", "web", "--current").stdout == "a:1\n"
    address = f"rediss://127.0.0.1:{tls_server.port}"
    Store(from_dicts({}, {"url": address, "ssl_ca_certs": str(directory / "ca.pem")}).redis).servers.ping()


@pytest.mark.parametrize("authority", [{}, {"ssl_ca_certs": "other.pem"}])
def test_server_with_untrusted_certificate_is_unreachable(
    authority: dict[str, str], tls_server: Server, directory: Path, run: Run, config_file: Write
) -> None:
    settings = {name: str(directory / file) for name, file in authority.items()}
    file = config_file({"redis": {**tls_server.config, **settings}, "groups": {}})
    done = run("ecl", "status", file)
    assert done.returncode == 3
    assert f"Redis at 127.0.0.1:{tls_server.port}/0 cannot be reached" in done.stdout
    assert "certificate verify failed" in done.stdout
    Store(from_dicts({}, {**tls_server.config, "ssl_cert_reqs": "none"}).redis).servers.ping()


def test_error_of_a_client_without_tls_names_the_setting(tls_server: Server) -> None:
    with pytest.raises(Unavailable, match=r"reset by peer \(does the server require TLS\? 'ssl'\)$"):
        Store(from_dicts({}, {**tls_server.config, "ssl": False}).redis).servers.ping()


def test_certificate_for_another_host_name_is_rejected(tls_server: Server, directory: Path) -> None:
    secure = {**tls_server.config, "host": "localhost", "ssl_ca_certs": str(directory / "ca.pem")}
    with pytest.raises(Unavailable, match="Hostname mismatch"):
        Store(from_dicts({}, secure).redis).servers.ping()
    Store(from_dicts({}, {**secure, "ssl_check_hostname": False}).redis).servers.ping()


def test_client_sends_its_own_certificate(tls_server: Server, directory: Path) -> None:
    own = {"ssl_certfile": str(directory / "client.pem"), "ssl_keyfile": str(directory / "client.key")}
    secure = {**tls_server.config, "ssl_ca_certs": str(directory / "ca.pem")}
    with tls_server.client as client:
        client.config_set("tls-auth-clients", "yes")
        try:
            Store(from_dicts({}, {**secure, **own}).redis).servers.ping()
            with pytest.raises(Unavailable):
                Store(from_dicts({}, secure).redis).servers.ping()
        finally:
            client.config_set("tls-auth-clients", "optional")


def test_cluster_nodes_are_reached_with_tls(directory: Path, tmp_path: Path) -> None:
    more = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", str(free_port())]
    server = TlsServer("redis", tmp_path, *with_tls(directory), *more)
    try:
        with server.client as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: client.cluster("INFO")["cluster_state"] == "ok")
        settings = {"ssl": True, "ssl_ca_certs": str(directory / "ca.pem")}
        for way in ({"nodes": [f"127.0.0.1:{server.port}"], **settings}, {**server.config, **settings}):
            config = from_dicts({"web": {"intervals": ["5m"]}}, {"cluster": True, **way})
            store = Store(config.redis)
            store.commits.commit(config.group("web"), "s", 0, 1, {"a": 1})
            store.close()
        assert server.counts("{web}", "5m", "cur") == {"a": 1}
    finally:
        server.kill()


def test_sentinels_and_their_master_are_reached_with_tls(
    tls_server: Server, directory: Path, tmp_path: Path
) -> None:
    port = free_port()
    file = tmp_path / "sentinel.conf"
    settings = [word.removeprefix("--") for word in with_tls(directory)]
    lines = [" ".join(pair) for pair in zip(settings[::2], settings[1::2], strict=True)]
    lines += ["port 0", f"tls-port {port}", "tls-replication yes", "bind 127.0.0.1", f"dir {tmp_path}"]
    lines += [f"logfile {tmp_path}/log", f"sentinel monitor ecl 127.0.0.1 {tls_server.port} 1"]
    file.write_text("\n".join(lines))
    sentinel = subprocess.Popen([tls_server.binary, str(file), "--sentinel"])
    try:
        way = {"sentinel": {"nodes": [f"127.0.0.1:{port}"], "service": "ecl"}, "ssl": True}
        store = Store(from_dicts({}, {**way, "ssl_ca_certs": str(directory / "ca.pem")}).redis)
        wait_until(lambda: answers(store), what="the sentinel names the master")
        store.close()
        with pytest.raises(Unavailable, match="certificate verify failed"):
            Store(from_dicts({}, way).redis).servers.ping()
    finally:
        sentinel.kill()
        sentinel.wait()


def answers(store: Store) -> bool:
    try:
        store.servers.ping()
    except Unavailable:
        return False
    return True
