"""ecl export: writes each finished interval once into a database."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    config_argument,
    log_format_option,
    with_version,
)
from event_count_logger.cli.stop import Stop
from event_count_logger.config import Config, GroupConfig, from_file
from event_count_logger.export.faults import DatabaseUnusable
from event_count_logger.installation import how_to_install
from event_count_logger.logs import Log, counted
from event_count_logger.service import sighup
from event_count_logger.service.heartbeats import Heartbeats
from event_count_logger.service.lifecycle import Service
from event_count_logger.service.log_format import LogFormat, set_up_logging
from event_count_logger.store import ServiceInfo, Store

if TYPE_CHECKING:
    from event_count_logger.export.exporter import Exporter
    from event_count_logger.export.worker import ExportWorker

#: Seconds between steps of the main thread.
_STEP_S = 1.0

#: Seconds for the last transaction at exit; it is repeated at the next start if it takes longer.
_LAST_TRANSACTION_S = 5.0


@command()
@config_argument
@click.option("--once", is_flag=True, help="Export everything that has finished and exit, for use from cron.")
@log_format_option
@with_version
def export(config_file: str, once: bool, log_format: LogFormat) -> None:
    """Write each finished interval of the groups in CONFIG once into a database (section `export`).

    The first run also writes the history that Redis holds. Any number of exporters may run at once. While the
    database or Redis is unavailable, the command waits. The first SIGTERM or SIGINT stops it gracefully, the
    second at once. SIGHUP reloads CONFIG.

    \b
    Example:
      $ ecl export --once ecl.yml
      $ ecl export ecl.yml
      2026-11-21T12:05:00 [INFO] Exporting 2 intervals to sqlite:///counts.db

    \b
    Exit status: 0 stopped, or --once done; 1 CONFIG has no section `export`;
    2 wrong usage or configuration, or the database cannot be used; 3 Redis or
    the database is unreachable (--once).
    ECL_CONFIG in the environment stands for CONFIG.
    """
    set_up_logging(log_format)
    if once:
        sighup.unblock()
    service = None if once else Service(config_file, "export", _describe)
    config = service.config if service else from_file(config_file)
    if not config.export:
        raise Failure(f"{config_file} has no section 'export'", ExitStatus.UNKNOWN)
    try:
        if service:
            _serve(service)
        else:
            _export_once(config)
    except DatabaseUnusable as error:
        raise Failure(str(error), ExitStatus.USAGE) from error


def _describe(config: Config) -> str:
    assert config.export
    return f"exports {counted(len(config.exported), 'interval')} to {config.export.location}"


def _log() -> Log:
    log = Log("event_count_logger.export")
    log.logger.setLevel(logging.INFO)
    return log


def _exporter(config: Config, store: Store, log: Log) -> Exporter:
    """Returns the exporter of a configuration.

    Raises:
        DatabaseUnusable: The URL is invalid, or its driver is not installed.
        Failure: The extra is not installed.
    """
    assert config.export
    try:
        from event_count_logger.export.database import Database
        from event_count_logger.export.exporter import Exporter
    except ImportError as error:
        message = f"ecl export needs more than was installed ({error}): {how_to_install('export')}"
        raise Failure(message, ExitStatus.USAGE) from error
    return Exporter(config, store, Database(config.export), log)


def _heartbeats(store: Store, log: Log, *, once: bool = False) -> Heartbeats:
    process = (socket.gethostname(), os.getpid(), version("event-count-logger"), time.time())
    return Heartbeats(ServiceInfo("export", *process, once=once), store, log)


def _export_once(config: Config) -> None:
    log = _log()
    store = Store(config.redis, log)
    exporter = _exporter(config, store, log)
    try:
        exporter.export_all()
    finally:
        exporter.close()  # SQLite moves its log into the file
    heartbeats = _heartbeats(store, log, once=True)
    heartbeats.stop({group: exporter.positions(group) for group, _ in config.exported})


class _Exports:
    """The worker of the current configuration, and its heartbeats."""

    def __init__(self, config: Config) -> None:
        self._log = _log()
        self._store = Store(config.redis, self._log)
        self._heartbeats = _heartbeats(self._store, self._log)
        self._config = config
        self._worker = self._start(config)

    def use(self, config: Config) -> None:
        """Continue with another configuration. The last transaction of the old worker may still run."""
        worker = self._start(config)
        self._worker.stop(timeout_s=0)
        self._worker, self._config = worker, config

    def use_instead(self, config: Config) -> None:
        """Do the same as `use`, but log a database that cannot be used."""
        try:
            self.use(config)
        except DatabaseUnusable as error:
            self._log.error("%s; exporting with the previous configuration", error)

    def beat(self) -> None:
        """Send a heartbeat if it is due, and watch the worker; raise the error that has ended it."""
        if self._worker.error:
            raise self._worker.error
        self._worker.watch()
        self._heartbeats.beat_if_due(self._positions, self._worker.fault)

    def stop(self) -> None:
        """End the worker, and record the stop."""
        self._worker.stop(_LAST_TRANSACTION_S)
        self._heartbeats.stop(self._positions)

    @property
    def _positions(self) -> dict[GroupConfig, Mapping[str, str]]:
        return {group: self._worker.exporter.positions(group) for group, _ in self._config.exported}

    def _start(self, config: Config) -> ExportWorker:
        exporter = _exporter(config, self._store, self._log)
        from event_count_logger.export.worker import ExportWorker

        worker = ExportWorker(exporter, self._log)
        worker.start()
        self._log.info("Exporting %s", _describe(config).removeprefix("exports "))
        return worker


def _serve(service: Service) -> None:
    stop = Stop(service.stopping)
    exports = _Exports(service.config)
    try:
        while not stop.is_set:
            service.step(exports.use_instead)
            exports.beat()
            stop.wait(_STEP_S)
    finally:
        exports.stop()
