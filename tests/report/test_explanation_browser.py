"""The page of an explanation in a real browser: it asks for nothing, fits, is accessible, and shows what is chosen."""

from __future__ import annotations

import pytest

from explained import explained
from tardif.report.explained_pair import write_explanation

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reports")]  # on one worker: a browser and its pages are dear

TEXT = "Twice a day the moon pulls the sea, and tides come in. Bread rises in the oven. Bees dance on hills. " * 22
SIMILAR = {
    ("moon", "moon"): 0.95,
    ("tides", "tides"): 0.8,
    ("tides", "sea"): 0.5,
    ("the", "the"): 0.6,
    ("the", "a"): 0.5,
}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u202eא the القمر 月球 👩‍🚀 " + "x" * 400


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("explained")
    made = {
        "long": explained("the moon and the tides", TEXT, SIMILAR, document_id="a-long-id/" * 20),
        "hostile": explained(f"the {HOSTILE}", HOSTILE * 3, SIMILAR),
    }
    return {name: write_explanation(one, root / f"{name}.html") for name, one in made.items()}


@pytest.mark.parametrize("name", ["long", "hostile"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_is_quiet_fits_and_is_accessible(pages, browser, name, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown, heard = context.new_page(), []
    shown.on("dialog", lambda dialog: heard.append(dialog.message))
    shown.on("console", lambda message: heard.append(message.text))
    shown.on("request", lambda request: heard.append(request.url))
    shown.goto(pages[name].as_uri())
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    shown.locator(".one input").nth(1).focus()
    shown.keyboard.press("Space")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(shown)
    assert not found.response["violations"], found.generate_report()
    assert heard == [pages[name].as_uri()]
    context.close()


def test_a_chosen_token_tints_what_it_matched(pages, browser):
    shown = browser.new_page()
    shown.goto(pages["long"].as_uri())
    clear = "rgba(0, 0, 0, 0)"
    ground = "one => getComputedStyle(one).backgroundColor"
    mark, moon = shown.locator(".text mark").first, shown.locator(".text .b1").first
    assert (mark.inner_text(), moon.inner_text()) == ("moon", "moon")
    assert mark.evaluate(ground) != clear
    shown.locator(".every input").focus()
    shown.keyboard.press("ArrowRight")  # the
    shown.keyboard.press("ArrowRight")  # moon
    assert shown.locator(".said").inner_text().startswith("moon matched moon 0.950, then")
    assert mark.evaluate(ground) == clear
    assert "/ 0.50" in moon.evaluate(ground)  # (.95 - .1) / (1 - .1) of the way, curved: .91 of the deepest tint
    assert moon.evaluate("one => getComputedStyle(one).textDecorationLine") == "underline"
    shown.close()
