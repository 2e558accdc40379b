"""Compressed log files, read by `ecl tail --once --from start`: each line counts once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from event_count_logger.sources.tail.formats.framing import Until
from tests.servers import Server
from tests.test_tail import Following, messages

zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    ".bz2": lambda data: bz2.compress(data, 1),
    ".xz": lzma.compress,
}


def lines(begin: int, end: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(begin, end))


class Archives(Following):
    """An entry whose pattern matches rotated and compressed files."""

    def __init__(self, server: Server, directory: Path) -> None:
        super().__init__(server, directory)
        self.entry["file"] = f"{self.path}*"
        self.once = True

    def archive(self, suffix: str, content: bytes, modified: float = 1e9) -> Path:
        path = self.rotated(suffix)
        path.write_bytes(COMPRESS[path.suffix](content))
        os.utime(path, (modified, modified))
        return path

    def compress(self, suffix: str = ".1") -> Path:
        """Compress a rotated file as gzip does."""
        plain = self.rotated(suffix)
        modified = plain.stat().st_mtime
        archive = self.archive(f"{suffix}.gz", plain.read_bytes(), modified)
        plain.unlink()
        return archive


@pytest.fixture
def archives(server: Server, tmp_path: Path) -> Iterator[Archives]:
    archives = Archives(server, tmp_path)
    yield archives
    archives.stop()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_count_once_with_the_others(archives: Archives, suffix: str) -> None:
    archives.archive(f".2{suffix}", lines(0, 3), 1e9)
    archives.archive(f".3{suffix}", lines(3, 5) + b"line without end", 1e9 + 1)
    archives.path.write_bytes(lines(6, 10))
    archives.start(from_start=True)
    assert archives.counts() == {"line": 10}
    for once in (True, False):
        archives.once = once
        archives.start(from_start=True)
        archives.rotated(f".3{suffix}").rename(archives.rotated(f".4{suffix}"))
        assert archives.counts() == {"line": 10}
        archives.rotated(f".4{suffix}").rename(archives.rotated(f".3{suffix}"))


def test_compressed_files_are_not_read_while_following(archives: Archives) -> None:
    archives.once = False
    archives.archive(".2.gz", lines(0, 3))
    archives.start(from_start=True)
    archives.write(1)
    assert archives.counts() == {"line": 1}


def test_file_compressed_before_it_was_read_to_its_end_continues(
    archives: Archives, caplog: pytest.LogCaptureFixture
) -> None:
    archives.start(from_start=True)
    archives.write(*range(5))
    assert archives.counts() == {"line": 5}
    archives.stop()
    archives.write(*range(5, 8))
    archives.rename()
    archives.compress()
    archives.path.write_bytes(lines(8, 10))
    archives.start(from_start=True)
    assert archives.counts() == {"line": 10}
    assert not messages(caplog)


def test_file_read_before_it_was_compressed_is_skipped_with_advice(
    archives: Archives, caplog: pytest.LogCaptureFixture
) -> None:
    archives.once = False
    archives.start(from_start=True)
    archives.write(*range(5))
    archives.counts()
    archives.rename()
    assert archives.counts() == {"line": 5}
    archive = archives.compress()
    archives.write(5)
    assert archives.counts() == {"line": 6}
    archives.once = True
    archives.start(from_start=True)
    archives.archive(".2.gz", lines(0, 3))
    assert archives.counts() == {"line": 6}
    assert f"{archive} is not read: its lines were counted before it was compressed" in messages(caplog)[0]
    assert "an entry with another 'source'" in messages(caplog)[0]
    archives.entry["source"] = "back-fill"
    archives.start(from_start=True)
    assert archives.counts() == {"line": 6 + 9}


@pytest.mark.parametrize("other", [".2", ".2.zst"])
def test_same_content_in_two_files_counts_once(archives: Archives, other: str) -> None:
    content = lines(0, 500)
    archives.archive(".2.gz", content)
    if other == ".2":
        archives.rotated(other).write_bytes(content + b"line\n")
    else:
        archives.archive(other, content)
    n = 500 + (other == ".2")
    for _ in range(2):
        archives.start(from_start=True)
        assert archives.counts() == {"line": n}


def test_rotated_file_that_had_no_successor_counts_once_compressed(archives: Archives) -> None:
    archives.write(*range(5), path=archives.rotated())
    archives.start(from_start=True)
    assert archives.counts() == {"line": 5}
    archives.write(5)
    archives.compress()
    for _ in range(2):
        assert archives.counts() == {"line": 6}
        archives.start(from_start=True)


def test_large_archive_continues_after_each_kill(
    archives: Archives, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_count_logger.sources.tail.tail._BATCH_BYTES", 1 << 17)
    content = b"".join(b"line %x\n" % chance.getrandbits(300) for _ in range(20_000))
    archives.archive(".2.gz", content)
    archives.archive(".3.zst", content[::-1].replace(b"\n", b"\nline ").removeprefix(b"\n"))
    n_starts = 0
    while archives.counted().get("line", 0) < 40_000:
        archives.start(from_start=True)
        assert archives.tail
        archives.tail._batch_bytes = 1 << 17
        for _ in range(chance.randrange(1, 5)):
            archives.tail.advance()
        n_starts += 1
        assert n_starts < 100
    archives.start()
    assert archives.counts() == {"line": 40_000}
    assert n_starts > 2


@pytest.mark.parametrize("suffix", COMPRESS)
def test_incomplete_archive_counts_up_to_its_end_and_later_the_rest(
    archives: Archives, suffix: str, chance: random.Random, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"".join(b"line %x\n" % chance.getrandbits(300) for _ in range(10_000))
    path = archives.archive(f".2{suffix}", content)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    archives.start(from_start=True)
    n = archives.counts()["line"]
    assert 1 < n < 10_000
    (message,) = messages(caplog)
    assert message.startswith(f"{path} is damaged: ")
    path.write_bytes(whole)
    archives.start(from_start=True)
    assert archives.counts() == {"line": 10_000}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_corrupt_archive_is_reported_and_others_are_read(
    archives: Archives, suffix: str, chance: random.Random, caplog: pytest.LogCaptureFixture
) -> None:
    path = archives.archive(
        f".2{suffix}", b"".join(b"line %x\n" % chance.getrandbits(300) for _ in range(9999))
    )
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(whole[:half] + chance.randbytes(999) + whole[half + 999 :])
    archives.rotated(f".3{suffix}").write_bytes(b"no archive")
    archives.write(1)
    archives.start(from_start=True)
    assert archives.counts()["line"] > 1
    assert len([each for each in messages(caplog) if " is damaged: " in each]) == 2


def test_members_of_an_archive_and_a_long_line_are_read(archives: Archives) -> None:
    path = archives.archive(".2.gz", lines(0, 2))
    with path.open("ab") as file:
        file.write(gzip.compress(b"line " + b"x" * (3 << 20) + b"\n" + lines(0, 3)))
    archives.start(from_start=True)
    assert archives.counts(Until.FILE) == {"line": 5, "@skipped": 1}


def test_missing_decompressor_is_named(
    archives: Archives, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("compression", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    path = archives.archive(".2.zst", lines(0, 2))
    archives.start(from_start=True)
    assert archives.counts() == {}
    (message,) = messages(caplog)
    assert message.startswith(f"{path} cannot be read: Python before 3.14 reads .zst with another package")
    assert "pip install 'event-count-logger[zstd]" in message
