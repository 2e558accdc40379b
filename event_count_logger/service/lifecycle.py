"""Lifecycle of a service: readiness and watchdog messages for systemd, and reload on SIGHUP."""

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
    """A long-running command. Its main loop calls `step` about once a second.

    Attributes:
        config: Current configuration.
    """

    def __init__(
        self,
        config_file: str,
        section: Literal["groups", "tail", "export", "alerts"],
        describe: Callable[[Config], str],
    ) -> None:
        """Installs the handler of SIGHUP, then reads the configuration. `step` does the reload.

        Args:
            config_file: Path of the configuration.
            section: Section without which the service has no work; a reload rejects a file without it.
            describe: Returns the status shown to people, for a configuration.

        Raises:
            ConfigError: The file has problems; the error contains all of them.
        """
        self._log = Log("event_count_logger.service")
        self._log.logger.setLevel(logging.INFO)
        self._notifier = Notifier()
        self._file = config_file
        self._section = section
        self._describe = describe
        self._is_reload_requested = False
        self._is_ready = False
        # A parent that ignored SIGHUP, such as nohup, wants this process to outlive the terminal.
        self._ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()
        signal.signal(signal.SIGHUP, self._request_reload)
        sighup.unblock()
        self.config = from_file(config_file)

    def step(self, use: Callable[[Config], None]) -> None:
        """Report progress, and reload the configuration if SIGHUP has arrived.

        Args:
            use: Called with the new configuration if it differs from the current one.
        """
        self.alive()
        if self._is_reload_requested:
            self._is_reload_requested = False  # before reading: a later change comes with another signal
            if self._is_ready:
                self._notifier.reloading()
            self._is_ready = False
            self._reload(use)
        if not self._is_ready:
            self._is_ready = True
            self._notifier.ready(self._describe(self.config))

    def alive(self) -> None:
        """Report progress within a long step."""
        self._notifier.alive()

    def stopping(self) -> None:
        """Report that the service is stopping, and ignore SIGHUP from now on. Safe in signal handlers."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._is_reload_requested = False
        self._notifier.stopping()

    def _request_reload(self, number: int, frame: FrameType | None) -> None:
        if self._ends_with_terminal and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)  # SIGHUP means here that the terminal was closed
        self._is_reload_requested = True

    def _reload(self, use: Callable[[Config], None]) -> None:
        try:
            read = from_file(self._file)
        except ConfigError as error:
            for problem in error.problems:
                self._log.error("Configuration: %s", problem)
            self._log.error(
                "Configuration: %s cannot be used; keeping the previous configuration", self._file
            )
            return
        if not getattr(read, self._section):  # the file may be half-written
            self._log.error(
                "Configuration: %s has no section '%s'; keeping the previous configuration",
                self._file,
                self._section,
            )
            return
        for problem in read.warnings:
            self._log.warning("Configuration: %s", problem)
        config, kept = usable_at_once(self.config, read)
        for place in kept:
            self._log.warning("Configuration: %s changed; the change takes effect at the next start", place)
        changed = changes(self.config, config)
        self._log.info("Configuration reloaded: %s", "; ".join(changed) or "no changes")
        self.config = config
        if changed:
            use(config)


def _has_terminal() -> bool:
    """Returns whether this process has a terminal; closing it sends SIGHUP, too."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
