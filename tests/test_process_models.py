"""Counting in prefork servers: real servers, each with its usual command line."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.process_models import APPLICATION, UWSGI, Outcome, Site, run
from tests.servers import Server

#: Servers that run at the same time.
_AT_ONCE = 8


def _uwsgi(name: str, *options: str, log_at_import: bool, imports: int = 1) -> Site:
    command = [UWSGI, "--http-socket", "{address}", "--module", APPLICATION]
    return Site(
        f"uWSGI, {name}, {'with' if log_at_import else 'without'} log() at import",
        [*command, "--disable-logging", "--master", "--processes", "3", *options],
        imports=imports,
        log_at_import=log_at_import,
        end=signal.SIGINT,  # by SIGTERM it reloads
    )


UWSGI_SITES = [
    _uwsgi(name, *options, log_at_import=log_at_import, imports=3 if name == "--lazy-apps" else 1)
    for name, options in {
        "no option": (),
        "--enable-threads": ("--enable-threads",),
        "--threads 4": ("--threads", "4"),
        "--lazy-apps": ("--lazy-apps",),
    }.items()
    for log_at_import in (False, True)
]


def _gunicorn(worker: str, *options: str, logs: str = "nothing", n_requests: int = 100) -> Site:
    command = [sys.executable, "-m", "gunicorn", "--bind", "{address}", "--workers", "2", "-k", worker]
    if logs == "in post_fork":
        command += ["-c", "python:tests.programs.gunicorn_hooks"]
    return Site(
        f"gunicorn, {' '.join([worker, *options])}, logs {logs} before",
        [*command, *options, APPLICATION],
        imports=1 if "--preload" in options else 2,
        log_at_import=logs == "at import",
        hooks=2 if logs == "in post_fork" else 0,
        workers=2,
        n_requests=n_requests,
    )


GUNICORN_SITES = [
    *(
        _gunicorn("gevent", "--preload", logs=logs, n_requests=n_requests)
        for logs, n_requests in (("nothing", 100), ("at import", 100), ("in post_fork", 400))
    ),
    _gunicorn("gevent", logs="at import"),
    _gunicorn("sync", "--preload", logs="at import"),
    _gunicorn("gthread", "--preload", "--threads=4", logs="at import"),
]


def _eventlet(logs: str, n_requests: int = 100) -> Site:
    hook = ["hook"] if logs == "after the fork" else []
    return Site(
        f"eventlet, logs {logs} before",
        [sys.executable, "-m", "tests.programs.eventlet_server", "{address}", *hook],
        log_at_import=logs == "at import",
        hooks=2 * len(hook),
        workers=2,
        n_requests=n_requests,
    )


EVENTLET_SITES = [_eventlet("nothing"), _eventlet("at import"), _eventlet("after the fork", 400)]

#: Seconds. Several servers start at the same time, each with several processes.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server_of_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis server in which all sites count, each in groups of its own."""
    server = Server("valkey", tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def known() -> dict[str, Outcome]:
    """Outcomes of the runs so far, by the name of the site."""
    return {}


@pytest.fixture
def outcome(
    site: Site, known: dict[str, Outcome], server_of_sites: Server, request: pytest.FixtureRequest
) -> Outcome:
    """Returns the outcome of a site. The sites of all selected tests of a function run at the same time."""
    if site.name not in known:
        alike = [item for item in request.session.items if getattr(item, "function", 0) == request.function]
        found = [item.callspec.params["site"] for item in alike if isinstance(item, pytest.Function)]
        sites = [each for each in found if isinstance(each, Site)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            outcomes = list(pool.map(lambda each: run(each, server_of_sites), sites))
        known.update((each.name, outcome) for each, outcome in zip(sites, outcomes, strict=True))
    return known[site.name]


def check(site: Site, outcome: Outcome) -> None:
    answers = outcome.answers
    print(
        f"{site.name}: {answers.by_process.total()} of {site.n_requests} answered,"
        f" by {len(answers.by_process)} processes, slowest {answers.slowest_s:.3f} s,"
        f" log() {answers.slowest_log_s:.3f} s, exact after {outcome.exact_after_s} s, {outcome.left} left"
    )
    assert not answers.failures, (answers.failures, outcome.log)
    assert answers.by_process.total() >= site.n_requests
    assert len(answers.by_process) >= site.workers, answers.by_process
    assert outcome.counted == {"direct": outcome.expected, "cached": outcome.expected}, outcome.log
    assert outcome.exact_after_s is not None, "exact at the end only"
    assert not re.search(r"Traceback|Exception ignored|^\w*Error\b", outcome.log, re.M), outcome.log
    assert not outcome.bad


@pytest.mark.parametrize("site", UWSGI_SITES, ids=lambda site: site.name)
def test_uwsgi_worker_counts_its_requests(site: Site, outcome: Outcome) -> None:
    check(site, outcome)


@pytest.mark.parametrize("site", GUNICORN_SITES, ids=lambda site: site.name)
def test_gunicorn_worker_counts_its_requests(site: Site, outcome: Outcome) -> None:
    check(site, outcome)


@pytest.mark.parametrize("site", EVENTLET_SITES, ids=lambda site: site.name)
def test_process_patched_by_eventlet_counts_its_requests(site: Site, outcome: Outcome) -> None:
    check(site, outcome)
