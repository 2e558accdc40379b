"""Standard input, FIFOs and sockets as the input of a tail.

They have no position: bytes that were read cannot be read again, and are lost if the process is killed
before their commit. The number of the commit is the position, so that a retry counts nothing twice. The
source belongs to this process, as that of a counting process; see `keys.process`.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import struct
import sys
import termios
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from event_count_logger import keys
from event_count_logger.config.listen_address import ListenAddress
from event_count_logger.sources.tail.formats.framing import Until
from event_count_logger.sources.tail.formats.text_format import MARK_BYTES, TextFormat
from event_count_logger.sources.tail.inputs.protocols import InputError
from event_count_logger.sources.tail.inputs.record_buffer import RecordBuffer

#: Bytes that are read at once. Datagrams of UDP are shorter, those of a Unix socket may be longer.
_BLOCK = 1 << 16

#: Most bytes read of one stream in a row. More would delay the commit of the first ones.
_MOST = 4 << 20

#: Connections to one socket at a time. Others wait until one is closed.
_MOST_CONNECTIONS = 200

#: Seconds without new data after which the last complete line ends its record.
_IDLE_S = 5.0

#: Seconds between commits without new lines: they show that the source is in use, so that it is not pruned.
_HEARTBEAT_S = 60.0


class Stream:
    """One stream of lines, from a file descriptor. It implements `Part`.

    Attributes:
        descriptor: The file descriptor.
        is_ended: True after its last byte.
        last: The last bytes that are read at the end of the stream.
    """

    n_unread = 0
    last = Until.FILE

    def __init__(
        self,
        path: str,
        descriptor: int,
        format: TextFormat,
        taken: Callable[[bytes], object] = lambda data: None,
    ) -> None:
        """Takes what belongs to a stream.

        Args:
            path: Name of the stream.
            descriptor: The file descriptor.
            format: Encoding and framing.
            taken: Called with all bytes in their order, as they are read or skipped.
        """
        self.path = path
        self.constants: Mapping[str, str] = {"file": path, "file.name": os.path.basename(path)}
        self.descriptor = descriptor
        self.offset = 0
        self.is_ended = False
        self._buffer = RecordBuffer(format, taken)
        self._received_at = time.monotonic()
        self._events = select.poll()
        self._events.register(descriptor, select.POLLIN)

    @property
    def n_skipped(self) -> int:
        """Lines that were too long."""
        return self._buffer.n_skipped

    @n_skipped.setter
    def n_skipped(self, n: int) -> None:
        self._buffer.n_skipped = n

    def chunks(self, most: int, until: Until) -> Iterator[bytes]:
        """Yield the lines that have arrived."""
        last = self.offset + min(most, _MOST)
        while self.offset < last and not self.is_ended and (data := self._receive()) is not None:
            self._received_at = time.monotonic()
            self.offset += len(data)
            self.is_ended = not data
            yield from self._buffer.take(data, self.last if self.is_ended else Until.RECORD)
        is_idle = time.monotonic() > self._received_at + _IDLE_S
        if not self.is_ended and (is_idle or until > Until.RECORD):
            yield from self._buffer.take(b"", max(until, Until.LINE))

    def _receive(self) -> bytes | None:
        """Returns bytes that have arrived, b'' at the end, None if nothing has arrived."""
        if not self._events.poll(0):
            return None
        try:
            return os.read(self.descriptor, _BLOCK)
        except BlockingIOError:  # another process reads from it, too
            return None
        except OSError:  # the other side has broken the connection
            return b""


class Packets(Stream):
    """The packets of a socket. Each packet is a text of its own, with complete lines."""

    def __init__(self, path: str, descriptor: int, format: TextFormat, format_of_utf8: TextFormat) -> None:
        """`format` is that of a packet, `format_of_utf8` the same for UTF-8."""
        super().__init__(path, descriptor, format_of_utf8)
        self._format = format

    def _receive(self) -> bytes | None:
        """Returns the lines of the next packet that is not empty, in UTF-8; None if none has arrived."""
        try:
            while self._events.poll(0):
                data = os.read(self.descriptor, self._n_bytes())
                text = self._format.text(data[:MARK_BYTES], is_whole=True)
                if text and (lines := text.utf8(data, is_first=True)):
                    return lines
        except OSError:  # the packet was damaged
            pass
        return None

    def _n_bytes(self) -> int:
        """Returns the number of bytes to read: a whole packet, because its rest would be lost."""
        answer = fcntl.ioctl(self.descriptor, termios.FIONREAD, bytes(struct.calcsize("i")))
        return max(_BLOCK, int.from_bytes(answer, sys.byteorder))


class Opener(Protocol):
    """The origin of the streams of an input."""

    @property
    def descriptors(self) -> Collection[int]:
        """Descriptors that show that `streams` may find more."""

    @property
    def is_complete(self) -> bool:
        """True if no further stream will come."""

    def streams(self) -> Iterator[Stream]:
        """Yield streams that are new."""

    def ended(self, stream: Stream) -> None:
        """Take notice of the end of a stream."""

    def close(self) -> None:
        """Close everything."""


class StreamInput:
    """Streams of lines without a position. It implements `Input`.

    Attributes:
        absence: The reason why nothing is read; '' if something is.
    """

    is_repeatable = False
    n_unread = 0

    def __init__(self, opener: Opener, absence: str = "") -> None:
        self.absence = absence
        self._opener = opener
        self._streams: list[Stream] = []
        self._committed_at = 0.0
        self.number = 0
        self.source_id = keys.process(uuid.uuid4().hex, 0)

    @property
    def is_complete(self) -> bool:
        """True after the last byte of the last stream."""
        return self._opener.is_complete and not self._streams

    @property
    def descriptors(self) -> Collection[int]:
        """Descriptors at which lines arrive."""
        return [*self._opener.descriptors, *(stream.descriptor for stream in self._streams)]

    def begin(self, position: str) -> None:
        """Take over the number of the last commit."""
        self.number = int(position) if position.isdecimal() else 0

    def parts(self) -> Iterator[Stream]:
        """Yield all streams, also new ones."""
        self._streams += self._opener.streams()
        for stream in tuple(self._streams):
            yield stream
            if stream.is_ended:
                self._opener.ended(stream)
                self._streams.remove(stream)

    def next_position(self, is_needed: bool) -> str:
        """Returns the number of the next commit, which is also needed from time to time."""
        is_needed = is_needed or time.monotonic() > self._committed_at + _HEARTBEAT_S
        return str(self.number + 1) if is_needed else ""

    def committed(self) -> None:
        """Go on to the next number."""
        self.number += 1
        self._committed_at = time.monotonic()

    def check_moved(self, stored: str) -> None:
        """Accept any number: only this process uses the source."""

    def close(self) -> None:
        """Close all streams."""
        for stream in self._streams:
            self._opener.ended(stream)
        self._streams.clear()
        self._opener.close()


class NoStreams:
    """Nothing to read. It implements `Opener`."""

    descriptors: Collection[int] = ()
    is_complete = True

    def streams(self) -> Iterator[Stream]:
        """Yield nothing."""
        return iter(())

    def ended(self, stream: Stream) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class StandardInput:
    """Standard input, up to its end. It implements `Opener`."""

    descriptors: Collection[int] = ()

    def __init__(self, format: TextFormat) -> None:
        self._format = format
        self.is_complete = False

    def streams(self) -> Iterator[Stream]:
        """Yield standard input once."""
        if not self.is_complete:
            self.is_complete = True
            yield Stream("stdin", 0, self._format)

    def ended(self, stream: Stream) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Fifo:
    """A FIFO. It implements `Opener`."""

    descriptors: Collection[int] = ()

    def __init__(self, path: str, format: TextFormat, once: bool) -> None:
        """With `once`, its content ends when the last writer has closed it; otherwise it has no end.

        Raises:
            InputError: It cannot be opened.
        """
        self._path, self._format = path, format
        self.is_complete = False
        # With a writer of its own, this process reads on after the others have closed the FIFO.
        access = os.O_RDONLY if once else os.O_RDWR
        try:
            self._descriptor = os.open(path, access | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(path, error) from error

    def streams(self) -> Iterator[Stream]:
        """Yield the FIFO once."""
        if not self.is_complete:
            self.is_complete = True
            yield Stream(self._path, self._descriptor, self._format)

    def ended(self, stream: Stream) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the FIFO."""
        os.close(self._descriptor)


class Listener:
    """A socket that accepts connections or packets. It implements `Opener`."""

    is_complete = False

    def __init__(self, address: ListenAddress, format: TextFormat, format_of_utf8: TextFormat) -> None:
        """Listens at an address; for the formats see `Packets`.

        Raises:
            InputError: It cannot listen at the address.
        """
        self._address, self._format, self._format_of_utf8 = address, format, format_of_utf8
        self._connections: dict[Stream, socket.socket] = {}
        self._packets: Stream | None = None
        try:
            self._socket = _bound(address)
            if not address.is_datagram:
                self._socket.listen()
        except OSError as error:
            raise InputError(f"{address}", error) from error
        except UnicodeError as error:  # a part of the name of a host is empty or too long
            raise InputError(f"{address}", OSError(f"{error}")) from error
        self._socket.setblocking(False)

    @property
    def descriptors(self) -> Collection[int]:
        """The socket, if it accepts connections."""
        is_full = len(self._connections) >= _MOST_CONNECTIONS
        return () if self._address.is_datagram or is_full else (self._socket.fileno(),)

    def streams(self) -> Iterator[Stream]:
        """Yield new connections; the packets of a socket are one stream."""
        name = f"{self._address}"
        if self._address.is_datagram:
            if not self._packets:
                self._packets = Packets(name, self._socket.fileno(), self._format, self._format_of_utf8)
                yield self._packets
            return
        with suppress(OSError):  # no further connection, or it is gone already
            while len(self._connections) < _MOST_CONNECTIONS:
                connection, _ = self._socket.accept()
                connection.setblocking(False)
                stream = Stream(name, connection.fileno(), self._format)
                self._connections[stream] = connection
                yield stream

    def ended(self, stream: Stream) -> None:
        """Close a connection."""
        connection = self._connections.pop(stream, None)
        if connection:
            connection.close()

    def close(self) -> None:
        """Close the socket, and remove it from the file system."""
        self._socket.close()
        if self._address.path:
            with suppress(OSError):
                os.unlink(self._address.path)


def _bound(address: ListenAddress) -> socket.socket:
    """Returns a socket at an address; one that an ended process has left in the file system is replaced."""
    kind = socket.SOCK_DGRAM if address.is_datagram else socket.SOCK_STREAM
    if not address.path:
        [(family, _, _, _, at), *_] = socket.getaddrinfo(address.host, address.port, type=kind)
        found = socket.socket(family, kind)
        if not address.is_datagram:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(at)
        return found
    found = socket.socket(socket.AF_UNIX, kind)
    if _is_left_over(address.path, kind):
        os.unlink(address.path)
    found.bind(address.path)
    return found


def _is_left_over(path: str, kind: socket.SocketKind) -> bool:
    """Returns whether a path is a socket at which no process listens."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, kind) as other:
            other.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
