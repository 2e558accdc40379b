"""The files of the page, read once: no request reaches the file system."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

#: By the end of the file's name; what else there is, is not served.
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """One file of the page."""

    content: bytes
    media_type: str


def load() -> dict[str, Asset]:
    """All files of the page by name."""
    files = resources.files("event_count_logger").joinpath("web", "static").iterdir()
    typed = [(file, _MEDIA_TYPES.get(file.name.rpartition(".")[2])) for file in files]
    return {file.name: Asset(file.read_bytes(), media_type) for file, media_type in typed if media_type}
