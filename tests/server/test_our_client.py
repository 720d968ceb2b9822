"""Our own client and our own receiver: each record exactly once, whichever of them dies."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from functools import partial

import pytest
import warm
from receivers import Client, StartProcess
from waiting import wait_until

from logbatch.handler import BatchHandler
from logbatch.identity import is_producer

RECORDS = 3000
PROGRAM = """
import logging, os, sys
from logbatch.handler import BatchHandler
handler = BatchHandler(sys.argv[1], flush_interval=0.02, max_batch_size=50, token="hidden-one")
log = logging.getLogger("program")
log.addHandler(handler)
log.setLevel(logging.INFO)
first, count = map(int, sys.argv[2:])
for number in range(first, first + count):
    log.info("n %d", number, extra={"number": number})
os.kill(os.getpid(), 9) if first == 0 else handler.close()
"""


def log_records(handler: BatchHandler, count: int) -> None:
    """Log so many records, in a thread of a test or not."""
    log = logging.getLogger("tests.receiver")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        for number in range(count):
            log.info("n %d", number)
    finally:
        log.removeHandler(handler)


def has_published(handler: BatchHandler, count: int) -> bool:
    """Return whether so many records are delivered."""
    return handler.stats().published >= count


@pytest.mark.usefixtures("home")
def test_a_batch_arrives_as_it_is(client: Client) -> None:
    """What the handler sends is stored under its identity, and nothing of it is refused."""
    handler = BatchHandler(client.url + "/v1/logs")
    log_records(handler, 100)
    handler.close()
    rows = client.rows("message", "sequence", "producer", "attributes")
    assert [[f"n {n}", n, "{}"] for n in range(100)] == [[r[0], r[1], r[3]] for r in rows]
    assert is_producer(rows[0][2])
    client.verify()


@pytest.mark.usefixtures("home")
def test_the_receiver_is_killed(process: StartProcess) -> None:
    """It dies while the client sends, and comes back: each record is there once, in order."""
    receiver = process()
    port = receiver.url.rpartition(":")[2]
    handler = BatchHandler(
        receiver.url + "/v1/logs", flush_interval=0.02, max_batch_size=50, close_timeout=60
    )
    logging_thread = threading.Thread(target=log_records, args=(handler, RECORDS))
    logging_thread.start()
    for goal in (300, 1000, 2000):
        wait_until(partial(has_published, handler, goal))
        receiver.end(signal.SIGKILL)
        receiver = process("--port", port)
    logging_thread.join()
    handler.close()
    assert [f"n {n}" for n in range(RECORDS)] == receiver.client.rows("message")
    receiver.client.verify()


@pytest.mark.usefixtures("home")
def test_the_client_is_killed(process: StartProcess) -> None:
    """What a killed client left is sent by the next one, under the old identity, once."""
    receiver = process("--token", "hidden-one")
    for first in (0, RECORDS):
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            f"{receiver.url}/v1/logs",
            str(first),
            str(RECORDS),
        ]
        done = warm.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (-9 if first == 0 else 0) == done.returncode, done.stderr
    warm.run(
        [sys.executable, "-c", PROGRAM, f"{receiver.url}/v1/logs", str(2 * RECORDS), "1"],
        check=True,
    )
    # Nor need the last one have had the time for it all.
    recover = [sys.executable, "-m", "logbatch", "recover", f"{receiver.url}/v1/logs"]
    warm.run([*recover, "--token", "hidden-one"], check=True, capture_output=True)
    receiver.client.token = "hidden-one"
    found = sorted(int(text[2:]) for text in receiver.client.rows("message"))
    assert list(range(2 * RECORDS + 1)) == found
    receiver.client.verify()
