"""The keywords that editors and type checkers know are those that are taken, with their types."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Sequence, Set
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from logbatch import BatchHandler, BatchProcessor
from logbatch.keywords import Options
from logbatch.options import OPTION_NAMES, BatchOptions
from logbatch.transports import build
from logbatch.transports.http.transport import HttpTransport
from logbatch.transports.jsonl import JsonlTransport
from logbatch.transports.parquet import ParquetTransport
from logbatch.transports.sqlite import SqliteTransport

TYPED = get_type_hints(Options)
KINDS: dict[str, Any] = {
    "parquet:logs": ParquetTransport,
    "jsonl:logs": JsonlTransport,
    "sqlite:logs.db": SqliteTransport,
    "https://h": HttpTransport,
}
IN_FRONT = {"path", "url", "columns"}  # not among the keywords: in the URL, or a parameter

WIDER = {
    "flush_level": int | str | None,
    "redact": str | Sequence[str] | Set[str],
    "redact_patterns": str | Sequence[str | re.Pattern[str]],
}
"""What is stored in another type than it is given in."""


def own_options(url: str) -> dict[str, Any]:
    """Return the options of a kind of transport, with their types."""
    kind = KINDS[url]
    return {
        name: hint
        for name, hint in get_type_hints(kind.__init__).items()
        if name not in {*IN_FRONT, "return"}
    }


def allowed_words(url: str, name: str) -> set[str]:
    """Return the words that an option takes, as the refusal of another one lists them."""
    with pytest.raises(ValueError, match=f"^{name}='\\?' must be one of ") as caught:
        build(url, **{name: "?"})
    return set(re.findall(r"'(\w+)'", str(caught.value)))


def test_each_option_is_a_keyword() -> None:
    """Those of the handler and those of all transports of ours, and no others."""
    fields = [field.name for field in dataclasses.fields(BatchOptions)]

    assert fields == list(TYPED)[: len(fields)]
    assert set(TYPED) == {*fields, *(name for url in KINDS for name in own_options(url))}


@pytest.mark.parametrize("name", sorted(OPTION_NAMES))
def test_the_options_of_the_handler_have_their_types(name: str) -> None:
    """A keyword has the type of the option, or a wider one that is turned into it."""
    assert WIDER.get(name, get_type_hints(BatchOptions)[name]) == TYPED[name]


@pytest.mark.parametrize("url", KINDS)
def test_the_options_of_a_transport_have_their_types(url: str) -> None:
    """A keyword has the type of the transport's parameter; of a text, the words that it takes."""
    for name, hint in own_options(url).items():
        typed = TYPED[name]
        if get_origin(typed) is Literal:
            assert hint is str
            assert allowed_words(url, name) <= set(get_args(typed))
        else:
            assert typed == hint, name


def test_the_words_are_those_that_are_taken() -> None:
    """No word is known to a type checker that no transport takes."""
    for name, typed in TYPED.items():
        if get_origin(typed) is Literal and name not in OPTION_NAMES:
            taken = [allowed_words(url, name) for url in KINDS if name in own_options(url)]
            assert set(get_args(typed)) == set().union(*taken), name


# --------------------------------------------------------------------------- what an editor shows


def entries(heading: str) -> dict[str, str]:
    """Read the entries of a section of the handler's docstring: name and text."""
    text = inspect.getdoc(BatchHandler) or ""
    (section,) = re.findall(rf"^{heading}.*:\n((?:    .*\n)+)", text, re.MULTILINE)
    found = re.findall(r"^    (\w+): ((?:.*\n)(?:     .*\n)*)", section, re.MULTILINE)
    return {name: " ".join(told.split()) for name, told in found}


def is_told(default: object, told: str) -> bool:
    """Return whether a default is among a text, in the form that people read."""
    if default is None or default == ():
        return re.search("Default(:| [Nn]one)", told) is not None
    if isinstance(default, str):
        return f'"{default}"' in told
    if isinstance(default, bool) or not isinstance(default, int | float):
        return f"Default {default}" in told
    mebibytes = f"{default / (1 << 20):,.0f} MiB", f"{default / (1 << 30):,.0f} GiB"
    return any(each in told for each in (*mebibytes, f"{default:,}", f"{default:,.0f}"))


def test_the_handler_documents_its_options() -> None:
    """In the order of the fields, each with its default, also where transports have others."""
    documented = entries("Options of every transport")
    assert [field.name for field in dataclasses.fields(BatchOptions)] == list(documented)
    for name, told in documented.items():
        default = "ERROR" if name == "flush_level" else getattr(BatchOptions(), name)
        assert is_told(default, told), name
        for kind in KINDS.values():
            assert is_told(kind.defaults.get(name, default), told), name


@pytest.mark.parametrize("url", KINDS)
def test_the_handler_documents_the_options_of_transports(url: str) -> None:
    """Those of files and those of HTTP, each with its default."""
    documented = entries("Options of HTTP" if url.startswith("https") else "Options of files")
    parameters = inspect.signature(KINDS[url]).parameters
    for name in own_options(url):
        assert is_told(parameters[name].default, documented[name]), name


def test_the_processor_documents_the_same_defaults() -> None:
    """It names each option, and says no default that the handler does not."""
    text = inspect.getdoc(BatchProcessor) or ""
    short = " ".join(text[text.index("**options:") : text.index("Raises:")].split())

    assert [] == [name for name in TYPED if name not in short]
    sections = ("Options of every transport", "Options of files", "Options of HTTP")
    told = {name: [entries(section).get(name, "") for section in sections] for name in TYPED}
    for name, default in re.findall(r"(\w+) \(([^);]+)", short):
        for part in re.findall(r'"\w+"|[\d,.]+\d(?: [GM]iB)?|True|False', default):
            assert any(part in each for each in told[name]), (name, part)


@pytest.mark.parametrize(
    "function", [BatchHandler.__init__, BatchProcessor.__init__, BatchHandler.export_metrics, build]
)
def test_hints_can_be_read_at_run_time(function: Any) -> None:
    """Tools that make objects from configurations read them."""
    assert "return" in get_type_hints(function)
