"""All routes, fuzzed against the OpenAPI description of the server with all checks of schemathesis."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from event_count_logger.config import RedisConfig, from_file
from event_count_logger.store import Store
from tests.conftest import BIN
from tests.fixtures import Start, Write
from tests.servers import Server, wait_until
from tests.serving import Serving

#: The group and interval of the examples in the description.
GROUPS = {
    "web": {"auto_declare_events": True, "intervals": ["5m"], "sessions": {}, "sync_interval": 0.1},
}

TOKEN = "correct-horse"

#: The longer run that ECL_FUZZ_S, a number of seconds in the environment, asks for.
LONG_S = os.environ.get("ECL_FUZZ_S")

#: Phases of a run, and most random requests to each operation.
PHASES, MOST = ("examples,coverage,fuzzing", 100) if LONG_S else ("examples,fuzzing", 8)

#: All checks and all operations. Requests of the right form may be rejected: a schema cannot express that an
#: event is declared, that a time is before another one, or that a group with an interval needs a name. The
#: panel's payload has no fixed form, because a template in the configuration makes the event from it.
SETTINGS = f"""
headers = {{ Authorization = "Bearer {TOKEN}" }}
generation.max-examples = {MOST}
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 401, 403, 404, 409, 414, 422, 503]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 414, 415, 422, 428, 429, "5xx"]
[[operations]]
include-path = "/write"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404]
"""

#: `ecl serve`, with streams that end: the client waits for the end of each answer.
BRIEF_STREAMS = Path(__file__).parent / "programs" / "brief_streams.py"


@pytest.mark.timeout(200 + float(LONG_S or 0))
def test_every_route_answers_as_its_openapi_description(
    server: Server, start: Start, config_file: Write, tmp_path: Path, seed: int
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    file = config_file({"redis": server.config, "groups": GROUPS})
    store, group = Store(RedisConfig(**server.config)), from_file(file).groups["web"]
    before = store.client.server_time() - 600
    store.commits.commit(group, "test", 0, 1, {"ok": 1}, now=before)  # streams begin with this interval
    store.close()
    start("ecl", "master", file)
    options = ("--token-file", token_file, "--no-session-log")
    site = Serving(start, file, *options, command=(sys.executable, BRIEF_STREAMS))
    wait_until(lambda: site.ask("GET", "/readyz")[0] == 200)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    address = f"http://127.0.0.1:{site.port}/openapi.json"
    how = f"--seed {seed} --phases {PHASES}" + (f" --max-time {LONG_S}" if LONG_S else "")
    more = "--generation-database none --continue-on-failure --no-color"
    done = subprocess.run(
        [BIN / "st", "--config-file", settings, "run", address, *how.split(), *more.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100 + float(LONG_S or 0),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Selected: (\d+)/\1\n", done.stdout)
    assert "Traceback" not in site.stop()
    assert server.everything()["web:@created"].keys() > {"ok"}, "some requests were valid"
