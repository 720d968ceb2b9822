"""The files that the page is made of: read once, and named by what is in all of them.

So a browser that has them need not ask for them again, and with another version of the page it
takes none of the old ones.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE = "index.html"
_FOR_EVER = "private, max-age=31536000, immutable"
_ASK = "no-cache"


class Files:
    """The files of a folder; what is put there later is not served.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.iterdir() if path.suffix in _TYPES)
        self._files = {path.name: path.read_bytes() for path in paths}
        whole = hashlib.sha256()
        for name, data in self._files.items():
            whole.update(b"%b %d " % (name.encode(), len(data)) + data)
        self._stamp = whole.hexdigest()[:16]
        named = f'="static/{self._stamp}/'.encode()
        self._page = self._files.pop(_PAGE).replace(b'="static/', named)

    def routes(self) -> list[BaseRoute]:
        """Return where the page is, and what it is made of."""
        return [
            Route("/", self._answer_page, methods=["GET"]),
            Route("/static/{name}", self._answer_file, methods=["GET"]),
            Route("/static/{stamp}/{name}", self._answer_file, methods=["GET"]),
        ]

    async def _answer_page(self, _request: Request) -> Response:
        return _answer(_PAGE, self._page, _ASK)

    async def _answer_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        data = self._files.get(name)
        if data is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        is_this = request.path_params.get("stamp") == self._stamp
        return _answer(name, data, _FOR_EVER if is_this else _ASK)


def _answer(name: str, data: bytes, caching: str) -> Response:
    kind = _TYPES[Path(name).suffix]
    return Response(data, headers={"content-type": kind, "cache-control": caching})
