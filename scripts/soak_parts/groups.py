"""Configuration that all modes of scripts/soak have in common."""

from __future__ import annotations

import json
import sys
from pathlib import Path

#: Settings of each group in which workers count, besides those that all groups have.
GROUPS: dict[str, dict[str, float]] = {
    "direct": {},
    "also-direct": {},
    "quick": {"sync_interval": 0.02},
    "cached": {"sync_interval": 0.3},
    "limited": {"sync_limit": 50},
    "both": {"sync_interval": 1, "sync_limit": 500},
    "slow": {"sync_interval": 3600},
}

#: The folder of the project's commands.
COMMANDS = Path(sys.executable).parent


def write_config(folder: Path, redis: dict[str, object], settings: dict[str, object]) -> Path:
    """Write a configuration whose groups have these settings; returns its path."""
    common: dict[str, object] = {
        "auto_declare_events": True,
        "spool_dir": str(folder / "spool"),
        **settings,
    }
    groups = {name: common | own for name, own in GROUPS.items()}
    file = folder / "ecl.yml"
    file.write_text(json.dumps({"redis": redis, "groups": groups}))  # JSON is YAML
    return file
