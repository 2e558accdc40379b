"""A real Prometheus that scrapes a real `ecl serve`, set up as in docs/openmetrics.md."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from event_count_logger.config import from_file
from event_count_logger.store import Store
from tests.conftest import BIN, ROOT
from tests.days import let_midnight_pass
from tests.servers import Server, free_port, wait_until

GUIDE = (ROOT / "docs" / "openmetrics.md").read_text()
SCRAPE_CONFIG = GUIDE.partition("## Scraping")[2].partition("```yaml\n")[2].partition("```")[0]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"

GROUPS: dict[str, Any] = {
    "web": {"events": ["ok", "error"], "intervals": ["1s", "24h"]},
    "dynamic": {"auto_declare_events": True, "intervals": ["1s"]},
    "visits": {"events": ["shop"], "intervals": ["24h"], "sessions": {}},
}


class Monitoring:
    """A Redis server, a master, `ecl serve`, and a Prometheus that scrapes it each second."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = Server("valkey", directory)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment = {**os.environ, "ECL_SPOOL_DIR": str(directory / "spool")}
        config_file = directory / "ecl.yml"
        config_file.write_text(json.dumps({"redis": self.server.config, "groups": GROUPS}))
        self.config = from_file(config_file)
        self.store = Store(self.config.redis)
        self._positions = dict.fromkeys(GROUPS, 0)
        let_midnight_pass(self.store)
        self.yesterday = self.store.client.server_time() - 86_400
        self.count("web", {"ok": 54}, "24h", now=self.yesterday)  # for the master to end
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://127.0.0.1:{free_port()}/"
        try:
            self.master = self._start(BIN / "ecl_master", config_file)
            self._start(BIN / "ecl", "serve", config_file, "--listen", address)
            self._start_prometheus(address)
            wait_until(self._is_ready, what="Prometheus has started")
            wait_until(lambda: self.value("ecl_up") == 1, what="it has scraped")
        except BaseException:
            self.close()
            raise

    def _start(self, *command: object) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{Path(str(command[0])).name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [str(word) for word in command], stdout=log, stderr=log, env=self._environment
            )
        self._processes.append(process)
        return process

    def _start_prometheus(self, address: str) -> None:
        config = yaml.safe_load(SCRAPE_CONFIG.replace("127.0.0.1:8917", address))
        # A series whose last scrape has timed out has no value.
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        config["global"]["evaluation_interval"] = "200ms"
        config["rule_files"] = [str(RULES)]
        (self.directory / "prometheus.yml").write_text(json.dumps(config))
        self._start(
            "prometheus",
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={urllib.parse.urlsplit(self._url).netloc}",
            "--enable-feature=created-timestamp-zero-ingestion",
        )

    def count(self, group: str, counts: Mapping[str, int], *intervals: str, now: float | None = None) -> None:
        """Count in all intervals of a group, or in the named ones."""
        configured = self.config.groups[group]
        chosen = tuple(each for each in configured.intervals if not intervals or each.name in intervals)
        begin = self._positions[group]
        self._positions[group] += 1
        done = self.store.commits.commit(
            replace(configured, intervals=chosen), "test", begin, begin + 1, counts, now=now
        )
        assert done.outcome == "applied"

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Returns the labels and the current value of each series of an expression."""
        found = self._ask("query", query=expression)
        return [(series["metric"], float(series["value"][1])) for series in found["result"]]

    def value(self, expression: str) -> float | None:
        """Returns the value of an expression with one series; None if it has none."""
        found = self.query(expression)
        assert len(found) < 2
        return found[0][1] if found else None

    def label_values(self, series: str, label: str) -> list[str]:
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": series})
        return found

    def alerts(self) -> set[str]:
        """Returns the names of the pending and firing alerts."""
        return {alert["labels"]["alertname"] for alert in self._ask("alerts")["alerts"]}

    def _ask(self, path: str, **arguments: str) -> Any:
        try:
            return json.loads(self._get(f"api/v1/{path}?{urllib.parse.urlencode(arguments)}"))["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{arguments}: {error.read().decode()}") from error

    def _is_ready(self) -> bool:
        with suppress(OSError):  # also while it closes a connection, or does not answer
            return bool(self._get("-/ready"))
        return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self._url + path, timeout=60) as answer:
            content: bytes = answer.read()
            return content

    def close(self) -> None:
        self.store.close()
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(20)
        self.server.kill()
