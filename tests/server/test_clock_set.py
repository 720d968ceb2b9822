"""A receiver stores each record once, to whatever time its clock is set between two starts."""

from __future__ import annotations

import signal

import pytest
from clocks import elsewhen

PRODUCER = "01arz3ndektsv4rrffq69g5fav"
YOUNG = "01xdyerg00m1sef5p9rymx7bbt"  # it began in 2036


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_set_between_two_starts(process, lines, kind: str, monkeypatch) -> None:
    """What was stored in 2036 is known ten and eleven years before, and after again."""
    for step, days in enumerate([3653, 0, -366, 1]):
        for name, text in elsewhen(days).items():
            monkeypatch.setenv(name, text)
        receiver = process("--format", kind)
        for producer in (PRODUCER, YOUNG):
            for first in (5 * step, 0):  # cut otherwise, and all of it once more
                answer = receiver.client.send(
                    {"logs": lines(first, 5 * step + 9)}, f"{producer}/{first}-{5 * step + 9}"
                )
                assert 200 == answer.status_code, answer.text
        receiver.end(signal.SIGKILL)

    expected = [f"n {n}" for n in range(25)]
    assert expected == receiver.client.messages(PRODUCER)
    assert expected == receiver.client.messages(YOUNG)
    receiver.client.verify()
