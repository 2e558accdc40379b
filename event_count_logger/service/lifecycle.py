"""What services do besides their work: they say how they are, and obey SIGHUP."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Literal

from event_count_logger.config import Config, from_file
from event_count_logger.config.changes import changes, usable_at_once
from event_count_logger.errors import ConfigError
from event_count_logger.logs import Log
from event_count_logger.service import sighup
from event_count_logger.service.sd_notify import Notifier


class Service:
    """A command that goes on until it is told to stop. It calls `step` again and again while it works.

    Attributes:
        config: What it works with.
    """

    def __init__(
        self, config_file: str, section: Literal["groups", "tail"], describe: Callable[[Config], str]
    ) -> None:
        """Reads the configuration. From before that, SIGHUP is noted, to be obeyed between two steps.

        Args:
            config_file: Where the configuration is.
            section: What it works on.
            describe: What the service does with one, in a few words.

        Raises:
            ConfigError: With every problem of the file.
        """
        self._log = Log("event_count_logger.service")
        self._log.logger.setLevel(logging.INFO)
        self._notifier = Notifier()
        self._file = config_file
        self._section = section
        self._describe = describe
        self._is_reload_requested = False
        self._is_ready = False
        # Whoever had the signal ignored, as nohup does, wants it to outlive the terminal.
        self._ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()
        signal.signal(signal.SIGHUP, self._request_reload)
        sighup.unblock()
        self.config = from_file(config_file)

    def step(self, use: Callable[[Config], None]) -> None:
        """Between two steps of the work: say that it goes on, and do what SIGHUP asked for.

        Args:
            use: Is given another configuration to go on with, if there is one.
        """
        self.alive()
        if self._is_reload_requested:
            self._is_reload_requested = (
                False  # before it is read: what is written later, another signal tells of
            )
            if self._is_ready:
                self._notifier.reloading()
            self._is_ready = False
            self._reload(use)
        if not self._is_ready:
            self._is_ready = True
            self._notifier.ready(self._describe(self.config))

    def alive(self) -> None:
        """Say that it goes on, within a step that takes long."""
        self._notifier.alive()

    def stopping(self) -> None:
        """Say that it ends; SIGHUP is left alone from now on. Signal handlers may call it."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._is_reload_requested = False
        self._notifier.stopping()

    def _request_reload(self, number: int, frame: FrameType | None) -> None:
        if self._ends_with_terminal and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)  # it was closed, and nobody asks for anything any more
        self._is_reload_requested = True

    def _reload(self, use: Callable[[Config], None]) -> None:
        try:
            read = from_file(self._file)
        except ConfigError as error:
            for problem in error.problems:
                self._log.error("Configuration: %s", problem)
            self._log.error("Configuration: %s cannot be used: nothing has changed", self._file)
            return
        if not getattr(read, self._section):  # perhaps somebody is just writing it
            self._log.error(
                "Configuration: %s has no section '%s': nothing has changed", self._file, self._section
            )
            return
        for problem in read.warnings:
            self._log.warning("Configuration: %s", problem)
        config, kept = usable_at_once(self.config, read)
        for place in kept:
            self._log.warning("Configuration: %s stays as it was until the next start", place)
        changed = changes(self.config, config)
        self._log.info("Configuration read again: %s", "; ".join(changed) or "nothing has changed")
        self.config = config
        if changed:
            use(config)


def _has_terminal() -> bool:
    """Whether there is a terminal whose end would be told with the same signal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
