"""What the other tests rely on: whatever must not happen in a page is noticed."""

from __future__ import annotations

import pytest
from browsing import OpenTabs
from waiting import wait_until

POLICY = "default-src 'none'; script-src 'nonce-ours'"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script nonce=ours>alert('seen')</script>", "a dialog: seen"),
        ("<script nonce=ours>null.seen</script>", "an error: "),
        ("<script nonce=ours>console.error('seen')</script>", "on the console: seen"),
        ("<script>alert(1)</script>", "on the console: policy violated: script-src"),
        ("<img src=x onerror='alert(1)'>", "on the console: policy violated: img-src"),
        ("<meta http-equiv=refresh content='0; url=http://example.invalid/'>", "a request to http"),
    ],
)
def test_a_fault_in_a_page_is_noticed(tabs: OpenTabs, body: str, fault: str) -> None:
    """A dialog, an error, a word on the console, what the policy blocks, a request elsewhere."""
    opened = tabs()
    headers = {"Content-Security-Policy": POLICY, "Content-Type": "text/html"}
    opened.context.route("**", lambda route: route.fulfill(headers=headers, body=body))
    page = opened.open("http://127.0.0.1:9/")

    def is_noticed() -> bool:
        page.wait_for_timeout(1)  # Playwright tells what happened while it waits
        return any(each.startswith(fault) for each in opened.faults)

    wait_until(is_noticed, fault)
    opened.context.close()
    opened.faults.clear()
