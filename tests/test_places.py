"""Where files go if nobody says where, with a home and without one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from logbatch.batching.batcher import Batcher
from logbatch.places import expand_user, explain, log_path, state_path
from logbatch.testing import CapturingTransport
from logbatch.transports import build

NOBODY = 54321  # a uid without a name


@pytest.fixture
def homeless(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands in for the home of one that has none."""
    monkeypatch.setenv("HOME", "/dev/null")
    return temporary / f"logbatch-{os.geteuid()}"


def test_there_is_a_home(home: Path) -> None:
    """It is taken, and nothing is created or said."""
    for path in (state_path("a"), log_path("shop")):
        assert path is not None and path.is_relative_to(home)
        assert explain(path) is None
    assert not list(home.iterdir())


def test_without_a_home(homeless: Path) -> None:
    """A private directory among the temporary files, the same one each time."""
    assert homeless / "state" / "a" == state_path("a") == state_path("a")
    assert homeless / "log" / "shop" == log_path("shop")
    assert 0o700 == stat.S_IMODE(homeless.stat().st_mode)


def test_a_home_that_cannot_be_made(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Docker gives to a user without a name: `HOME=/`, which only root may write."""
    monkeypatch.setenv("HOME", "/dev/null/home")
    path = state_path("a")
    assert path is not None and path.is_relative_to(temporary)


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_what_others_could_have_put_there_is_not_taken(homeless: Path, kind: str) -> None:
    """Anybody may create a name among the temporary files."""
    if kind == "file":
        homeless.touch()
    elif kind == "link":
        (homeless.parent / "theirs").mkdir(mode=0o700)
        homeless.symlink_to("theirs")
    else:
        homeless.mkdir()
        homeless.chmod(0o777)
    assert state_path("a") is None


def test_memory_that_is_meant(homeless: Path) -> None:
    """Regression: one destination without a place for a journal made others seem to have none."""
    homeless.touch()
    assert state_path("a") is None
    batcher = Batcher(CapturingTransport())
    batcher.close()
    assert {} == batcher.stats().errors


def test_a_tilde_without_a_home(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a directory called `~` was created."""
    with pytest.raises(ValueError, match="there is no home directory ~nobody-here;"):
        build("parquet:~nobody-here/logs")
    monkeypatch.setenv("HOME", "/somewhere")
    assert "/somewhere/logs" == expand_user("~/logs")


def test_a_current_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: FileNotFoundError, without a name, out of building a handler."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ValueError, match="path='logs': the current directory was removed"):
        build("parquet:logs")


HOMELESS = """
    import logging.config, os, sys, tempfile

    import logbatch
    from logbatch.cli.commands import run

    tempfile.tempdir = {temporary}
    os.environ["HOME"] = "/dev/null"
    if os.geteuid() == 0:
        del os.environ["HOME"]
        os.setresuid({uid}, 0, 0)  # the real user has no name; the effective one may read Python
    handler = {{"class": "logbatch.BatchHandler", "close_timeout": {patience}}}
    logging.config.dictConfig({{
        "version": 1,
        "handlers": {{
            "files": handler,
            "server": handler | {{"transport": "http://127.0.0.1:9/", "close_timeout": 0}},
        }},
        "root": {{"handlers": ["files"], "level": "INFO"}},
        "loggers": {{"sent": {{"handlers": ["server"]}}}},
    }})
    logging.getLogger("sent").warning("hello from %s", "files")
    logging.shutdown()
    sys.exit(run(["tail"]) or run(["demo", "--seconds", "0.1"]))
"""


def run_homeless(temporary: str, patience: float) -> subprocess.CompletedProcess[str]:
    """Run a program and two commands as a user with neither a home nor a name."""
    code = textwrap.dedent(HOMELESS).format(
        temporary=repr(temporary), uid=NOBODY, patience=patience
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )


def test_programs_run_without_a_home_and_a_name(temporary: Path) -> None:
    """Regression: RuntimeError out of dictConfig, and `tail` and `demo` called it a bug."""
    done = run_homeless(str(temporary), 30)

    assert 0 == done.returncode, done.stderr
    assert "hello from files" in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if "home directory" in line]
    assert f"files go to {temporary}/logbatch-" in said


def test_programs_run_where_nothing_can_be_written() -> None:
    """They say what becomes of the records, and log to memory."""
    done = run_homeless("/dev/null", 0)

    assert 1 == done.returncode, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "home directory" in line]
    assert "what is not delivered is lost if this process dies" in said
    assert "Error: " in done.stderr and "bug" not in done.stderr
