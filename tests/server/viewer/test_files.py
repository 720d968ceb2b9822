"""How the page's files are served: once to each browser, and never those of another version."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from viewers import Viewer

from logbatch.server.viewer.app import STATIC
from logbatch.server.viewer.files import Files


@pytest.fixture
def viewer(view: Callable[..., Viewer]) -> Viewer:
    """A viewer."""
    return view()


def named_files(viewer: Viewer) -> list[str]:
    """List the files that the page names."""
    page = viewer.ask("/")
    assert "no-cache" == page.headers["cache-control"]
    return re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)


def test_a_file_is_fetched_once(viewer: Viewer) -> None:
    """Its path says what is in it, so a browser may keep it."""
    named = named_files(viewer)
    assert len(named) > 10
    assert 1 == len({path.rpartition("/")[0] for path in named})
    for path in named:
        answer = viewer.ask(f"/{path}")
        assert 200 == answer.status_code
        assert "immutable" in answer.headers["cache-control"]
        assert (STATIC / path.rpartition("/")[2]).read_bytes() == answer.content


def test_a_file_of_another_version_is_not_kept(viewer: Viewer) -> None:
    """Whoever asks by an old path, or by none, gets what there is now, and asks again."""
    for path in ("/static/main.js", "/static/0123456789abcdef/main.js"):
        answer = viewer.ask(path)
        assert 200 == answer.status_code
        assert "no-cache" == answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("main.js", "text/javascript"), ("page.css", "text/css"), ("mark.svg", "image/svg+xml")],
)
def test_a_file_says_what_it_is(viewer: Viewer, name: str, kind: str) -> None:
    """A browser that must not guess runs no script otherwise."""
    assert viewer.ask(f"/static/{name}").headers["content-type"].startswith(kind)


def test_the_path_changes_with_any_file(tmp_path: Path) -> None:
    """Also where a file got another name."""

    def stamp(**files: str) -> str:
        for path in tmp_path.iterdir():
            path.unlink()
        for name, text in {"index": "", **files}.items():
            (tmp_path / f"{name}.{'html' if name == 'index' else 'js'}").write_text(text)
        return Files(tmp_path)._stamp

    stamps = [stamp(a="1"), stamp(a="2"), stamp(b="1"), stamp(a="1", b=""), stamp(index="1", a="1")]
    assert 5 == len(set(stamps))
    assert stamps[0] == stamp(a="1")
