"""ecl serve: an HTTP server that shows counts, and accepts them from programs and browsers."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
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
from event_count_logger.config import Config
from event_count_logger.counting import syncer
from event_count_logger.installation import how_to_install
from event_count_logger.logs import Log, counted
from event_count_logger.service.lifecycle import Service
from event_count_logger.service.log_format import LogFormat, set_up_logging
from event_count_logger.store import Store
from event_count_logger.web.bind_address import DEFAULT_ADDRESS, BindAddress, url

if TYPE_CHECKING:
    from event_count_logger.web.grafana import SessionLog
    from event_count_logger.web.security import Access

#: Seconds for the last counts to be sent at exit; unsent ones stay in their spool file.
_FLUSH_S = 1.0

_OPEN_TO_ALL = (
    "refusing to listen on {address} without authentication: use --token-file FILE, or --without-token to "
    "allow anyone to read and write"
)


@command()
@config_argument
@click.option(
    "--listen",
    "address",
    metavar="HOST:PORT",
    default=DEFAULT_ADDRESS,
    show_default=True,
    help="Address to listen on; :PORT for all addresses, port 0 for a free one.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Require the token in FILE, which is one line.",
)
@click.option("--without-token", is_flag=True, help="Require no token: allow anyone to read and write.")
@click.option("--no-session-log", is_flag=True, help="Do not log the sessions of Grafana's dashboards.")
@click.option("--no-variable-log", is_flag=True, help="Do not log the variables of Grafana's dashboards.")
@log_format_option
@with_version
def serve(
    config_file: str,
    address: str,
    token_file: Path | None,
    without_token: bool,
    no_session_log: bool,
    no_variable_log: bool,
    log_format: LogFormat,
) -> None:
    """Serve the counts of CONFIG over HTTP: a page, JSON, a stream of finished intervals, and metrics.
    Programs, web pages and Grafana's dashboards can also send counts.

    Hidden groups are not shown. The first SIGTERM or SIGINT stops the server gracefully, the second at once.
    SIGHUP reloads CONFIG.

    \b
    Example:
      $ ecl serve ecl.yml
      2026-11-21T12:05:00 [INFO] Serving at http://127.0.0.1:8917/, without a token

    \b
    Exit status: 0 stopped; 2 wrong usage or configuration, or the address cannot
    be used.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    if token_file and without_token:
        raise click.UsageError("--token-file and --without-token exclude each other")
    set_up_logging(log_format)
    service = Service(config_file, "groups", _describe)
    try:
        from event_count_logger.web import grafana, security
    except ImportError as error:
        message = f"ecl serve needs more than was installed ({error}): {how_to_install('server')}"
        raise Failure(message, ExitStatus.USAGE) from error
    for_others = without_token or token_file is not None
    try:
        token = security.read_token(token_file) if token_file else None
        listener = _listen(address, for_others)
    except OSError as error:
        raise Failure(f"{error.filename or address}: {error.strerror or error}", ExitStatus.USAGE) from error
    except ValueError as error:
        raise Failure(str(error), ExitStatus.USAGE) from error
    allowed_origins = service.config.serve.allowed_origins
    access = security.Access(token, any_host=for_others, allowed_origins=allowed_origins)
    _run(service, listener, access, grafana.SessionLog(not no_session_log, not no_variable_log))


def _describe(config: Config) -> str:
    return f"serves {counted(len(config.groups), 'group')}"


def _listen(text: str, for_others: bool) -> socket.socket:
    address = BindAddress.resolve(text)
    if not for_others and not address.is_loopback:
        raise ValueError(_OPEN_TO_ALL.format(address=text))
    return address.listen()


def _run(service: Service, listener: socket.socket, access: Access, session_log: SessionLog) -> None:
    from event_count_logger.web import app, overview_feed, queries, recorder, server, streams
    from event_count_logger.web.connections import ConnectionLimits

    log = Log("event_count_logger.serve")
    for each in (log, session_log):
        each.logger.setLevel(logging.INFO)
    store = Store(service.config.redis, log)
    hub = streams.Hub(store)
    overview = overview_feed.OverviewFeed(service.config, store, queries.VERSION)
    asking, counting = queries.Queries(service.config, store), recorder.Recorder(service.config, store)
    connections = ConnectionLimits(service.config)
    guarded = app.create_app(asking, hub, overview, counting, session_log, access, connections)

    def use(config: Config) -> None:
        for part in (asking, counting, hub, overview, guarded, connections):
            part.use(config)

    def end_streams() -> None:
        hub.end()
        overview.end()

    def announce() -> None:
        log.info("Serving at %s%s", url(listener), "" if access.token else ", without a token")

    def step() -> None:
        service.step(use)
        overview.prepare()

    server.run(guarded, end_streams, listener, connections, announce, step, service.stopping)
    syncer.current().end(_FLUSH_S)
    logging.shutdown()
    os._exit(ExitStatus.OK)  # do not join threads, which may wait for an unavailable Redis
