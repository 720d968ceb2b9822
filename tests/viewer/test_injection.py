"""Nothing from a log is ever markup or a script: 60 payloads in every place where text can be.

Each is in the name of the directory, in every column of an event, in the keys and values of its
attributes, in what a run was called and printed, in what a person types, and in the address.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from browsing import App, OpenTabs, StartView, View, expect, lines_of
from make import event, publish_events

from logbatch.storage.columns import COLUMNS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAYLOADS = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//example.invalid/x.js></SCRIPT>",
    "<script>document.title='owned'</script>",
    "</script><script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script type=module>import 'http://example.invalid/x.js'</script>",
    "<script\x0c>alert(1)</script>",
    "<script/x>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='http://example.invalid/p.png'>",
    "<img/src/onerror=alert(1)>",
    "<IMG SRC=javascript:alert(1)>",
    "<img src=x onerror=&#97;lert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg id=x/>#x'></svg>",
    "<svg><foreignObject><iframe src=javascript:alert(1)></iframe></foreignObject></svg>",
    "<math><mtext></p><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
    "<iframe src=//example.invalid></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=//example.invalid/x.swf>",
    "<applet code=x></applet>",
    "<body onload=alert(1)>",
    "<base href=http://example.invalid/>",
    "<meta http-equiv=refresh content='0;url=http://example.invalid'>",
    "<link rel=stylesheet href=http://example.invalid/x.css>",
    "<style>@import 'http://example.invalid/x.css';</style>",
    "<style>*{display:none}</style>",
    '<div style="background:url(http://example.invalid/x)">x</div>',
    "<p style=position:fixed;inset:0;background:red>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='http://example.invalid' ping='http://example.invalid/ping'>x</a>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//",
    "data:text/html,<script>alert(1)</script>",
    "<form action=http://example.invalid><input name=q autofocus></form>",
    "<input autofocus onfocus=alert(1)>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<textarea></textarea><img src=x onerror=alert(1)>",
    "<title></title><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "${alert(1)}`;alert(1);//",
    "{{constructor.constructor('alert(1)')()}}",
    "__proto__",
    "\u202e\u2066<b>\u0000\ufeff\u2028\u2029</b>",
)
FREE = [name for name, column in COLUMNS.items() if column.type == "string"]
GIVEN = ("attributes", "producer")  # which cannot be any text

_CHECK = """(kinds) => {
    const ours = new Set(kinds.split(" "));
    const found = [];
    for (const element of document.querySelectorAll("*")) {
        const kind = element.localName;
        if (!ours.has(kind)) found.push(`<${kind}>`);
        for (const { name, value } of element.attributes) {
            if (name.startsWith("on") || name === "srcdoc") found.push(`<${kind} ${name}>`);
            if (["href", "src", "action", "formaction", "data"].includes(name)
                && new URL(value, document.baseURI).origin !== location.origin
                && !value.startsWith("blob:")) found.push(`<${kind} ${name}=${value}>`);
        }
    }
    for (const script of document.scripts)
        if (new URL(script.src, location).origin !== location.origin) found.push("a script");
    if (document.scripts.length !== 1) found.push(`${document.scripts.length} scripts`);
    if (globalThis.owned || document.title.includes("owned") || ({}).polluted) found.push("owned");
    return found;
}"""
_UNFOLD = "() => document.querySelectorAll('details').forEach((each) => { each.open = true; })"
# What the page is made of; an element of any other kind comes from a log.
KINDS = (
    "html head meta title link script body header footer nav main aside section form dialog div"
    " span p button input label ul ol li dl dt dd h1 h2 h3 h4 table thead tbody tfoot tr th td"
    " caption figure figcaption br hr a b i code pre kbd strong em small time details summary"
    " select option textarea img"
    " noscript datalist fieldset legend output progress meter mark canvas"
    " svg path rect line g polyline circle text"
)


def check(page: Page) -> None:
    """Check that the document has nothing but what the page itself makes."""
    assert [] == page.evaluate(_CHECK, KINDS)


def hostile(payload: str) -> dict[str, Any]:
    """Make an event that has a payload in each place where it can have one."""
    given: dict[str, Any] = {name: payload for name in FREE if name not in GIVEN}
    return event(
        **given | {"levelno": 40, "lineno": 1, "process": 7, "thread": 1},
        attributes={payload: payload, "nested": {payload: [payload, {payload: payload}]}},
    )


@pytest.fixture(scope="module")
def directory(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of such events, in a directory with such a name, where such commands were run."""
    assert chromium.is_connected()
    place = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(1)>"
    publish_events(place, *map(hostile, PAYLOADS))
    (day,) = place.glob("date=*")
    (day / "<img src=x onerror=alert(2)>.parquet").write_bytes(b"<script>alert(1)</script>")
    app = App(place, service="<img src=x onerror=alert(3)>")
    app.log("<script>alert(1)</script>", raises="<script>alert(1)</script>", thread="<b>")
    assert 0 == app.end()
    command = [sys.executable, "-m", "logbatch", "run", "--to", f"parquet:{place}", "--", "echo"]
    subprocess.run([*command, *PAYLOADS[:9]], check=True, stdout=subprocess.DEVNULL)
    return place


@pytest.fixture
def server(view: StartView, directory: Path) -> View:
    """A viewer of it."""
    return view(directory)


def test_there_are_60_of_them() -> None:
    """Each another one."""
    assert 60 == len(set(PAYLOADS))


def test_rows_and_facets_are_text(tabs: OpenTabs, server: View) -> None:
    """With a column for everything, attributes too."""
    columns = [*(name for name in COLUMNS if name != "attributes"), PAYLOADS[0], "nested"]
    page = tabs(viewport={"width": 2560, "height": 1600}).open(
        f"{server.url}&cols={quote(','.join(columns))}"
    )
    expect(lines_of(page).last).to_be_visible()
    expect(page.locator("#facets")).to_contain_text("alert(1)")
    expect(page.locator("#directory")).to_contain_text("onerror")
    expect(page.locator("#problem")).to_contain_text("alert(2)")  # a file that cannot be read
    check(page)
    page.mouse.move(600, 600)
    page.locator("#rows").focus()
    page.keyboard.press("Home")
    check(page)


def test_details_are_text(tabs: OpenTabs, server: View) -> None:
    """Of each event, with its context, exception and attributes unfolded."""
    page = tabs(viewport={"width": 1600, "height": 1000}).open(f"{server.url}&q=lineno%3D1")
    expect(lines_of(page).last).to_be_visible()
    page.locator("#rows").focus()
    for _ in PAYLOADS:
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        expect(page.locator("#detail")).to_contain_text("nested")
        page.evaluate(
            "() => { for (const each of document.querySelectorAll('details')) each.open = true; }"
        )
        check(page)


@pytest.mark.parametrize("tab", ["errors", "patterns", "pipeline", "runs", "sql"])
def test_the_other_tabs_are_text(tabs: OpenTabs, server: View, tab: str) -> None:
    """Groups, templates, services, commands with their output, answers to SQL."""
    query = quote("SELECT * FROM logs")
    page = tabs(viewport={"width": 1600, "height": 1000}).open(
        f"{server.url}&tab={tab}&sql={query}"
    )
    panel = page.locator(f"#panel-{tab}")
    if tab == "sql":
        panel.get_by_role("button").first.click()
    expect(panel).to_contain_text("alert(3)" if tab == "pipeline" else "alert(1)")
    check(page)
    for each in panel.get_by_role("button").all()[:20]:
        if each.is_visible() and each.is_enabled():
            each.click()
    page.wait_for_load_state("networkidle")
    check(page)


def test_what_is_typed_is_text(tabs: OpenTabs, server: View) -> None:
    """A filter, its error and its completions; and what the address says."""
    window = tabs()
    page = window.open(server.url)
    for payload in PAYLOADS:
        page.fill("#filter", payload)
        page.press("#filter", "Enter")
        check(page)
    page.fill("#filter", "level>=<img src=x onerror=alert(1)>")
    page.press("#filter", "Enter")
    expect(page.locator("#filter-error")).to_be_visible()
    check(page)
    names = ("q", "from", "to", "tab", "cols", "tz", "time", "row", "since", "run", "sql")
    for payload in PAYLOADS[:40:5]:
        page.goto(f"{server.base}?{'&'.join(f'{name}={quote(payload)}' for name in names)}")
        expect(page.locator("#status")).to_have_attribute("data-state", "live")
        check(page)
    page.goto(f"{server.base}#{PAYLOADS[8]}")
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    check(page)
