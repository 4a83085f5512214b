"""The mining report for a browser."""

import dataclasses
import re
import unicodedata
from html.parser import HTMLParser

import pytest

from falling import Falling, collection
from tardif.mining.mine import mine
from tardif.mining.page import page
from tardif.mining.selection import RULES, Selection
from tardif.mining.teacher import Teacher


class Outline(HTMLParser):
    """Tags in order, with what stands between them; knows a tag that is closed and was not opened."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data


def report(query="text", teacher=None, **options):
    data = collection()
    data.queries.update({name: f"{query} {name}" for name in data.queries})
    options = {"first": 1, "near_copy": None, **options}
    return mine(data, Falling(), Selection(**options), teacher=teacher, settings={"miner": "falling"}).report


def drawn(found, kind):
    return [attrs for tag, attrs in Outline(page(found)).tags if tag == "rect" and attrs["class"] == kind]


def test_it_shows_what_the_report_says():
    found = report(floor=60.0)
    text = Outline(page(found.as_json(), found.lines())).text
    assert all(rule in text and what in text for rule, what in RULES.items())
    assert "28.0 %" in text  # of the hits fell to the ratio
    assert found.lines()[0] in text
    assert "40 positives" in text and "320 mined negatives" in text
    assert all(row["query"] in text for row in (*found.suspicious, *found.examples))
    assert "falling" in text and "floor" in text


def test_the_page_is_well_formed_and_asks_for_nothing_from_elsewhere():
    html = page(report(floor=60.0).as_json())
    outline = Outline(html)
    assert outline.open == []
    assert not re.search(r"https?:|@import|url\(", html)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in outline.tags}


def test_texts_are_shown_as_they_are_and_do_nothing():
    hostile = "<script>alert('a')</script> &amp; {{ 7 * 7 }} </table>"
    html = page(report(query=hostile).as_json())
    assert "<script" not in html
    assert hostile in Outline(html).text


def test_texts_cannot_reorder_or_hide_a_part_of_the_page():
    hostile = "\u202egnp.exe\u2066 \x1b[31m \x9b \u200f zero\u200bwidth"
    found = report(query=hostile)
    found = dataclasses.replace(found, settings={**found.settings, "miner": hostile})
    html = page(found.as_json(), [hostile])
    assert not [c for c in html if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")]
    assert "\\u202egnp.exe" in Outline(html).text


@pytest.mark.parametrize("query", ["שלום עולם", "مرحبا بالعالم", "hello"])
def test_the_direction_of_a_text_ends_with_it(query):
    found = report(query=query).as_json()
    apart = Isolated(page(found)).apart
    rows = (*found["suspicious"], *found["examples"])
    assert rows
    for row in rows:
        assert {row["query"], row["query_id"]} <= apart
        for document in (*row["positives"][:1], *row["negatives"][:1]):
            assert {document["id"], document["text"]} <= apart


class Isolated(Outline):
    """What stands in ``bdi`` elements, whose direction is their own."""

    def __init__(self, text):
        self.apart = set()
        super().__init__(text)

    def handle_data(self, data):
        super().handle_data(data)
        if self.open and self.open[-1] == "bdi":
            self.apart.add(data)


@pytest.mark.parametrize("kind", ["positives", "mined"])
def test_every_bin_that_holds_something_is_a_bar_as_high_as_its_share(kind):
    found = report(last=80).as_json()
    counts = [count for count in found["scores"]["searcher"][kind]["histogram"] if count]
    heights = [float(bar["height"]) for bar in drawn(found, kind)]
    assert heights == pytest.approx([64 * count / max(counts) for count in counts], abs=0.06)


def test_the_teachers_scores_are_drawn_beside_the_miners():
    teacher = Teacher(lambda pairs: [float(len(document) % 7) for _, document in pairs], name="by length")
    found = report(teacher=teacher, negatives=2)
    titles = Outline(page(found.as_json())).text
    assert "The miner's scores" in titles and "The teacher's scores" in titles


def test_nothing_mined_is_a_page_too():
    found = mine(collection(1), None, Selection(), settings={"miner": "none"}).report
    assert "none mined" in Outline(page(found.as_json(), found.lines())).text


def test_one_score_alone_is_drawn():
    found = mine(collection(1), Falling(), Selection(first=11, last=11, ratio=None, negatives=1)).report
    assert "1 positives" in Outline(page(found.as_json())).text


def test_on_a_narrow_screen_a_plot_keeps_its_height_and_words_stay_whole():
    html = page(report(floor=60.0).as_json())
    plots = [attrs for tag, attrs in Outline(html).tags if tag == "svg"]
    assert plots and all(plot["preserveaspectratio"] == "none" for plot in plots)  # stretched, not shrunk
    assert "<text" not in html  # words in a plot would be stretched with it
    assert "anywhere" not in html  # it lets a column be one letter wide


def test_each_cell_of_a_row_that_is_shown_as_a_block_has_its_name():
    found = report(floor=60.0)
    labels = [attrs.get("data-label") for tag, attrs in Outline(page(found.as_json())).tags if tag == "td"]
    names = ("ratio", "query", "positive", "negative")
    assert [labels.count(name) for name in names] == [len(found.suspicious)] * 4
