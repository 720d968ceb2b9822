"""SIGTERM at any moment of a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from make import A, make_batch, publish
from waiting import PATIENCE

WHEN_IMPORTED = """
import os, signal, sys
class End:
    def find_spec(name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, End)
sys.argv[1:] = {arguments!r}
from logbatch.cli import main
sys.exit(main())
"""
GOES_ON = (["serve", "logs", "--port", "0"], ["tail", "-f", "logs"], ["compact", "logs", "--watch"])
ENDS = (
    ["retain", "logs", "--max-age", "1d"],
    ["export", "logs", "--to", "found.csv"],
    ["tail", "logs", "-n", "1"],
    ["compact", "logs"],
)


@pytest.mark.parametrize("module", ["logbatch.cli.commands", "logbatch.dataset"])
@pytest.mark.parametrize(
    ("arguments", "code"), [*((each, 0) for each in GOES_ON), *((each, 143) for each in ENDS)]
)
def test_a_command_that_is_ended_while_it_begins(
    tmp_path: Path, arguments: list[str], code: int, module: str
) -> None:
    """It ends as it would later, whatever it is just importing."""
    program = WHEN_IMPORTED.format(module=module, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        timeout=PATIENCE,
        cwd=tmp_path,
    )
    assert (code, b"", b"") == (done.returncode, done.stdout, done.stderr)


def test_a_tail_that_follows_ends_well(tmp_path: Path) -> None:
    """It has done what it was told until then."""
    publish(tmp_path / "logs", make_batch(0, 2, A))
    command = [sys.executable, "-m", "logbatch", "tail", "-f", "logs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(3):
            next(child.stdout)
        child.terminate()
        assert 0 == child.wait(PATIENCE)


def test_an_export_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    """Neither the file nor a part of it."""
    publish(tmp_path / "logs", make_batch(0, 2, A))
    program = (
        "import os, signal, sys\n"
        "def end(*_): os.kill(os.getpid(), signal.SIGTERM)\n"
        "os.fsync = end\n"
        "from logbatch.cli import main\n"
        "sys.exit(main(['export', 'logs', '--to', 'found.csv']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=tmp_path)
    assert 143 == done.returncode
    assert {"logs"} == set(os.listdir(tmp_path))
