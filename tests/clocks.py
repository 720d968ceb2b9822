"""Clocks that tests set by hand, here and in processes of their own."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest
from faketime.__main__ import environment

from logbatch.identity import new_producer
from logbatch.testing import ManualClock
from logbatch.transports.base import Transport
from logbatch.transports.directory import DirectoryTransport
from logbatch.transports.jsonl import JsonlTransport
from logbatch.transports.parquet import ParquetTransport

DAY = 86_400.0

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"

_T = TypeVar("_T", bound=Transport)


def with_clock(transport: _T, clock: ManualClock) -> _T:
    """Set the clock of a transport to a directory, for the time of day and for the age of files."""
    if isinstance(transport, DirectoryTransport):  # others have none
        transport.now = clock
    if isinstance(transport, JsonlTransport | ParquetTransport):
        transport.clock = clock
    return transport


def producer_born(at: float) -> str:
    """Make the id of a process that began when the clock showed so many seconds since 1970."""
    milliseconds = int(at * 1000)
    time = "".join(_BASE32[milliseconds >> shift & 31] for shift in range(45, -1, -5))
    return time + new_producer()[10:]


def elsewhen(days: float) -> dict[str, str]:
    """Return an environment in which a process sees a time so many days ahead, or behind.

    It may set its clock itself, by its variable FAKETIME: seconds, with a sign.
    """
    try:
        found = environment(os.environ)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return {**found, "FAKETIME": f"{days * DAY:+.0f}", "FAKETIME_NO_CACHE": "1"}
