"""What tests of the viewer's page are made of: tabs of a browser, viewers, applications."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Dialog,
        Locator,
        Page,
        Request,
    )
    from playwright.sync_api._generated import LocatorAssertions

_PROGRAM = Path(__file__).parent / "programs" / "asked.py"
_LISTEN = """
addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""
_REFUSED = (
    "Failed to load resource: the server responded with a status of 4"  # what was wrong to ask
)
_LINES = "#rows .row[data-key]:not([data-key=''])"
_MESSAGES = f"""
() => [...document.querySelectorAll("{_LINES} [data-column=message]")]
    .map((each) => [...each.childNodes].filter((part) => part.className !== "exception")
        .map((part) => part.textContent).join(""))
"""
_TWO_FRAMES = (
    "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
)


def expect(locator: Locator) -> LocatorAssertions:
    """Expect something of a part of a page, and wait for it."""
    from playwright.sync_api import expect as expecting

    return expecting(locator)


class Tabs:
    """Pages of one browser's window, which watch for what must not happen in any of them.

    Args:
        browser: Where they open.
        options: Of Playwright's context: `color_scheme`, `viewport` and so on.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE * 1000 / 2)
        self.context.add_init_script(_LISTEN)
        self.context.on("page", self._watch)
        self.faults: list[str] = []

    def _watch(self, page: Page) -> None:
        page.on("dialog", self._met)
        page.on("pageerror", lambda error: self.faults.append(f"an error: {error}"))
        page.on("console", self._heard)
        page.on("request", self._asked)

    def _met(self, dialog: Dialog) -> None:
        self.faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_REFUSED):
            self.faults.append(f"on the console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:")):
            self.faults.append(f"a request to {request.url}")

    def open(self, url: str) -> Page:
        """Open one more tab."""
        page = self.context.new_page()
        page.goto(url)
        return page


OpenTabs = Callable[..., Tabs]


class View:
    """A `logbatch view` as a process of its own.

    Args:
        directory: Which it shows.
        arguments: Options of the command.
    """

    def __init__(self, directory: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "logbatch", "view", str(directory), *arguments]
        if "--port" not in arguments:
            command += ["--port", "0"]
        self.log = directory.parent / f"{directory.name}.view.log"
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                command, cwd=directory.parent, stdout=subprocess.PIPE, stderr=said, text=True
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "http://" in line:
                self.url = line[line.index("http://") :].split()[0]
                break
        else:
            self.end()
            raise AssertionError(self.log.read_text())

    @property
    def base(self) -> str:
        """The URL without its token."""
        return self.url.partition("?")[0]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.base.rstrip("/").rpartition(":")[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


StartView = Callable[..., View]


class App:
    """A process that logs to a directory what it is asked to.

    Args:
        directory: Where it logs.
        options: Of its handler.
    """

    def __init__(self, directory: Path, **options: object) -> None:
        given = [f"{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), f"parquet:{directory}", *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def log(self, message: str, **asked: Any) -> None:
        """Have something logged, and return when the call has; see tests/programs/asked.py."""
        self.begin(message, **asked)
        assert self.process.stdout is not None
        assert "done\n" == self.process.stdout.readline()

    def begin(self, message: str, **asked: Any) -> None:
        """Have something logged, and do not wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"message": message, **asked}) + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Let it end, which publishes all it has logged; return its exit code."""
        if self.process.poll() is None:
            self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


StartApp = Callable[..., App]


# ------------------------------------------------------------------ what is on the page


def lines_of(page: Page) -> Locator:
    """Return the lines of events that are in the document, and are filled."""
    return page.locator(_LINES)


def messages_on(page: Page) -> list[str]:
    """Return the messages that are to be seen, the oldest first, without their exceptions."""
    found: list[str] = page.evaluate(_MESSAGES)
    return found


def search(page: Page, where: str) -> None:
    """Type a filter, and take it."""
    page.fill("#filter", where)
    page.press("#filter", "Escape")  # no completion
    page.press("#filter", "Enter")


def expect_total(page: Page, number: int) -> None:
    """Wait until the page says that it has so many events."""
    expect(page.locator("#total")).to_have_text(
        re.compile(rf"^{number:,} event{'s' * (number != 1)}$")
    )


def open_shop(tabs: OpenTabs, shop: View, query: str = "", **options: Any) -> Page:
    """Open the shop's log, and wait for its numbers."""
    options.setdefault("viewport", {"width": 1400, "height": 800})
    page = tabs(timezone_id="UTC", **options).open(f"{shop.url}&{query}")
    expect(page.locator("#total")).to_contain_text("event")
    return page


def settle(page: Page) -> None:
    """Wait until what a movement has brought into sight is there."""
    page.evaluate(_TWO_FRAMES)
    expect(page.locator("#rows .row.loading")).to_have_count(0)
