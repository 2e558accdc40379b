"""Types of the functions that fixtures return; see conftest.py."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any, Literal, Protocol, overload

from event_count_logger import EventCountLogger


class Run(Protocol):
    """Runs a command to its end; `options` are `input`, `timeout` and environment variables."""

    def __call__(self, *command: object, **options: Any) -> CompletedProcess[str]: ...


class Start(Protocol):
    """Starts a command; `options` are those of `Popen`."""

    @overload
    def __call__(self, *command: object, text: Literal[False], **options: Any) -> Popen[bytes]: ...
    @overload
    def __call__(self, *command: object, **options: Any) -> Popen[str]: ...


class Write(Protocol):
    """Writes a configuration, given as text or as Python values; returns its path."""

    def __call__(self, content: Any, name: str = "ecl.yml") -> Path: ...


class Make(Protocol):
    """Makes a logger, which is closed when the test ends."""

    def __call__(
        self, groups: dict[str, Any], redis: dict[str, Any], log_level: str = "INFO"
    ) -> EventCountLogger: ...
