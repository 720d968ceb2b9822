"""One event: everything of it, and the way to those that belong to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from browsing import OpenTabs, StartView, View, expect, expect_total, lines_of, open_shop
from make import event, publish_events
from shop import CARDS

from logbatch import Dataset

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

FAILED = "q=exception_type%3D*"


def open_newest(page: Page) -> Locator:
    """Open the newest event; return its pane."""
    lines_of(page).last.click()
    detail = page.locator("#detail")
    expect(detail).to_be_visible()
    return detail


def test_every_field_is_shown(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """Message, time, columns, and attributes as a tree."""
    page = open_shop(tabs, shop, FAILED)
    detail = open_newest(page)
    (row,) = Dataset(shop_directory).rows("exception_type=*", limit=1, newest_first=True)
    expect(detail.locator("[data-field=message]")).to_have_text("card 299 failed")
    for name in ("logger", "service", "host", "process", "thread_name", "template", "trace_id"):
        expect(detail.locator(f"dd[data-field={name}]")).to_contain_text(str(row[name]))
    attributes = detail.get_by_role("region", name="Attributes")
    for text in ("amount", "299.95", "user", "Zoë", "tags", "eu"):
        expect(attributes).to_contain_text(text)
    expect(detail.locator("time")).to_contain_text("2026-11-21")
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()


def test_an_exception_is_folded_frame_by_frame(tabs: OpenTabs, shop: View) -> None:
    """The application's own frames are open, those of libraries in one line."""
    detail = open_newest(open_shop(tabs, shop, FAILED))
    exception = detail.get_by_role("region", name="Exception")
    expect(exception).to_contain_text("CardError")
    expect(exception).to_contain_text("card 299 is blocked")
    expect(exception.get_by_text("gateway.send(card)")).to_be_visible()
    library = exception.get_by_text("session.request(method=method, url=url)")
    expect(library).to_be_hidden()
    exception.get_by_text("2 library frames").click()
    for summary in exception.locator("details.libraries summary").all()[1:]:
        summary.click()
    expect(library).to_be_visible()


def test_it_is_copied_as_json(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """What is in the clipboard is the whole record."""
    window = tabs(viewport={"width": 1400, "height": 800}, timezone_id="UTC")
    window.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = window.open(f"{shop.url}&{FAILED}")
    detail = open_newest(page)
    detail.get_by_role("button", name="Copy JSON").click()
    expect(detail.get_by_role("button", name="Copied")).to_be_visible()
    copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    (row,) = Dataset(shop_directory).rows("exception_type=*", limit=1, newest_first=True)
    same = {name: value for name, value in row.items() if name != "timestamp"}
    assert same == {name: copied[name] for name in same}
    assert "2026-11-21T10:59:49.25" in copied["timestamp"]


def test_what_happened_around_it_is_shown(tabs: OpenTabs, shop: View) -> None:
    """The same process and thread, in order, this event marked; any of them can be opened."""
    page = open_shop(tabs, shop, "q=%22card+149%22")
    detail = open_newest(page)
    detail.get_by_role("button", name="Context").click()
    around = page.locator("#context li")
    expect(around.filter(has_text="card 149 failed")).to_have_attribute("aria-current", "true")
    texts = around.all_inner_texts()
    numbers = [int(text.split("card ")[1].split()[0]) for text in texts]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] < 149 < numbers[-1]
    around.filter(has_text="card 151 charged").get_by_role("button").click()
    expect(detail.locator("[data-field=message]")).to_have_text("card 151 charged")


def test_those_that_belong_to_it_are_found(
    tabs: OpenTabs, shop: View, shop_directory: Path
) -> None:
    """Same template, same trace, same process, same exception."""
    page = open_shop(tabs, shop, FAILED)
    (row,) = Dataset(shop_directory).rows("exception_type=*", limit=1, newest_first=True)
    for name, where in (
        ("Same template", 'template="card %d failed"'),
        ("Same trace", f"trace_id={row['trace_id']}"),
        ("Same process", "process=202"),
        ("Same exception", "exception_type=CardError"),
    ):
        open_newest(page)
        page.get_by_role("button", name=name).click()
        expect_total(page, Dataset(shop_directory).to_table(where).num_rows)
        page.goto(f"{shop.base}?{FAILED}")
        expect_total(page, 10)


def test_a_trace_may_be_an_attribute(tabs: OpenTabs, view: StartView, tmp_path: Path) -> None:
    """As where the application binds it itself, without OpenTelemetry."""
    given = ({"attributes": {"trace_id": f"request {n % 2}"}} for n in range(5))
    publish_events(tmp_path / "logs", *(event(f"{n}", **each) for n, each in enumerate(given)))
    page = tabs(viewport={"width": 1400, "height": 800}).open(view(tmp_path / "logs").url)
    open_newest(page).get_by_role("button", name="Same trace").click()
    expect_total(page, 3)


def test_a_field_narrows_the_filter_or_becomes_a_column(tabs: OpenTabs, shop: View) -> None:
    """By the buttons beside its value."""
    page = open_shop(tabs, shop, "q=logger%3Dshop.pay")
    detail = open_newest(page)
    detail.get_by_role("button", name="amount as a column").click()
    expect(page.get_by_role("columnheader", name="amount")).to_be_visible()
    expect(lines_of(page).last.locator("[data-column=amount]")).to_have_text("299.95")
    detail.get_by_role("button", name="Not user.id=9").click()
    expect_total(page, CARDS - CARDS // 10)


def test_a_huge_event_is_shown_bit_by_bit(tabs: OpenTabs, view: StartView, tmp_path: Path) -> None:
    """A message of a million characters and thousands of attributes stop nobody."""
    publish_events(
        tmp_path / "logs",
        event("x" * 1_000_000, attributes={f"key{n}": "y" * 100 for n in range(3_000)}),
        event("short"),
    )
    page = tabs(viewport={"width": 1400, "height": 800}).open(view(tmp_path / "logs").url)
    expect(lines_of(page)).to_have_count(2)
    lines_of(page).first.click()
    detail = page.locator("#detail")
    expect(detail.locator("[data-field=message]")).to_contain_text("more characters")
    expect(detail.get_by_role("button", name="more", exact=False).first).to_be_visible()
    assert len(detail.inner_text()) < 200_000
