"""Pictures of the page of a running ``crossband serve``: ``python -m benchmarks.page URL PICTURE [--out DIR]``.

Searches by PICTURE, and writes each view at three widths in both color schemes; docs/images holds some of them,
named as here with ``serve_`` before.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SIZES = {390: 844, 1280: 860, 2560: 1340}
SCHEMES = ("light", "dark")
OTHER_VIEWS = {"map": ".chart .dot", "browse": ".tile", "flight": "tbody tr", "reports": "main h1"}


def views(page: Page, url: str, picture: Path) -> Iterator[str]:
    """Open one view after the other, and tell its name."""
    page.goto(url)
    page.wait_for_selector(".drop")
    yield "start"
    page.locator(".drop input").set_input_files(picture)
    page.wait_for_selector(".result")
    if page.viewport_size and page.viewport_size["width"] < 1000:
        page.locator(".verdict").scroll_into_view_if_needed()
    yield "search"
    page.locator(".result .shot").first.click()
    page.wait_for_selector("text=matches agree")
    yield "compare"
    page.get_by_label("Checkerboard", exact=True).check()
    yield "checkerboard"
    for view, there in OTHER_VIEWS.items():
        page.evaluate(f"location.hash = '#/{view}'")
        page.wait_for_selector(there)
        yield view


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--out", type=Path, default=Path("screens"))
    parser.add_argument("--quality", type=int, default=70)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, height in SIZES.items():
            for scheme in SCHEMES:
                size = {"width": width, "height": height}
                page = browser.new_page(viewport=size, color_scheme=scheme)
                page.set_default_timeout(90_000)
                for name in views(page, given.url, given.picture):
                    page.mouse.move(2, 2)
                    page.wait_for_timeout(1500)  # pictures come one after the other
                    target = given.out / f"{name}_{width}_{scheme}.jpg"
                    page.screenshot(path=target, type="jpeg", quality=given.quality)
                    print(target, f"{target.stat().st_size / 1000:.0f} kB", flush=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
