from __future__ import annotations

import gc
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from event_count_logger import EventCountLogger
from event_count_logger.config import Config, Layout, RedisConfig, from_dicts
from event_count_logger.counting import syncer
from event_count_logger.store import Store
from tests import groups
from tests.fixtures import Make, Run, Start, Write
from tests.servers import BINARIES, Proxy, Server, wait_until
from tests.warm import WarmProcess

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

#: The scripts of this project.
_SCRIPTS = ("ecl", "ecl_master", "ecl_reader", "ecl_log_event")

#: Version 1.1 of this package, installed by scripts/previous.
OLD_FOLDER = Path(sys.prefix) / "event-count-logger-1.1"


def pytest_configure() -> None:
    """Let signals end programs that tests start, also if a shell runs the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Freeze all objects before the tests, so that garbage collections skip them."""
    gc.collect()
    gc.freeze()


#: Fixtures that start a program for each test.
_STARTING = {"run", "start", "own_server"}

#: The kind of server that fast tests use.
_FAST_SERVER = "valkey"

#: Names in a test file that starts processes itself, or waits for time to pass.
_STARTS = re.compile(
    r"\b(subprocess|multiprocessing|os\.fork|time\.sleep|tests\.(shells|process_models|monitoring))\b"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only tests that start no program, with one server")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_slow = collection_path.suffix == ".py" and bool(_STARTS.search(collection_path.read_text()))
    return True if config.getoption("fast") and is_slow else None


#: Files of tests that take longest, longest first. They begin first, so that all processes end together.
_LONGEST = (
    "how_to", "commands", "server", "cluster", "exactness", "status", "master", "bench", "page",
    "compatibility", "durability", "recovery", "start", "sentinel", "migrate", "page_group", "reload",
    "munin", "process_end", "tail_kills", "services", "page_outages", "build", "release", "process_models",
    "tail_streams", "acl", "prometheus",
)  # fmt: skip
_PLACES = {f"test_{name}": place for place, name in enumerate(_LONGEST)}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _PLACES.get(item.path.stem, len(_PLACES)))
    if config.getoption("fast"):
        slow = [item for item in items if not _is_fast(item)]
        items[:] = [item for item in items if _is_fast(item)]
        config.hook.pytest_deselected(items=slow)


def _is_fast(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    call = getattr(item, "callspec", None)
    kind = call.params.get("any_server", _FAST_SERVER) if call else _FAST_SERVER
    return kind == _FAST_SERVER and not fixtures & _STARTING


def needs_debian(package: str, command: str) -> None:
    """Skip where a Debian package is missing; in CI, where all are to be installed, fail."""
    if shutil.which(command) is None:
        message = f"{command} is missing: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def needs_1_1() -> None:
    """Skip where version 1.1 is missing; in CI, fail."""
    if not OLD_FOLDER.exists():
        message = f"{OLD_FOLDER} is missing: scripts/previous"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def seed() -> int:
    """Of what is random in a test; to be given to `random.Random` again if the test fails."""
    seed = random.randrange(2**32)
    print("seed", seed)
    return seed


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Random numbers for a test, from its seed."""
    return random.Random(seed)


@pytest.fixture(autouse=True)
def spool_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where spool files are by default, here and in the programs that a test starts."""
    shared_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    directory = Path(tempfile.mkdtemp(prefix="spool-", dir=shared_memory))
    monkeypatch.setenv("ECL_SPOOL_DIR", str(directory))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)  # files may go while this looks at them


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory like `tmp_path`, in which a unix socket may stand some folders down."""
    with tempfile.TemporaryDirectory(prefix="ecl-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    running: dict[str, Server] = {}

    def get(kind: str) -> Server:
        if kind not in running:
            running[kind] = Server(kind, tmp_path_factory.mktemp(kind))
        return running[kind]

    yield get
    for server in running.values():
        server.kill()


@pytest.fixture
def server(_servers: Callable[[str], Server]) -> Server:
    """An empty server: the bundled Valkey."""
    found = _servers("valkey")
    with found.client as client:
        client.flushall()
        client.script_flush()
    return found


@pytest.fixture(params=sorted(BINARIES))
def any_server(request: pytest.FixtureRequest, _servers: Callable[[str], Server]) -> Server:
    """An empty server of each kind."""
    if request.param == "redis":
        needs_debian("redis-server", "redis-server")
    found = _servers(request.param)
    with found.client as client:
        client.flushall()
    return found


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may stop, kill and restart it."""
    directory = tmp_path / "server"
    directory.mkdir()
    server = Server("valkey", directory)
    yield server
    server.kill()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def store(any_server: Server) -> Iterator[Store]:
    store = Store(RedisConfig(**any_server.config), timeout_s=30)
    yield store
    store.close()


#: For what is different in another layout.
only_keys = pytest.mark.parametrize("layout", ["keys"], indirect=True)


@pytest.fixture(params=["keys", "hash"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Each way in which the counts of a group may lie in Redis; `group_of` makes groups of that one."""
    monkeypatch.setattr(groups, "layout", request.param)
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def logger() -> Iterator[Make]:
    """Makes EventCountLoggers, and closes them when the test ends."""
    made: list[EventCountLogger] = []

    def make(groups: dict[str, Any], redis: dict[str, Any], log_level: str = "INFO") -> EventCountLogger:
        made.append(EventCountLogger(groups, redis, log_level))
        return made[-1]

    yield make
    for each in made:
        each.close(timeout=0)
    background = syncer.current()
    for _ in range(2):  # the second round is for a request that the thread was carrying out in the first one
        waiting = {request.sender for request in background._inbox.copy() if request.sender}
        # Also counters that were replaced and are still in Redis; the last one is new to the thread.
        for sender in (*waiting, *tuple(background._due), Mock()):
            background.forget(sender)
        wait_until(lambda: not background._inbox, what="the background thread has forgotten them")


@pytest.fixture
def config() -> Callable[..., Config]:
    return from_dicts


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """No test may leave a thread behind, except the one sync thread of the process."""
    before = set(threading.enumerate())

    def left() -> list[threading.Thread]:
        gc.collect()  # garbage may still refer to the executor of a thread
        return [each for each in set(threading.enumerate()) - before if each.name != "event-count-logger"]

    yield
    wait_until(lambda: not left(), what="all threads have ended")
    gc.freeze()  # the next collection looks only at what the next test has made


#: Tests of what threads share. Elsewhere, so many switches only cost time.
_OF_THREADS = {
    f"test_{name}"
    for name in ("counting", "exactness", "group", "sync", "syncer", "testing", "turns", "expiry")
}


@pytest.fixture(autouse=True)
def threads_take_turns(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets threads interrupt each other wherever Python allows it, and not every 5 ms."""
    before = sys.getswitchinterval()
    if request.path.stem in _OF_THREADS:
        sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture(scope="session")
def _warm() -> Iterator[Callable[[], WarmProcess]]:
    made: list[WarmProcess] = []

    def get() -> WarmProcess:
        if not made:
            made.append(WarmProcess())
        return made[0]

    yield get
    for process in made:
        process.close()


@pytest.fixture
def run(_warm: Callable[[], WarmProcess]) -> Run:
    """Runs one of the project's commands to its end."""

    def run(
        *command: object, input: str | None = None, timeout: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        name, *arguments = map(str, command)
        words, variables = [str(BIN / name), *arguments], {**os.environ, **environment}
        if name in _SCRIPTS and input is None and _warm().can_run(variables):
            return _warm().run(words, variables, timeout)
        return subprocess.run(
            words, input=input, capture_output=True, text=True, timeout=timeout, env=variables
        )

    return run


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands, and kills what is left of them when the test ends."""
    started: list[subprocess.Popen[Any]] = []

    def start(*command: object, **options: Any) -> subprocess.Popen[Any]:
        name, *arguments = map(str, command)
        executable = str(BIN / name) if (BIN / name).exists() else name
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen([executable, *arguments], **options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def config_file(tmp_path: Path) -> Write:
    """Writes a configuration, given as text or as Python values, which are valid YAML."""

    def write(content: Any, name: str = "ecl.yml") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else repr(content).replace("True", "true"))
        return path

    return write
