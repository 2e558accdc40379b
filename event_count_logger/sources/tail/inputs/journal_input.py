"""The systemd journal as the input of a tail: its cursor is the position.

journalctl reads it, as a child process: it comes with systemd, and python-systemd needs a compiler and the
headers of systemd. Each entry is one line of JSON, with its cursor in the field `__CURSOR`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from event_count_logger.config import TailConfig
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.machine_id import identity
from event_count_logger.sources.tail.inputs.protocols import ForeignPosition, InputError
from event_count_logger.sources.tail.inputs.stream_input import Stream

#: The cursor of an entry. In texts of an entry, quotes are escaped, so that this is always the field.
_CURSOR = re.compile(rb'"__CURSOR":"([^"]+)"')

#: Most bytes of the field with the cursor. Cursors have about 150 bytes.
_LONGEST_CURSOR = 1024

#: Seconds between attempts to start a journalctl that has ended.
_RESTART_S = 1.0

#: Directory of the journal of this machine, for the identity of a machine without an ID.
_DIRECTORY = "/var/log/journal"


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """A position in the journal, stored in Redis as a JSON list of its attributes.

    Attributes:
        number: Number of the commit, which makes each position unique.
        cursor: Cursor of the last entry that was read; '' for the start.
        machine: Identity of the machine that has the journal; see machine_id.py.
    """

    number: int = 0
    cursor: str = ""
    machine: str = ""

    @classmethod
    def parse(cls, position: str) -> JournalPosition:
        """Read what `str()` gives.

        Raises:
            ValueError: The text is not such a position.
        """
        try:
            number, cursor, machine = json.loads(position)
            return cls(int(number), str(cursor), str(machine))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{position[:60]!r} is not a position in the journal") from error

    def __str__(self) -> str:
        return json.dumps((self.number, self.cursor, self.machine), separators=(",", ":"))


class JournalInput:
    """The entries of some units, or all. It implements `Input`."""

    is_repeatable = True
    n_unread = 0

    def __init__(
        self, config: TailConfig, warn_once: Callable[[str, str], None], once: bool, from_start: bool
    ) -> None:
        """See `open_input`."""
        self._config = config
        self._warn_once = warn_once
        self._once, self._from_start = once, from_start
        self._journal = _Journal(config)
        self._committed = self._next = JournalPosition()
        self._reader: _Reader | None = None
        self._retry_at = 0.0
        self._fault = ""  # the reason why journalctl has ended early with `once`
        self._cursor = ""  # of the last entry that was read

    @property
    def source_id(self) -> str:
        """Name of its position in Redis."""
        return self._config.source_id

    @property
    def number(self) -> int:
        """Number of the last commit."""
        return self._committed.number

    @property
    def is_complete(self) -> bool:
        """True if journalctl has ended, which it does with `once`."""
        return bool(self._fault) or (self._reader is not None and self._reader.is_done)

    @property
    def absence(self) -> str:
        """The reason why there is nothing to read."""
        if self._fault:
            return f"{self._config.name}: journalctl has ended: {self._fault}"
        return "" if self._journal.last_cursor() else f"{self._config.name} has no entries"

    @property
    def descriptors(self) -> Collection[int]:
        """The pipe from journalctl."""
        return [self._reader.stream.descriptor] if self._reader and not self._reader.is_done else ()

    def begin(self, position: str) -> None:
        """Start journalctl at a cursor."""
        self.close()
        self._committed = JournalPosition.parse(position) if position else JournalPosition()
        self._cursor = self._committed.cursor
        if not position and not self._from_start:
            self._cursor = self._journal.last_cursor()
        elif self._cursor and not self._journal.has(self._cursor):
            here = self._machine
            if self._committed.machine and here and here != self._committed.machine:
                raise ForeignPosition(self._config.name, self._config.source)
            self._warn_once(
                self._cursor,
                f"{self._config.name}: the journal no longer has the last entry that was counted: "
                "entries after it that were deleted, if any, are not counted",
            )
        self._reader = self._start()

    def parts(self) -> Iterator[Stream]:
        """Yield the entries that journalctl has sent."""
        if self._reader is None and not self._fault and time.monotonic() >= self._retry_at:
            self._reader = self._start()
        reader = self._reader
        if reader is None:
            return
        yield reader.stream
        if reader is self._reader:  # `begin` may have started another one meanwhile
            self._cursor = reader.stream.cursor
            if reader.stream.is_ended and not reader.is_done:
                self._end(reader)

    def next_position(self, is_needed: bool) -> str:
        """Returns the position behind the last entry."""
        cursor = self._reader.stream.cursor if self._reader else self._cursor
        if not is_needed and cursor == self._committed.cursor:
            return ""
        self._next = JournalPosition(self.number + 1, cursor, self._machine)
        return str(self._next)

    def committed(self) -> None:
        """Take the last `next_position` as committed."""
        self._committed = self._next

    def check_moved(self, stored: str) -> None:
        """Check that a position is one of the journal."""
        JournalPosition.parse(stored)

    def close(self) -> None:
        """End journalctl."""
        if self._reader:
            self._reader.close()
            self._reader = None

    @property
    def _machine(self) -> str:
        return identity(os.path.join(self._config.directory or _DIRECTORY, "*"))

    def _start(self) -> _Reader:
        return _Reader(self._config.name, self._journal, self._cursor, self._once)

    def _end(self, reader: _Reader) -> None:
        """Handle the end of journalctl: an error, unless `once` has read everything."""
        error = reader.wait()
        if not error and self._once:
            return
        if self._once:
            self._fault = error
            self.close()
            return
        reason = error or "without an error"
        self._warn_once(reason, f"{self._config.name}: journalctl has ended: {reason}; starting it again")
        self.close()
        self._retry_at = time.monotonic() + _RESTART_S


class _Journal:
    """The journal of an entry, as journalctl shows it."""

    def __init__(self, config: TailConfig) -> None:
        self._options = [f"--directory={config.directory}"] if config.directory else []
        self._units = [f"--unit={unit}" for unit in config.units]

    def command(self, cursor: str, once: bool) -> Sequence[str]:
        """Returns the command that prints the entries of the units from a cursor on, with the one at it.

        `--after-cursor` would skip an entry if the one at the cursor is deleted, or of another unit.
        """
        options = [*self._options, *self._units, *([f"--cursor={cursor}"] if cursor else [])]
        return _command(*options, *([] if once else ["--follow", "--no-tail"]))

    def last_cursor(self) -> str:
        """Returns the cursor of the last entry of any unit; '' if there is none."""
        return self._first_cursor("--lines=1")

    def has(self, cursor: str) -> bool:
        """Returns whether the entry of a cursor exists."""
        return self._first_cursor("--lines=1", f"--cursor={cursor}") == cursor

    def _first_cursor(self, *options: str) -> str:
        try:
            done = subprocess.run(_command(*self._options, *options), capture_output=True, check=False)
        except OSError as error:
            raise InputError("journalctl", error) from error
        found = _CURSOR.search(done.stdout)
        return found[1].decode() if found else ""


class _Reader:
    """A running journalctl.

    Attributes:
        stream: The entries that it prints.
        is_done: True if it has printed all entries, and ended without an error.
    """

    def __init__(self, name: str, journal: _Journal, cursor: str, once: bool) -> None:
        self.is_done = False
        try:
            # Ctrl-C in a terminal must not end it before the last lines are counted.
            self._process = subprocess.Popen(
                journal.command(cursor, once),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError("journalctl", error) from error
        assert self._process.stdout
        self.stream = Entries(name, self._process.stdout.fileno(), cursor)

    def wait(self) -> str:
        """Wait for the end; return the reason, or '' if all entries were printed."""
        status = self._process.wait()
        assert self._process.stderr
        text = " ".join(self._process.stderr.read(1000).decode(errors="replace").split())
        self.is_done = status == 0
        return "" if self.is_done else text or f"status {status}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()


class Entries(Stream):
    """The output of journalctl.

    Attributes:
        cursor: Cursor of the last entry that was read or skipped to its end.
    """

    last = Until.RECORD  # the output of a killed journalctl may end inside an entry, which is read again

    def __init__(self, name: str, descriptor: int, cursor: str) -> None:
        """`cursor` is where journalctl began; '' for the first entry."""
        super().__init__(name, descriptor, TextFormat(), taken=self._take)
        self.cursor = self._begin = cursor
        self._is_first = bool(cursor)
        self._found = ""  # cursor in the entry that is being skipped
        self._rest = b""  # the last bytes of it, which may be the start of its cursor

    @property
    def n_skipped(self) -> int:
        """Entries that were too long. Each counts at its end, together with its cursor."""
        return self._buffer.n_skipped - self._buffer.is_in_long_line

    @n_skipped.setter
    def n_skipped(self, n: int) -> None:
        self._buffer.n_skipped = n + self._buffer.is_in_long_line

    def chunks(self, most: int, until: Until) -> Iterator[bytes]:
        """Yield the entries that have arrived, without the one at the cursor where journalctl began."""
        for chunk in super().chunks(most, until):
            if self._is_first and chunk:
                self._is_first = False
                chunk = _without_entry(chunk, self._begin)
            yield chunk

    def _take(self, data: bytes) -> None:
        """Find the cursor of the last entry in bytes: complete entries, or a piece of one that is skipped.

        journalctl prints the fields of an entry in any order, so each piece may contain the cursor.
        """
        data = self._rest + data
        found = _CURSOR.search(data, data.rfind(b"\n", 0, -1) + 1)
        self._found = found[1].decode() if found else self._found
        if not data.endswith(b"\n"):
            self._rest = data[-_LONGEST_CURSOR:]
            return
        if self._buffer.is_in_long_line and self._found == self._begin:  # it was counted before
            self._buffer.n_skipped -= 1
        self.cursor, self._found, self._rest = self._found or self.cursor, "", b""


def _without_entry(chunk: bytes, cursor: str) -> bytes:
    """Returns a chunk without its first entry, if that has a cursor."""
    end = chunk.index(b"\n") + 1
    found = _CURSOR.search(chunk, 0, end)
    return chunk[end:] if found and found[1].decode() == cursor else chunk


def _command(*options: str) -> Sequence[str]:
    return ["journalctl", "--output=json", "--all", "--no-pager", "--quiet", *options]
