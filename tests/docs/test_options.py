"""The tables of options say what the code does: names, defaults, limits, variables."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from documents import ROOT, find_rows, names_in

import logbatch
from logbatch.events import fields, stacktrace, values
from logbatch.keywords import Options
from logbatch.options import BatchOptions
from logbatch.transports import build

PAGE = ROOT / "docs" / "options.md"
HTTP = ROOT / "docs" / "http.md"
HANDLER = find_rows(PAGE, "Of every transport")
FILES = {
    "parquet": find_rows(PAGE, "Parquet"),
    "jsonl": find_rows(PAGE, "JSON Lines"),
    "sqlite": find_rows(PAGE, "SQLite"),
}
FREE = ("service", "host", "redact", "redact_patterns")  # take any text
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
URLS = {
    "parquet": "parquet:logs",
    "jsonl": "jsonl:logs",
    "sqlite": "sqlite:logs.db",
    "http": "http://127.0.0.1:1/",
}


def value_of(text: str) -> Any:
    """Read a default as the page writes it."""
    number, _, unit = text.strip("`").replace(",", "").partition(" ")
    if re.fullmatch(r"[\d.]+", number):
        value = float(number) * UNITS.get(unit, 1)
        return value
    return {"none": None, "False": False, "True": True, "ERROR": 40}.get(number, number)


def test_every_option_is_documented() -> None:
    """The tables have each option that an editor knows, and no other."""
    rows = [
        *HANDLER,
        *(row for rows in FILES.values() for row in rows),
        *find_rows(HTTP, "Options"),
    ]
    documented = {name for row in rows for name in names_in(row[0])}
    known = {*Options.__annotations__, "columns", "export_metrics", "level"}
    assert known == documented


@pytest.mark.parametrize("field", dataclasses.fields(BatchOptions), ids=lambda field: field.name)
def test_the_defaults_are_those_of_the_code(field: dataclasses.Field[Any]) -> None:
    """Where the kinds of transport have defaults of their own, each is told."""
    (row,) = [row for row in HANDLER if field.name in names_in(row[0])]
    told = row[1].split("; ")
    if field.name in ("service", "host"):
        return  # what they are taken from is tested where they are made
    default = field.default or None if field.default != 0 else field.default
    assert default == value_of(re.sub(r"^(HTTP|your own) ", "", told[-1]))
    for kind, said in zip(("parquet", "jsonl", "http"), (told[0], told[0], told[1:2]), strict=True):
        own = build(URLS[kind]).defaults.get(field.name)
        if own is not None and len(told) > 1:
            text = said if isinstance(said, str) else said[0].removeprefix("HTTP ")
            assert own == value_of(text), kind


@pytest.mark.parametrize("row", HANDLER, ids=lambda row: row[0])
def test_the_limits_are_those_of_the_code(row: list[str]) -> None:
    """What stands as a range is taken up to its ends, and not beyond."""
    (name,) = names_in(row[0])
    found = re.search(r"([\d.,]+) to ([\d,]+)", row[2])
    if found is None:
        return
    low, high = (float(each.replace(",", "")) for each in found.groups())
    kind = float if "seconds" in row[2] else int
    for value in (low, high):
        assert value == getattr(BatchOptions.build({name: kind(value)}), name)
    for value in (low - 0.001 if kind is float else low - 1, high + 1):
        with pytest.raises(ValueError, match=name):
            BatchOptions.build({name: kind(value)})


def find_variables() -> list[tuple[str, str, str]]:
    """List option, variable and a URL of a transport that has the option."""
    found = [(row, "parquet") for row in HANDLER]
    found += [(row, kind) for kind, rows in FILES.items() for row in rows]
    return [
        (names_in(row[0])[0], names_in(row[4])[0], URLS[kind])
        for row, kind in found
        if row[4] != "none"
    ]


@pytest.mark.parametrize(("name", "variable", "url"), find_variables())
def test_the_variables_are_read(
    name: str, variable: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value in a variable is an error that names it; a text is taken."""
    monkeypatch.setenv(variable, "nonsense of a test")
    if name in FREE:
        logbatch.BatchHandler(url).close()
        assert "nonsense of a test" in str(getattr(BatchOptions.build({}), name))
        return
    with pytest.raises(ValueError, match=f"{variable}.*{name}"):
        logbatch.BatchHandler(url)


@pytest.mark.parametrize(
    "name", [n for row in find_rows(HTTP, "Options") for n in names_in(row[0])]
)
def test_the_variables_of_http_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but `fields` and `headers`, as the page says."""
    value = {"body": "xml", "single_url": "ftp://x/", "token": "a b", "account": "a b"}
    monkeypatch.setenv(f"LOGBATCH_HTTP_{name.upper()}", value.get(name, "no such value"))
    with pytest.raises(ValueError, match=f"LOGBATCH_HTTP_{name.upper()}"):
        build(URLS["http"])


def test_the_table_of_tuning_builds() -> None:
    """Each row of it is a set of options that are taken."""
    rows = find_rows(PAGE, "Tuning")
    assert len(rows) >= 6
    for row in rows:
        names = ("flush_interval", "max_batch_size", "max_batch_bytes")
        given = dict(zip(names, map(value_of, row[1:]), strict=True))
        options: dict[str, Any] = {
            k: v.strip('"') if isinstance(v, str) else v for k, v in given.items() if v
        }
        for name in ("max_batch_size", "max_batch_bytes"):
            if name in options:
                options[name] = int(options[name])
        BatchOptions.build(options)


CUT = {
    "containers within one another": (values.MAX_DEPTH,),
    "a value that is not plain JSON": (values.MAX_ITEMS,),
    "an integer": (values.NUMBER_BITS,),
    "the name of an attribute": (values.KEY_BYTES,),
    "the attributes of a record": (values.MAX_ITEMS,),
    "the template of a message": (fields.TEMPLATE_BYTES,),
    "a stack trace": (
        *(fields.TRACE_BYTES, stacktrace.MAX_FRAMES, stacktrace._FIRST_FRAMES),
        *(stacktrace._LAST_FRAMES, stacktrace._MAX_EXCEPTIONS),
    ),
    "logger, level": (fields.NAME_BYTES,),
}


def test_the_other_limits_are_those_of_the_code() -> None:
    """What is cut before `max_value_bytes` is reached stands beside it, with its number."""
    rows = find_rows(PAGE, "What is cut")
    assert len(CUT) == len(rows)
    for (what, told), (start, numbers) in zip(rows, CUT.items(), strict=True):
        assert what.startswith(start)
        assert list(numbers) == [
            int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", told)
        ]
    assert stacktrace.TEXT_BYTES == fields.TEMPLATE_BYTES
