"""Hostile texts, ids and names: the page's structure is its own, whatever they hold."""

import dataclasses
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tardif.evaluation.evidence import (
    Evidence,
    RunFacts,
    SetValues,
    ShownHit,
    ShownQuery,
    ShownRanking,
    ShownRelevant,
)
from tardif.report.page import render
from tardif.report.sources import Hygiene, ReportSource

ATTACKS = [
    "<script>alert('a')</script> &amp; {{ 7 * 7 }} {% raw %} </table>",
    '"><img src=x onerror=alert(1)> <svg/onload=alert(1)>',
    "</style></title><base href=//evil.example> <!-- ]]> <![CDATA[",
    "\u202egnp.exe\u2066 \x1b[31m \x9b \u200f zero\u200bwidth \ud800 \x00",
    "w0w $\\frac{1}{2}$ %s {0} var(--ink) url(https://evil.example/x) javascript:alert(1)",
    "a/b\\c:'\"`🦄`é \u200fשלום مرحبا 漢字",
    "x" * 1_000_000,
]
texts = st.one_of(st.sampled_from(ATTACKS), st.text(min_size=1, max_size=80).filter(str.strip))


class Structure(HTMLParser):
    """Every tag with its attributes, but for the values that say what is shown."""

    def __init__(self, page):
        super().__init__()
        self.found, self.words, self.comments = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [(name, "" if name in ("aria-label", "content") else value) for name, value in attrs]))

    def handle_endtag(self, tag):
        self.found.append(f"/{tag}")

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        self.words.append(data)


def source(text):
    """An evaluation with a text wherever data come from."""
    long = f"{text} and so that it is long enough for marks"
    hit = ShownHit(1, text, 3.5, 1, text, long, [(0, 4, 1.0), (2, 9, 0.5), (20, 24, 0.1)])
    queries = {f"{text}{n}": text for n in range(4)}
    names = (f"a{text}", f"b{text}")
    values = {
        name: {"nDCG@10": {q: (n + place) % 3 / 2 for n, q in enumerate(queries)}} for place, name in enumerate(names)
    }
    ranked = tuple(ShownRanking(name, 1.0 - place, (hit,)) for place, name in enumerate(names))
    shown = ShownQuery(text, text, text, "nDCG@10", ranked, (ShownRelevant(text, text, {text: 3}),))
    run = RunFacts("evaluation", f"n{text}", {f"e{text}": text}, f"c{text}", 0)
    document = {"id": text, "score": 1.0, "teacher": None, "origin": text, "text": text}
    row = {"query_id": text, "query": text, "positives": [document], "negatives": [document]}
    kind = {"count": 0, "histogram": [], "quantiles": {}}
    mining = {
        "settings": {"miner": text, "selection": {"first": 1, "last": 5}},
        "queries": {"mined for": 1}, "negatives": {"own": 0, "mined": 1, "random": 0}, "considered": 4,
        "rules": [{"rule": text, "what": text, "dropped": 1, "share": 0.25}],
        "scores": {"searcher": {"edges": [0.0, 1.0], "positives": kind, "mined": kind, "random": kind}},
        "suspicious": [{**row, "ratio": 0.9}], "examples": [row],
    }  # fmt: skip
    found = {"source": text, "place": 3, "query_id": text, "document_id": text, "detail": text}
    return ReportSource(
        name=f"n{text}",
        kind="evaluation",
        results={"settings": {"split": text, "lr": 0.5}, "seconds": {text: 2.0}},
        values=[SetValues(f"d{text}", queries, values)],
        evidence=Evidence([SetValues(f"d{text}", queries, values)], [shown], [], run),
        mining=mining,
        manifest={"counts": {"documents": 3}, "report": [text], "settings": {}, "tardif": "0"},
        hygiene=Hygiene({f"r{text}": {text: 2}}, {f"r{text}": [found]}),
        notes=[f"n{text}"],
    )


@pytest.fixture(scope="module")
def harmless():
    return Structure(render([source("harmless")]))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=texts)
def test_no_text_changes_the_structure_of_the_page(harmless, text):
    page = render([source(text)])
    read = Structure(page)
    assert read.found == harmless.found
    assert not read.comments
    # Nothing in it reorders, hides or ends a line.
    assert not [
        c for c in page if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\u200c\u200d"
    ]


@pytest.mark.parametrize("text", ATTACKS[:3])
def test_texts_are_shown_as_they_are(text):
    words = "".join(Structure(render([source(text)])).words)
    assert words.count(" ".join(text.split())) > 10


def test_a_megabyte_is_cut_and_said_so():
    page = render([source(ATTACKS[-1])])
    assert len(page) < 600_000
    assert "more characters" in page


def test_texts_that_look_like_numbers_or_lists_where_numbers_belong_do_not_stop_the_page():
    broken = dataclasses.replace(source("a"), results={"settings": [], "systems": [{"data": 1}]}, mining={"scores": 3})
    page = render([broken])
    assert "is damaged" in page and "The part on hard negatives" in page
