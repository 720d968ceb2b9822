"""What each HTTP answer means for a batch."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import P as PRODUCER

from logbatch.errors import (
    BatchUnsupportedError,
    DeniedError,
    RejectedError,
    TemporaryError,
    TransportError,
)
from logbatch.identity import Ranges
from logbatch.transports.base import Batch, Receipt
from logbatch.transports.http.answers import Reply, ServerError, judge

BATCH = Batch(PRODUCER, 10, 19, b'{"message":"m"}\n' * 10)
TAKEN = Receipt()
DATE = "Thu, 01 Jan 1970 00:16:40 GMT"


def reply_with(body: Any, status: int = 200, kind: str = "application/json") -> Reply:
    """Make an answer; a body that is no text is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, kind, data)


# --------------------------------------------------------------------------- taken


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 226, 299])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"{",
        b"[1]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"rejected": []}',
        b'{"rejected": null}',
        b'{"rejected": "none"}',
        b'{"rejected": {"0": "x"}}',
        b'{"accepted": 10}',
        b'{"accepted": [10]}',
        b'{"accepted": ["10", "19"]}',
        b'{"accepted": [10, 19, 3]}',
        b'{"accepted": true}',
        b'{"logs_added": 10}',
        b'{"logs_added": 11}',
        b'{"logs_added": "3"}',
        b'{"logs_added": true}',
        b'{"logs_added": 0, "duplicate": true}',
        b'{"success": false}',
    ],
)
def test_2xx_is_an_acknowledgement_whatever_the_body(status: int, body: bytes) -> None:
    """As long as it does not say otherwise in a form that is understood."""
    assert TAKEN == judge(Reply(status, "application/json", body), BATCH)
    assert TAKEN == judge(Reply(status, "text/plain", body), BATCH)
    assert TAKEN == judge(Reply(status, "", body), BATCH)


@pytest.mark.parametrize("kind", ["text/html", "application/xhtml+xml"])
def test_a_web_page_is_no_acknowledgement(kind: str) -> None:
    """A login page or a captive portal answers 200, too."""
    reply = Reply(200, kind, b"<html>Please log in</html>")
    with pytest.raises(TemporaryError, match="accept_html=True"):
        judge(reply, BATCH)

    assert TAKEN == judge(reply, BATCH, accept_html=True)


@pytest.mark.parametrize(
    ("rejected", "reasons"),
    [
        ([3], {3: "refused by the server"}),
        ([0, 9], {0: "refused by the server", 9: "refused by the server"}),
        ([{"index": 3}], {3: "refused by the server"}),
        ([{"index": 3, "reason": "no level"}], {3: "no level"}),
        ([{"index": 3, "reason": 7}], {3: "7"}),
        ([{"index": 3, "reason": "x" * 9999}], {3: "x" * 500}),
        ([1, {"index": 2, "reason": "b"}], {1: "refused by the server", 2: "b"}),
        ([10], {10: "refused by the server"}),  # not in the batch; delivery knows what to do
        ([True, None, "3", 1.5, {"reason": "x"}, {"index": "3"}, 4], {4: "refused by the server"}),
    ],
)
def test_rejected_events_are_named(rejected: list[Any], reasons: dict[int, str]) -> None:
    """By index, with a reason or without."""
    with pytest.raises(RejectedError) as caught:
        judge(reply_with({"success": True, "rejected": rejected}, 201), BATCH)

    assert reasons == caught.value.reasons
    assert 201 == caught.value.status


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ([10, 19], [(10, 19)]),
        ([10, 12], [(10, 12)]),
        ([15, 19], [(15, 19)]),
        ([12, 13], [(12, 13)]),
        ([0, 99], [(10, 19)]),
        ([0, 11], [(10, 11)]),
        ([3, 4], []),
        ([20, 30], []),
        ([13, 12], []),
    ],
)
def test_an_accepted_range_is_all_that_was_taken(
    accepted: list[int], taken: list[tuple[int, int]]
) -> None:
    """By sequence; what lies outside the batch is ignored."""
    assert Receipt(Ranges(taken)) == judge(reply_with({"accepted": accepted}), BATCH)


@pytest.mark.parametrize(
    ("body", "names_some"),
    [
        (b'{"success": true, "rejected": [{"index": 1, "rea', True),
        (b'{"rejected":[7', True),
        (b'{"rejected": [], "more": "xxxxx', False),
        (b'{"stored": ["xxxxx', False),
        (b'"rejected": [7', False),
    ],
)
def test_an_answer_that_names_more_events_than_are_read(body: bytes, names_some: bool) -> None:
    """Is asked again about smaller parts; any other long answer is an acknowledgement."""
    reply = Reply(200, "application/json", body, is_cut=True)
    if not names_some:
        assert TAKEN == judge(reply, BATCH)
        return
    with pytest.raises(RejectedError, match="names more events than can be read"):
        judge(reply, BATCH)


def test_of_an_accepted_range_what_was_rejected_is_not_taken() -> None:
    """It is sent again with the rest, and then refused with nothing else in the way."""
    reply = reply_with({"accepted": [10, 14], "rejected": [1]})
    assert Receipt(Ranges([(10, 10), (12, 14)])) == judge(reply, BATCH)

    rest = Batch(PRODUCER, 11, 11, b'{"message":"m"}\n')
    with pytest.raises(RejectedError) as caught:
        judge(reply_with({"accepted": [11, 11], "rejected": [0]}), rest)
    assert {0: "refused by the server"} == caught.value.reasons


@pytest.mark.parametrize(("added", "skipped"), [(0, 10), (7, 3), (-5, 10), (10, 0)])
def test_events_that_the_server_skipped_are_counted(added: int, skipped: int) -> None:
    """It does not say which, so they count as taken."""
    assert Receipt(skipped=skipped) == judge(reply_with({"logs_added": added}), BATCH)


def test_what_is_rejected_is_not_skipped() -> None:
    """A server that names what it left out has skipped nothing."""
    assert TAKEN == judge(reply_with({"logs_added": 3, "rejected": []}), BATCH)
    with pytest.raises(RejectedError):
        judge(reply_with({"logs_added": 9, "rejected": [0]}), BATCH)


# --------------------------------------------------------------------------- not taken


@pytest.mark.parametrize("status", [404, 405, 501])
def test_there_is_no_such_endpoint(status: int) -> None:
    """The events go singly."""
    with pytest.raises(BatchUnsupportedError, match=f"answered {status}"):
        judge(Reply(status), BATCH)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_batch_that_is_refused(status: int) -> None:
    """As a whole: the batcher finds out which events are at fault."""
    with pytest.raises(RejectedError) as caught:
        judge(Reply(status), BATCH)

    assert f"answered {status}" == caught.value.reasons
    assert status == caught.value.status


def test_a_batch_of_which_each_event_is_refused() -> None:
    """Where a refusal names all of them, none is sent a second time."""
    named = [{"index": n, "reason": f"no {n}"} for n in range(len(BATCH))]

    for told, expected in [
        (named, {n: f"no {n}" for n in range(len(BATCH))}),
        (named[1:], "answered 422: all"),
    ]:
        body = json.dumps({"error": "all", "rejected": told}).encode()
        with pytest.raises(RejectedError) as caught:
            judge(Reply(422, "application/json", body), BATCH)
        assert (expected, 422) == (caught.value.reasons, caught.value.status)


@pytest.mark.parametrize("status", [401, 403])
def test_we_are_not_let_in(status: int) -> None:
    """Everything is kept."""
    with pytest.raises(DeniedError, match=f"answered {status}") as caught:
        judge(Reply(status), BATCH)

    assert ("is the token right" in str(caught.value)) == (status == 401)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 511, 599])
def test_it_may_be_taken_later(status: int) -> None:
    """A server in trouble, or one that has too much to do."""
    with pytest.raises(TemporaryError, match=f"^answered {status}$") as caught:
        judge(Reply(status), BATCH)

    assert isinstance(caught.value, ServerError) == (status >= 500)
    assert not isinstance(caught.value, DeniedError)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_is_no_acknowledgement(status: int) -> None:
    """It is not followed either; the text says what to do."""
    with pytest.raises(TemporaryError, match="redirect, which is never followed"):
        judge(Reply(status), BATCH)


@pytest.mark.parametrize("status", [100, 199, 402, 406, 410, 415, 418, 431, 451, 499, 600, 999])
def test_whatever_else_is_kept(status: int) -> None:
    """An answer that is in no table loses nothing."""
    with pytest.raises(TemporaryError, match=f"answered {status}"):
        judge(Reply(status), BATCH)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("99999999", 99999999.0),  # the backoff has a cap
        ("9" * 400, 1e9),
        ("1e400", None),
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:10:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("Thu, 99 Jan 1970 00:17:00 GMT", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("status", [503, 429, 401, 302])
def test_retry_after_in_both_forms(status: int, header: str | None, seconds: float | None) -> None:
    """Seconds, or a date; nonsense is as if it was not there."""
    with pytest.raises(TemporaryError) as caught:
        judge(Reply(status, retry_after=header, date=DATE), BATCH)

    assert seconds == caught.value.retry_after


@pytest.mark.parametrize(
    "header",
    [
        "Thu, 01 Jan 1970 00:17:00 -0000",
        "Thu, 01 Jan 1970 00:17:00",
        "Thu Jan  1 00:17:00 1970",  # RFC 9110, section 5.6.7: asctime
        "Thursday, 01-Jan-70 00:17:00 GMT",
        "Thu, 01 Jan 1970 01:17:00 +0100",
    ],
)
def test_a_date_without_a_zone_is_in_gmt(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever this machine is."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/New_York")
        time.tzset()
        with pytest.raises(TemporaryError) as caught:
            judge(Reply(503, retry_after=header, date=DATE), BATCH)
    time.tzset()

    assert 20.0 == caught.value.retry_after


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("application/json", b'{"error": "no level"}', "answered 422: no level"),
        ("application/json", b'{"detail": " no level\\n"}', "answered 422: no level"),
        ("application/json", b'{"error": {"code": 7}}', "answered 422"),
        ("text/plain", b"no \xff level\n", "answered 422: no \\xff level"),
        ("text/plain", b"x" * 9999, "answered 422: " + "x" * 500),
        ("text/html", b"<html>", "answered 422"),
        ("application/json", b"", "answered 422"),
    ],
)
def test_the_reason_that_a_server_gives_is_kept(kind: str, body: bytes, told: str) -> None:
    """Where it gives one in a usual form."""
    with pytest.raises(RejectedError) as caught:
        judge(Reply(422, kind, body), BATCH)

    assert told == caught.value.reasons


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-30, 30) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["index", "reason", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)
_bodies = st.dictionaries(
    st.sampled_from(["rejected", "accepted", "logs_added", "duplicate", "error"]), _values
)


@given(st.integers(100, 999), _bodies, st.none() | st.text(max_size=30))
def test_every_answer_is_understood(status: int, body: dict[str, Any], header: str | None) -> None:
    """It is a receipt or one of our errors, whatever a server makes up; only 2xx acknowledges."""
    data = json.dumps(body).encode()
    try:
        receipt = judge(Reply(status, "application/json", data, header), BATCH)
    except TransportError:
        return
    assert 200 <= status < 300
    assert 0 <= receipt.skipped <= len(BATCH)
    assert all(10 <= first <= last <= 19 for first, last in receipt.taken or ())
