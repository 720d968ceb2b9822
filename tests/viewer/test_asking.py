"""Asking by hand: the filter, facets, zooming, columns, and the address that says it all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from browsing import (
    OpenTabs,
    StartView,
    View,
    expect,
    expect_total,
    lines_of,
    messages_on,
    open_shop,
    search,
    settle,
)
from make import numbered, publish_events
from shop import CARDS, REQUESTS
from waiting import wait_until

from logbatch import Dataset

if TYPE_CHECKING:
    from playwright.sync_api import Page

ALL = REQUESTS + CARDS
_SCROLL = "(e, share) => { e.scrollTop = share * (e.scrollHeight - e.clientHeight); }"


def count(directory: Path, where: str) -> int:
    """Count what matches, as Python does."""
    return Dataset(directory).to_table(where).num_rows


@pytest.mark.parametrize(
    "where",
    [
        "level>=WARNING",
        "logger=shop.pay",
        "status=404,500 user_id<5",
        "charged -user.id=3",
        "path~/items.[12]$/ or amount>250",
        '"card 29"',
        "job=*",
    ],
)
def test_a_filter_finds_what_python_finds(
    tabs: OpenTabs, shop: View, shop_directory: Path, where: str
) -> None:
    """The number is that of the package's own filter, and so are the newest rows."""
    page = open_shop(tabs, shop)
    expect_total(page, ALL)
    search(page, where)
    found = list(Dataset(shop_directory).rows(where, limit=5, newest_first=True))
    expect_total(page, count(shop_directory, where))
    wait_until(lambda: len(messages_on(page)) >= len(found), "rows")
    assert [row["message"] for row in reversed(found)] == messages_on(page)[-5:]


def test_a_mistake_is_shown_in_its_place(tabs: OpenTabs, shop: View) -> None:
    """With what is wrong, beside the box; what was shown before stays, and goes on when mended."""
    page = open_shop(tabs, shop)
    shown = messages_on(page)
    search(page, "user_id=4 level>=WARNIN")
    error = page.locator("#filter-error")
    expect(error).to_contain_text("did you mean 'WARNING'")
    expect(error.locator("mark")).to_have_text("WARNIN")
    expect(page.locator("#filter")).to_have_attribute("aria-invalid", "true")
    assert shown[-5:] == messages_on(page)[-5:]

    search(page, "user_id=4 level>=WARNING")
    expect(error).to_be_hidden()
    expect(page.locator("#filter")).not_to_have_attribute("aria-invalid", "true")


def test_what_is_typed_is_completed(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """Fields, then their values; by keys alone."""
    page = open_shop(tabs, shop)
    box, offered = page.locator("#filter"), page.get_by_role("option")
    box.press_sequentially("log")
    expect(offered.filter(has_text="logger").first).to_be_visible()
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("Tab")
    expect(box).to_have_value(re.compile("^logger"))
    box.fill("logger=shop.p")
    expect(offered).to_have_count(1)
    expect(offered).to_contain_text("shop.pay")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value(re.compile(r"logger=shop\.pay ?"))
    box.press("Escape")
    box.press("Enter")
    expect_total(page, count(shop_directory, "logger=shop.pay"))
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_no_completion_is_put_into_another_text(tabs: OpenTabs, shop: View) -> None:
    """Who types on, and takes one before the new ones are there, got the text garbled."""
    page = open_shop(tabs, shop)
    box, offered = page.locator("#filter"), page.get_by_role("option")
    box.fill("logger=")
    expect(offered).to_have_count(2)
    page.route("**/api/complete*", lambda route: None)  # which never comes
    for key in ("Tab", "ArrowDown", "ArrowUp"):
        box.fill("logger=shop.p")
        box.press(key)
        expect(box).to_have_value("logger=shop.p")
        expect(box).to_be_focused()
    offered.first.click()
    expect(box).to_have_value("logger=shop.p")
    box.press("Enter")
    expect_total(page, 0)


def facet(page: Page, field: str, value: str) -> Any:
    """Return the button of a value."""
    return page.locator(f'#facets button.value[data-field="{field}"][data-value="{value}"]')


def test_facets_include_and_exclude(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """They count; a click includes, shift-click excludes, the same click takes it back."""
    page = open_shop(tabs, shop)
    expect(facet(page, "logger", "shop.web")).to_contain_text(str(REQUESTS))
    expect(facet(page, "service", "pay")).to_contain_text(str(CARDS))
    expect(facet(page, "process", "101")).to_contain_text(str(REQUESTS))
    expect(facet(page, "level", "ERROR")).to_contain_text(str(count(shop_directory, "level=ERROR")))
    expect(facet(page, "status", "404")).to_contain_text(str(count(shop_directory, "status=404")))

    facet(page, "level", "ERROR").click()
    expect_total(page, count(shop_directory, "level=ERROR"))
    expect(page.locator("#filter")).to_have_value("level=ERROR")
    expect(facet(page, "level", "ERROR")).to_have_attribute("aria-pressed", "true")
    facet(page, "logger", "shop.pay").click(modifiers=["Shift"])
    expect_total(page, count(shop_directory, "level=ERROR -logger=shop.pay"))
    facet(page, "level", "ERROR").click()
    expect_total(page, count(shop_directory, "-logger=shop.pay"))


def test_a_second_value_of_a_facet_will_do_as_well(
    tabs: OpenTabs, shop: View, shop_directory: Path
) -> None:
    """The others stay there to be added, though no event that is shown has them."""
    page = open_shop(tabs, shop)
    facet(page, "level", "ERROR").click()
    expect_total(page, count(shop_directory, "level=ERROR"))
    facet(page, "level", "WARNING").click()
    expect_total(page, count(shop_directory, "level=ERROR,WARNING"))
    expect(facet(page, "level", "INFO")).to_have_attribute("aria-pressed", "false")
    facet(page, "level", "ERROR").click()
    expect_total(page, count(shop_directory, "level=WARNING"))


def test_dragging_zooms(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """From the first to the last bar that is dragged over; a wider range leads back."""
    page = open_shop(tabs, shop)
    box = page.locator("#histogram").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=5)
    page.mouse.up()
    wait_until(lambda: page.evaluate("location.search").count("2026-11-21T10") == 2, "a range")
    said = parse_qs(urlsplit(page.url).query)
    start, end = said["from"][0], said["to"][0]
    expect_total(page, count(shop_directory, f"since={start} until={end}"))
    assert "2026-11-21T10:1" == start[:15]
    assert "2026-11-21T10:" == end[:14]

    page.get_by_role("button", name="A wider range").click()
    page.get_by_role("button", name="A wider range").click()
    page.go_back()
    page.go_back()
    expect_total(page, count(shop_directory, f"since={start} until={end}"))
    page.go_back()
    expect_total(page, ALL)


def test_a_range_is_typed(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """A time from, a time to; what is no time is told."""
    page = open_shop(tabs, shop)
    page.locator("#range").click()
    page.fill("#range-from", "yesterday-ish")
    page.press("#range-from", "Enter")
    expect(page.locator("#range-error")).not_to_be_empty()
    page.fill("#range-from", "2026-11-21 10:10")
    page.fill("#range-to", "2026-11-21 10:20")
    page.press("#range-to", "Enter")
    expect_total(page, count(shop_directory, "since=2026-11-21T10:10 until=2026-11-21T10:20"))


def test_a_view_is_its_address(tabs: OpenTabs, shop: View) -> None:
    """Reloaded, opened in another tab, or come back to: the same filter, range, columns, event."""
    window = tabs(timezone_id="UTC", viewport={"width": 1400, "height": 800})
    page = window.open(shop.url)
    expect_total(page, ALL)
    search(page, "logger=shop.pay level>=ERROR")
    expect_total(page, 10)
    page.locator("#columns").click()
    page.locator("#column-service").check()
    page.keyboard.press("Escape")
    lines_of(page).last.click()
    expect(page.locator("#detail")).to_contain_text("card 299 failed")
    address, shown = page.url, messages_on(page)
    assert "token" not in address

    other = window.open(address)
    for each in (page, other):
        each.reload()
        expect_total(each, 10)
        expect(each.locator("#filter")).to_have_value("logger=shop.pay level>=ERROR")
        expect(each.locator("#detail")).to_contain_text("card 299 failed")
        expect(each.get_by_role("columnheader", name="service")).to_be_visible()
        expect(lines_of(each)).to_have_count(10)
        assert shown == messages_on(each)
    other.close()

    page.go_back()
    expect(page.locator("#detail")).to_be_hidden()
    while "level" in page.url:
        page.go_back()
    expect_total(page, ALL)
    page.go_forward()
    expect_total(page, 10)


def test_columns_are_chosen_moved_and_resized(tabs: OpenTabs, shop: View) -> None:
    """Also an attribute; the width stays for the next time."""
    page = open_shop(tabs, shop, "q=logger%3Dshop.web")
    page.locator("#columns").click()
    page.fill("#column-name", "user_id")
    page.press("#column-name", "Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#column-box")).to_be_hidden()
    cell = lines_of(page).last.locator("[data-column=user_id]")
    expect(cell).to_have_text(str((REQUESTS - 1) % 10))
    grip = page.get_by_role("separator", name="Width of logger")
    before = grip.locator("..").bounding_box()
    box = grip.bounding_box()
    assert box is not None and before is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 5, steps=4)
    page.mouse.up()
    after = grip.locator("..").bounding_box()
    assert after is not None
    assert after["width"] > before["width"] + 80
    page.reload()
    expect(cell).to_be_visible()
    again = grip.locator("..").bounding_box()
    assert again is not None
    assert abs(again["width"] - after["width"]) < 2


def test_times_are_local_or_utc_absolute_or_ago(tabs: OpenTabs, shop: View) -> None:
    """In the zone of who looks, or in UTC."""
    page = tabs(timezone_id="Asia/Kathmandu").open(shop.url)
    newest = lines_of(page).last.locator("[data-column=timestamp]")
    expect(newest).to_contain_text("16:44:54")  # 5:45 ahead of 10:59:54
    page.locator("#clock").click()
    page.locator("#tz-utc").click()
    expect(newest).to_contain_text("10:59:54")
    assert "tz=utc" in page.url
    page.goto(f"{shop.base}?time=rel")
    expect(newest).to_contain_text("ago")


def test_any_place_of_many_rows_is_reached(tabs: OpenTabs, view: StartView, tmp_path: Path) -> None:
    """Scrolling to the oldest, the middle and back shows the right rows, each in its place."""
    publish_events(tmp_path / "logs", *map(numbered, range(30_000)))
    page = tabs(viewport={"width": 1200, "height": 800}).open(view(tmp_path / "logs").url)
    expect_total(page, 30_000)
    rows = page.locator("#rows")
    expect(rows).to_have_attribute("aria-rowcount", "30001")

    def go(share: float) -> list[int]:
        rows.evaluate(_SCROLL, share)
        settle(page)
        return [int(text.split()[-1]) for text in messages_on(page)]

    for share in (0.5, 0.0, 0.25, 1.0, 0.75):
        numbers = go(share)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert abs(numbers[0] - share * 30_000) < 60
        assert len(numbers) > 20
    assert page.locator("#rows .row").count() < 120  # no more than can be seen


def test_an_address_with_nonsense_shows_something(tabs: OpenTabs, shop: View) -> None:
    """What it does not understand it leaves out."""
    nonsense = quote("\x00ÿ🙂")
    page = tabs().open(f"{shop.url}&tab=nowhere&from={nonsense}&cols=,,&tz=mars&row=a:b&time=x")
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    expect_total(page, ALL)
