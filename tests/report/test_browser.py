"""The page in a real browser: no message, nothing wider than a phone, and every rule of axe-core is kept."""

import pytest

import report_samples
from tardif.report import report

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reports")]  # on one worker: a browser and its pages are dear


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    names = ("support", "a-name-that-is-longer-than-any-phone-is-wide/" + "x" * 60)
    trained = [
        report_samples.training(root / name, queries=40, steps=40, seed=seed, shown_queries=2)
        for seed, name in enumerate(names)
    ]
    return report([*trained, report_samples.evaluation(root / "evaluated", queries=40)], root / "page.html")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_is_quiet_fits_and_is_accessible(page, browser, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown, heard = context.new_page(), []
    shown.on("console", lambda message: heard.append(message.text))
    shown.on("pageerror", lambda error: heard.append(str(error)))
    shown.on("request", lambda request: heard.append(request.url))
    shown.goto(page.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(shown)
    assert not found.response["violations"], found.generate_report()
    assert heard == [page.as_uri()]
    context.close()


def test_the_first_stop_of_the_keyboard_skips_to_the_report(page, browser):
    shown = browser.new_page()
    shown.goto(page.as_uri())
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "main"
    shown.close()
