"""Journal files with entries of a test, written by systemd-journal-remote."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.conftest import needs_debian

_PROGRAM = Path("/lib/systemd/systemd-journal-remote")


class Journal:
    """A directory of journal files."""

    def __init__(self, directory: Path) -> None:
        needs_debian("systemd-journal-remote", f"{_PROGRAM}")
        needs_debian("systemd", "journalctl")
        self.directory = directory
        self._now = int(time.time() * 1e6)
        directory.mkdir()

    def write(self, *messages: str | bytes, unit: str = "app.service", file: str = "a") -> None:
        """Append entries to a file, each 1 ms after the one before."""
        entries = b""
        for message in messages:
            self._now += 1000
            data = message.encode() if isinstance(message, str) else message
            entries += (
                f"__REALTIME_TIMESTAMP={self._now}\n__MONOTONIC_TIMESTAMP={self._now % 10**12}\n"
                f"_BOOT_ID={'0' * 31}1\n_SYSTEMD_UNIT={unit}\nPRIORITY=6\nMESSAGE\n"
            ).encode()
            entries += len(data).to_bytes(8, "little") + data + b"\n\n"
        output = self.directory / f"{file}.journal"
        subprocess.run([_PROGRAM, "-o", output, "-"], input=entries, check=True, capture_output=True)
