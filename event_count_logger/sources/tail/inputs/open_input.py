"""The input of an entry, made from its settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from event_count_logger.config import TailConfig
from event_count_logger.sources.tail.formats.record_framing import framing_of
from event_count_logger.sources.tail.formats.text_format import TextFormat
from event_count_logger.sources.tail.inputs.file_input import FileInput
from event_count_logger.sources.tail.inputs.journal_input import JournalInput
from event_count_logger.sources.tail.inputs.protocols import Input
from event_count_logger.sources.tail.inputs.stream_input import (
    Fifo,
    Listener,
    NoStreams,
    Opener,
    StandardInput,
    StreamInput,
)
from event_count_logger.sources.tail.rules.time_limit import TimeLimit


def open_input(
    config: TailConfig,
    warn_once: Callable[[str, str], None],
    limit: TimeLimit,
    once: bool,
    from_start: bool,
) -> Input:
    """Returns the input of an entry; `begin` continues at a position.

    Args:
        config: The entry.
        warn_once: Logs a warning; see `Admission.warn_once`.
        limit: Time limit of patterns.
        once: Read what exists now.
        from_start: Begin a new source at the start of its input. With `once`, also read compressed files.

    Raises:
        InputError: The input cannot be opened.
    """
    if config.input == "journald":
        return JournalInput(config, warn_once, once, from_start)
    framing = framing_of(config, limit)
    format = TextFormat(config.encoding, framing)
    opener: Opener
    if config.listen and once:
        return StreamInput(NoStreams(), f"{config.listen} has no end, which --once would wait for")
    if config.listen:
        opener = Listener(config.listen, format, TextFormat(framing=framing))
    elif config.input == "stdin":
        opener = StandardInput(format)
    elif _is_fifo(config.file):
        opener = Fifo(config.file, format, once)
    else:
        return FileInput(config, format, warn_once, once, from_start)
    return StreamInput(opener)


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
