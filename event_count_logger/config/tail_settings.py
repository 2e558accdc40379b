"""The settings of the section `tail`: log files, and the rules by which their lines count."""

from __future__ import annotations

import codecs
import os
from typing import Literal

from event_count_logger.config.checks import (
    Invalid,
    Mismatch,
    check,
    line,
    list_of,
    mapping_of,
    nested,
    one_of,
    show,
    text,
)
from event_count_logger.config.environment import FromEnvironment
from event_count_logger.config.format_settings import (
    PARSERS,
    WRAPPERS,
    CsvConfig,
    MultilineConfig,
    format_names,
)
from event_count_logger.config.listen_address import ListenAddress
from event_count_logger.config.path_pattern import PathPattern
from event_count_logger.config.rule_settings import Maps, TailRule, rule_list
from event_count_logger.config.settings import section, setting, settings_of

_texts = mapping_of(text, text, "texts to texts")

_maps = mapping_of(text, _texts, "names to mappings of texts, such as {code: {i: incoming, o: outgoing}}")


@check("a path")
def _path(value: object) -> str:
    path = text(value)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"{show(value)} contains {path[error.start]!a}, which UTF-8 does not have") from error
    return path


@check("a path")
def _path_pattern(value: object) -> str:
    pattern = _path.convert(value)
    try:
        PathPattern(pattern)
    except ValueError as error:
        is_secret = isinstance(value, FromEnvironment)
        reason = "a capture or wildcard in it is invalid" if is_secret else error
        raise Invalid(f"{show(value)} is not a pattern of paths: {reason}") from error
    return pattern


@check("an address")
def _listen_address(value: object) -> ListenAddress:
    try:
        return ListenAddress.parse(line(value))
    except ValueError as error:
        raise Invalid(f"{show(value)} is not an address: {error}") from error


#: Text that encodings must give back. Codecs for other purposes replace the escapes, or reject it.
_SAMPLE = "Az 09 \\u0041\n"


@check("an encoding of text", "use for example latin-1, cp1252 or utf-16")
def _encoding(value: object) -> str:
    try:
        name = codecs.lookup(text(value)).name.removesuffix("-sig")
        is_usable = (
            (name.startswith("utf-16") or len("\n".encode(name)) == 1)
            and _SAMPLE.encode(name).decode(name, "replace") == _SAMPLE
            and bytes(range(256)).decode(name, "replace").count("\n") <= 1
        )
    except (LookupError, ValueError) as error:
        raise Mismatch from error
    if not is_usable:
        raise Mismatch
    return name


InputName = Literal["stdin", "journald", ""]

#: Inputs that `input` names.
INPUTS: tuple[InputName, ...] = ("stdin", "journald")


@section
class TailConfig:
    """A log file, or several, or another input, with the rules for its lines."""

    group: str = setting(text, example="http", since="2.0", meaning="Group that counts the lines.")
    rules: tuple[TailRule, ...] = setting(
        rule_list,
        example="[{match: error, events: [error]}]",
        since="2.0",
        meaning="Rules for the lines. A line counts by each rule that matches it.",
    )
    maps: Maps = setting(
        _maps,
        default_factory=dict,
        default_text="none",
        since="2.0",
        meaning="Texts in place of others, by the name of a map, for `{code|map}` and `{other|map:code}`.",
        hash=False,
    )
    file: str = setting(
        _path_pattern,
        default="",
        default_text="another input",
        since="2.0",
        meaning="Path of a log file, relative to the configuration; with `*`, `?` and `**` for several. "
        "`(?P<name>REGEX)` stands for `*`, and captures a part of the path.",
    )
    input: InputName = setting(
        one_of(*INPUTS),
        default="",
        default_text="`file` or `listen`",
        since="2.0",
        meaning="In place of `file`: the [journal](sources.md#inputs), or the standard input of "
        "`ecl tail CONFIG -`.",
    )
    listen: ListenAddress | None = setting(
        _listen_address,
        default=None,
        since="2.0",
        meaning="In place of `file`: a socket that accepts lines, such as `unix:/run/ecl.sock`, "
        "`tcp:127.0.0.1:5140` or `udp:127.0.0.1:5140`.",
    )
    units: tuple[str, ...] = setting(
        list_of(line, "a list of names"),
        default=(),
        default_text="all units",
        since="2.0",
        meaning="With `input: journald`: systemd units whose messages are read, such as `nginx.service`.",
    )
    directory: str = setting(
        _path,
        default="",
        default_text="the journal of this machine",
        since="2.0",
        meaning="With `input: journald`: directory with journal files.",
    )
    encoding: str = setting(
        _encoding,
        default="utf-8",
        since="2.0",
        meaning="Encoding of the lines. A byte order mark is skipped, and tells the byte order of `utf-16`.",
    )
    format: tuple[str, ...] = setting(
        format_names,
        default=(),
        default_text="`text`",
        since="2.0",
        meaning="[Format](sources.md#formats) of the lines: `text`, `json`, `logfmt`, `csv`, `journal`, "
        "`docker` or `cri`, or a list such as `[docker, json]`.",
    )
    csv: CsvConfig = setting(
        nested,
        default_factory=CsvConfig,
        default_text="commas, and no names of columns",
        since="2.0",
        meaning="With the format `csv`: the columns.",
    )
    multiline: MultilineConfig | None = setting(
        nested,
        default=None,
        default_text="each line is a record",
        since="2.0",
        meaning="Joins lines of text to records of several lines.",
    )
    source: str = setting(
        line,
        default_factory=lambda: os.uname().nodename,
        default_text="the host name",
        since="2.0",
        meaning="Name of this machine. It must differ between machines that count in the same group.",
    )

    @property
    def source_id(self) -> str:
        """The name of its position in Redis."""
        return f"tail:{self.source}:{self.name}"

    @property
    def wrapper(self) -> str:
        """The format whose lines contain a line of a program; '' for none."""
        return next((name for name in self.format if name in WRAPPERS), "")

    @property
    def parser(self) -> str:
        """The format whose lines have fields; '' for text."""
        if self.input == "journald":
            return "journal"
        return next((name for name in self.format if name in PARSERS), "")

    @property
    def name(self) -> str:
        """The name of its input, for messages."""
        if self.input == "journald":
            return ":".join(("journald", self.directory, ",".join(self.units))).rstrip(":")
        return self.file or self.input or f"{self.listen}"


TAIL = settings_of(TailConfig)
