"""The page of the service in a real browser, in front of a real `tardif serve` with real indexes."""

from __future__ import annotations

import json

import pytest

from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.search.retriever import Retriever

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")
from served_page import (
    QUESTION,
    SCRIPT,
    VENUES,
    asked,
    documents,
    expect,
    found,
    hostile_documents,
    ids,
    opened,
    serving,
    state_of,
    tab,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]  # on one worker: its indexes are dear


@pytest.fixture(scope="module")
def folders(collection, bert_tiny, tmp_path_factory):
    """Two indexes of the same documents by different models, and one of hostile documents."""
    root, base = tmp_path_factory.mktemp("page"), resolve_base(str(bert_tiny))
    recipes = {"before": Recipe(dim=32, expansion=32), "after": Recipe(dim="auto", expansion=32)}
    for name, recipe in recipes.items():
        build_model(base, recipe).save(str(root / f"{name}-model"))
    models = {"before": "before", "after": "after", "hostile": "after"}
    for name, model in models.items():
        given = list(hostile_documents() if name == "hostile" else documents(collection))
        options = {"chunk": None, "hybrid": name == "before", "quiet": True}
        Retriever.build(root / f"{model}-model", given, root / name, **options).close()
    return root


@pytest.fixture(scope="module")
def feedback(tmp_path_factory):
    return tmp_path_factory.mktemp("feedback") / "feedback.jsonl"


@pytest.fixture(scope="module")
def service(folders, feedback):
    with serving(folders, "before", "after", "hostile", feedback=feedback) as address:
        yield address


@pytest.fixture
def page(browser, service):
    with tab(browser) as page:
        yield page


def test_a_search_shows_hits_with_the_words_that_matched(page, service):
    page.goto(service)
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".hit")).to_have_count(10)
    hits = found(service, "before", explain=True)
    assert ids(page) == [hit["document_id"] for hit in hits]
    for shown, hit in zip(page.locator(".hit").all(), hits, strict=True):
        assert shown.locator(".passage mark").all_inner_texts() == [mark["text"] for mark in hit["matches"]]
        assert shown.locator(".title mark").all_inner_texts() == [mark["text"] for mark in hit["title_matches"]]
        assert shown.locator(".score").inner_text() == f"{hit['score']:.3f}"
    assert any(hit["matches"] for hit in hits)
    assert state_of(page)["q"] == [QUESTION]
    assert page.title() == f"{QUESTION} · before · Tardif"
    expect(page.get_by_role("status").first).to_contain_text("10 hits in 82 documents")
    page.get_by_role("button", name="More hits").click()
    expect(page.locator(".hit")).to_have_count(20)
    expect(page.locator(".hit").nth(10).locator(".title")).to_be_focused()


def test_back_and_forward_and_a_shared_address_show_the_same(page, service, browser):
    opened(page, service)
    first = ids(page)
    page.get_by_role("searchbox").fill("libraries and their machines")
    page.keyboard.press("Enter")
    expect(page.locator(".hit .id").first).not_to_have_text(first[0])
    second = ids(page)
    page.locator(".hit .title").nth(2).click()
    with tab(browser) as other:
        other.goto(page.url)
        expect(other.locator(".hit.open .id")).to_have_text(second[2])
        assert ids(other) == second
    page.go_back()
    expect(page.locator(".hit .id").first).to_have_text(first[0])
    assert page.get_by_role("searchbox").input_value() == QUESTION
    page.go_forward()
    expect(page.locator(".hit .id").first).to_have_text(second[0])


def test_filters_are_made_of_the_metadata_and_quoted(page, service):
    opened(page, service)
    page.get_by_role("button", name="venue").first.click()
    page.get_by_label(VENUES[2]).check()
    expect(page.locator(".pill.on")).to_have_text(f"venue: {VENUES[2]}▾")
    page.get_by_label("journal").check()
    (clause,) = state_of(page)["filter"]
    written = {"'journal'", f"'{VENUES[2].replace(chr(39), chr(39) * 2)}'"}
    assert set(clause.removeprefix("venue in (").removesuffix(")").split(", ")) == written
    page.keyboard.press("Escape")
    page.get_by_role("button", name="words", exact=True).click()
    panel = page.locator(".panel:popover-open")
    panel.get_by_label("from").fill("40")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator(".pill", has_text="added").click()
    panel.get_by_label("to").fill("2024-10-10")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filter by …").click()
    either = '"author"."first name" = \'Ada\' or reviewed = true'
    page.get_by_label("Filter", exact=True).fill(either)
    page.keyboard.press("Enter")
    whole = f"{clause} and words >= 40 and added <= '2024-10-10T24' and ({either})"
    expected = found(service, "before", filter=whole)
    expect(page.locator(".hit")).to_have_count(len(expected))
    assert ids(page) == [hit["document_id"] for hit in expected]
    page.reload()  # the controls show what the address says
    expect(page.locator(".pill.on")).to_have_count(3)
    expect(page.locator(".chip-filter")).to_have_count(1)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".pill.on, .chip-filter")).to_have_count(0)
    assert "filter" not in state_of(page)


def test_a_value_of_a_hit_becomes_a_filter(page, service):
    opened(page, service)
    page.locator(".fact").first.click()
    expect(page.locator(".pill.on")).to_have_count(1)
    venue = state_of(page)["filter"][0]
    expect(page.locator(".fact").first).to_contain_text(venue.split("'")[1].split("'")[0])


def test_a_refused_filter_shows_what_the_service_says(browser, service):
    with tab(browser, quiet=False) as page:  # a browser reports a status of 400
        opened(page, service, filter="venue = en")
        expect(page.get_by_role("alert")).to_contain_text("column 9: found en; expected a value")
        page.get_by_role("button", name="Edit the filter venue = en").click()
        page.get_by_label("Filter", exact=True).fill("venue = 'journal'")
        page.keyboard.press("Enter")
        expect(page.locator(".hit").first).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


def test_why_shows_which_token_each_token_matched(page, service):
    opened(page, service)
    page.locator(".hit").first.get_by_role("button", name="Why?").click()
    said = asked(service, "indexes/before/explain", {"query": QUESTION, "document_id": ids(page)[0]})
    words = [n for n, token in enumerate(said["query_tokens"]) if token["start"] is not None]
    shown = page.locator(".explained")
    expect(shown.locator(".token.one:visible")).to_have_count(
        sum(token["text"] != "[MASK]" for token in said["query_tokens"])
    )
    shown.locator(".every input").focus()
    for _ in range(words[2] + 1):
        page.keyboard.press("ArrowRight")
    match = said["matches"][words[2]]
    won = said["document_tokens"][match["document_token"]]
    asked_token = said["query_tokens"][words[2]]["text"]
    expect(shown.locator(".said")).to_contain_text(f"{asked_token} matched {won['text']} {match['similarity']:.3f}")
    assert won["start"] is None or shown.locator(".part.won").first.inner_text() == won["text"]
    shown.get_by_text("The score is the sum of the matches").click()
    assert shown.locator("tfoot .value").inner_text() == f"{said['score']:.3f}"
    shown.get_by_text("Heat map", exact=True).click()
    assert shown.locator("svg.cells .best").count() >= len(words)


def test_two_indexes_side_by_side_show_which_documents_moved(page, service):
    opened(page, service)
    page.get_by_label("Compare with").select_option("after")
    expect(page.locator(".side.later .hit")).to_have_count(10)
    deep = {name: [hit["document_id"] for hit in found(service, name, k=50)] for name in ("before", "after")}
    assert (ids(page, ".side:not(.later)"), ids(page, ".later")) == (deep["before"][:10], deep["after"][:10])
    kinds = set()
    for place, document in enumerate(deep["after"][:10]):
        badge = page.locator(".later .hit").nth(place).locator(".moved")
        was = deep["before"].index(document) if document in deep["before"] else None
        by = 0 if was is None else was - place
        kind = "new" if was is None else "up" if by > 0 else "down" if by < 0 else "same"
        kinds.add(kind)
        assert badge.get_attribute("class") == f"moved {kind}"
        assert str(abs(by)) in badge.inner_text() or kind in ("same", "new")
    assert kinds >= {"up", "down"}
    both = set(deep["before"][:10]) & set(deep["after"][:10])
    expect(page.locator(".lines path")).to_have_count(len(both))
    expect(page.get_by_role("status").first).to_contain_text(f"{len(both)} of the first 10 are in both lists")


def test_thumbs_write_labelled_pairs(page, service, feedback):
    opened(page, service)
    before = feedback.read_text().splitlines() if feedback.exists() else []
    for place, name in [(0, "Relevant"), (1, "Not relevant")]:
        thumb = page.locator(".hit").nth(place).get_by_role("button", name=name, exact=True)
        thumb.click()
        expect(thumb).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("status").first).to_have_text(f"Saved as {name.lower()}.")
    rows = [json.loads(line) for line in feedback.read_text().splitlines()[len(before) :]]
    assert [row["query"] for row in rows] == [QUESTION] * 2
    assert [int(row["label"]) for row in rows] == [1, 0]
    page.reload()
    expect(page.locator(".hit").first.get_by_role("button", name="Relevant", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )


def focused(page):
    return page.evaluate("document.activeElement.closest('.hit')?.querySelector('.id').innerText ?? null")


def test_everything_is_reached_by_keys(page, service):
    opened(page, service)
    box, hits = page.get_by_role("searchbox"), ids(page)
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.press("ArrowDown")
    assert focused(page) == hits[0]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".hit.open .id")).to_have_text(hits[1])
    page.keyboard.press("w")
    expect(page.locator(".hit.open .explained")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator(".hit.open .thumb.up")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator(".hit.open")).to_have_count(0)
    assert focused(page) == hits[1]
    page.keyboard.press("End")
    assert focused(page) == hits[-1]
    page.keyboard.press("Escape")
    expect(box).to_be_focused()
    page.keyboard.type("?")  # a sign of the query, not a key
    assert box.input_value() == "?"
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Keys of one letter or sign work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(box).not_to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_keeps_the_rules_of_axe(browser, service, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    def check(page):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert not found.response["violations"], found.generate_report()

    # The rules are run by a script that the page's own policy would refuse.
    with tab(browser, color_scheme=scheme, bypass_csp=True, quiet=False, reduced_motion="reduce") as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(service)
        expect(page.locator("#welcome")).to_be_visible()
        check(page)
        opened(page, service, filter=["venue = 'journal'", "not words < 30"])
        # No control of the bar is squeezed to a column of letters.
        controls = page.locator("#bar :is(.pill, .chip-filter):visible").all()
        assert any("not words < 30" in control.inner_text() for control in controls)
        assert all(control.bounding_box()["height"] < 48 for control in controls)
        page.locator(".hit").first.get_by_role("button", name="Why?").click()
        expect(page.locator(".explained")).to_be_visible()
        page.locator(".explained summary").evaluate_all("all => all.forEach(one => one.parentElement.open = true)")
        page.locator(".hit").nth(1).get_by_role("button", name="Relevant", exact=True).click()
        page.locator(".explained .one").nth(3).click()
        check(page)
        page.locator(".pill").first.click()
        check(page)
        opened(page, service, beside="after")
        check(page)
        opened(page, service, index="hostile", query="the moon")
        page.locator(".hit .title").first.click()
        check(page)
        opened(page, service, filter="venue = en")
        page.get_by_role("button", name="Keys and help").click()
        check(page)


def test_hostile_documents_are_texts_and_nothing_else(page, service):
    opened(page, service, index="hostile", query="the moon and the tides", k=20)
    expect(page.locator(".hit")).to_have_count(3)
    for hit in page.locator(".hit").all():
        hit.get_by_role("button", name="Why?").click()
        expect(hit.locator(".explained")).to_be_visible()
    assert page.evaluate("window.broken") is None
    assert page.locator("#results img, #results script, #results style").count() == 0
    attack = page.locator(".hit", has_text="onerror").first
    assert SCRIPT in attack.locator(".title").inner_text()
    assert SCRIPT in attack.locator(".explained .text").inner_text()
    assert page.locator(".hit", has_text="🦄").locator(".passage mark").all_inner_texts() == ["moon", "tides"]
    attack.locator(".fact").first.click()  # a key that is no name, and a value full of quotes
    expect(page.locator(".hit")).to_have_count(1)
    assert page.evaluate("window.broken") is None


def test_a_megabyte_of_text_is_shown_piece_by_piece(page, service):
    opened(page, service, index="hostile", query="the moon and the tides")
    long = page.locator(".hit", has_text="the moon makes tides. the moon")
    assert len(long.inner_text()) < 5_000
    long.locator(".title").click()
    assert 20_000 <= len(long.inner_text()) < 30_000
    long.get_by_role("button", name="more characters").click()
    assert 40_000 <= len(long.inner_text()) < 50_000


def test_a_token_is_asked_for_once_and_sent(browser, folders, tmp_path):
    token = "a-long-token-of-a-test"
    served = serving(folders, "after", feedback=tmp_path / "feedback.jsonl", TARDIF_TOKEN=token)
    with served as address, tab(browser, quiet=False) as page:
        page.goto(address)
        for given in ("wrong", token):
            page.get_by_role("textbox", name="Token").fill(given)
            page.keyboard.press("Enter")
        expect(page.locator("#welcome")).to_contain_text("82")
        page.reload()
        expect(page.locator("#welcome")).to_contain_text("82")
        assert "token" not in page.url


def test_a_service_that_is_gone_is_said_and_tried_again(browser, service):
    with tab(browser, quiet=False) as page:
        opened(page, service)
        page.route("**/search", lambda route: route.abort())
        page.get_by_role("searchbox").fill("libraries")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
        page.unroute("**/search")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".hit").first).to_be_visible()
