"""Counting in prefork servers and forked processes of all kinds: real ones, each run as its users run it."""

from __future__ import annotations

import re
import sys
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


def _gunicorn(worker: str, *options: str, logs: str = "nothing", n_requests: int = 200) -> Site:
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
        for logs, n_requests in (("nothing", 200), ("at import", 200), ("in post_fork", 1000))
    ),
    _gunicorn("gevent", logs="at import"),
    _gunicorn("sync", "--preload", logs="at import"),
    _gunicorn("gthread", "--preload", "--threads=4", logs="at import"),
]


def _eventlet(logs: str, n_requests: int = 200) -> Site:
    hook = ["hook"] if logs == "after the fork" else []
    return Site(
        f"eventlet, logs {logs} before",
        [sys.executable, "-m", "tests.programs.eventlet_server", "{address}", *hook],
        log_at_import=logs == "at import",
        hooks=2 * len(hook),
        workers=2,
        n_requests=n_requests,
    )


EVENTLET_SITES = [_eventlet("nothing"), _eventlet("at import"), _eventlet("after the fork", 1000)]

SITES = [*UWSGI_SITES, *GUNICORN_SITES, *EVENTLET_SITES]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The result of each site that a selected test is about, by its name; some run at the same time."""
    server = Server("valkey", tmp_path_factory.mktemp("server"))
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    selected = {each.params["site"].name for each in parameters if each and "site" in each.params}
    sites = [site for site in SITES if site.name in selected]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = list(pool.map(lambda site: run(site, server), sites))
    server.kill()
    return {site.name: outcome for site, outcome in zip(sites, outcomes, strict=True)}


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
def test_uwsgi_worker_counts_what_it_answers(site: Site, outcomes: dict[str, Outcome]) -> None:
    check(site, outcomes[site.name])


@pytest.mark.parametrize("site", GUNICORN_SITES, ids=lambda site: site.name)
def test_gunicorn_worker_counts_what_it_answers(site: Site, outcomes: dict[str, Outcome]) -> None:
    check(site, outcomes[site.name])


@pytest.mark.parametrize("site", EVENTLET_SITES, ids=lambda site: site.name)
def test_process_patched_by_eventlet_counts_what_it_answers(site: Site, outcomes: dict[str, Outcome]) -> None:
    check(site, outcomes[site.name])
