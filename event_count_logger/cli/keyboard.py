"""Keys of a terminal, one at a time, and whatever else wakes a program that waits for them."""

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

#: Seconds within which the rest of what one key sends comes: Escape alone is the beginning of many.
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

#: What one key sends: a sequence, as ECMA-48 and xterm have it, or a character.
_KEY = re.compile(r"\x1b\[[0-9;]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)


class Keyboard:
    """The terminal at standard input: while it is entered as a context, keys come at once and unseen.

    The terminal is as it was afterwards, whatever happens. Signals that ask for the end count as Ctrl-C.
    """

    def __init__(self, fd: int) -> None:
        """Changes nothing yet."""
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._asked_to_end = False

    def __enter__(self) -> Keyboard:
        self._wakes, self._wake = os.pipe()
        for end in (self._wakes, self._wake):
            os.set_blocking(end, False)
        self._settings = termios.tcgetattr(self._fd)
        self._wake_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: None),
            **{
                number: signal.signal(number, self._end)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            },
        }
        tty.setcbreak(self._fd)
        self._take_keys_for_signals()
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
        os.close(self._wakes)
        os.close(self._wake)

    def wake(self) -> None:
        """Let `wait` return. Any thread may call it."""
        with suppress(BlockingIOError):  # it is being woken already
            os.write(self._wake, b"\0")

    def wait(self, timeout_s: float) -> list[str]:
        """The keys that were pressed: characters, and names such as `up`; none if something else woke it."""
        readable, _, _ = select.select([self._fd, self._wakes], [], [], timeout_s)
        if self._wakes in readable:
            os.read(self._wakes, 4096)
        keys = self._read() if self._fd in readable else []
        return [*keys, "ctrl-c"] if self._asked_to_end else keys

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
        self._asked_to_end = True

    def _take_keys_for_signals(self) -> None:
        """Ctrl-C, Ctrl-Z and Ctrl-\\ are keys: none of them may leave the terminal as it is now."""
        settings = termios.tcgetattr(self._fd)
        settings[3] &= ~termios.ISIG
        termios.tcsetattr(self._fd, termios.TCSADRAIN, settings)
