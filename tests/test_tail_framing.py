"""Records in log files: their ends, forced ends, and what follows them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from event_count_logger.sources.tail.formats.framing import Lines, Until
from event_count_logger.sources.tail.formats.text_format import LARGEST_CHUNK, LONGEST_LINE, TextFormat
from event_count_logger.sources.tail.inputs.discovery import FileCheckpoint, FoundFile
from event_count_logger.sources.tail.inputs.record_buffer import RecordBuffer
from event_count_logger.sources.tail.inputs.tailed_file import TailedFile


class Blocks(Lines):
    """Records that begin with a line `=`."""

    def end(self, data: bytes) -> int:
        return data.rfind(b"\n=") + 1

    def begin(self, before: bytes, data: bytes) -> int:
        position = super().begin(before, data)
        while position < len(data) and data[position : position + 1] != b"=":
            end = self.end_of_line(data, position)
            if not end:
                break
            position = end
        return position


class Reading:
    """One file that is written and read in turns; each read reopens it, as after a kill."""

    def __init__(self, path: Path, format: TextFormat, is_reopened: bool) -> None:
        self.path, self.format, self.is_reopened = path, format, is_reopened
        path.touch()
        self.file = TailedFile.open(self._found(), format)

    def read(self, written: bytes = b"", until: Until = Until.RECORD) -> bytes:
        with self.path.open("ab") as log:
            log.write(written)
        if self.is_reopened:
            checkpoint: FileCheckpoint = self.file.checkpoint
            self.file.close()
            reopened = TailedFile.reopen(self._found(), checkpoint, self.format)
            assert reopened
            self.file = reopened
        return b"|".join(filter(None, self.file.chunks(1 << 30, until)))

    def _found(self) -> FoundFile:
        return FoundFile(f"{self.path}", f"{self.path}", True, True, self.path.stat())


@pytest.fixture(params=[False, True], ids=["open", "reopened"])
def reading(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[TextFormat], Reading]:
    return lambda format: Reading(tmp_path / "a.log", format, request.param)


def test_incomplete_line_is_read_up_to_the_end_of_file_once(reading: Callable[[TextFormat], Reading]) -> None:
    log = reading(TextFormat())
    assert log.read(b"one\ntw") == b"one\n"
    assert log.read(until=Until.LINE) == b""
    assert log.read(until=Until.FILE) == b"tw\n"
    assert log.read(b"o") == b""
    assert log.read(b" and", Until.FILE) == b""
    assert log.read(b" more\nthree\n") == b"three\n"
    assert log.read(b"four", Until.FILE) == b"four\n"
    assert log.read(b"\nfive\n") == b"five\n"


def test_last_record_of_lines_is_read_at_a_forced_end_once(reading: Callable[[TextFormat], Reading]) -> None:
    log = reading(TextFormat(framing=Blocks))
    assert log.read(b"=\na\n=\nb\nc") == b"=\na\n"
    assert log.read(until=Until.LINE) == b"=\nb\n"
    assert log.read(b"c\nd\n") == b""
    assert log.read(b"=\ne") == b""
    assert log.read(until=Until.FILE) == b"=\ne\n"
    assert log.read(b"e\nf\n=\n", Until.LINE) == b"=\n"


def test_record_of_more_than_1_mib_is_cut_and_counted_once(reading: Callable[[TextFormat], Reading]) -> None:
    log = reading(TextFormat(framing=Blocks))
    first = b"=\n" + b"line\n" * 300_000
    cut, following = log.read(first + b"=\nnext\n=\n").split(b"|")
    assert cut == first[: len(cut)]
    assert len(cut) > 1 << 19
    assert following == b"=\nnext\n"
    assert log.file.n_skipped == 1


@pytest.mark.parametrize("last", [Until.RECORD, Until.LINE])
def test_record_of_just_1_mib_leaves_no_rest_to_report(
    reading: Callable[[TextFormat], Reading], last: Until
) -> None:
    log, buffer = reading(TextFormat(framing=Blocks)), RecordBuffer(TextFormat(framing=Blocks))
    longest = b"=\n" + b"line\n" * (LONGEST_LINE // 5)
    assert len(longest) == LARGEST_CHUNK
    steps: list[tuple[bytes, Until]] = [(longest + b"=\na\n", last), (b"=\nb\n", Until.LINE)]
    for data, until in (*steps, (b"late\n=\nc\n", Until.RECORD)):
        log.read(data, until)
        list(buffer.take(data, until))
    assert (log.file.n_skipped, buffer.n_skipped) == (0, 0)
    assert log.file.offset == buffer.offset == log.path.stat().st_size - len(b"=\nc\n")


def test_rest_of_a_record_without_end_is_reported_once() -> None:
    buffer = RecordBuffer(TextFormat(framing=Blocks))
    texts = [text for _ in range(40) for text in buffer.take(b"line\n" * 20_000, Until.RECORD)]
    assert len(list(filter(None, texts))) == 1
    assert buffer.n_skipped == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "cp037", "shift_jis"])
def test_ends_of_lines_are_found_in_any_encoding(encoding: str) -> None:
    lines = Lines(encoding)
    texts = ["first\n", "\n", "last\n"]
    if encoding.startswith("utf-16"):
        texts.insert(1, "\u0a00\u0a0a\u0a41\u010a\n")
    data = b"".join(text.encode(encoding) for text in texts)
    begin, found = 0, []
    while end := lines.end_of_line(data, begin):
        found.append(data[begin:end].decode(encoding))
        begin = end
    assert found == texts
    rest = "\u0a00x".encode(encoding) if encoding.startswith("utf-16") else b"x"
    assert lines.end_of_lines(data + rest) == len(data)
    assert lines.end_of_lines(rest) == lines.end_of_line(rest) == 0


def test_odd_byte_at_the_end_of_utf_16_waits_for_its_other_half(
    reading: Callable[[TextFormat], Reading],
) -> None:
    log = reading(TextFormat("utf-16-le"))
    line = "one\ntwo\n".encode("utf-16-le")
    assert log.read(line[:11], Until.FILE) == b"one\n|t\n"
    assert log.read(line[11:] + line) == b"one\ntwo\n"
    assert log.path.stat().st_size == log.file.offset


@pytest.mark.parametrize(
    ("configured", "written"),
    [
        ("utf-8", "utf-8-sig"),
        ("utf-8", "utf-16"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("iso8859-1", "latin-1"),
        ("cp037", "cp037"),
    ],
)
def test_lines_of_any_encoding_are_read_as_utf_8(
    reading: Callable[[TextFormat], Reading], configured: str, written: str
) -> None:
    log = reading(TextFormat(configured))
    data = "grün\nblau\n".encode(written)
    lines = b""
    for byte in data:
        lines += log.read(bytes((byte,)))
    assert lines.decode() == "grün\nblau\n"
    assert log.file.text
    assert log.file.text.is_guessed == (configured == "utf-8" and written == "utf-16")


def test_longest_line_of_another_encoding_fits_into_a_chunk(reading: Callable[[TextFormat], Reading]) -> None:
    log = reading(TextFormat("cp1252"))
    fits, too_long = b"\x80" * (LONGEST_LINE // 3 - 1) + b"\n", b"\x80" * (LONGEST_LINE // 3) + b"\n"
    assert len(log.read(fits)) <= LARGEST_CHUNK
    assert log.read(too_long + b"\x80\n") == "€\n".encode()
    assert log.file.n_skipped == 1


def test_byte_order_mark_alone_is_no_line(reading: Callable[[TextFormat], Reading]) -> None:
    log = reading(TextFormat())
    assert log.read(b"\xef\xbb\xbf", Until.FILE) == b""
    assert log.read(b"line\n") == b"line\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "gb18030"])
def test_each_line_is_read_once_however_it_is_written_and_read(
    reading: Callable[[TextFormat], Reading], encoding: str, chance: random.Random
) -> None:
    log, buffer = reading(TextFormat(encoding)), RecordBuffer(TextFormat(encoding))
    characters = "ab\n\u0a00\u000a\u0a0a\u4e00\U0001f600"
    data = "".join(chance.choices(characters, k=3000)).encode(encoding) + "last".encode(encoding)
    n, n_buffered, rest = 0, 0, data
    while rest:
        size = chance.choice([1, 2, 3, 7, 500])
        until = chance.choice([Until.RECORD, Until.LINE, Until.FILE])
        n += log.read(rest[:size], until).count(b"\n")
        n_buffered += b"".join(buffer.take(rest[:size], until)).count(b"\n")
        rest = rest[size:]
    n += log.read(until=Until.FILE).count(b"\n")
    n_buffered += b"".join(buffer.take(b"", Until.FILE)).count(b"\n")
    n_lines = data.decode(encoding).count("\n") + 1
    assert (n, n_buffered) == (n_lines, n_lines)
    assert (log.file.offset, buffer.offset) == (len(data), len(data))


def test_random_bytes_are_read_to_their_end(
    reading: Callable[[TextFormat], Reading], chance: random.Random
) -> None:
    for encoding, framing in (("utf-8", Lines), ("utf-8", Blocks), ("utf-16", Lines), ("cp1252", Lines)):
        log = reading(TextFormat(encoding, framing))
        for _ in range(20):
            text = log.read(chance.randbytes(chance.choice([1, 100, 9999])), chance.choice(list(Until)))
            assert text == b"" or text.endswith(b"\n")
        log.read(until=Until.FILE)
        assert log.file.offset + 1 >= log.path.stat().st_size
        log.path.unlink()
