"""A key that stands twice in an object: the last one is stored, so that others can read it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from duck import ask
from hypothesis import given
from hypothesis import strategies as st
from make import P
from receivers import Client, MakeEntry

from logbatch.server.normalise import Rejected
from logbatch.server.unique_keys import keep_last_keys

TWICE = b'{"a":1,"b":{"c":[{"d":1,"d":2.50}],"c":[{"d":3,"d":4.50, "e":"{"}]},"a":[5]}'
ONCE = b'{"b":{"c":[{"d":4.50, "e":"{"}]},"a":[5]}'
LONG = b'"x":"%b"' % (b"x" * 200_000)

names = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"{:,"'])
numbers = st.sampled_from(["1", "2.50", "1e400", "123456789012345678901234567890", "-0.0", "null"])


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Write objects, with keys twice, and arrays."""
    pairs = st.tuples(names, inner).map(": ".join)
    return st.one_of(
        st.lists(pairs, max_size=4).map(lambda each: f"{{{', '.join(each)}}}"),
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]"),
    )


texts = st.recursive(st.one_of(names, numbers), objects, max_leaves=12)


@given(texts, st.booleans())
def test_any_object(text: str, long: bool) -> None:
    """What is left means the same as all of it, with numbers as they were, and no key twice."""
    line = f'{{"k": {text}}}'.encode()
    if long:
        line = line[:-1] + b"," + LONG + b"}"
    kept = keep_last_keys(line)
    assert read(line) == read(kept)
    json.loads(kept, object_pairs_hook=unique)
    assert kept == keep_last_keys(kept)


def read(line: bytes) -> Any:
    """Read JSON; numbers stay texts."""
    return json.loads(line, parse_float=str, parse_int=str)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of pairs that have each key once."""
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("more", [b"", b"," + LONG], ids=["short", "long"])
def test_spelling(more: bytes) -> None:
    """Only keys that are there again go; a line without such stays, byte for byte."""
    assert ONCE[:-1] + more + b"}" == keep_last_keys(TWICE[:-1] + more + b"}")
    spaced = b'{"a": 2.50, "b": {"a": 1e5}}'
    assert spaced == keep_last_keys(spaced)


def test_a_long_line() -> None:
    """A line of very many values is taken where it has not too many keys."""
    many: Any
    for many in (list(range(250_000)), [{}] * 250_000, {f"k{n}": {} for n in range(100_000)}):
        line = msgspec.json.encode({"n": many})
        assert line == keep_last_keys(line)
    with pytest.raises(Rejected, match="too many keys"):
        keep_last_keys(msgspec.json.encode([{"a": 1}] * 150_000))


def test_a_line_of_one_long_text() -> None:
    """What is in a text costs nothing, however deep it stands."""
    text = b'"%b"' % (b'{:\\"' * 1_000_000)
    line = b'{"a":1,' + b'"a":{' * 30 + b'"t":1,"t":' + text + b"}" * 31
    assert b'{"a":{' + b'"a":{' * 29 + b'"t":' + text + b"}" * 31 == keep_last_keys(line)


@pytest.mark.parametrize("own", [True, False], ids=["ours", "foreign"])
def test_others_can_read_the_file(client: Client, line: MakeEntry, own: bool) -> None:
    """DuckDB reads all of it; it read nothing of a file with such a line."""
    entry = line("m") if own else {"msg": "m"}
    good, bad = (json.dumps(entry | {"attributes": x}).encode() for x in ("NONE", "TWICE"))
    good = good.replace(b'"NONE"', b"{}")
    bad = bad.replace(b'"TWICE"', TWICE).replace(b"{", b'{"level":"ERROR","level":"INFO",', 1)
    for added in (2, 0):
        answer = client.send(b"[%b,%b]" % (good, bad), f"{P}/0-1").json()
        assert (added, []) == (answer["logs_added"], answer["rejected"])
    client.stop()
    files = f"{client.directory}/*/*.jsonl"
    rows = ask(f"SELECT level, attributes.b.c FROM read_json_auto('{files}') ORDER BY sequence")
    assert ["INFO", "INFO"] == [row[0] for row in rows]
    assert [{"d": 4.5, "e": "{"}] == rows[1][1]
    assert json.loads(ONCE) == json.loads(client.rows("attributes")[1])
