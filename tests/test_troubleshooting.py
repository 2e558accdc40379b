"""docs/troubleshooting.md has the messages of the code, and docs/concepts.md its keys."""

from __future__ import annotations

import re

import pytest

from event_count_logger import keys
from tests.conftest import ROOT
from tests.fixtures import Run, Write
from tests.messages import patterns
from tests.servers import Server

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
MESSAGES = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text()


@pytest.fixture(scope="module")
def known() -> list[re.Pattern[str]]:
    """A pattern for each text in the code, alone or at the end of another one."""
    # Compiled once: there are more of them than `re` keeps.
    return [re.compile(f"(?:.*: )?{pattern}") for pattern in patterns()]


@pytest.mark.parametrize("message", MESSAGES)
def test_message_on_the_page_exists_in_the_code(message: str, known: list[re.Pattern[str]]) -> None:
    assert [pattern for pattern in known if pattern.fullmatch(message)]


def test_unknown_message_is_found(known: list[re.Pattern[str]]) -> None:
    for message in (
        "Redis at localhost:6379/0 is tired",
        "Event 'ok' of group 'web' is not declared",
        "all groups are shown",
    ):
        assert not [pattern for pattern in known if pattern.fullmatch(message)]


@pytest.mark.parametrize("pattern", sorted(patterns(messages_only=True)))
def test_message_in_the_code_is_on_the_page(pattern: str) -> None:
    assert [message for message in MESSAGES if re.search(pattern, message)]


def test_keys_match_the_concepts_page() -> None:
    group, interval = "requests", "5m"
    known = {keys.history(group, interval), keys.totals(group), keys.sources(group), keys.intervals(group)}
    for half in ("cur", "last"):
        known |= {keys.counter(group, interval, half, "ok"), keys.timestamp(group, interval, half)}
        known |= {keys.index(group, interval, half)}
    assert set(re.findall(r"^\| `(requests:.+?)` \|", CONCEPTS, re.MULTILINE)) == known


def test_unsent_counts_of_log_event_are_counted_later(
    own_server: Server, config_file: Write, run: Run
) -> None:
    group = {"events": ["ok"], "intervals": ["24h"]}
    file = config_file({"redis": own_server.config, "groups": {"web": group}})
    own_server.kill()
    done = run("ecl_log_event", file, "web", "ok")
    assert done.returncode == 3
    kept = r"1 count of group 'web' is kept in /.+, and counted once, later: do not repeat the command"
    assert re.search(rf"; {kept}\n$", done.stderr)
    own_server.start()
    assert run("ecl", "recover", file).returncode == 0
    assert own_server.counts("web", "24h", "cur") == {"ok": 1}
