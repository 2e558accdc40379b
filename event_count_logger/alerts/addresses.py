"""Addresses of notifications: the parts of targets that are tried separately, and one attempt to send."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from event_count_logger.alerts.notification import Notification
from event_count_logger.config import Config, NotifyConfig
from event_count_logger.installation import how_to_install

#: The program that sends with apprise. A process of its own can be killed when a server does not answer.
#: Python searches the current directory for modules unless '' is removed: a file `json.py` there would run.
_APPRISE = (
    sys.executable,
    "-c",
    "import sys; sys.path = list(filter(None, sys.path)); "
    "from event_count_logger.alerts.apprise_sender import main; main()",
)

#: Seconds between two looks at whether an attempt has to end.
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Address:
    """One URL of a target, or its command.

    Attributes:
        target: Name of the target.
        number: Position of the URL, from 0; 0 for a command.
        url: The URL; '' for a command. It may contain a password.
        command: The program with its arguments.
        timeout_s: Seconds that one attempt may take.
        is_only: Whether the target has no other address.
    """

    target: str
    number: int
    url: str
    command: tuple[str, ...]
    timeout_s: float
    is_only: bool = True

    @property
    def id(self) -> str:
        """A name that no other address has, without the URL. It stays when the target gets more URLs."""
        return f"{self.target}:{self.number}"

    def __str__(self) -> str:
        """The address in messages, without the URL."""
        return f"'{self.target}'" if self.is_only else f"'{self.target}' (URL {self.number + 1})"

    def __repr__(self) -> str:
        return f"<Address {self}>"


def addresses(targets: Mapping[str, NotifyConfig], names: Iterable[str]) -> list[Address]:
    """Returns the addresses of some targets."""
    return [each for name in dict.fromkeys(names) for each in _addresses_of(name, targets[name])]


def missing_package(config: Config) -> str:
    """Returns a message if targets have URLs and apprise is not installed; '' otherwise."""
    if find_spec("apprise") or not any(target.urls for target in config.notify.values()):
        return ""
    return f"section 'notify' has URLs, which need apprise: {how_to_install('alert')}"


def _addresses_of(name: str, target: NotifyConfig) -> list[Address]:
    if target.command:
        return [Address(name, 0, "", target.command, target.timeout_s)]
    is_only = len(target.urls) == 1
    return [
        Address(name, number, url, (), target.timeout_s, is_only) for number, url in enumerate(target.urls)
    ]


def send(
    address: Address, notification: Notification, is_stopping: Callable[[], bool] = lambda: False
) -> str | None:
    """Send a notification once; returns None, or the reason why it is not confirmed.

    Args:
        address: Where to send it.
        notification: The notification.
        is_stopping: Ends the attempt when it returns True.
    """
    if address.command:
        return _run(address.command, notification.to_json(), address.timeout_s, is_stopping)
    if not find_spec("apprise"):
        return f"apprise is not installed: {how_to_install('alert')}"
    fields = asdict(notification) | {"url": address.url}
    return _run(_APPRISE, json.dumps(fields), address.timeout_s, is_stopping, is_ours=True)


def _run(
    command: Sequence[str],
    text: str,
    timeout_s: float,
    is_stopping: Callable[[], bool],
    is_ours: bool = False,
) -> str | None:
    """Run a program in a process group of its own; returns the reason of a failure.

    The output of a foreign program is discarded: it may contain a secret.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if is_ours else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
    except OSError as error:
        return f"the program cannot be started: {error.strerror}"
    until = time.monotonic() + timeout_s
    output = _communicate(process, text, until, is_stopping)
    if output is None:
        return "the service is stopping" if is_stopping() else f"no end within {timeout_s:g} s"
    if process.returncode == 0:
        return None
    return output.strip() or _exit_reason(process.returncode)


def _communicate(
    process: subprocess.Popen[str], given: str, until: float, is_stopping: Callable[[], bool]
) -> str | None:
    """Returns the output of a program at its end; kills its process group and returns None if it is late."""
    text: str | None = given
    while True:
        try:
            output, _ = process.communicate(text, timeout=_LOOK_S)
            return output or ""
        except subprocess.TimeoutExpired:
            text = None  # it is being written
            if time.monotonic() < until and not is_stopping():
                continue
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _close_pipes(process)
        return None


def _close_pipes(process: subprocess.Popen[str]) -> None:
    """Close the pipes of a process that has ended. Another one, outside of its group, may keep their ends."""
    for pipe in filter(None, (process.stdin, process.stdout)):
        with suppress(OSError):
            pipe.close()


def _exit_reason(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
