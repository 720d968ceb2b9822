"""The other tabs: errors, patterns, pipeline, runs, SQL."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
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
    search,
)
from make import START, event, publish_events

from logbatch import Dataset

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def go(page: Page, name: str) -> Locator:
    """Go to a tab; return what it shows."""
    page.locator("#tabs").get_by_text(name).click()
    panel = page.locator(f"#panel-{name.lower()}")
    expect(panel).to_be_visible()
    return panel


def test_errors_are_an_inbox(tabs: OpenTabs, shop: View) -> None:
    """Each kind once with its count, the newest example unfolded, and the way to its events."""
    page = open_shop(tabs, shop)
    panel = go(page, "Errors")
    groups = panel.locator(".group")
    expect(groups).to_have_count(3)  # the third are errors that have no exception
    card = groups.filter(has_text="CardError")
    expect(card).to_contain_text("card 299 is blocked")
    expect(card.locator(".count")).to_have_text("5")
    expect(card).to_contain_text("charge")  # the application's own frame
    card.get_by_role("button").first.click()
    expect(card).to_contain_text("gateway.send(card)")
    assert "tab=errors" in page.url
    page.reload()
    expect(card).to_contain_text("gateway.send(card)")
    card.get_by_role("button").first.click()
    expect(card).not_to_contain_text("gateway.send(card)")

    card.get_by_role("button").first.click()
    card.get_by_role("button", name="Show its events").click()
    expect_total(page, 5)
    page.go_back()
    expect(groups).to_have_count(3)
    timeout = groups.filter(has_text="TimeoutError")
    timeout.get_by_role("button").first.click()
    timeout.get_by_role("button", name="Open the newest").click()
    expect(page.locator("#detail")).to_contain_text("card 269 failed")


def test_errors_that_are_new_since_a_time_stand_out(
    tabs: OpenTabs, view: StartView, tmp_path: Path
) -> None:
    """What was first seen after it is new, whatever came again is not; so in the address."""

    def failed(kind: str, minute: int) -> dict[str, object]:
        moment = START + timedelta(minutes=minute)
        return event(
            f"{kind} at {minute}",
            timestamp=f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            exception_type=kind,
            stacktrace=f'Traceback:\n  File "/srv/{kind}.py", line 1, in run\n    x()\n{kind}: x',
        )

    publish_events(
        tmp_path / "logs", *(failed("OldError", n) for n in (1, 50)), failed("NewError", 45)
    )
    page = tabs(timezone_id="UTC").open(
        f"{view(tmp_path / 'logs').url}&tab=errors&since=2026-11-21T10:30:00Z"
    )
    groups = page.locator("#panel-errors .group")
    expect(groups).to_have_count(2)
    expect(groups.filter(has_text="NewError").locator(".badge.new")).to_be_visible()
    expect(groups.filter(has_text="OldError").locator(".badge.new")).to_have_count(0)
    expect(groups.first).to_contain_text("NewError")


def test_patterns_are_counted_and_compared(
    tabs: OpenTabs, shop: View, shop_directory: Path
) -> None:
    """By template and level, the most frequent first; each leads to its events."""
    page = open_shop(tabs, shop)
    panel = go(page, "Patterns")
    rows = panel.locator("tbody tr")
    expect(rows).to_have_count(6)
    where = 'level=INFO template="GET %s took %s ms"'
    expect(rows.first).to_contain_text(str(Dataset(shop_directory).to_table(where).num_rows))
    expect(rows.first).to_contain_text("GET %s took %s ms")
    rows.filter(has_text="card %d charged").get_by_role("button").click()
    expect_total(page, 290)
    page.go_back()
    expect(rows).to_have_count(6)


def test_what_changed_between_two_times(tabs: OpenTabs, view: StartView, tmp_path: Path) -> None:
    """A template that is new, one that is gone, one that is much more frequent, one that is not."""

    def logged(template: str, first: int, last: int, every: int) -> list[dict[str, object]]:
        return [
            event(
                template.replace("%d", str(second)),
                template=template,
                timestamp=f"{START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}",
            )
            for second in range(first, last, every)
        ]

    publish_events(
        tmp_path / "logs",
        *logged("steady %d", 0, 1200, 4),
        *logged("gone %d", 0, 600, 4),
        *logged("new %d", 600, 1200, 4),
        *logged("rising %d", 0, 600, 60),
        *logged("rising %d", 600, 1200, 2),
    )
    ranges = "2026-11-21T10:00:00Z/2026-11-21T10:10:00Z/2026-11-21T10:10:00Z/2026-11-21T10:20:00Z"
    page = tabs(timezone_id="UTC").open(view(tmp_path / "logs").url)
    panel = go(page, "Patterns")
    rows = panel.locator("tbody tr")
    expect(rows).to_have_count(4)
    page.goto(page.url + f"&before={ranges}")
    expect(rows.filter(has_text="new %d")).to_have_attribute("data-change", "new")
    for template, change in {
        "gone %d": "gone",
        "rising %d": "more",
        "steady %d": "same",
    }.items():
        expect(rows.filter(has_text=template)).to_have_attribute("data-change", change)
    panel.get_by_role("button", name="gone 1").click()
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)
    panel.get_by_role("button", name="gone 1").click()
    expect(rows).to_have_count(4)


def test_the_pipeline_shows_what_a_batcher_reports(
    tabs: OpenTabs, view: StartView, app: StartApp, tmp_path: Path
) -> None:
    """Of a process that logs now: how many it took and has published; then that it has ended."""
    shop = app(tmp_path / "logs")
    shop.log("request %d", times=500)
    page = tabs().open(f"{view(tmp_path / 'logs').url}&tab=pipeline")
    panel = page.locator("#panel-pipeline")
    facts = panel.locator("#pipeline-facts")
    expect(facts).to_contain_text("1 of 1")
    expect(facts.locator("div").filter(has_text="published")).to_contain_text("500")
    shop.log("request %d", times=20)
    expect(facts.locator("div").filter(has_text="accepted")).to_contain_text("520")
    shop.end()
    expect(facts).to_contain_text("0 of 1")


def test_runs_are_listed_with_what_they_print(
    tabs: OpenTabs, view: StartView, tmp_path: Path
) -> None:
    """One that has ended, and one that goes on, whose output and progress come live."""
    run = [sys.executable, "-m", "logbatch", "run", "--to", f"parquet:{tmp_path / 'logs'}", "--"]
    subprocess.run([*run, "sh", "-c", "echo to be seen; exit 3"], check=False, capture_output=True)
    code = "import sys\nfor line in sys.stdin: print('50%| step', line.strip(), flush=True)"
    live = subprocess.Popen(
        [*run, sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert live.stdin is not None
    live.stdin.write(b"one\n")
    live.stdin.flush()
    page = tabs(viewport={"width": 1400, "height": 800}).open(view(tmp_path / "logs").url)
    panel = go(page, "Runs")
    expect(panel).to_contain_text("exit 3")
    panel.get_by_text("to be seen").first.click()
    expect(panel.locator(".output")).to_contain_text("to be seen")

    panel.get_by_text("sys.stdin").first.click()
    expect(panel.locator(".output")).to_contain_text("step one")
    live.stdin.write(b"two\n")
    live.stdin.flush()
    expect(panel.locator(".output")).to_contain_text("step two")
    live.communicate()
    panel.get_by_role("button", name="Its events").click()
    expect(lines_of(page).filter(has_text="step two")).to_have_count(1)
    expect(lines_of(page).filter(has_text="to be seen")).to_have_count(0)


def test_sql_is_answered_in_a_table(tabs: OpenTabs, shop: View, shop_directory: Path) -> None:
    """One SELECT; what is wrong is told, nothing else is run; the address has the query."""
    page = open_shop(tabs, shop)
    panel = go(page, "SQL")
    box = panel.get_by_role("textbox")
    query = "SELECT level, count(*) AS n FROM logs GROUP BY ALL ORDER BY n DESC"
    box.fill(query)
    box.press("Control+Enter")
    cells = panel.locator("tbody td")
    expected = Dataset(shop_directory).sql(query).to_pylist()
    expect(cells).to_have_text([str(value) for row in expected for value in row.values()])
    page.reload()
    expect(cells).to_have_count(2 * len(expected))

    for wrong, told in (
        ("SELECT nothing FROM logs", "nothing"),
        ("DROP VIEW logs", "SELECT"),
        ("COPY logs TO '/tmp/x.csv'", "SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
    ):
        box.fill(wrong)
        panel.get_by_role("button", name="Run").click()
        expect(panel).to_contain_text(told)
        expect(panel.locator("tbody")).to_have_count(0)


def test_the_filter_holds_in_each_tab(tabs: OpenTabs, shop: View) -> None:
    """Errors and patterns are those of what matches."""
    page = open_shop(tabs, shop)
    search(page, "exception_type=CardError")
    expect_total(page, 5)
    expect(go(page, "Errors").locator(".group")).to_have_count(1)
    expect(go(page, "Patterns").locator("tbody tr")).to_have_count(2)  # ERROR and CRITICAL
    search(page, "logger=shop.web")
    expect(page.locator("#panel-patterns tbody tr")).to_contain_text(["GET %s took %s ms"] * 3)


def test_a_deploy_is_marked_by_a_click(tabs: OpenTabs, shop: View) -> None:
    """A mark in the histogram has a name, and is what errors can be new since."""
    page = open_shop(tabs, shop)
    page.locator("#histogram").click(position={"x": 700, "y": 30})
    page.fill("#mark-name", "deploy 1.4")
    page.press("#mark-name", "Enter")
    panel = go(page, "Errors")
    since = panel.get_by_label("New since")
    expect(since.locator("option").filter(has_text="deploy 1.4")).to_have_count(1)
    page.reload()
    expect(since.locator("option").filter(has_text="deploy 1.4")).to_have_count(1)
