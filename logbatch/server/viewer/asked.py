"""What the page asks beside its socket: one request, one answer in JSON.

GET  /api/info       what is shown, and by what
GET  /api/row        one record, whole
GET  /api/complete   what may be typed into the filter box
GET  /api/export     what matches, as a file
POST /api/sql        one SELECT
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from logbatch.dataset.query import run_query
from logbatch.dataset.stopping import Stopped
from logbatch.epoch import to_datetime
from logbatch.errors import DatasetError, FilterError, LogbatchError
from logbatch.server.access import JSON, find_media_type
from logbatch.server.limits import Refusal
from logbatch.server.viewer import pages, wire
from logbatch.server.viewer.answers import refusal, respond
from logbatch.server.viewer.exports import MEDIA, Exports
from logbatch.server.viewer.groups import (
    describe_context,
    describe_errors,
    describe_patterns,
)
from logbatch.server.viewer.messages import (
    MOST_ROWS,
    Around,
    Errors,
    Export,
    OneRow,
    Patterns,
    Question,
    Search,
    Some,
    Typing,
)
from logbatch.server.viewer.processes import describe_processes, list_runs, show_run
from logbatch.server.viewer.room import Crew, Room
from logbatch.server.viewer.statistics import describe_mark
from logbatch.server.viewer.words import Words
from logbatch.storage.columns import COLUMNS
from logbatch.trouble import Trouble, describe
from logbatch.version import VERSION

_T = TypeVar("_T")
_S = TypeVar("_S", bound=msgspec.Struct)

_MEMORY, _SECONDS = "1GB", 30.0  # what SQL may take, as in `logbatch query`
_LONG = 1 << 18  # bytes of a body

_Endpoint = Callable[[Request], Awaitable[Response]]


class Asked:
    """The endpoints; `close` ends what is under way.

    Args:
        room: What they look at.
        trouble: Told about faults of ours.
    """

    def __init__(self, room: Room, trouble: Trouble) -> None:
        self._room = room
        self._trouble = trouble
        self._words = Words(room)
        self._exports = Exports(room)

    def close(self) -> None:
        """End what is under way."""
        self._exports.close()

    def routes(self) -> list[Route]:
        """Return where what is asked."""
        found = {
            "/api/info": self._info,
            "/api/row": self._row,
            "/api/context": self._context,
            "/api/errors": self._errors,
            "/api/patterns": self._patterns,
            "/api/complete": self._complete,
            "/api/export": self._export,
            "/api/marks": self._marks,
            "/api/pipeline": self._pipeline,
            "/api/runs": self._list_runs,
            "/api/runs/{run}": self._show_run,
        }
        routes = [
            Route(path, self._answered(each), methods=["GET"]) for path, each in found.items()
        ]
        return [*routes, Route("/api/sql", self._answered(self._sql), methods=["POST"])]

    # ------------------------------------------------------------------ endpoints

    async def _info(self, request: Request) -> Response:
        schema = await self._ask(request, self._schema)
        return respond(
            {
                "version": VERSION,
                "directory": self._room.directory.name,
                "columns": list(COLUMNS),
                "promoted": [name for name in schema if name not in COLUMNS],
                "has_runs": self._room.runs.exists(),
                "now": time.time_ns() // 1_000,
                "problems": self._room.problems(),
            }
        )

    def _schema(self) -> list[str]:
        return list(self._room.source.schema(self._room.snapshot().parts).names)

    async def _row(self, request: Request) -> Response:
        wanted = _read(request, OneRow)
        row = await self._ask(
            request, lambda: pages.find_row(self._room, wanted.producer, wanted.sequence)
        )
        if row is None:
            raise Refusal(404, "this record is not there, or not there any more")
        return respond({"row": wire.full(row)})

    async def _context(self, request: Request) -> Response:
        wanted = _read(request, Around)
        return respond(await self._ask(request, lambda: describe_context(self._room, wanted)))

    async def _errors(self, request: Request) -> Response:
        wanted = _read(request, Errors)
        return respond(await self._ask(request, lambda: describe_errors(self._room, wanted)))

    async def _patterns(self, request: Request) -> Response:
        wanted = _read(request, Patterns)
        return respond(await self._ask(request, lambda: describe_patterns(self._room, wanted)))

    async def _complete(self, request: Request) -> Response:
        typed = _read(request, Typing)
        place, words = await self._ask(request, lambda: self._words.complete(typed.text, typed.at))
        told = [word._asdict() for word in words]
        return respond({"from": place.start, "to": place.stop, "words": told})

    async def _export(self, request: Request) -> Response:
        wanted = _read(request, Export)
        name = f"{self._room.directory.name or 'logs'}.{wanted.form}"
        body = self._exports.begin(wanted.form, wanted.narrow())
        response = StreamingResponse(body, media_type=MEDIA[wanted.form])
        response.headers["content-disposition"] = f'attachment; filename="{_safe(name)}"'
        return response

    async def _marks(self, request: Request) -> Response:
        wanted = _read(request, Search)
        start, end = (None if at is None else to_datetime(at) for at in (wanted.start, wanted.end))
        found = await self._ask(request, lambda: self._room.dataset.marks(start, end))
        return respond({"marks": list(map(describe_mark, found))})

    async def _pipeline(self, request: Request) -> Response:
        found = await self._ask(request, lambda: describe_processes(self._room.dataset.reports()))
        return respond({"processes": found})

    async def _list_runs(self, request: Request) -> Response:
        wanted = _read(request, Some)
        found = await self._ask(request, lambda: list_runs(self._room.runs, wanted.limit))
        return respond({"runs": found})

    async def _show_run(self, request: Request) -> Response:
        run = request.path_params["run"]
        found = await self._ask(request, lambda: show_run(self._room.runs, run))
        if found is None:
            raise Refusal(404, "this run is not there, or not there any more")
        return respond(found)

    async def _sql(self, request: Request) -> Response:
        find_media_type(request, {JSON})
        try:
            wanted = msgspec.json.decode(await _body(request), type=Question)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Refusal(400, f"this is not a query: {error}") from None
        began = time.monotonic()
        found = await self._ask(request, lambda: self._query(wanted.query), self._room.query)
        return respond({**found, "seconds": round(time.monotonic() - began, 3)})

    def _query(self, query: str) -> dict[str, Any]:
        table = run_query(
            self._room.source, query, memory_limit=_MEMORY, timeout=_SECONDS, most=MOST_ROWS + 1
        )
        return wire.answer(table, MOST_ROWS)

    # ------------------------------------------------------------------ around them

    async def _ask(self, request: Request, work: Callable[[], _T], crew: Crew | None = None) -> _T:
        """Have something found out, for as long as the client waits.

        Args:
            request: Whose it is.
            work: What finds it out.
            crew: Who does it; by default who does whatever is asked.
        """
        stop = threading.Event()
        asked = asyncio.ensure_future((crew or self._room.asked).do(stop, work))
        gone = asyncio.ensure_future(_wait_until_gone(request))
        try:
            await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            stop.set()
        return await asked

    def _answered(self, endpoint: _Endpoint) -> _Endpoint:
        """Make answers of what goes wrong."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Refusal as error:
                return refusal(error)
            except FilterError as error:
                return refusal(Refusal(400, error.reason, more={"position": error.position}))
            except Stopped:
                return refusal(Refusal(499, "the client is gone"))
            except DatasetError as error:
                return refusal(Refusal(503, self._room.public(str(error))))
            except LogbatchError as error:
                return refusal(Refusal(400, self._room.public(str(error))))
            except Exception as error:
                self._trouble.say(
                    "bug", f"a request failed: {describe(error)}; report a bug", error
                )
                return refusal(Refusal(503, "the viewer failed; what it says on stderr tells why"))

        return answer


def _read(request: Request, kind: type[_S]) -> _S:
    """Return what stands in a URL.

    Raises:
        Refusal: It is not what is expected (400).
    """
    given = {name: value for name, value in request.query_params.items() if value != ""}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"the URL is wrong: {error}") from None


async def _body(request: Request) -> bytes:
    """Read a body.

    Raises:
        Refusal: It is too long (413).
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONG:
            raise Refusal(413, "the body is too long")
    return bytes(body)


async def _wait_until_gone(request: Request) -> None:
    """Return when the client has closed the connection; its body is there already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _safe(name: str) -> str:
    """Return a file's name that may stand in a header."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
