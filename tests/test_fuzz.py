"""Every route, fuzzed against the OpenAPI description of the server."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import BIN
from tests.fixtures import Start, Write
from tests.servers import Server, wait_until
from tests.serving import Serving

GROUPS = {
    "open": {"auto_declare_events": True, "intervals": ["24h"], "sessions": {}, "sync_interval": 0.1},
}

TOKEN = "correct-horse"

#: Streams are left out, because they never end. Names of existing groups are given: random ones would only
#: give 404.
SETTINGS = f"""
headers = {{ Authorization = "Bearer {TOKEN}" }}
parameters = {{ "path.group" = "open", "path.interval" = "24h" }}
[[operations]]
include-path-regex = "stream"
enabled = false
"""

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_every_route_answers_as_its_openapi_description(
    server: Server, start: Start, config_file: Write, tmp_path: Path, seed: int
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    file = config_file({"redis": server.config, "groups": GROUPS})
    start("ecl", "master", file)
    site = Serving(start, file, "--token-file", token_file, "--no-session-log")
    wait_until(lambda: site.ask("GET", "/readyz")[0] == 200)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    address = f"http://127.0.0.1:{site.port}/openapi.json"
    options = f"--seed {seed} --phases examples,coverage,fuzzing --max-time 8 --checks {CHECKS}"
    more = "--generation-database none --continue-on-failure --no-color"
    done = subprocess.run(
        [BIN / "st", "--config-file", settings, "run", address, *options.split(), *more.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in site.stop()
    assert server.counts("open", "24h", "cur"), "some requests were valid"
