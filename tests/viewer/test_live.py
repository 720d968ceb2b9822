"""The page while applications log: rows come by themselves, and nothing that is read moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import OpenTabs, StartApp, StartView, expect, lines_of, messages_on, settle
from make import A, P, batch_of, event, publish, publish_events
from servers import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import WebSocketRoute

pytestmark = pytest.mark.usefixtures("home")


def test_what_an_application_logs_appears(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """History is there when the page opens; then come events that no file holds yet, each once."""
    shop = app(tmp_path / "logs", flush_interval=3600)
    shop.log("the shop is open")
    page = tabs().open(view(tmp_path / "logs").url)
    expect(lines_of(page)).to_have_count(1)

    shop.log("order %d is paid", times=3, level="WARNING", logger="shop.pay")
    expect(lines_of(page)).to_have_count(4)
    orders = [f"order {number} is paid" for number in (1, 2, 3)]
    assert ["the shop is open", *orders] == messages_on(page)
    newest = lines_of(page).last
    expect(newest).to_contain_text("WARNING")
    expect(newest).to_contain_text("shop.pay")

    shop.end()  # now they are in a file, where they are found again
    other = app(tmp_path / "logs")
    other.log("the shop is closed")
    expect(lines_of(page)).to_have_count(5)
    assert ["the shop is open", *orders, "the shop is closed"] == messages_on(page)


def test_a_directory_that_is_empty_fills(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """Where there is nothing yet the page says so, and shows the first event when it comes."""
    (tmp_path / "logs").mkdir()
    page = tabs().open(view(tmp_path / "logs").url)
    expect(page.locator("#empty")).to_be_visible()
    app(tmp_path / "logs").log("the first")
    expect(lines_of(page)).to_have_count(1)
    expect(page.locator("#empty")).to_be_hidden()


def test_who_reads_is_not_disturbed(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """Scrolling up pauses; what comes in is counted, moves nothing, and is shown when asked for."""
    shop = app(tmp_path / "logs")
    shop.log("request %d", times=300)
    page = tabs(viewport={"width": 1200, "height": 700}).open(view(tmp_path / "logs").url)
    expect(lines_of(page).last).to_contain_text("request 300")
    expect(page.locator("#resume")).to_be_hidden()

    page.locator("#rows").hover()
    page.mouse.wheel(0, -1500)
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_text("request 300", exact=True)).to_have_count(0)
    settle(page)
    read = messages_on(page)

    shop.log("late %d", times=5)
    resume = page.locator("#resume")
    expect(resume).to_be_visible()
    expect(resume).to_contain_text("5")
    assert read == messages_on(page)

    resume.click()
    expect(lines_of(page).last).to_contain_text("late 5")
    expect(resume).to_be_hidden()
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "true")
    shop.log("the next")
    expect(lines_of(page).last).to_contain_text("the next")


def test_a_filter_holds_for_what_comes_in(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """An event that does not match is not shown, and not counted."""
    shop = app(tmp_path / "logs")
    shop.log("request %d", times=10)
    page = tabs().open(f"{view(tmp_path / 'logs').url}&q=level%3E%3DERROR")
    expect(page.locator("#empty")).to_be_visible()
    shop.log("not this one")
    shop.log("this one", level="ERROR")
    expect(lines_of(page)).to_have_count(1)
    expect(lines_of(page)).to_contain_text("this one")
    expect(page.locator("#total")).to_contain_text("1")


def test_the_histogram_and_the_counts_follow(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """The total, the levels and the facets count what has come in since."""
    shop = app(tmp_path / "logs")
    shop.log("request %d", times=10)
    page = tabs().open(view(tmp_path / "logs").url)
    expect(page.locator("#total")).to_contain_text("10")
    shop.log("slow %d", times=7, level="WARNING", logger="shop.db")
    expect(page.locator("#total")).to_contain_text("17")
    expect(page.locator("#levels")).to_contain_text("7")
    facets = page.locator("#facets")
    expect(facets.get_by_text("shop.db", exact=True)).to_be_visible()
    expect(facets.get_by_text("WARNING", exact=True)).to_be_visible()


def test_what_comes_before_the_statistics_is_counted_with_them(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """The levels and facets of the first live events were lost when the statistics came."""
    shop = app(tmp_path / "logs")
    shop.log("request %d", times=10)
    held: list[tuple[WebSocketRoute, str | bytes]] = []

    def pass_on(socket: WebSocketRoute) -> None:
        def take(text: str | bytes) -> None:
            if '"type":"stats"' in str(text):
                held.append((socket, text))
            else:
                socket.send(text)

        socket.connect_to_server().on_message(take)

    def is_held() -> bool:
        page.wait_for_timeout(1)
        return bool(held)

    window = tabs()
    window.context.route_web_socket("**/api/live", pass_on)
    page = window.open(view(tmp_path / "logs").url)
    expect(lines_of(page)).to_have_count(10)
    shop.log("slow %d", times=7, level="WARNING", logger="shop.db")
    expect(lines_of(page)).to_have_count(17)
    wait_until(is_held, "statistics")
    for socket, text in held:
        socket.send(text)
    expect(page.locator("#levels")).to_have_text("WARNING 7INFO 10")
    expect(page.locator("#total")).to_contain_text("17")
    expect(page.locator("#facets")).to_contain_text("shop.db")


def test_two_tabs_see_the_same(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """Each with its own filter, one after another or at the same time."""
    (tmp_path / "logs").mkdir()
    server = view(tmp_path / "logs")
    shop = app(tmp_path / "logs")
    window = tabs()
    everything = window.open(server.url)
    errors = window.open(f"{server.base}?q=level%3E%3DERROR")
    expect(everything.locator("#empty")).to_be_visible()
    for number in range(5):
        shop.log(f"good {number}")
        shop.log(f"bad {number}", level="ERROR")
    expect(lines_of(everything)).to_have_count(10)
    expect(lines_of(errors)).to_have_count(5)
    assert [f"bad {number}" for number in range(5)] == messages_on(errors)
    errors.close()
    shop.log("after")
    expect(lines_of(everything)).to_have_count(11)


def test_a_server_that_is_started_again_is_found(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """The page says that it is cut off, comes back by itself, and shows what it missed, once."""
    shop = app(tmp_path / "logs")
    shop.log("before")
    given = ("--port", str(free_port()), "--token", "one-for-all-the-starts")
    server = view(tmp_path / "logs", *given)
    window = tabs()
    page = window.open(server.url)
    expect(lines_of(page)).to_have_count(1)

    server.end()
    expect(page.locator("#status")).to_have_attribute("data-state", "lost")
    shop.log("meanwhile")
    view(tmp_path / "logs", *given)
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    expect(lines_of(page)).to_have_count(2)
    shop.log("after")
    expect(lines_of(page)).to_have_count(3)
    assert ["before", "meanwhile", "after"] == messages_on(page)
    refused = [fault for fault in window.faults if "ERR_CONNECTION" not in fault]
    wait_until(lambda: window.faults == [] or not refused, str(refused))
    window.faults.clear()  # the browser itself says on the console that nobody listens


def test_a_burst_is_counted_to_the_last_event(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """However fast they come: the count is exact, and the newest is shown."""
    (tmp_path / "logs").mkdir()
    shop = app(tmp_path / "logs")
    page = tabs().open(view(tmp_path / "logs").url)
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    shop.log("burst %d", times=20_000)
    shop.log("the last one")
    expect(lines_of(page).last).to_contain_text("the last one")
    expect(page.locator("#total")).to_contain_text("20,001")


def test_a_range_that_ends_now_goes_on(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """What is older is not shown, what comes is."""
    publish_events(tmp_path / "logs", event("a week ago"))
    shop = app(tmp_path / "logs")
    shop.log("just now")
    page = tabs().open(f"{view(tmp_path / 'logs').url}&from=-15m")
    expect(lines_of(page)).to_have_count(1)
    expect(page.locator("#range")).to_contain_text("15 minutes")
    shop.log("and now")
    expect(lines_of(page)).to_have_count(2)
    assert ["just now", "and now"] == messages_on(page)


def test_a_restart_is_a_mark(tabs: OpenTabs, view: StartView, tmp_path: Path) -> None:
    """A new process of the same service is something that errors can be new since."""
    for producer in (P, A):
        publish(tmp_path / "logs", batch_of(producer, 0, event("begun", service="shop", process=7)))
    page = tabs().open(f"{view(tmp_path / 'logs').url}")
    expect(lines_of(page)).to_have_count(2)
    page.locator("#tab-errors").click()
    since = page.get_by_label("New since")
    expect(since.locator("option").filter(has_text="began again")).to_have_count(1)
