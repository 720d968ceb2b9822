"""Everything by keyboard, and what a screen reader finds its way by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from browsing import (
    OpenTabs,
    StartApp,
    StartView,
    View,
    expect,
    expect_total,
    lines_of,
    open_shop,
)
from shop import CARDS

if TYPE_CHECKING:
    from playwright.sync_api import Page

_FOCUS = """() => {
    const { id, role, localName, textContent } = document.activeElement;
    const style = getComputedStyle(document.activeElement);
    const isSeen = style.outlineStyle !== "none" || style.boxShadow !== "none";
    return { id, name: localName, text: textContent.slice(0, 40), isSeen };
}"""


def expect_selected(page: Page, message: str) -> None:
    """Wait until this is the row that the keys act on."""
    line = page.locator("#rows .row[aria-selected=true] [data-column=message]")
    expect(line).to_contain_text(message)


def test_the_keys_do_what_the_help_says(tabs: OpenTabs, shop: View) -> None:
    """`/` j k enter esc f ?, from anywhere but a field of text."""
    page = open_shop(tabs, shop, "q=logger%3Dshop.pay")
    keyboard = page.keyboard
    keyboard.press("k")
    keyboard.press("k")
    expect_selected(page, "card 298 charged")
    keyboard.press("j")
    expect_selected(page, "card 299 failed")
    keyboard.press("Enter")
    expect(page.locator("#detail [data-field=message]")).to_have_text("card 299 failed")
    keyboard.press("k")
    expect(page.locator("#detail [data-field=message]")).to_have_text("card 298 charged")
    keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()

    keyboard.press("f")
    follow = page.locator("#follow")
    before = follow.get_attribute("aria-pressed")
    keyboard.press("f")
    expect(follow).not_to_have_attribute("aria-pressed", before or "")

    keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    keyboard.type(" fjk?/")
    expect(page.locator("#filter")).to_have_value(re.compile(r"fjk\?/$"))
    keyboard.press("Escape")
    keyboard.press("Escape")
    expect(page.locator("#filter")).not_to_be_focused()

    keyboard.press("?")
    help_ = page.get_by_role("dialog")
    expect(help_).to_be_visible()
    for key in ("/", "j", "k", "f", "?"):
        expect(help_.get_by_text(key, exact=True).first).to_be_visible()
    keyboard.press("Escape")
    expect(help_).to_be_hidden()


def test_enter_opens_an_event_whatever_was_clicked_last(tabs: OpenTabs, shop: View) -> None:
    """It pressed once more what had the focus: a tab, or a facet, which took that back."""
    page = open_shop(tabs, shop)
    page.locator('#facets button.value[data-value="shop.pay"]').click()
    expect_total(page, CARDS)
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect_selected(page, "card 298 charged")
    page.keyboard.press("Enter")
    expect(page.locator("#detail [data-field=message]")).to_have_text("card 298 charged")
    expect(page.locator("#filter")).to_have_value("logger=shop.pay")


def test_what_was_logged_around_an_event_by_one_key(tabs: OpenTabs, shop: View) -> None:
    """Also where it is not open yet; the address has it."""
    page = open_shop(tabs, shop, "q=logger%3Dshop.pay")
    page.keyboard.press("k")
    page.keyboard.press("c")
    here = page.locator("#context li[aria-current=true]")
    expect(here).to_contain_text("card 299 failed")
    page.reload()
    expect(here).to_contain_text("card 299 failed")
    page.get_by_role("button", name="the event").click()
    expect(page.locator("#detail [data-field=message]")).to_have_text("card 299 failed")
    page.go_back()
    expect(here).to_contain_text("card 299 failed")
    page.keyboard.press("k")
    expect(page.locator("#detail [data-field=message]")).to_have_text("card 298 charged")


def test_moving_far_brings_rows_into_sight(tabs: OpenTabs, shop: View) -> None:
    """Up to the first row of all and back, by keys."""
    page = open_shop(tabs, shop, "q=logger%3Dshop.pay", viewport={"width": 1200, "height": 600})
    page.locator("#rows").focus()
    page.keyboard.press("Home")
    expect(lines_of(page).filter(has_text="card 0 charged")).to_be_visible()
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    expect(lines_of(page).filter(has_text="card 0 charged")).to_have_count(0)
    page.keyboard.press("End")
    expect(lines_of(page).filter(has_text="card 299 failed")).to_be_visible()


def test_a_person_without_a_mouse_gets_everywhere(tabs: OpenTabs, shop: View) -> None:
    """By Tab alone: each control in turn, seen where it is; none holds the focus."""
    page = open_shop(tabs, shop)
    reached: list[str] = []
    for _ in range(120):
        page.keyboard.press("Tab")
        focus = page.evaluate(_FOCUS)
        if focus["name"] == "body" and reached:
            break
        assert focus["isSeen"], f"nothing shows that the focus is at {focus}"
        reached.append(focus["id"] or focus["text"])
    for control in (
        "filter",
        "range",
        "histogram",
        "columns",
        "follow",
        "rows",
        "export",
        "tab-errors",
    ):
        assert control in reached
    assert any("shop.pay" in text for text in reached)  # a facet


def test_the_histogram_is_read_and_zoomed_by_keys(tabs: OpenTabs, shop: View) -> None:
    """Arrows go from bar to bar, with Shift they select, Enter zooms."""
    page = open_shop(tabs, shop)
    page.locator("#histogram").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#announcer")).to_contain_text("events")
    page.keyboard.press("Enter")
    expect(page.locator("#range")).to_contain_text("–")
    expect(page.locator("#total")).not_to_have_text("900 events")


def test_facets_work_by_keys(tabs: OpenTabs, shop: View) -> None:
    """Enter includes, `-` excludes."""
    page = open_shop(tabs, shop)
    value = page.locator('#facets button.value[data-field="service"][data-value="pay"]')
    value.focus()
    page.keyboard.press("Enter")
    expect_total(page, 300)
    expect(value).to_be_focused()
    page.keyboard.press("-")
    expect_total(page, 600)


def test_there_are_landmarks_and_names(tabs: OpenTabs, shop: View) -> None:
    """Banner, navigation, search, main; a grid whose rows are counted; every control has a name."""
    page = open_shop(tabs, shop)
    for role in ("banner", "navigation", "search", "main"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("complementary", name="Facets")).to_be_visible()
    grid = page.get_by_role("grid", name="Events")
    expect(grid).to_have_attribute("aria-rowcount", "901")
    expect(grid.get_by_role("columnheader", name="message")).to_be_visible()
    expect(grid.get_by_role("row").last).to_have_attribute("aria-rowindex", re.compile(r"\d+"))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, [tabindex]")]
            .filter((each) => each.checkVisibility() && each.tabIndex >= 0)
            .filter((each) => !(each.ariaLabel || each.textContent.trim() || each.title
                || each.labels?.length || each.getAttribute("aria-labelledby")))
            .map((each) => each.outerHTML.slice(0, 100))"""
    )
    assert [] == nameless
    assert "en" == page.get_attribute("html", "lang")
    assert "logbatch" in page.title()


def test_what_comes_in_is_announced_once_in_a_while(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """A screen reader is told the total, not each row."""
    (tmp_path / "logs").mkdir()
    page = tabs().open(view(tmp_path / "logs").url)
    app(tmp_path / "logs").log("request %d", times=50)
    expect_total(page, 50)
    live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    for each in live.all():
        assert "request" not in (each.text_content() or "")
