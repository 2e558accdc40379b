"""The section `redis`: address, TLS, and credentials in files or the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from event_count_logger import ConfigError, EventCountLogger
from event_count_logger.config import RedisConfig, from_dicts, from_file
from tests.conftest import ROOT
from tests.fixtures import Write

GROUPS = {"web": {"intervals": ["5m"], "events": ["a"]}}
SECRET = "hush5"


def redis(**settings: Any) -> RedisConfig:
    return from_dicts(GROUPS, settings).redis


def problems(**settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        redis(**settings)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("settings", "location", "identity"),
    [
        (
            {"cluster": True, "nodes": ["redis2:7000", "127.0.0.1:7001", "redis2:7000"]},
            "cluster redis2:7000, 127.0.0.1:7001",
            "cluster:localhost:7001,redis2:7000",
        ),
        ({"cluster": True}, "cluster localhost:6379", "cluster:localhost:6379"),
        ({"cluster": True, "port": 7000}, "cluster localhost:7000", "cluster:localhost:7000"),
        ({"cluster": True, "db": 0}, "cluster localhost:6379", "cluster:localhost:6379"),
        ({"cluster": True, "url": "rediss://u:hush5@r:7/0"}, "cluster r:7", "cluster:r:7"),
        ({"cluster": True, "nodes": ["[fe80::1]:7"]}, "cluster fe80::1:7", "cluster:fe80::1:7"),
        (
            {"sentinel": {"nodes": ["s1:26379", "s2:26380"], "service": "ecl"}, "db": 2},
            "'ecl' of sentinels s1:26379, s2:26380",
            "sentinel:ecl/2",
        ),
        ({"cluster": False, "host": "h"}, "h:6379/0", "h:6379/0"),
        ({"ssl": True, "host": "h"}, "h:6379/0", "h:6379/0"),
    ],
)
def test_each_form_of_address_has_a_location_and_an_identity(
    settings: dict[str, Any], location: str, identity: str
) -> None:
    assert (redis(**settings).location, redis(**settings).identity) == (location, identity)


def test_keys_have_a_hash_tag_in_a_cluster_only() -> None:
    assert from_dicts(GROUPS, {"cluster": True}).group("web").prefix == "{web}"
    assert from_dicts(GROUPS, {"cluster": False}).group("web").prefix == "web"


ONE_WAY = "only one of them can be the address of Redis"
SENTINEL = {"nodes": ["s:1"], "service": "ecl"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"cluster": True, "nodes": ["a:1"], "host": "h"}, f"host: is given beside 'nodes': {ONE_WAY}"),
        ({"cluster": True, "url": "redis://h", "port": 1}, f"port: is given beside 'url': {ONE_WAY}"),
        ({"sentinel": SENTINEL, "host": "h"}, f"host: is given beside 'sentinel': {ONE_WAY}"),
        ({"nodes": ["a:1"]}, "nodes: are the nodes of a cluster: 'cluster: true' is needed beside them"),
        ({"cluster": True, "db": 3}, "db: 3 is not in a cluster, which has database 0 only"),
        (
            {"cluster": True, "url": "redis://h/3"},
            "url: '/3' in the address is not in a cluster, which has database 0 only",
        ),
        (
            {"cluster": True, "url": "unix:///s"},
            "url: is the address of a unix socket, which cannot belong to a cluster",
        ),
        (
            {"cluster": True, "embedded": "d"},
            "embedded: is given beside 'cluster: true': such a server is no cluster",
        ),
        (
            {"cluster": True, "sentinel": SENTINEL},
            "sentinel: is given beside 'cluster: true': such a server is no cluster",
        ),
        ({"cluster": "perhaps"}, "cluster: 'perhaps' is not true or false"),
        (
            {"cluster": True, "nodes": []},
            "nodes: is empty: at least one node is needed, for example [redis1:6379]",
        ),
        (
            {"cluster": True, "nodes": "a:1"},
            "nodes: 'a:1' is not a list (write [a:1] for a single one)",
        ),
        (
            {"cluster": True, "nodes": ["a:1", "redis2"]},
            "nodes[1]: 'redis2' is not an address (use host:port, for example 'redis1:6379')",
        ),
        ({"cluster": True, "nodes": ["a:99999"]}, "nodes[0]: '99999' is not a TCP port (1 to 65535)"),
        ({"sentinel": "s:1"}, "sentinel: is not a mapping of settings"),
        (
            {"sentinel": {"service": "ecl"}},
            "sentinel.nodes: is missing (for example nodes: [sentinel1:26379])",
        ),
        (
            {"sentinel": {"nodes": ["s:1"]}},
            "sentinel.service: is missing (for example service: mymaster)",
        ),
        (
            {"sentinel": {**SENTINEL, "sevice": "x"}},
            "sentinel.sevice: is not known (did you mean 'service'?)",
        ),
        (
            {"password": SECRET, "password_env": "PATH"},
            "password_env: is given beside 'password': only one of them can be the password",
        ),
        ({"password_env": "ECL_NOT_SET"}, "password_env: names an environment variable that is not set"),
        ({"username_env": "a b"}, "username_env: is not the name of an environment variable"),
        (
            {"password_file": "/nowhere"},
            "password_file: '/nowhere' cannot be read: No such file or directory",
        ),
        (
            {"sentinel": {**SENTINEL, "password_file": "/nowhere"}},
            "sentinel.password_file: '/nowhere' cannot be read: No such file or directory",
        ),
        (
            {"ssl": True, "ssl_ca_certs": "/nowhere"},
            "ssl_ca_certs: '/nowhere' cannot be read: No such file or directory",
        ),
        (
            {"ssl": True, "ssl_cert_reqs": "maybe"},
            "ssl_cert_reqs: 'maybe' is not 'none', 'optional' or 'required'",
        ),
        (
            {"ssl_check_hostname": False},
            "ssl_check_hostname: has no effect without TLS: 'ssl: true' is needed beside it",
        ),
        (
            {"ssl": True, "url": "redis://h"},
            "ssl: is given beside 'url': write rediss:// in place of redis://",
        ),
        ({"ssl": True, "embedded": "d"}, "ssl: is given beside 'embedded': a unix socket needs no TLS"),
    ],
)
def test_contradicting_or_missing_settings_are_rejected(settings: dict[str, Any], problem: str) -> None:
    assert problems(**settings) == [f"redis.{problem}"]


def test_credentials_are_read_from_files_and_environment(
    tmp_path: Path, config_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECL_TEST_USER", "me")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    settings = {"username_env": "ECL_TEST_USER", "password_file": "secret"}
    assert from_file(config_file({"redis": settings, "groups": GROUPS})).redis.options == {
        "username": "me",
        "password": SECRET,
    }
    monkeypatch.setenv("ECL_TEST_PASSWORD", SECRET)
    assert redis(password_env="ECL_TEST_PASSWORD").options == {"password": SECRET}


def test_sentinels_have_credentials_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECL_TEST_PASSWORD", "theirs")
    found = redis(password=SECRET, sentinel={**SENTINEL, "password_env": "ECL_TEST_PASSWORD"})
    assert found.sentinel
    assert found.options["password"] == SECRET
    assert found.sentinel.options == {"username": None, "password": "theirs"}


def test_certificate_files_are_relative_to_the_configuration(tmp_path: Path, config_file: Write) -> None:
    (tmp_path / "ca.pem").write_text("")
    settings = {"ssl": True, "ssl_ca_certs": "ca.pem", "ssl_check_hostname": False}
    assert from_file(config_file({"redis": settings, "groups": GROUPS})).redis.options == {
        "ssl_ca_certs": str(tmp_path / "ca.pem"),
        "ssl_check_hostname": False,
    }


def test_password_from_file_or_environment_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECL_TEST_PASSWORD", SECRET)
    (tmp_path / "secret").write_text(SECRET)
    for secret in ({"password_env": "ECL_TEST_PASSWORD"}, {"password_file": str(tmp_path / "secret")}):
        settings: dict[str, Any] = {"sentinel": {**SENTINEL, **secret}, **secret}
        with EventCountLogger(GROUPS, settings) as ecl:
            assert SECRET not in f"{ecl.dump_config()} {ecl.config} {ecl.config.redis!r}"
    assert SECRET not in str(problems(password_env=f"{SECRET}"))
    assert SECRET not in str(problems(sentinel={**SENTINEL, "password": [SECRET]}))


def documented() -> list[str]:
    text = (ROOT / "docs/deployment.md").read_text()
    yaml_blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = [block for block in yaml_blocks if "redis:" in block]
    return [
        part for block in blocks for part in (block.splitlines() if block.count("redis:") > 1 else [block])
    ]


@pytest.mark.parametrize("written", documented())
def test_each_example_of_the_deployment_page_is_valid(
    written: str, tmp_path: Path, config_file: Write
) -> None:
    for name in ("secret", "sentinel-secret", "ca.pem", "me.pem", "me.key"):
        (tmp_path / name).write_text("x\n")
    assert from_file(config_file(f"{written.strip()}\ngroups: {{web: {{intervals: [5m]}}}}\n")).warnings == ()


@pytest.mark.parametrize("password", [f"/{SECRET}", f"12/{SECRET}", f"?{SECRET}=1", f"#{SECRET}"])
def test_url_with_an_unescaped_password_is_rejected_without_showing_it(password: str) -> None:
    (problem,) = problems(url=f"redis://me:{password}@host:6379/0")
    assert "write %2F, %3F or %23 there" in problem
    assert SECRET not in problem


@pytest.mark.parametrize(
    "settings",
    [
        {"cluster": True, "nodes": [f"me:{SECRET}@host:6379"]},
        {"sentinel": {"nodes": [f"redis://:{SECRET}@host:26379"], "service": "ecl"}},
        {"url": f"redis://me:two\nlines{SECRET}@host:port"},
    ],
)
def test_password_in_the_wrong_place_is_not_shown(settings: dict[str, Any]) -> None:
    (problem,) = problems(**settings)
    assert "***@host" in problem
    assert SECRET not in problem
