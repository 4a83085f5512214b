"""Make the pictures of reports in docs/images, from a checkpoint that has a report.

    python tools/pictures.py models/support

It draws the checkpoint's report and takes pictures of it in Debian's chromium: light on a wide screen, dark on a phone.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tardif.report import report

IMAGES = Path(__file__).parent.parent / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
# The name of each picture of a wide screen, where in the page it begins, and its height.
WIDE = {"report-training": ("body", 1240), "report-queries": ("#queries", 1500), "report-words": ("#words", 1180)}
PHONE = ("body", "#queries", ".group")


def shot(browser: Browser, page: Path, width: int, scheme: str, where: list[tuple[str, int]]) -> list[Image.Image]:
    """Pictures of one page, each from where an element begins."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown = context.new_page()
    shown.goto(page.as_uri())
    whole = Path(tempfile.gettempdir()) / f"{page.stem}-{width}.png"
    shown.screenshot(path=whole, full_page=True)
    found = []
    for selector, height in where:
        if not shown.locator(selector).count():
            continue
        top = max(0, int(shown.locator(selector).first.bounding_box()["y"]) - 24) if selector != "body" else 0
        picture = Image.open(whole).convert("RGB")
        found.append(picture.crop((0, top, width, min(top + height, picture.height))))
    context.close()
    whole.unlink()
    return found


def side_by_side(pictures: list[Image.Image], space: int = 24) -> Image.Image:
    """Several pictures in one, from left to right."""
    width = sum(picture.width for picture in pictures) + space * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(picture.height for picture in pictures)), "#767c82")
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + space
    return joined


def save(picture: Image.Image, name: str) -> None:
    """Write a picture: as it is, so that rare colours stay what they are."""
    path = IMAGES / f"{name}.png"
    picture.save(path, optimize=True)
    sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KB\n")


def main(folders: list[str]) -> None:
    """Draw the report of some folders, and write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    page = report(folders, Path(tempfile.mkdtemp()) / "page.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, place in WIDE.items():
            for picture in shot(browser, page, 1280, "light", [place]):
                save(picture, name)
        save(side_by_side(shot(browser, page, 390, "dark", [(selector, 900) for selector in PHONE])), "report-phone")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
