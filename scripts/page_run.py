"""A Redis server, a master and `ecl serve`, for pictures of the page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from server_process import Valkey, free_port
from server_process import options as server_options

BIN = Path(sys.executable).parent


@contextmanager
def redis(folder: Path) -> Iterator[dict[str, Any]]:
    """A server without data, which is killed at the end of the block. Yields the section `redis`."""
    address = {"host": "127.0.0.1", "port": free_port()}
    options = {"port": address["port"], "bind": "127.0.0.1", "save": "", "logfile": folder / "server.log"}
    server = Valkey(server_options(options), address)
    try:
        server.start()
        yield address
    finally:
        server.kill()


@contextmanager
def running(*command: object) -> Iterator[subprocess.Popen[str]]:
    """A program, which is terminated at the end of the block."""
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def serving(config_file: Path) -> Iterator[str]:
    """Runs `ecl serve`. Yields the address of its page."""
    with running(BIN / "ecl", "serve", config_file, "--listen", "127.0.0.1:0") as process:
        assert process.stderr
        found = re.search(r"http://\S+/", process.stderr.readline())
        assert found
        yield found[0]


def write_config(file: Path, sections: Mapping[str, object]) -> Path:
    """Write a configuration, and return its file."""
    file.write_text(yaml.safe_dump(dict(sections), sort_keys=False))
    return file
