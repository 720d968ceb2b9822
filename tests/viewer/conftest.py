"""The page of `logbatch view` in a real browser, with real applications that log.

`tox -e browser` has Playwright; elsewhere, and where there is no chromium, these tests are skipped.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import App, OpenTabs, StartApp, StartView, Tabs, View
from shop import make_shop
from waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = (
    "--no-sandbox",  # which a container's root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# ------------------------------------------------------------------ the browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, for all tests of this process; each has pages of its own in it."""
    if os.environ.get("TOX_ENV_NAME") == "browser":
        importlib.import_module("playwright")
    api: Any = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    api.expect.set_options(timeout=PATIENCE * 1000 / 2)
    env = os.environ | {"HOME": str(tmp_path_factory.mktemp("chromium"))}
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, env=env)
        yield browser
        browser.close()


# ------------------------------------------------------------------ the server


@pytest.fixture
def view() -> Iterator[StartView]:
    """Start `logbatch view` for directories; at the end each ends well."""
    started: list[View] = []

    def start(directory: Path, *arguments: str) -> View:
        started.append(View(directory, *arguments))
        return started[-1]

    yield start
    codes = [(each, each.process.poll() is None, each.end()) for each in started]
    for each, was_alive, code in codes:
        said = each.log.read_text()
        assert "Traceback" not in said, said
        assert not was_alive or 0 == code, said


@pytest.fixture(scope="session")
def shop_directory(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the shop, which no test changes; there is none where no browser looks at it."""
    assert chromium.is_connected()
    directory = tmp_path_factory.mktemp("shop") / "shop-logs"
    make_shop(directory)
    return directory


@pytest.fixture(scope="session")
def shop(shop_directory: Path) -> Iterator[View]:
    """A viewer of it, for all tests that only look."""
    started = View(shop_directory)
    yield started
    assert 0 == started.end()
    said = started.log.read_text()
    assert "Traceback" not in said, said


# ------------------------------------------------------------------ an application


@pytest.fixture
def app() -> Iterator[StartApp]:
    """Start applications that log."""
    started: list[App] = []

    def start(directory: Path, **options: object) -> App:
        started.append(App(directory, **options))
        return started[-1]

    yield start
    assert [0] * len(started) == [each.end() for each in started]


# ------------------------------------------------------------------ its tabs


@pytest.fixture
def tabs(chromium: Browser, view: StartView, app: StartApp) -> Iterator[OpenTabs]:
    """Make windows, in whose tabs no script fails, nothing is blocked, and nobody else is asked.

    They close before the servers and the applications of the test end.
    """
    made: list[Tabs] = []

    def make(**options: Any) -> Tabs:
        made.append(Tabs(chromium, **options))
        return made[-1]

    yield make
    for each in made:
        each.context.close()
    assert [] == [fault for each in made for fault in each.faults]
