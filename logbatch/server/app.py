"""The application: what is answered on which path.

    POST       /v1/logs        a batch: {"logs": […]}, an array, or NDJSON
    POST PATCH /v1/log         one entry
    POST       /otlp/v1/logs   OpenTelemetry's OTLP/HTTP, JSON and protobuf
    GET        /healthz        whether the receiver is there; open to everybody
    GET        /metrics        counters for Prometheus

Every answer but that of /metrics and protobuf is JSON.  Nothing is answered 500: what fails is the
client's doing (4xx), or passes (503).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from logbatch.server.access import JSON, LINES, PROTOBUF, Access, find_media_type
from logbatch.server.allocators import trim
from logbatch.server.body import find_encoding, read_body
from logbatch.server.budget import Budget, Memory
from logbatch.server.guard import BUSY, RETRY_AFTER
from logbatch.server.ingest import Ingest, Sent
from logbatch.server.limits import Limits, Refusal, forget
from logbatch.server.metrics import CONTENT_TYPE, Metrics
from logbatch.server.normalise import DEFAULT_LEVEL, Level
from logbatch.server.otlp import MEDIA as OTLP
from logbatch.server.otlp import encode_refusal
from logbatch.server.store import Key, Store
from logbatch.trouble import Trouble, describe

_THREADS = 4
_LARGE = 16 << 20  # bytes that a request has taken, after which the system gets back what is free
_BATCHES = frozenset((JSON, *LINES))

_Endpoint = Callable[[Request], Awaitable[Response | Refusal]]
_Answering = Callable[[Request], Awaitable[Response]]
_Work = Callable[[Sent], bytes]
_GONE = Refusal(499, "the client is gone")  # nginx's number for that; nobody reads it
_KEPT = "nothing was acknowledged, so senders that retry lose nothing"
_encode = msgspec.json.Encoder().encode


class Receiver:
    """The endpoints, and what they share.

    Args:
        store: Where records are stored; `close` closes it.
        access: Who is let in.
        limits: What a request may cost.
        trouble: Told about what goes wrong on this side.
        default: The level of an entry that has none.

    Attributes:
        metrics: What is counted.
    """

    def __init__(
        self,
        store: Store,
        access: Access,
        limits: Limits,
        trouble: Trouble,
        default: Level = DEFAULT_LEVEL,
    ) -> None:
        self._store = store
        self._access = access
        self._limits = limits
        self._trouble = trouble
        self.metrics = Metrics()
        self._memory = Memory(limits.max_memory_bytes)
        self._ingest = Ingest(store, limits, self.metrics, default)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="logbatch-receiver")
        self.app = Starlette(
            routes=[
                Route("/v1/logs", self._answered(self._batch), methods=["POST"]),
                Route("/v1/log", self._answered(self._single), methods=["POST", "PATCH"]),
                Route("/otlp/v1/logs", self._answered(self._otlp, otlp=True), methods=["POST"]),
                Route("/healthz", self._answered(self._health), methods=["GET"]),
                Route("/metrics", self._answered(self._show_metrics), methods=["GET"]),
            ],
            exception_handlers={HTTPException: self._not_found},
        )
        self.app.router.redirect_slashes = False  # a redirect would lose the body of a batch

    def close(self) -> None:
        """Wait for what is being stored, and rotate the files."""
        self._threads.shutdown()
        self._store.close()

    # ------------------------------------------------------------------ endpoints

    async def _batch(self, request: Request) -> Response | Refusal:
        return await self._receive(request, single=False)

    async def _single(self, request: Request) -> Response | Refusal:
        return await self._receive(request, single=True)

    async def _health(self, _request: Request) -> Response:
        return Response(_encode({"status": "ok"}), media_type=JSON)

    async def _show_metrics(self, request: Request) -> Response:
        self._access.find_token(request)
        return Response(self.metrics.show(), headers={"content-type": CONTENT_TYPE})

    async def _otlp(self, request: Request) -> Response | Refusal:
        token = self._access.find_token(request)
        media = find_media_type(request, OTLP)
        answer = await self._ingest_body(request, media, token, self._ingest.ingest_otlp)
        return _respond(answer, media)

    async def _receive(self, request: Request, *, single: bool) -> Response | Refusal:
        token = self._access.find_token(request)
        media = find_media_type(request, _BATCHES)
        key = Key.parse(request.headers.get("idempotency-key"))
        work = self._ingest.ingest
        answer = await self._ingest_body(request, media, token, work, single=single, key=key)
        return _respond(answer, JSON)

    async def _ingest_body(
        self,
        request: Request,
        media: str,
        token: bytes | None,
        work: _Work,
        *,
        single: bool = False,
        key: Key | None = None,
    ) -> bytes | Refusal:
        with Budget(self._memory, self._limits) as budget:
            body = await read_body(request, budget)
            sent = Sent(body, find_encoding(request), media, single, key, token, budget)
            del body
            return await self._in_thread(request, sent, work)

    async def _in_thread(self, request: Request, sent: Sent, work: _Work) -> bytes | Refusal:
        """Work without stopping the event loop, for as long as the client waits.

        The memory is in use until the work ends, so that is waited for in any case; it ends at the
        next thing that is charged to its budget.
        """
        job = self._threads.submit(self._settle, sent, work)
        done = asyncio.wrap_future(job)
        gone = asyncio.ensure_future(_wait_until_gone(request))
        try:
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where we are told to stop
            gone.cancel()
            if not done.done():
                sent.budget.leave()
                if job.cancel():
                    sent.take_body()
                await asyncio.wait((done,))
        return _GONE if done.cancelled() else done.result()

    def _settle(self, sent: Sent, work: _Work) -> bytes | Refusal:
        """Work; return a refusal instead of raising it.

        An exception keeps what was in the frames that it passed, and so all that was made of the
        request, for as long as somebody has it: here that ends.
        """
        try:
            return work(sent)
        except Exception as error:
            return self._refuse(error)
        finally:
            if sent.budget.peak > _LARGE:
                trim()

    def _refuse(self, error: Exception) -> Refusal:
        """Report what went wrong on this side, and return what to answer, without a traceback."""
        if isinstance(error, Refusal):
            refusal, cause = error.bare(), error.__cause__
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE and cause is not None:
                self._trouble.say(
                    "store", f"cannot store: {describe(cause)}; {_KEPT}; check the disk", cause
                )
        elif isinstance(error, MemoryError):
            self._trouble.say("memory", f"the system has no memory left; {_KEPT}", error)
            refusal = Refusal(503, "the receiver has no memory left", retry_after=5)
        else:
            self._trouble.say(
                "bug", f"a request failed: {describe(error)}; {_KEPT}; report a bug", error
            )
            refusal = Refusal(503, "the receiver failed", retry_after=5)
        forget(error)
        return refusal

    # ------------------------------------------------------------------ around them

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer on a connection that is one too many, once what it sends was read.

        An answer that comes before the body has been sent is lost to many clients.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_AFTER):
                while (await receive()).get("more_body"):
                    pass
        self.metrics.requests.labels("other", 503).inc()
        response = _refusal(Refusal(503, BUSY, retry_after=RETRY_AFTER))
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    def _answered(self, endpoint: _Endpoint, *, otlp: bool = False) -> _Answering:
        """Make refusals answers, and count and time what is answered.

        Args:
            endpoint: What answers.
            otlp: Whether refusals are told as OTLP has it.
        """

        async def answer(request: Request) -> Response:
            began = time.perf_counter()
            try:
                self._access.check_site(request)
                found = await endpoint(request)
            except asyncio.CancelledError:  # we are told to stop, and have waited long enough
                found = Refusal(503, "the receiver is stopping", retry_after=5)
            except Exception as error:
                found = self._refuse(error)
            if isinstance(found, Refusal):
                response = _refusal(found, _otlp_media(request) if otlp else "")
            else:
                response = found
            path = request.scope["path"]  # one of ours, or this would not be its endpoint
            self.metrics.requests.labels(path, response.status_code).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)
            return response

        return answer

    async def _not_found(self, _request: Request, error: Exception) -> Response:
        """Answer where there is no such path (404), or none for this method (405)."""
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        self.metrics.requests.labels("other", int(status)).inc()
        told = HTTPStatus(status).phrase.lower()
        if status == HTTPStatus.NOT_FOUND:
            told = "nothing is here: batches go to /v1/logs, single records to /v1/log, OTLP to"
            told += " /otlp/v1/logs"
        response = _refusal(Refusal(int(status), told))
        response.headers.update(getattr(error, "headers", None) or {})
        return response


async def _wait_until_gone(request: Request) -> None:
    """Return when the client has closed the connection; its body is there already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _respond(answer: bytes | Refusal, media: str) -> Response | Refusal:
    return answer if isinstance(answer, Refusal) else Response(answer, media_type=media)


def _otlp_media(request: Request) -> str:
    """Return the encoding in which an OTLP request is answered: its own, if it has one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return PROTOBUF if kind == PROTOBUF else JSON


def _refusal(refusal: Refusal, otlp_media: str = "") -> Response:
    if otlp_media:
        content = encode_refusal(refusal, otlp_media)
    else:
        content = _encode({"success": False, "error": refusal.reason, **refusal.more})
    response = Response(content, refusal.status, media_type=otlp_media or JSON)
    if refusal.retry_after is not None:
        response.headers["retry-after"] = str(refusal.retry_after)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    return response
