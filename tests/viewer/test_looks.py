"""How the page looks: narrow and wide, dark and light; pictures are kept in `screenshots/`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import OpenTabs, View, expect, lines_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = Path(__file__).parents[2] / "screenshots"
SIZES = {360: 740, 1280: 800, 2560: 1440}
TABS = ("events", "errors", "patterns", "pipeline", "runs", "sql")

_OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Every text that can be seen, and how its colour stands out from what is behind it, where that is
# less than WCAG's AA asks for.
_FAINT = """() => {
    const canvas = new OffscreenCanvas(1, 1);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const over = (colours) => {
        pen.clearRect(0, 0, 1, 1);
        for (const colour of colours) {
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
        }
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((each) => each / 255)
            .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].filter((each) => each.nodeType === Node.TEXT_NODE)
            .map((each) => each.data.trim()).join("");
        if (!text || element.closest(":disabled, .unseen, .skip") || !element.checkVisibility({
            opacityProperty: true, visibilityProperty: true })) continue;
        const behind = [];
        for (let each = element; each; each = each.parentElement)
            behind.unshift(getComputedStyle(each).backgroundColor);
        const style = getComputedStyle(element);
        const base = ["canvas", ...behind];
        const [one, other] = [light(over(base)), light(over([...base, style.color]))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const isLarge = parseFloat(style.fontSize) >= 24;
        if (contrast < (isLarge ? 3 : 4.5))
            found.push(`${text.slice(0, 30)}: ${contrast.toFixed(2)} ${element.className}`);
    }
    return [...new Set(found)];
}"""


def picture(page: Page, name: str) -> None:
    """Keep a picture of what is to be seen."""
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def open_looked_at(tabs: OpenTabs, shop: View, width: int, scheme: str, query: str = "") -> Page:
    """Open the shop's log in a window of this width."""
    viewport = {"width": width, "height": SIZES[width]}
    page = tabs(viewport=viewport, color_scheme=scheme, timezone_id="UTC").open(
        f"{shop.url}&{query}"
    )
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    return page


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", SIZES)
def test_it_is_readable(tabs: OpenTabs, shop: View, width: int, scheme: str) -> None:
    """Nothing sticks out at the side, every text stands out from what is behind it."""
    page = open_looked_at(tabs, shop, width, scheme)
    expect(lines_of(page).last).to_be_visible()
    expect(page.locator("#total")).to_contain_text("900")
    picture(page, f"events-{width}-{scheme}")
    assert 0 >= page.evaluate(_OVERFLOW)
    assert [] == page.evaluate(_FAINT)
    lines_of(page).last.click()
    expect(page.locator("#detail [data-field=message]")).to_be_visible()
    picture(page, f"detail-{width}-{scheme}")
    assert 0 >= page.evaluate(_OVERFLOW)
    assert [] == page.evaluate(_FAINT)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("tab", TABS[1:])
def test_each_tab_is_readable(tabs: OpenTabs, shop: View, tab: str, scheme: str) -> None:
    """In the narrowest window and in the widest."""
    page = open_looked_at(tabs, shop, 360, scheme, f"tab={tab}&sql=SELECT+*+FROM+logs+LIMIT+20")
    panel = page.locator(f"#panel-{tab}")
    expect(panel).to_be_visible()
    expect(panel).not_to_be_empty()
    page.wait_for_load_state("networkidle")
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        picture(page, f"{tab}-{width}-{scheme}")
        assert 0 >= page.evaluate(_OVERFLOW)
    assert [] == page.evaluate(_FAINT)


def test_a_narrow_window_has_one_column(tabs: OpenTabs, shop: View) -> None:
    """Facets are behind a button, the event is a sheet over the rows; messages can be read."""
    page = open_looked_at(tabs, shop, 360, "light")
    line = lines_of(page).last
    expect(line).to_be_visible()
    expect(page.locator("#facets")).to_be_hidden()
    message = line.locator("[data-column=message]").bounding_box()
    assert message is not None
    assert message["x"] + 100 < 360
    page.locator("#facets-button").click()
    expect(page.locator("#facets")).to_be_visible()
    page.locator('#facets button.value[data-value="shop.pay"]').click()
    expect(page.locator("#total")).to_contain_text("300")
    if page.locator("#facets").is_visible():
        page.locator("#facets-button").click()
    line.click()
    box = page.locator("#detail").bounding_box()
    assert box is not None
    assert box["width"] > 340


def test_a_wide_window_has_everything_at_once(tabs: OpenTabs, shop: View) -> None:
    """Histogram, facets, rows and the open event beside each other."""
    page = open_looked_at(tabs, shop, 2560, "dark")
    lines_of(page).last.click()
    for part in ("#histogram", "#facets", "#rows", "#detail"):
        expect(page.locator(part)).to_be_visible()
    boxes = [page.locator(part).bounding_box() for part in ("#facets", "#rows", "#detail")]
    edges = [(box["x"], box["x"] + box["width"]) for box in boxes if box is not None]
    assert edges == sorted(edges)
    assert all(one[1] <= other[0] + 1 for one, other in itertools.pairwise(edges))
    assert lines_of(page).count() > 40


def test_who_wants_no_movement_sees_none(tabs: OpenTabs, shop: View) -> None:
    """With the system's setting for reduced motion, nothing is animated."""
    page = tabs(reduced_motion="reduce").open(shop.url)
    expect(lines_of(page).last).to_be_visible()
    running = page.evaluate(
        """() => document.getAnimations().filter((each) => each.playState === "running"
            && each.effect.getComputedTiming().duration > 10).length"""
    )
    assert 0 == running
