"""A real terminal to run programs in: a window of tmux."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.servers import wait_until


class Terminal:
    """A terminal of 100 columns and 24 lines with one command, and a shell that stays after it."""

    def __init__(self, directory: Path, *command: object) -> None:
        self._directory = directory
        self._closed = False
        self._socket = directory / "tmux"
        words = shlex.join(map(str, command))
        script = f"echo begin; stty -g >before; {words}; echo $? >status; stty -g >after; read rest"
        self._tmux("new-session", "-d", "-x", "100", "-y", "24", "-c", str(directory), "sh", "-c", script)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-f", "/dev/null", "-S", str(self._socket), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def lines(self) -> list[str]:
        """The visible lines."""
        return self._tmux("capture-pane", "-p").splitlines()

    def sees(self, *words: str) -> list[str]:
        """Wait until a line contains all of these words, and return all lines, some of which may be older."""

        def has_words(lines: list[str]) -> bool:
            return any(all(word in line for word in words) for line in lines)

        return self.shows(has_words, f"a line with {words}")

    def shows(self, check: Callable[[list[str]], bool], what: str = "") -> list[str]:
        """Wait until a check of all lines is true, and return the lines.

        The screen may be seen while it is being drawn: a check includes all lines that a test depends on.
        """

        def seen() -> list[str]:
            lines = self.lines
            return lines if check(lines) else []

        try:
            return list(wait_until(seen, what=what))
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines])) from None

    def press(self, *keys: str) -> None:
        """Press keys by their names in tmux, such as `q`, `Enter`, `Down`."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def pid(self) -> int:
        """The pid of the command."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", shell], capture_output=True, text=True)
        return int(children.stdout.split()[0])

    def ended(self) -> int:
        """Wait for the end of the command, check that the terminal is restored, and return the status."""
        wait_until((self._directory / "after").exists, what="the command ends")
        wait_until(lambda: self._read("after"))
        assert self._read("after") == self._read("before")
        self.shows(lambda lines: lines[0] == "begin", "the first line, after all output was read")
        state = ("display-message", "-p", "#{alternate_on} #{cursor_flag}")
        wait_until(lambda: self._tmux(*state) == "0 1\n", what="the screen and the cursor are restored")
        return int(self._read("status"))

    def _read(self, name: str) -> str:
        return (self._directory / name).read_text()

    def close(self) -> None:
        """Close the window, and end all programs in it."""
        if not self._closed:
            self._closed = True
            self._tmux("kill-server")
