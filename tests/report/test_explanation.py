"""The page of an explanation: the heat map, what is shown for a token, and that no text becomes a part of the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explained import explained
from tardif.errors import FolderError
from tardif.escaping import visible
from tardif.explanation import Explanation, Match, Token
from tardif.report.explained_pair import explanation_block, explanation_page, heat_figure, write_explanation
from tardif.report.heat_map import CELL, GAP, MOST_COLUMNS, heat_map

TAGS = re.compile(
    "html|head|meta|title|style|body|div|header|p|h[123]|d[lt]|dd|bdi|main|fieldset|legend|label|input|span|b|mark|em|section"
    "|table|caption|thead|tbody|tfoot|t[rhd]|i|figure|figcaption|svg|rect|path|text|details|summary|footer"
)


class Reader(HTMLParser):
    """Tags and attributes, the text of the document, and that what is opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.document, self.marks = [], [], "", []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append((tag, dict(attrs).get("class")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if ("div", "text") in self.open and "em" not in (tag for tag, _ in self.open):
            self.document += data
            self.marks += [data] if "mark" in (tag for tag, _ in self.open) else []


def pair(similarities, query="moon sea", document="The moon pulls"):
    """The explanation of a pair whose similarities are given."""
    made = explained(query, document, {})
    values = np.array(similarities, dtype=np.float32)
    best = values.argmax(axis=1)
    matches = [Match(row, (int(column),), float(values[row, column])) for row, column in enumerate(best)]
    score = sum(match.similarity for match in matches)
    return Explanation(query, document, made.query_tokens, made.document_tokens, matches, score, values, "d1")


def cells(svg):
    """The step of colour of each cell that is drawn, by its row and the place of its column."""
    found = {}
    for level, row, path in re.findall(r'<path class="l(\d) r(\d+)" d="([^"]+)"', svg):
        for x in re.findall(r"M(\d+) ", path):
            found[int(row), int(x)] = int(level)
    return found


def test_the_heat_map_is_right_on_a_pair_worked_out_by_hand():
    # The middle of six values is .3, the highest .9: nine steps of a fifteenth from .3 (blank) to .9.
    found = heat_map(pair([[0.1, 0.9, 0.5], [0.2, 0.3, 0.3]]))
    assert (found.low, found.high) == (pytest.approx(0.3), pytest.approx(0.9))
    assert found.levels.tolist() == [[0, 9, 3], [0, 0, 0]]
    assert (found.rows, found.labels, found.best) == (["moon", "sea"], ["The", "moon", "pulls"], [[1], [1]])
    svg = str(found.cells_svg("moon"))
    assert cells(svg) == {(0, CELL): 9, (0, 2 * CELL): 3}
    frames = re.findall(r'class="best" x="([\d.]+)" y="([\d.]+)"', svg)
    assert [(float(x) - 0.75, float(y) - 0.75) for x, y in frames] == [(CELL, 47), (CELL, 47 + CELL)]
    assert 'aria-label="moon"' in svg


def test_a_long_document_is_shown_by_its_matched_tokens_and_whole():
    words = [f"word{n}" for n in range(MOST_COLUMNS + 40)]
    made = explained(
        "moon sea", " ".join(words), {("moon", "word9"): 0.9, ("sea", "word10"): 0.8, ("sea", "word70"): 0.5}
    )
    found = heat_map(made)
    assert {9, 10, 70} <= set(found.columns)
    assert len(found.columns) <= 6
    # Neighbours touch, others stand apart.
    places = sorted({x for _, x in cells(str(found.cells_svg("")))})
    assert places[1] - places[0] in (CELL, CELL + GAP)
    assert len(heat_map(made, whole=True).columns) == len(words)
    page = explanation_page(made)
    assert f"All {len(words)} tokens" in page
    assert "All" not in str(heat_figure(made))


def test_the_page_names_every_match_and_their_sum():
    page = explanation_page(pair([[0.1, 0.9, 0.5], [0.2, 0.3, 0.25]]))
    read = Reader(page)
    assert all(TAGS.fullmatch(tag) for tag, _ in read.tags)
    assert [attrs["type"] for tag, attrs in read.tags if tag == "input"] == ["radio"] * 3
    text = re.sub(r"<[^>]+>|\s+", " ", page.split("</style>")[1])
    rows = re.findall(r"(moon|sea) +moon +(\d\.\d+)", " ".join(text.split()))
    assert ("moon", "0.900") in rows
    assert ("sea", "0.300") in rows
    assert "score 1.200" in " ".join(text.split())
    assert not re.search(r"<script|<link|\bsrc=|\bhref=|@import|url\(", page)


def test_marks_and_tints_are_where_the_words_are():
    read = Reader(explanation_page(explained("moon", "Bread rises. The moon pulls the sea.", {("moon", "moon"): 0.9})))
    assert read.document == "Bread rises. The moon pulls the sea."
    assert read.marks == ["moon"]
    tints = [attrs for tag, attrs in read.tags if tag == "span" and "part" in (attrs.get("class") or "")]
    assert tints == [{"class": "part b0", "style": "--h0:100"}]


def test_a_pooled_vector_frames_all_its_tokens():
    one = pair([[0.1, 0.9, 0.9], [0.2, 0.3, 0.25]])
    matches = [Match(0, (1, 2), one.matches[0].similarity), one.matches[1]]
    pooled = Explanation(
        one.query, one.document, one.query_tokens, one.document_tokens, matches, one.score, one.similarities
    )
    assert heat_map(pooled).best == [[1, 2], [1]]
    assert "moon + pulls" in explanation_page(pooled)


def test_two_explanations_on_one_page_do_not_meet():
    one, other = (
        explanation_block(pair([[0.1, 0.9, 0.5]] * 2)),
        explanation_block(pair([[0.1, 0.9, 0.5]] * 2, "sea moon")),
    )
    ids = [re.findall(r' (?:id|name)="([^"]+)"', str(block)) for block in (one, other)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    assert explanation_page(pair([[0.1, 0.9, 0.5]] * 2)) == explanation_page(pair([[0.1, 0.9, 0.5]] * 2))


def test_nothing_to_show_is_a_page_too():
    for empty in (
        Explanation("...", "", [], [], [], 0.0, np.zeros((0, 0), dtype=np.float32)),
        Explanation("a", "...", [Token("a", 0, 1)], [], [], 0.0, np.zeros((1, 0), dtype=np.float32), note="No token."),
    ):
        Reader(explanation_page(empty))


HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(1)>",
    "\" onmouseover=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}&amp;&#60;b&#62;",
    "a\u202egnp.exe\u2066 \x00\x1b[31m\ud800 \u2028]]><!--",
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([*HOSTILE, "moon", " ", "\n", "é\u0301", "👩\u200d🚀", "שלום"]), min_size=1, max_size=8)
)
def test_no_text_becomes_a_part_of_the_page(pieces):
    text = " ".join(pieces)
    made = explained(text, text, {})
    hostile = Explanation(
        text, text, made.query_tokens, [*made.document_tokens, Token(text)], made.matches, made.score,
        np.pad(made.similarities, ((0, 0), (0, 1))), text, text,
    )  # fmt: skip
    page = explanation_page(hostile)
    read = Reader(page)
    assert all(TAGS.fullmatch(tag) for tag, _ in read.tags)
    assert not [name for _, attrs in read.tags for name in attrs if name.startswith("on")]
    assert read.document == visible(text, keep="\n\t")
    assert not re.search("[\x00\x1b\u202e\u2066\ud800]", page)


def test_a_megabyte_stays_small():
    text = "moon " * 200_000
    tokens = [Token("moon", 5 * n, 5 * n + 4) for n in range(500)]
    similarities = np.full((2, 500), 0.5, dtype=np.float32)
    query = [Token("moon", 0, 4), Token("[SEP]")]
    found = Explanation("moon", text, query, tokens, [Match(0, (0,), 0.5), Match(1, (0,), 0.5)], 1.0, similarities)
    page = explanation_page(found)
    assert len(page) < 400_000
    assert "more characters, which the model does not read" in page


def test_a_file_is_written_whole(tmp_path):
    found = explained("moon", "The \ud800 moon pulls", {("moon", "moon"): 0.9})
    file = write_explanation(found, tmp_path / "why.html")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(FolderError, match="is a folder"):
        write_explanation(found, tmp_path)
