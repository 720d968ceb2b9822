"""`Dataset.facets`: the most frequent values, compared with counting in Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import START, P, batch_of, event, publish, publish_events
from mixed import make_mixed

from logbatch import Dataset, Facet, Filter
from logbatch.dataset.filter.comparisons import find

Rows = Sequence[dict[str, Any]]
COLUMNS = ("level", "logger", "process", "service", "thread_name", "message", "timestamp")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each kind of file, and odd records."""
    return make_mixed(tmp_path_factory.mktemp("logs"))


def as_text(value: Any) -> str | None:
    """Return an attribute as a filter compares it."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def paths(attributes: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the names of what is in attributes and no object."""
    for key, value in attributes.items():
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}.")
        elif value is not None:
            yield before + key


def count(field: str, values: Sequence[Any], limit: int, *, exact: bool = True) -> Facet:
    """Count in Python."""
    counter = Counter(value for value in values if value is not None)
    top = sorted(counter.items(), key=lambda each: (-each[1], each[0]))[:limit]
    missing = len(values) - counter.total()
    return Facet(field, tuple(top), len(counter), missing, len(values), exact)


@pytest.mark.parametrize("where", ["", "level>=INFO", "user.id=3", "message~/7$/", "zzz"])
def test_columns(mixed: Dataset, where: str) -> None:
    """Exactly, whatever their type; one that nothing has is missing everywhere."""
    rows = list(mixed.rows(where))
    found = mixed.facets(where, fields=COLUMNS, attributes=0, limit=4)
    assert [count(name, [row[name] for row in rows], 4) for name in COLUMNS] == list(found)


@pytest.mark.parametrize("where", ["", "level>=INFO", "user.id=3", "message~/7$/", "zzz"])
def test_attributes(mixed: Dataset, where: str) -> None:
    """By the names that a filter has for them, nested ones too; those that are null are missing."""
    rows = [row["attributes"] for row in mixed.rows(where)]
    names = {path for row in rows for path in paths(row)} - {""}
    taken = {"level": "attributes.level", "since": "attributes.since"}
    taken["attributes.y"] = "attributes.attributes.y"
    expected = {
        taken.get(name, name): count(
            taken.get(name, name), [as_text(find(row, name)) for row in rows], 6
        )
        for name in names
    }
    found = mixed.facets(where, fields=(), attributes=1000, limit=6)
    assert expected == {facet.field: facet for facet in found}


def test_a_click_finds_what_was_counted(mixed: Dataset) -> None:
    """A value as a filter has it finds as many records; a logger finds those below it as well."""
    rows = list(mixed.rows())
    for facet in mixed.facets(fields=("service", "process"), attributes=1000):
        for value, number in facet.values:
            quoted = json.dumps(str(value), ensure_ascii=False)
            if "\\u" in quoted or "\\" in facet.field or value == "null":
                continue
            name = '"' + facet.field.replace('"', '\\"') + '"'
            matches = Filter.parse(f"{name}={quoted}").matches
            assert number == sum(map(matches, rows)), (facet.field, value)


def test_what_most_records_have_comes_first(tmp_path: Path) -> None:
    """Behind what was asked for, which comes though no record has it."""
    events = [event(attributes={"a": n, **({"b": 1} if n % 2 else {}), "z": 1}) for n in range(9)]
    publish_events(tmp_path, *events)
    logs = Dataset(tmp_path)
    fields = ["none", "attributes.b", "level"]
    found = logs.facets(fields=fields, attributes=1, limit=2)
    assert [*fields, "a"] == [facet.field for facet in found]
    assert Facet("none", (), 0, 9, 9, True) == found[0]
    assert Facet("attributes.b", (("1", 4),), 1, 5, 9, True) == found[1]
    assert ["a", "z", "b"] == [facet.field for facet in logs.facets(fields=())]
    assert ["b"] == [facet.field for facet in logs.facets(fields=("b",), attributes=0)]
    assert () == logs.facets(fields=(), attributes=0)


def test_attributes_are_counted_in_the_newest(tmp_path: Path) -> None:
    """Exactly so many as are to be looked at, also where many are of one moment."""
    for kind, first in (("parquet", 0), ("jsonl", 1)):
        events = [
            event(timestamp=(START + timedelta(seconds=n // 10)).isoformat(), attributes={"n": n})
            for n in range(first, 200, 2)
        ]
        publish_events(tmp_path, *events, kind=kind)
    logs = Dataset(tmp_path)
    newest = list(logs.rows(limit=55, newest_first=True))
    (found,) = logs.facets(fields=(), sample=55, limit=1000)
    values = [str(row["attributes"]["n"]) for row in newest]
    assert count("n", values, 1000, exact=False) == found
    (whole,) = logs.facets(fields=(), sample=200)
    assert (200, True) == (whole.of, whole.exact)


KEYS = ["x", "X", "x.y", "y", "a.b", "b", "/", "~1", "ü", "0", "level", "it's", 'a"']
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([0.5, -1.25, 1e10, "1", "null", "true", '"', "\0", "é", "{}"])
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), min_size=1))
def test_any_attributes(
    tmp_path_factory: pytest.TempPathFactory, given: Sequence[dict[str, Any]]
) -> None:
    """Whatever the keys, and however deep."""
    path = tmp_path_factory.mktemp("any")
    publish(path, batch_of(P, 0, *(event(attributes=each) for each in given)))
    names = {name for row in given for name in paths(row)}
    found = Dataset(path).facets(fields=(), attributes=1000, limit=1000)
    fields = {facet.field.removeprefix("attributes."): facet for facet in found}
    assert names == fields.keys()
    for name, facet in fields.items():
        values = [as_text(find(row, name)) for row in given]
        assert count(facet.field, values, 1000) == facet


def test_a_name_that_is_two_things(tmp_path: Path) -> None:
    """A key with a dot, and a key in an object: the first is looked at first, as by a filter."""
    given: Sequence[dict[str, Any]] = (
        {"x.y": {}, "x": {"y": 1}},
        {"x": {"y": False}},
        {"x.y": None, "x": {"y": 2}},
        {"x.y": 3, "x": {"y": 2}},
    )
    publish_events(tmp_path, *(event(attributes=each) for each in given))
    (found,) = Dataset(tmp_path).facets(fields=("x.y",), attributes=0)
    assert Facet("x.y", (("3", 1), ("false", 1), ("{}", 1)), 3, 1, 4, True) == found


def test_mistakes(tmp_path: Path) -> None:
    """They are told as by the other methods."""
    publish_events(tmp_path, event("x"))
    logs = Dataset(tmp_path)
    with pytest.raises(TypeError, match="must be a list of names"):
        logs.facets(fields="level")
    with pytest.raises(ValueError, match="limit=-1 must be 0 or more"):
        logs.facets(limit=-1)
    with pytest.raises(ValueError, match="attributes=-1 must be 0 or more"):
        logs.facets(attributes=-1)
    with pytest.raises(ValueError, match="sample=0 must be 1 or more"):
        logs.facets(sample=0)
