"""The log of a small shop, an hour of it, of which tests of the viewer know what is in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from make import START, A, B, batch_of, event, publish

REQUESTS, CARDS = 600, 300  # one each 6 seconds, one each 12
FRAMES = (
    "Traceback (most recent call last):\n"
    '  File "/srv/shop/pay.py", line 12, in charge\n'
    "    gateway.send(card)\n"
    '  File "/srv/venv/lib/python3.11/site-packages/requests/api.py", line 59, in request\n'
    "    return session.request(method=method, url=url)\n"
    '  File "/srv/venv/lib/python3.11/site-packages/requests/sessions.py", line 589, in request\n'
    "    resp = self.send(prep)\n"
)
FAILURES = {"TimeoutError": "the gateway did not answer in {} s", "CardError": "card {} is blocked"}


def make_shop(directory: Path) -> None:
    """Write it to files, as two processes would."""
    publish(directory, batch_of(A, 0, *map(_request, range(REQUESTS))))
    publish(directory, batch_of(B, 0, *map(_card, range(CARDS))))


def _request(number: int) -> dict[str, Any]:
    path, took = f"/items/{number % 7}", number % 90 + 0.5
    status = 500 if number % 50 == 49 else 404 if number % 20 == 19 else 200
    return event(
        f"GET {path} took {took} ms",
        **_at(6 * number),
        **_level("ERROR" if status == 500 else "WARNING" if status == 404 else "INFO"),
        logger="shop.web",
        template="GET %s took %s ms",
        **_of("web", 101, f"web-{number % 2}"),
        trace_id=f"{number // 3:032x}",
        attributes={"user_id": number % 10, "status": status, "path": path, "ms": took},
    )


def _card(number: int) -> dict[str, Any]:
    given: dict[str, Any] = {
        **_at(12 * number + 1),
        "logger": "shop.pay",
        **_of("pay", 202, "MainThread"),
        "trace_id": f"{number * 2 // 3:032x}",
        "attributes": {
            "amount": number + 0.95,
            "user": {"id": number % 10, "name": "Zoë", "tags": ["new", "eu"]},
        },
    }
    if number % 30 != 29:
        return event(
            f"card {number} charged", **given, **_level("INFO"), template="card %d charged"
        )
    kind = list(FAILURES)[number // 30 % 2]
    text = FAILURES[kind].format(number)
    return event(
        f"card {number} failed",
        **given,
        **_level("CRITICAL" if number > 290 else "ERROR"),
        template="card %d failed",
        exception_type=kind,
        exception_message=text,
        stacktrace=f"{FRAMES}{kind}: {text}",
        pathname="/srv/shop/pay.py",
        lineno=12,
        func_name="charge",
    )


def _at(seconds: int) -> dict[str, str]:
    return {"timestamp": f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.250000Z}"}


def _level(name: str) -> dict[str, Any]:
    return {
        "level": name,
        "levelno": {"INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}[name],
    }


def _of(service: str, process: int, thread: str) -> dict[str, Any]:
    return {
        "service": service,
        "host": f"{service}-1.example",
        "process": process,
        "thread": len(thread),
        "thread_name": thread,
    }
