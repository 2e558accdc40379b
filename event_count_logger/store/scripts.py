"""The Lua scripts, each joined from the files that it includes.

A file names its parts in lines of its own, behind the comment that describes it:

    --!include clock
    --!include count | count_hash

The text of the part takes the place of such a line. Where a line names several parts, the table of scripts
chooses one of them. A part may include others; a script holds each part once.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

from event_count_logger.store.resp import packed

_FOLDER = Path(__file__).parent.parent / "lua"

_INCLUDE = re.compile("--!include (.*)")


class Script(NamedTuple):
    """A Lua script, as the first words of a request.

    Attributes:
        by_name: EVALSHA and the SHA-1 of the text.
        in_full: EVAL and the text.
    """

    by_name: str
    in_full: str


def joined(name: str, choice: str = "", folder: Path = _FOLDER) -> str:
    """Returns the text of a script with that of its parts.

    Args:
        name: File name without `.lua`.
        choice: The part to take where a line names several.
        folder: Where the files are.

    Raises:
        ValueError: A part does not exist, or `choice` is not among the parts that a line names.
    """
    included: set[str] = set()

    def text_of(file: str) -> str:
        return _INCLUDE.sub(lambda line: text_of_part(file, line[1]), _text(folder, file))

    def text_of_part(file: str, names: str) -> str:
        parts = names.split(" | ")
        part = choice if len(parts) > 1 else names
        if part not in parts:
            raise ValueError(f"{file}.lua includes '{names}': choose one, not '{part}'")
        if part in included:
            return ""
        included.add(part)
        try:
            return text_of(part)
        except FileNotFoundError as error:
            raise ValueError(
                f"{file}.lua includes '{part}', but there is no file {error.filename}"
            ) from error

    return text_of(name)


@cache
def _text(folder: Path, name: str) -> str:
    """Returns the text of a file. Several scripts include the same parts."""
    return (folder / f"{name}.lua").read_text("utf-8")


def _script(name: str, choice: str = "") -> Script:
    text = joined(name, choice)
    sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(packed(("EVALSHA", sha)), packed(("EVAL", text)))


#: Every script by its name. It is the name of its file, unless the file leaves a choice.
SCRIPTS = {
    "adopt": _script("adopt"),
    "alert": _script("alert"),
    "annotate": _script("annotate"),
    "commit": _script("commit", "count"),
    "commit_hash": _script("commit", "count_hash"),
    "expire_hash": _script("expire_hash"),
    "finished_hash": _script("finished_hash"),
    "heartbeat": _script("heartbeat"),
    "index": _script("index"),
    "intervals": _script("intervals"),
    "move_history": _script("move_history"),
    "move_to_hash": _script("move_to_hash"),
    "move_to_keys": _script("move_to_keys"),
    "probe": _script("probe"),
    "prune": _script("prune"),
    "read": _script("read"),
    "read_hash": _script("read_hash"),
    "rotate": _script("rotate"),
    "rotate_hash": _script("rotate_hash"),
    "touch": _script("touch"),
}
