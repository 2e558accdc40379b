"""The files for containers: valid, and consistent with each other and with the commands."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from event_count_logger.config import Config, from_file
from event_count_logger.errors import ConfigError
from tests.commands_of_files import fails_only_because_of_its_configuration
from tests.conftest import BIN, ROOT
from tests.fixtures import Run

COMPOSE = ROOT / "deploy/container"
KUBERNETES = ROOT / "deploy/kubernetes"

#: Versions of Kubernetes: an old one, and the newest that the validator knows.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]

MANIFESTS: list[dict[str, Any]] = [
    manifest
    for file in sorted(KUBERNETES.glob("*.yaml"))
    for manifest in yaml.safe_load_all(file.read_text())
]
WORKLOADS = {each["metadata"]["name"]: each for each in MANIFESTS if "template" in each.get("spec", {})}
SERVICES = [each for each in MANIFESTS if each["kind"] == "Service"]
OWN = [name for name in WORKLOADS if name.startswith("ecl-")]


def test_containers_have_no_capabilities_and_write_only_to_volumes(run: Run) -> None:
    compose = yaml.safe_load((COMPOSE / "compose.yml").read_text())
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        written = {volume.split(":")[0] for volume in service["volumes"] if not volume.endswith(":ro")}
        assert written <= set(compose["volumes"])
        if name != "valkey":
            fails_only_because_of_its_configuration(run, service["command"], ECL_LOG_FORMAT="json")
    assert compose["services"]["serve"]["ports"] == ["127.0.0.1:8917:8917"]


def test_image_runs_as_unprivileged_user_with_a_health_check() -> None:
    lines = (COMPOSE / "Dockerfile").read_text().splitlines()
    assert "USER 10001" in lines
    assert lines.index("USER 10001") > max(n for n, line in enumerate(lines) if line.startswith("RUN"))
    assert 'CMD ["ecl", "status"]' in next(line for line in lines if line.startswith("HEALTHCHECK"))


def test_configuration_of_the_containers_is_valid() -> None:
    config = from_file(COMPOSE / "config/ecl.yml")
    assert config.warnings == ()
    assert config.redis.host in yaml.safe_load((COMPOSE / "compose.yml").read_text())["services"]


def test_compose_file_is_valid() -> None:
    command = f"{BIN}/check-jsonschema --builtin-schema vendor.compose-spec {COMPOSE}/compose.yml"
    done = subprocess.run(command.split(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Kubernetes


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(version: str) -> None:
    for manifest in MANIFESTS:
        kubernetes_validate.validate(manifest, version, strict=True)


def pod_of(name: str) -> dict[str, Any]:
    pod: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return pod


def container_of(name: str) -> dict[str, Any]:
    (container,) = pod_of(name)["containers"]
    return dict(container)


@pytest.mark.parametrize("name", WORKLOADS)
def test_selector_of_workload_matches_its_pods(name: str) -> None:
    spec = WORKLOADS[name]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service["metadata"]["name"])
def test_service_has_pods_with_its_port(service: dict[str, Any]) -> None:
    (name,) = [
        name
        for name, workload in WORKLOADS.items()
        if workload["spec"]["template"]["metadata"]["labels"] == service["spec"]["selector"]
    ]
    (port,) = service["spec"]["ports"]
    (exposed,) = container_of(name)["ports"]
    assert exposed["containerPort"] == port["port"]
    assert exposed.get("name") == port.get("targetPort")


@pytest.mark.parametrize("name", WORKLOADS)
def test_pod_mounts_what_it_and_the_others_define(name: str) -> None:
    pod = pod_of(name)
    claims = WORKLOADS[name]["spec"].get("volumeClaimTemplates", [])
    defined = {volume["name"] for volume in pod.get("volumes", [])}
    defined |= {claim["metadata"]["name"] for claim in claims}
    assert defined == {mount["name"] for mount in container_of(name)["volumeMounts"]}
    maps = {volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume}
    assert maps <= {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "ConfigMap"}


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "app"])
def test_container_has_no_rights_and_writes_only_to_volumes(name: str) -> None:
    assert pod_of(name)["securityContext"]["runAsNonRoot"]
    assert container_of(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", OWN)
def test_container_starts_an_existing_command(name: str, run: Run) -> None:
    fails_only_because_of_its_configuration(run, container_of(name)["args"], ECL_LOG_FORMAT="json")


@pytest.mark.parametrize("name", [*OWN, "app"])
def test_user_and_folders_are_those_of_the_image(name: str) -> None:
    image = (COMPOSE / "Dockerfile").read_text()
    assert f"USER {pod_of(name)['securityContext']['runAsUser']}\n" in image
    places = [mount["mountPath"] for mount in container_of(name)["volumeMounts"]]
    own = [place for place in places if place.endswith("event-count-logger")]
    assert own
    assert all(place in image for place in own)


@pytest.fixture
def configurations(tmp_path: Path) -> Path:
    """Returns a folder with the files of the ConfigMap."""
    (data,) = [each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap"]
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_configurations_of_the_cluster_agree(configurations: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "node-1")
    everyone, tail = (from_file(configurations / name) for name in ("ecl.yml", "tail.yml"))
    assert (everyone.warnings, tail.warnings) == ((), ())
    assert everyone.redis == tail.redis
    assert everyone.redis.host in {service["metadata"]["name"] for service in SERVICES}
    assert tail.groups.items() <= everyone.groups.items()
    assert [entry.source for entry in tail.tail] == ["node-1"]
    assert not everyone.tail


def test_configuration_of_programs_needs_no_variable(configurations: Path) -> None:
    assert isinstance(from_file(configurations / "ecl.yml"), Config)
    with pytest.raises(ConfigError, match="NODE_NAME, which is not set"):
        from_file(configurations / "tail.yml")
