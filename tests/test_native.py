"""Where gevent or eventlet has replaced threads, locks and sockets, records are delivered."""

from __future__ import annotations

import importlib.util
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from rawserver import OK, RawServer, answering
from scripted import scripted
from waiting import PATIENCE

from logbatch.dataset.reader import Dataset

PROGRAM = Path(__file__).parent / "programs" / "green.py"
RECORDS = 100  # that the program logs


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_greenlets_are_not_in_the_way(library: str, home: Path, tmp_path: Path) -> None:
    """The first record came from a pool's thread, whose hub nobody ran; HTTP raised TypeError.

    Other greenlets run while one waits for a flush, no descriptor is left of a hub, and a lock of
    `logging` that greenlets hold stops nothing.
    """
    if "FAKETIME" in os.environ:
        pytest.skip("libfaketime fails what they wait with")
    if importlib.util.find_spec(library) is None:  # not imported here: it changes what a fork does
        pytest.skip(f"{library} is not installed")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    play, requests = answering(OK)
    with scripted() as server, RawServer(play, tls=context) as tls:
        places = ["parquet:files", "jsonl:lines", server.url, tls.origin]
        ran = subprocess.run(
            [sys.executable, str(PROGRAM), library, "ca.pem", *places],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=os.environ,
        )
        assert (0, "") == (ran.returncode, ran.stderr)
        told = json.loads(ran.stdout)
        assert [RECORDS] * 4 == told["published"]
        assert told["flushed"] and [None] * 4 == told["errors"]
        assert told["ticks"] > 3
        assert told["more_descriptors"] <= 0
        assert RECORDS == len(set(server.identities)) == len(server.stored)
    for place in ("files", "lines"):
        messages = [row["message"] for row in Dataset(place).rows()]
        assert sorted(f"record {n}" for n in range(20) for _ in range(5)) == sorted(messages)
    assert requests
