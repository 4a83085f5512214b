"""Make the pictures of the service's page in docs/images, from a service that runs.

    tardif serve before.index after.index &
    python tools/service_pictures.py http://127.0.0.1:8000 "why does my kidney hurt" before.index after.index

It searches in Debian's chromium: one index and why its first hit has its score, two side by side, and both on a phone.
"""

import io
import sys
from urllib.parse import urlencode

from pictures import CHROMIUM, save, side_by_side
from PIL import Image
from playwright.sync_api import Page, sync_playwright


def shown(page: Page, address: str, **state: str) -> None:
    """Open the page with a search, and wait for its hits."""
    page.goto(f"{address}/?{urlencode(state)}")
    page.locator("#results .hit:visible").first.wait_for()
    page.evaluate("document.fonts.ready")


def picture(page: Page) -> Image.Image:
    """What is seen of a page."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def explained(page: Page, token: str) -> None:
    """Show why the first hit has its score, and choose a token of the query."""
    page.locator(".hit").first.get_by_role("button", name="Why?").click()
    page.locator(".token.one", has_text=token).first.click()


def main(address: str, query: str, before: str, after: str) -> None:
    """Take all pictures."""
    longest = max(query.split(), key=len)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        wide = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        page = browser.new_page(**wide, color_scheme="light")
        shown(page, address, q=query, index=after)
        explained(page, longest)
        save(picture(page), "service")
        shown(page, address, q=query, index=before, beside=after)
        save(picture(page), "service-beside")
        phone = browser.new_page(viewport={"width": 390, "height": 844}, reduced_motion="reduce", color_scheme="dark")
        shown(phone, address, q=query, index=before, beside=after)
        pictures = [picture(phone)]
        shown(phone, address, q=query, index=after)
        explained(phone, longest)
        pictures.append(picture(phone))
        save(side_by_side(pictures), "service-phone")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
