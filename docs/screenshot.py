"""Make the README's picture of the viewer, dark and light, from the demo.

    python docs/screenshot.py [--seconds 40]

It needs `pip install playwright pillow` and Debian's chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

PICTURES = Path(__file__).parent
WIDTH, HEIGHT = 1360, 800
MOST = 200_000  # bytes of a picture
RATE = 25  # events a second: one that failed is in sight most of the time
# Stop to follow once there is one, which then does not move any more.
STOP = """() => {
    const isThere = document.querySelector("#rows .row .exception");
    if (isThere) document.querySelector("#follow").click();
    return Boolean(isThere);
}"""
LOGBATCH = (sys.executable, "-m", "logbatch")


def main() -> None:
    """Let the demo run, look at it, and keep what is seen."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="that the demo has run by then")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place) / "shop-logs"
        demo = [*LOGBATCH, "demo", "--seconds", str(seconds + 60), "--rate", str(RATE)]
        shop = subprocess.Popen([*demo, "--directory", str(logs)], stdout=subprocess.DEVNULL)
        view = [*LOGBATCH, "view", str(logs), "--port", "0"]
        viewer = subprocess.Popen(view, stdout=subprocess.PIPE, text=True)
        assert viewer.stdout is not None
        url = next(line[line.index("http://") :] for line in viewer.stdout if "http://" in line)
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=program, args=["--no-sandbox", "--disable-gpu"]
                )
                for scheme in ("dark", "light"):
                    take(browser, url.strip(), scheme, seconds)
                    seconds = 0  # the second one need not wait any more
        finally:
            for process in (shop, viewer):
                process.terminate()
                process.wait()


def take(browser: Browser, url: str, scheme: str, seconds: float) -> None:
    """Keep a picture of the page as it is then: an error is open, and the newest are followed."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(url)
    page.wait_for_selector("#rows .row[data-key]")
    page.wait_for_timeout(seconds * 1000)
    page.wait_for_function(STOP)
    page.locator("#rows .row", has=page.locator(".exception")).last.click()
    page.wait_for_selector("#detail .trace")
    page.locator("#follow").click()
    page.wait_for_timeout(1500)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = PICTURES / f"view-{scheme}.png"
    # With a palette it is a third as large, and looks the same.
    shot.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")
    assert size < MOST
    page.close()


if __name__ == "__main__":
    main()
