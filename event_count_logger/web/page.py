"""The web page that shows counts, and its files. They are read once at start: no request reads a file.

The page refers to `static/HASH/NAME`, with a hash of all files. Such an address never has another content,
so browsers keep the file. The addresses are relative, so that the page works behind a path prefix. A first
visit needs all files: modules and style sheets are joined into one each, and compressed once at start, too.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from hashlib import blake2b
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Response

from event_count_logger.web import paths
from event_count_logger.web.documents import Document, IfNoneMatch, answer, bytes_document
from event_count_logger.web.modules import joined
from event_count_logger.web.negotiation import accepts_gzip

#: Media types by file suffix. Files with other suffixes are not served.
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

_INDEX = "index.html"

#: The module that starts the page, and the script with all modules that it needs.
_FIRST, _SCRIPT = "page.js", "all.js"

#: The file with all style sheets. Those of the page as a whole come first: others may override them.
_STYLES, _FIRST_STYLES = "all.css", "page.css"

#: Lets the browser ask for the figures while it loads the script. It cannot send a token.
_PRELOAD = b'  <link rel="preload" href="api/v1/overview" as="fetch" crossorigin="anonymous">\n'

#: Bytes of the hash of all files.
_HASH = 12

#: Browsers revalidate the file each time, because a new version may have other files.
_NO_CACHE = {"Cache-Control": "no-cache"}

#: Browsers keep the file for a year.
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}

_AcceptEncoding = Annotated[str, Header()]


def router(has_token: bool) -> APIRouter:
    """Returns the routes of the page, for a server that requires a token or not."""
    page = _Page(files(), b"" if has_token else _PRELOAD)
    routes = APIRouter(include_in_schema=False)
    routes.add_api_route(paths.PAGE, page.index)
    routes.add_api_route(f"{paths.STATIC}{{name}}", page.latest)
    routes.add_api_route(f"{paths.STATIC}{{hash}}/{{name}}", page.immutable)
    return routes


class _Page:
    """Handlers of these routes: files are found by their exact names."""

    def __init__(self, files: Mapping[str, Document], preload: bytes) -> None:
        self._hash = _hash(files)
        index = files[_INDEX].body.replace(b'"static/', f'"static/{self._hash}/'.encode())
        index = index.replace(b"</head>", preload + b"</head>")
        self._files = {**files, _INDEX: bytes_document(index, files[_INDEX].media_type)}
        self._compressed = {
            name: file._replace(body=gzip.compress(file.body, mtime=0)) for name, file in self._files.items()
        }

    async def index(self, if_none_match: IfNoneMatch = "", accept_encoding: _AcceptEncoding = "") -> Response:
        return self._answer(_INDEX, if_none_match, accept_encoding, _NO_CACHE)

    async def latest(
        self, name: str, if_none_match: IfNoneMatch = "", accept_encoding: _AcceptEncoding = ""
    ) -> Response:
        return self._answer(name, if_none_match, accept_encoding, _NO_CACHE)

    async def immutable(
        self, hash: str, name: str, if_none_match: IfNoneMatch = "", accept_encoding: _AcceptEncoding = ""
    ) -> Response:
        if hash != self._hash or name == _INDEX:
            raise HTTPException(404)
        return self._answer(name, if_none_match, accept_encoding, _IMMUTABLE)

    def _answer(
        self, name: str, if_none_match: str, accept_encoding: str, headers: Mapping[str, str]
    ) -> Response:
        """Returns a file; compressed, if the client accepts that."""
        if name not in self._files:
            raise HTTPException(404)
        varied = {**headers, "Vary": "Accept-Encoding"}
        if accepts_gzip(accept_encoding):
            return answer(self._compressed[name], if_none_match, {**varied, "Content-Encoding": "gzip"})
        return answer(self._files[name], if_none_match, varied)


def files() -> dict[str, Document]:
    """Returns all files of the page by name, with those that join its modules and its style sheets."""
    found = resources.files("event_count_logger").joinpath("web", "static").iterdir()
    typed = [(file, _MEDIA_TYPES.get(file.name.rpartition(".")[2])) for file in found]
    read = {file.name: bytes_document(file.read_bytes(), kind) for file, kind in typed if kind}
    modules = {name: file.body.decode() for name, file in read.items() if name.endswith(".js")}
    script = joined(modules, _FIRST).encode()
    names = sorted((name != _FIRST_STYLES, name) for name in read if name.endswith(".css"))
    styles = b"\n".join(read[name].body for _, name in names)
    made = {_SCRIPT: (script, "js"), _STYLES: (styles, "css")}
    return {**read, **{name: bytes_document(body, _MEDIA_TYPES[kind]) for name, (body, kind) in made.items()}}


def _hash(files: Mapping[str, Document]) -> str:
    """Returns a hash of the names and contents of all files."""
    tags = (f"{name} {file.etag}" for name, file in sorted(files.items()))
    return blake2b("\n".join(tags).encode(), digest_size=_HASH).hexdigest()
