"""Forks that run no hook of Python, forks in signal handlers, and several interpreters in a process."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap

import pytest

from tests.servers import Server
from tests.test_process_end import HEADER, run_program

#: What counts: the C extension, or Python, with `ECL_NATIVE=0`.
C, PYTHON = "1", "0"

#: `c_fork` holds the interpreter's lock, as C code does that was called by Python, and runs no hook. If
#: another thread waits for that lock, only the C extension can repair it in the child: Python needs a pause.
C_FORK = """
    import ctypes, random, signal
    c_fork = ctypes.PyDLL(None).fork

    def pause():
        if os.environ["ECL_NATIVE"] == "0":
            time.sleep(0.2)

    def start(function, fork=c_fork):
        pause()
        pid = fork()
        if pid == 0:
            function()
            ecl.close()
            os._exit(0)
        return pid

    def wait(*pids):
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)
"""

#: Python 3.13 prints this when a second interpreter ends in a thread.
FAULT_OF_PYTHON = re.compile(r"Exception ignored in: <function _DeleteDummyThreadOnDel.*\n(.*\n){3}")

FORKS = {
    "before anything was logged": (
        """
        child = start(lambda: log(3))
        log(2)
        wait(child)
        """,
        5,
    ),
    "after the parent has logged, and all count at the same time": (
        """
        log(10)
        children = [start(lambda: log(50)) for _ in range(3)]
        log(50)
        wait(*children)
        """,
        210,
    ),
    "of a child that never logs": (
        """
        log(1)
        wait(start(lambda: wait(start(lambda: log(5)))))
        log(1)
        """,
        7,
    ),
    "of a child that logs before and after it": (
        """
        def child():
            log(3)
            grandchild = start(lambda: log(50))
            log(40)
            wait(grandchild)

        log(1)
        wait(start(child))
        log(1)
        """,
        95,
    ),
    "by Python of a child by C, and the other way round": (
        """
        log(1)
        wait(start(lambda: wait(start(lambda: log(5), os.fork))))
        wait(start(lambda: wait(start(lambda: log(5))), os.fork))
        log(1)
        """,
        12,
    ),
    "with counters bound before": (
        """
        counters = [direct.counter("e"), cached.counter("e")]

        def inc(n):
            for counter in counters:
                counter.inc(n)

        inc(1)
        children = [start(lambda: [inc(2) for _ in range(100)]) for _ in range(2)]
        inc(1)
        wait(*children)
        """,
        402,
    ),
    "of a child that ends as programs do": (
        """
        log(1)
        pause()
        child = c_fork()
        if child == 0:
            log(3)
            sys.exit()
        wait(child)
        log(1)
        """,
        5,
    ),
}


@pytest.mark.parametrize("name", FORKS)
def test_fork_by_c_code_is_exact(name: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_fork(name, C, server, monkeypatch)


@pytest.mark.parametrize(
    "name", ["before anything was logged", "of a child that never logs", "with counters bound before"]
)
def test_fork_by_c_code_without_the_extension_is_exact(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_fork(name, PYTHON, server, monkeypatch)


def check_fork(name: str, native: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECL_NATIVE", native)
    program, count = FORKS[name]
    check(textwrap.dedent(C_FORK) + textwrap.dedent(program), server, count)


def check(program: str, server: Server, count: int | None = None) -> None:
    """Run a program and compare the counts in Redis with `count`, or with the number printed if None."""
    done = run_program(program, server.config)
    assert done.returncode == 0, done
    assert FAULT_OF_PYTHON.sub("", done.stderr) == ""
    expected = {"e": int(done.stdout) if count is None else count}
    counted = {group: server.counts(group, "1h", "cur") for group in ("direct", "cached")}
    assert counted == {"direct": expected, "cached": expected}


IN_A_HANDLER = """
    n_forks, n_logged = 0, 0

    def handler(*_):
        global n_forks
        if n_forks < 10:
            n_forks += 1
            wait(start(log, {fork}))
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.002))

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while n_forks < 10:
        log()
        n_logged += 1
    print(n_logged + n_forks)
"""


@pytest.mark.parametrize(("fork", "native"), [("os.fork", C), ("c_fork", C), ("os.fork", PYTHON)])
def test_fork_in_a_signal_handler_that_interrupts_log_is_exact(
    fork: str, native: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECL_NATIVE", native)
    check(textwrap.dedent(C_FORK) + textwrap.dedent(IN_A_HANDLER).format(fork=fork), server)


#: The grandchild has the pid of the process that has made the groups, has counted, and has ended.
SAME_PID = """
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                sys.exit()
    first = os.getpid()
    log(3)
    pause()
    second = {fork}()
    if second:
        ecl.close()
        os._exit(0)
    third = None
    while third != first:  # the kernel keeps the pid a little longer than /proc shows the process
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(first - 1))
        third = {fork}()
        if third == 0:
            if os.getpid() == first:
                log(4)
                ecl.close()
            os._exit(0)
        os.waitpid(third, 0)
    os._exit(0)
"""


@pytest.mark.parametrize(("fork", "native"), [("c_fork", C), ("c_fork", PYTHON)])
def test_grandchild_with_the_pid_of_a_dead_ancestor_is_exact(
    fork: str, native: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("pids cannot be chosen here")
    monkeypatch.setenv("ECL_NATIVE", native)
    program = textwrap.dedent(C_FORK) + textwrap.dedent(SAME_PID).format(fork=fork)
    check(program, server, 7)


INTERPRETERS = {
    "that counts and ends": (
        """
        in_another_interpreter("log(3)")
        log(2)
        in_another_interpreter("log(3)")
        in_another_interpreter("")
        log(2)
        """,
        10,
    ),
    "that parses without hiredis": (
        """
        in_another_interpreter("import redis.utils; log(2 if redis.utils.HIREDIS_AVAILABLE else 1)")
        import redis.utils
        log(2 if redis.utils.HIREDIS_AVAILABLE else 1)
        """,
        3,
    ),
    "that counts while the first one does": (
        """
        other = threading.Thread(target=in_another_interpreter, args=("log(50)",))
        other.start()
        log(50)
        other.join()
        """,
        100,
    ),
    "that counts and ends in a child by C": (
        """
        log(1)
        in_another_interpreter("log(1)")
        wait(start(lambda: (log(2), in_another_interpreter("log(2)"))))
        log(1)
        """,
        7,
    ),
}

#: Runs source text between Py_NewInterpreter and Py_EndInterpreter, as mod_wsgi does with an application.
ANOTHER_INTERPRETER = """
    import _testcapi

    def in_another_interpreter(source):
        before = "import sys; sys.argv = %r\\n" % sys.argv + {header!r}
        assert _testcapi.run_in_subinterp(before + source) == 0
"""


@pytest.mark.parametrize(
    ("name", "native"), [*((name, C) for name in INTERPRETERS), ("that counts and ends", PYTHON)]
)
def test_second_interpreter_in_a_process_counts(
    name: str, native: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("_testcapi")
    monkeypatch.setenv("ECL_NATIVE", native)
    program, count = INTERPRETERS[name]
    helpers = textwrap.dedent(ANOTHER_INTERPRETER).format(header=textwrap.dedent(HEADER))
    check(textwrap.dedent(C_FORK) + helpers + textwrap.dedent(program), server, count)
