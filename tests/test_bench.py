"""The benchmarks run, and print all measurements and targets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from event_count_logger.counting import implementation
from tests.conftest import ROOT


@pytest.mark.timeout(220)
def test_each_section_is_measured_and_compared_with_its_target(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", "--quick", "--markdown", document],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    text = document.read_text()
    for title in (
        "Cost of log()",
        "Direct log()",
        "Event loops",
        "Sync",
        "Rotate",
        "Capacity of a node",
        "Sessions",
        "Log files",
        "Alerts",
        "Export",
        "Start-up",
        "Footprint",
        "Page",
        "Targets",
    ):
        assert f"\n## {title}" in text, title
    assert ("native: not built" in done.stdout) != implementation.NATIVE
    targets = text.partition("## Targets")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in targets if line.endswith("met |")]
    assert len(rows) >= 10
