"""The files of the page: what they must not do, and that they are complete."""

from __future__ import annotations

import re

import pytest

from logbatch.server.viewer.app import STATIC

SCRIPTS = {path.name: path.read_text("utf-8") for path in sorted(STATIC.glob("*.js"))}
MARKUP = (STATIC / "index.html").read_text("utf-8")

_MARKUP_FROM_TEXT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|parseFromString"
    r"|setHTML|srcdoc|\beval\(|new Function|setAttribute\(\"(style|on)"
)
_IMPORT = re.compile(r'^import [^;]* from "\./(\w+\.js)";$', re.MULTILINE)
_LAZY_IMPORT = re.compile(r'import\("\./(\w+\.js)"\)')


def _loaded_with(name: str) -> set[str]:
    found, rest = set[str](), [name]
    while rest:
        one = rest.pop()
        if one not in found:
            found.add(one)
            rest += _IMPORT.findall(SCRIPTS[one])
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_no_markup_of_text(name: str) -> None:
    """No function that reads a text as markup or code is named anywhere."""
    assert not _MARKUP_FROM_TEXT.findall(SCRIPTS[name])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_small(name: str) -> None:
    """Each has one job, and fits on some screens."""
    assert SCRIPTS[name].count("\n") < 300


def test_every_script_is_reached_from_the_first() -> None:
    """No import goes nowhere, and no file is left over."""
    reached, rest = set[str](), ["main.js"]
    while rest:
        for name in _loaded_with(rest.pop()) - reached:
            reached.add(name)
            rest += _LAZY_IMPORT.findall(SCRIPTS[name])
    assert reached == set(SCRIPTS)


def test_scripts_that_are_needed_at_once_are_asked_for_at_once() -> None:
    """A browser asks for all of them together, for the page names what its first one imports."""
    named = set(re.findall(r'rel="modulepreload" href="static/(\w+\.js)"', MARKUP))
    assert named == _loaded_with("main.js") - {"main.js"}


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    """They would not be run: the Content-Security-Policy forbids them."""
    assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", MARKUP)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", MARKUP))


def test_nothing_comes_from_another_host() -> None:
    """Neither the page nor its styles and scripts name one."""
    texts = [path.read_text("utf-8") for path in STATIC.iterdir()]
    hosts = {host for text in texts for host in re.findall(r"(?:https?:)?//([\w.-]+\.\w+)", text)}
    assert hosts <= {"www.w3.org"}
