"""What holds for every test: it sees nothing of the machine's user, and leaves nothing behind.

Touching the home directory, the network beyond this machine, or the variables of logbatch by
accident is an error, and so is a thread of logbatch that outlives its test.
"""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from logbatch.batching.batcher import Batcher
from logbatch.batching.lifetime import process
from logbatch.testing import CapturingTransport

# How long a slow machine takes over examples is no finding; a test that hangs is timed out.
settings.register_profile(
    "logbatch", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("logbatch")

# A shell starts what runs in the background without Ctrl-C, and so would be our children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_PREFIXES = ("LOGBATCH_", "OTEL_", "XDG_")
_COLOURS = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS")
_GRACE = 20.0  # seconds that a thread which was told to end has left to do so

_MEMORY = "/dev/shm"  # where Linux keeps files in memory
_ROOM = 2 << 30  # bytes that must be free there; tests take a tenth of it at a time


def pytest_configure() -> None:
    """Keep the files of tests in memory, if there is room and nobody has named another place.

    To write thousands of small files to a disk, each at once, is a tenth of the time tests take.
    """
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK):
        system = os.statvfs(_MEMORY)
        may_run = not system.f_flag & os.ST_NOEXEC
        if may_run and system.f_bavail * system.f_frsize >= _ROOM:
            os.environ["TMPDIR"] = tempfile.tempdir = _MEMORY


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare the garbage collector thousands of tests, which stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def _empty_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home directory, and a current one, for all those tests that write nothing there."""
    return tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("nowhere")


@pytest.fixture(autouse=True)
def _own_environment(
    request: pytest.FixtureRequest,
    _empty_folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """An empty home, none of the user's settings, and `tmp_path` as the current directory.

    A test that asks neither for `home` nor for `tmp_path` has none of its own, and must not write
    there: to make two directories takes longer than most tests.
    """
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _COLOURS:
            monkeypatch.delenv(name)
    places = [
        request.getfixturevalue(name) if name in request.fixturenames else empty
        for name, empty in zip(("home", "tmp_path"), _empty_folders, strict=True)
    ]
    monkeypatch.setenv("HOME", str(places[0]))
    monkeypatch.chdir(places[1])
    yield
    written = [path for folder in _empty_folders for path in os.listdir(folder)]
    if written:
        for folder in _empty_folders:
            shutil.rmtree(folder)
            folder.mkdir()
        pytest.fail(f"wrote without asking for `home` or `tmp_path`: {written}")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home directory of this test: one that asks for it may write there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, of this test."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def transport() -> CapturingTransport:
    """A transport that remembers."""
    return CapturingTransport()


@pytest.fixture(autouse=True)
def _own_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to anything but this machine is refused."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
            raise AssertionError(f"a test tried to connect to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """Loggers that a test disables, and levels that it names, are for the next as they were."""
    names, numbers = dict(logging._levelToName), dict(logging._nameToLevel)
    yield
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False
    for now, before in ((logging._levelToName, names), (logging._nameToLevel, numbers)):
        if now != before:
            now.clear()
            now.update(before)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """A handler that a test has closed while its server was away does not go on trying.

    It would meet the servers of later tests, at ports that are used again.
    """
    yield
    for batcher in process.live():
        assert isinstance(batcher, Batcher)
        if batcher.stats().pending:
            batcher.retire()
            batcher.leave_to_others()


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    """Every thread of logbatch that a test starts has ended when the test has."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _GRACE
    started = [thread for thread in threading.enumerate() if thread not in before]
    ours = [thread for thread in started if thread.name.startswith("logbatch-")]
    for thread in ours:
        thread.join(max(0.0, deadline - time.monotonic()))
    leaked = [thread.name for thread in ours if thread.is_alive()]
    if leaked:
        pytest.fail(f"threads still run after the test: {leaked}")
