"""Run a receiver: one for a directory, until it is told to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from logbatch.disk import make_directory, open_file
from logbatch.errors import LogbatchError
from logbatch.levels import from_name
from logbatch.locks import lock_file
from logbatch.server.access import Access, is_loopback
from logbatch.server.allocators import return_what_is_freed
from logbatch.server.app import Receiver
from logbatch.server.guard import make_protocol
from logbatch.server.limits import Limits
from logbatch.server.metrics import Metrics
from logbatch.server.normalise import DEFAULT_LEVEL
from logbatch.server.serving import Ready, bind, run_server, telling
from logbatch.server.store import Store
from logbatch.server.tokens import Bindings, Tokens
from logbatch.transports.jsonl import JsonlTransport
from logbatch.transports.parquet import ParquetTransport
from logbatch.transports.retaining import read_policy
from logbatch.trouble import Trouble, describe

FOLDER = ".receiver"
"""Where a receiver keeps its lock and its bindings, in the directory that it writes to."""

_PRODUCERS = 10_000  # of which it is kept in mind what is stored
_FILES = 4096  # that grow at one time, if the system allows as many
_IDLE = 300.0  # seconds after which the file of a producer that sends no more is rotated
_UPKEEP = 30.0  # seconds between two looks for those, and after trouble
_LOOK = 1.0  # seconds between two looks for files to merge
_GRACE = 5  # seconds that requests have to end when the receiver is told to stop


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a receiver is to do.

    Attributes:
        directory: Where it writes; it is made if it is not there.
        host: Address it is bound to.
        port: Port it is bound to; 0 takes one that is free.
        tokens: Tokens that are accepted; none lets everybody in, on loopback only.
        format: `jsonl` appends to a file of each producer; `parquet` writes a file per request.
        allowed_hosts: Names by which it may be called.
        certificate: File with a certificate for TLS, and those of its issuers.
        private_key: File with its private key, if that stands apart.
        limits: What a request may cost.
        default_level: Name of the level of an entry that has none.
        retain_age: How old records may become; None keeps them.
        retain_bytes: What all files may take of the disk; None for any number of bytes.

    Raises:
        ValueError: A setting is out of order.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 8321
    tokens: Sequence[str] = dataclasses.field(default=(), repr=False)
    format: str = "jsonl"
    allowed_hosts: Sequence[str] = ()
    certificate: Path | None = None
    private_key: Path | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    default_level: str = DEFAULT_LEVEL[0]
    retain_age: str | None = None
    retain_bytes: str | None = None

    def __post_init__(self) -> None:
        read_policy(self.retain_age, self.retain_bytes)
        if not self.tokens and not is_loopback(self.host):
            raise ValueError(
                f"host={self.host!r} can be reached from other machines: that needs a token"
            )
        if self.private_key and not self.certificate:
            raise ValueError("private_key: a key is of no use without a certificate")
        for file in filter(None, (self.certificate, self.private_key)):
            if not file.is_file():
                raise ValueError(f"there is no file {file}")
        if from_name(self.default_level) is None:
            raise ValueError(f"default_level={self.default_level!r} is not the name of a level")
        for token in self.tokens:
            if not token:
                raise ValueError("token: it is empty")
            if not token.isascii() or not token.isprintable() or " " in token:
                raise ValueError("token: a token is printable ASCII, without spaces")


def serve(settings: Settings, ready: Ready) -> None:
    """Receive until SIGTERM or Ctrl-C; then end the requests under way and rotate the files.

    Args:
        settings: What to do.
        ready: Called when requests are taken, with the URL and a function that does what SIGTERM
            does.  Any thread may call that; off the main thread there is no other way.

    Raises:
        LogbatchError: The directory cannot be used, or another receiver uses it.
        OSError: The address cannot be bound.
    """
    return_what_is_freed()
    _serve(settings, ready, Trouble())


def _serve(settings: Settings, ready: Ready, trouble: Trouble) -> None:
    with (
        bind(settings.host, settings.port) as listener,
        _lock(settings.directory),
        telling(trouble),
    ):
        receiver, upkeep = _build(settings, trouble)
        try:
            with upkeep:
                _run(settings, receiver, listener, ready, trouble)
        finally:
            receiver.close()


def _build(settings: Settings, trouble: Trouble) -> tuple[Receiver, _Upkeep]:
    tokens = Tokens(settings.tokens)
    bindings = Bindings(settings.directory / FOLDER, tokens)
    writer = _make_writer(settings)
    if isinstance(writer, JsonlTransport):
        writer.finish_left_over()
    writer.remember()
    store = Store(writer, bindings)
    access = Access(tokens, settings.host, settings.allowed_hosts)
    default = from_name(settings.default_level) or DEFAULT_LEVEL
    receiver = Receiver(store, access, settings.limits, trouble, default)
    return receiver, _Upkeep(store, receiver.metrics, trouble)


def _make_writer(settings: Settings) -> JsonlTransport | ParquetTransport:
    limits = settings.limits
    retain: Any = {"retain_age": settings.retain_age, "retain_bytes": settings.retain_bytes}
    writer: JsonlTransport | ParquetTransport
    if settings.format == "parquet":
        writer = parquet = ParquetTransport(settings.directory, **retain)
        # What is sent again is compared with whole row groups, so they are small beside a body.
        parquet.group_bytes = limits.max_body_bytes // 4
    else:
        writer = jsonl = JsonlTransport(settings.directory, **retain)
        jsonl.open_files = _count_files(limits.max_connections)
        jsonl.idle_seconds = _IDLE
    writer.remembered = _PRODUCERS
    return writer


def _count_files(connections: int) -> int:
    """Have the system allow as many open files as are wanted; return how many may grow."""
    if sys.platform == "win32":
        return 64
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _FILES + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _FILES if soft == resource.RLIM_INFINITY else max(8, min(_FILES, (soft - 256) // 2))


# ------------------------------------------------------------------ the server


def _run(
    settings: Settings,
    receiver: Receiver,
    listener: socket.socket,
    ready: Ready,
    trouble: Trouble,
) -> None:
    config = _configure(settings, receiver, trouble)
    try:
        config.load()
    except OSError as error:  # of `ssl`, which does not name the file
        reason = error.strerror or error
        hint = "" if settings.private_key else "; does the file hold the key, too?"
        raise LogbatchError(f"the certificate or its key cannot be used: {reason}{hint}") from error
    run_server(config, listener, ready, _is_secure(settings))


def _configure(settings: Settings, receiver: Receiver, trouble: Trouble) -> uvicorn.Config:
    limits = settings.limits
    return uvicorn.Config(
        receiver.app,
        http=make_protocol(limits, receiver.refuse, trouble),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=max(1, int(limits.header_timeout)),
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )


def _is_secure(settings: Settings) -> bool:
    return settings.certificate is not None


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Make sure that no other receiver writes here: each keeps in memory what is stored."""
    folder = directory / FOLDER
    path = folder / "lock"
    try:
        make_directory(folder, sync=True)
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise LogbatchError(f"{directory} cannot be used: {error.strerror}") from error
    try:
        if not lock_file(descriptor):
            raise LogbatchError(f"another receiver writes to {directory}")
        yield
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------ beside the server


class _Upkeep:
    """Rotates idle files, merges small ones and removes old ones, on a thread of its own.

    Requests wait for what is done here, so it is short.
    """

    def __init__(self, store: Store, metrics: Metrics, trouble: Trouble) -> None:
        self._store = store
        self._metrics = metrics
        self._trouble = trouble
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="logbatch-upkeep", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        wait = _LOOK
        while not self._ended.wait(wait):
            try:
                wait = self._tidy()
            except Exception as error:
                text = f"cannot rotate or merge files: {describe(error)}"
                fate = f"their records are stored; trying again in {_UPKEEP:.0f} s"
                self._trouble.say("upkeep", f"{text}; {fate}", error)
                wait = _UPKEEP
            try:
                wait = min(wait, self._retain())
            except Exception as error:
                text = f"{describe(error)}; they stay; trying again later"
                self._trouble.say("retain", text, error)

    def _tidy(self) -> float:
        """Do what there is to do; return the seconds until the next look."""
        with self._store.locked() as writer:
            if isinstance(writer, JsonlTransport):
                writer.rotate_idle()
                return _UPKEEP
            done = writer.tidy()
        self._metrics.add_tidied(done)
        return min(done.wait, _LOOK)

    def _retain(self) -> float:
        """Remove what is too old, for a moment; return the seconds until the next one."""
        with self._store.locked() as writer:
            return writer.retain()
