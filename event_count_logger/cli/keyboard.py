"""Keys of a terminal, one at a time, and wake-ups for a program that waits for them."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import termios
import tty
from contextlib import suppress
from types import FrameType, TracebackType

#: Seconds to wait for the rest of a key's sequence: Escape alone is also the beginning of many sequences.
_REST_S = 0.05

_NAMES = {
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "ctrl-c",
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1b[4~": "end",
}

#: The input of one key: a control sequence of ECMA-48 or xterm, or a character.
_KEY = re.compile(r"\x1b\[[0-9;]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)


class Keyboard:
    """A context manager for the terminal at standard input: keys arrive at once, without echo.

    Leaving the context restores the terminal in all cases. SIGTERM, SIGINT and SIGHUP act like Ctrl-C.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ended = False

    def __enter__(self) -> Keyboard:
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        self._settings = termios.tcgetattr(self._fd)
        self._wake_before = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: None),
            **{
                number: signal.signal(number, self._end)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            },
        }
        tty.setcbreak(self._fd)
        self._disable_signal_keys()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._settings)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_before)
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def wake(self) -> None:
        """Make `wait` return; any thread may call this."""
        with suppress(BlockingIOError):  # it is already waking up
            os.write(self._wake_writer, b"\0")

    def wait(self, timeout_s: float) -> list[str]:
        """Returns the keys pressed, as characters and names such as `up`; none after a timeout or `wake`."""
        readable, _, _ = select.select([self._fd, self._wake_reader], [], [], timeout_s)
        if self._wake_reader in readable:
            os.read(self._wake_reader, 4096)
        keys = self._read() if self._fd in readable else []
        return [*keys, "ctrl-c"] if self._ended else keys

    def _read(self) -> list[str]:
        try:
            data = os.read(self._fd, 4096)
        except OSError:
            data = b""
        if not data:
            return ["ctrl-c"]  # the terminal is gone
        if data.endswith((b"\x1b", b"\x1b[", b"\x1bO")) and select.select([self._fd], [], [], _REST_S)[0]:
            data += os.read(self._fd, 4096)
        return [_NAMES.get(key, key) for key in _KEY.findall(self._decoder.decode(data))]

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended = True

    def _disable_signal_keys(self) -> None:
        """Make Ctrl-C, Ctrl-Z and Ctrl-\\ keys, because as signals they would not restore the terminal."""
        settings = termios.tcgetattr(self._fd)
        settings[3] &= ~termios.ISIG
        termios.tcsetattr(self._fd, termios.TCSADRAIN, settings)
