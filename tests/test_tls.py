"""TLS: a server whose certificate can be trusted is used, and another one is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from event_count_logger import Unavailable
from event_count_logger.config import from_dicts
from event_count_logger.store import Store
from tests.conftest import needs_debian
from tests.servers import Server

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def certified(directory: Path, name: str, signed_by: str = "") -> tuple[Path, Path]:
    """A certificate for this machine and its key, signed by one that was made before, or by itself."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    signer = ["-CA", directory / f"{signed_by}.pem", "-CAkey", directory / f"{signed_by}.key"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    common = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2]
    openssl(
        *("req", *common, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate),
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
    with_tls = {
        "--tls-cert-file": directory / "server.pem",
        "--tls-key-file": directory / "server.key",
        "--tls-ca-cert-file": directory / "ca.pem",
        "--tls-auth-clients": "optional",
    }
    server = TlsServer("redis", directory, *(str(word) for pair in with_tls.items() for word in pair))
    yield server
    server.kill()


def test_a_server_that_the_right_authority_vouches_for_is_used(
    tls_server: Server, directory: Path, run: Run, config_file: Callable[..., Path]
) -> None:
    secure = {**tls_server.config, "ssl_ca_certs": str(directory / "ca.pem")}
    file = config_file({"redis": secure, "groups": {"web": {"events": ["a"], "intervals": ["5m"]}}})
    assert run("ecl", "log_event", file, "web", "a").returncode == 0
    assert run("ecl", "reader", file, "-g", "web", "--current").stdout == "a:1\n"
    address = f"rediss://127.0.0.1:{tls_server.port}"
    Store(from_dicts({}, {"url": address, "ssl_ca_certs": str(directory / "ca.pem")}).redis).ping()


@pytest.mark.parametrize("authority", [{}, {"ssl_ca_certs": "other.pem"}])
def test_a_server_that_nobody_vouches_for_is_not(
    authority: dict[str, str], tls_server: Server, directory: Path, run: Run, config_file: Callable[..., Path]
) -> None:
    settings = {name: str(directory / file) for name, file in authority.items()}
    file = config_file({"redis": {**tls_server.config, **settings}, "groups": {}})
    done = run("ecl", "status", file)
    assert done.returncode == 3
    assert f"Redis at 127.0.0.1:{tls_server.port}/0 cannot be reached" in done.stdout
    assert "certificate verify failed" in done.stdout
    Store(from_dicts({}, {**tls_server.config, "ssl_cert_reqs": "none"}).redis).ping()


def test_the_name_in_the_certificate_must_be_the_one_that_was_asked_for(
    tls_server: Server, directory: Path
) -> None:
    secure = {**tls_server.config, "host": "localhost", "ssl_ca_certs": str(directory / "ca.pem")}
    with pytest.raises(Unavailable, match="Hostname mismatch"):
        Store(from_dicts({}, secure).redis).ping()
    Store(from_dicts({}, {**secure, "ssl_check_hostname": False}).redis).ping()


def test_a_client_shows_its_own_certificate(tls_server: Server, directory: Path) -> None:
    own = {"ssl_certfile": str(directory / "client.pem"), "ssl_keyfile": str(directory / "client.key")}
    secure = {**tls_server.config, "ssl_ca_certs": str(directory / "ca.pem")}
    with tls_server.client as client:
        client.config_set("tls-auth-clients", "yes")
    Store(from_dicts({}, {**secure, **own}).redis).ping()
    with pytest.raises(Unavailable):
        Store(from_dicts({}, secure).redis).ping()
