"""ecl files: lists the files for services and monitoring that are installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from event_count_logger.cli.base import ExitStatus, Failure, command, with_version

#: The purpose of each file, by its path in share/event-count-logger. A checkout has them in deploy and munin.
PURPOSES = {
    "container/Dockerfile": "image with `ecl serve`, `ecl alert` and `ecl export`, built in a checkout",
    "container/Dockerfile.dockerignore": "files that the image does not need",
    "container/compose.yml": "Compose file with Valkey, a master and the HTTP server",
    "container/config/ecl.yml": "configuration for the Compose file",
    "grafana/dashboard.json": "dashboard of Grafana, to be imported",
    "kubernetes/app.yaml": "example of an application that counts",
    "kubernetes/config.yaml": "configuration for all pods",
    "kubernetes/master.yaml": "Deployment of `ecl master`",
    "kubernetes/serve.yaml": "Deployment of `ecl serve`",
    "kubernetes/tail.yaml": "DaemonSet of `ecl tail`",
    "kubernetes/valkey.yaml": "Valkey for the other pods",
    "munin/ecl_": "plugin of Munin, to be linked into /etc/munin/plugins",
    "prometheus/alerts.yml": "alert rules of Prometheus",
    "prometheus/alerts_test.yml": "tests of these rules, for `promtool test rules`",
    "supervisor/event-count-logger.conf": "programs for supervisord",
    "systemd/ecl-alert.service": "unit of systemd for `ecl alert`",
    "systemd/ecl-export.service": "unit of systemd for `ecl export`",
    "systemd/ecl-master.service": "unit of systemd for `ecl master`",
    "systemd/ecl-serve.service": "unit of systemd for `ecl serve`",
    "systemd/ecl-tail.service": "unit of systemd for `ecl tail`",
}

#: The folders of the files.
KINDS = sorted({name.split("/")[0] for name in PURPOSES})


@command()
@click.argument("kind", type=click.Choice(KINDS), metavar="[KIND]", required=False)
@with_version
def files(kind: str | None) -> None:
    """List the files for services and monitoring that come with this package.

    With KIND, print only the paths of its files, for scripts. KIND is one of container, grafana,
    kubernetes, munin, prometheus, supervisor and systemd.

    \b
    Example:
      $ ecl files
      /opt/event-count-logger/share/event-count-logger
        grafana/dashboard.json      dashboard of Grafana, to be imported
        systemd/ecl-master.service  unit of systemd for `ecl master`
      $ cp $(ecl files systemd) /etc/systemd/system

    \b
    Exit status: 0; 1 the package was installed without its files; 2 wrong usage.
    """
    folder = _folder()
    found = dict(_found(folder))
    if kind:
        for name, path in found.items():
            if name.startswith(f"{kind}/"):
                print(folder / path)
        return
    print(folder)
    width = max(len(path) for path in found.values())
    for name, path in found.items():
        print(f"  {path:{width}}  {PURPOSES[name]}")


def _folder() -> Path:
    """Returns the checkout, or share/event-count-logger of the installation."""
    package = Path(__file__).parents[1]
    if (package.parent / "deploy" / "systemd" / "ecl-master.service").exists():
        return package.parent
    for parent in package.parents:
        if (parent / "share" / "event-count-logger").is_dir():
            return parent / "share" / "event-count-logger"
    missing = f"share/event-count-logger is missing in the folders above {package}"
    raise Failure(f"{missing}: install the package from its wheel", ExitStatus.UNKNOWN)


def _found(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the name of each file that exists, and its path in the folder."""
    for name in PURPOSES:
        for path in (name, f"deploy/{name}"):
            if (folder / path).exists():
                yield name, path
