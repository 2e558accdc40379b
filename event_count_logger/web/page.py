"""The web page that shows counts, and its files. They are read once at start: no request reads a file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Response

from event_count_logger.web import paths

#: Media types by file suffix. Files with other suffixes are not served.
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class _Asset(NamedTuple):
    """One file of the page."""

    content: bytes
    media_type: str


def router() -> APIRouter:
    """Returns the routes of the page."""
    page = _Page(_load())
    routes = APIRouter(include_in_schema=False)
    routes.add_api_route(paths.PAGE, page.index)
    routes.add_api_route(f"{paths.STATIC}{{name}}", page.asset)
    return routes


class _Page:
    """Handlers of these routes: files are found by their exact names."""

    def __init__(self, assets: Mapping[str, _Asset]) -> None:
        self._assets = assets

    async def index(self) -> Response:
        return await self.asset("index.html")

    async def asset(self, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise HTTPException(404)
        # Browsers revalidate the file each time, because a new version may have other files.
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": "no-cache"})


def _load() -> dict[str, _Asset]:
    """Returns all files of the page by name."""
    files = resources.files("event_count_logger").joinpath("web", "static").iterdir()
    typed = [(file, _MEDIA_TYPES.get(file.name.rpartition(".")[2])) for file in files]
    return {file.name: _Asset(file.read_bytes(), media_type) for file, media_type in typed if media_type}
