"""An explanation as a page: the query, the document with the words that earned the score, and the heat map.

The page is one file without a script. To choose a token of the query is to choose a radio button: style rules then show
what the token matched, by mouse, finger or keyboard.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tardif._version import __version__
from tardif.checksums import json_checksum
from tardif.data.regular import user_path
from tardif.display import Short
from tardif.explanation import Explanation
from tardif.folders import check_file, write_output
from tardif.report.heat_map import HeatMap, heat_map, label, next_best, scale
from tardif.report.rendering import templates
from tardif.search.snippet import marks
from tardif.text.clusters import last_boundary, next_boundary

# Characters shown of a document behind its last token: what the model did not read.
_BEYOND = 400
# Steps of a mark's strength, as in a report.
_STEPS = 5
# Tints deepen faster than similarities: most tokens are a little similar, and must not tint the whole text.
_CURVE = 1.6
# Tints fainter than this, in percent, are left out: they cannot be seen.
_FAINT = 8
# Query tokens that can be chosen. ColBERT's longest queries have 512; a person chooses among fewer.
_CHOICES = 160


@dataclass(frozen=True, slots=True, repr=False)
class TextPart(Short):
    """A piece of the document's text between two borders of tokens or marks.

    Attributes:
        text: the characters.
        tones: the query tokens that are similar to it, each with the depth of its tint in percent.
        best: the classes of the query tokens whose best match it is.
        mark: the step of its mark, 0 to 5; 0 without one.
        opens: whether a mark begins here.
        closes: whether a mark ends here.
    """

    text: str
    tones: Sequence[tuple[int, int]]
    best: str
    mark: int
    opens: bool
    closes: bool


@dataclass(frozen=True, slots=True, repr=False)
class MatchRow(Short):
    """A row of the table of matches.

    Attributes:
        token: the query's token.
        matched: the document's tokens that its best vector stands for.
        similarity: the match's.
        others: the next best words with their similarities.
        is_word: whether the token is a word of the query's text, or a piece of one.
    """

    token: str
    matched: str
    similarity: float
    others: Sequence[tuple[str, float]]
    is_word: bool


@dataclass(frozen=True, repr=False)
class ExplanationView(Short):
    """What a page shows of an explanation; ``templates/explained.html`` draws it.

    Attributes:
        key: begins every id and name, so that a page may hold several.
        explanation: what is shown.
        parts: the document's text.
        left: the characters of the document that are not shown.
        rows: the matches, in the order of the query.
        choices: how many of the query's tokens can be chosen.
        heat: the map of matched tokens.
        whole: that of all tokens; None if the first has them all.
    """

    key: str
    explanation: Explanation
    parts: Sequence[TextPart]
    left: int
    rows: Sequence[MatchRow]
    choices: int
    heat: HeatMap
    whole: HeatMap | None


def explanation_page(explanation: Explanation) -> str:
    """Return an explanation as an HTML document that needs nothing else. The same explanation gives the same text.

    Args:
        explanation: what to show.
    """
    return templates().get_template("explanation.html").render(view=view_of(explanation), version=__version__)


def explanation_block(explanation: Explanation, key: str = "") -> Markup:
    """Return an explanation as a part of a page or a notebook, with the style rules that it needs.

    Args:
        explanation: what to show.
        key: begins its ids; by default made of the texts.
    """
    template = templates().get_template("block.html")
    return Markup(template.render(view=view_of(explanation, key)))


def heat_figure(explanation: Explanation, caption: str = "") -> Markup:
    """Return the heat map of an explanation as a figure, with the table of its values folded behind it.

    It is drawn with the style rules of ``templates/explained.css``, which the page includes.

    Args:
        explanation: what to show.
        caption: what it shows; by default its query.
    """
    template = templates().get_template("heat.html")
    heat = heat_map(explanation)
    return Markup(template.render(heat=heat, caption=caption or explanation.query))


def write_explanation(explanation: Explanation, file: str | Path) -> Path:
    """Write an explanation as an HTML file, whole or not at all.

    Raises:
        FolderError: the file cannot be written.
    """
    place = user_path(file)
    check_file(place)
    # A text may hold half a surrogate pair, which UTF-8 cannot encode.
    write_output(place, explanation_page(explanation).encode("utf-8", "xmlcharrefreplace").decode("utf-8"))
    return place


def view_of(explanation: Explanation, key: str = "") -> ExplanationView:
    """Return what a page shows of an explanation.

    Args:
        explanation: of a score.
        key: begins its ids; by default made of the texts.
    """
    heat = heat_map(explanation)
    shown = _shown_until(explanation)
    made = json_checksum([explanation.query, explanation.document, explanation.document_id])[:8]
    return ExplanationView(
        key=key or f"e{made}",
        explanation=explanation,
        parts=list(_parts(explanation, shown)),
        left=len(explanation.document) - shown,
        rows=[_row(explanation, number) for number in range(len(explanation.matches))],
        choices=min(len(explanation.query_tokens), _CHOICES),
        heat=heat,
        whole=heat_map(explanation, whole=True) if len(heat.columns) < heat.of else None,
    )


def _shown_until(explanation: Explanation) -> int:
    """The place in the document up to which it is shown: a little further than the model read."""
    read = max((token.end or 0 for token in explanation.document_tokens), default=0)
    return next_boundary(explanation.document, min(read + _BEYOND, len(explanation.document)))


def _parts(explanation: Explanation, until: int) -> Iterator[TextPart]:
    """The document's text up to a place, cut at the borders of tokens and marks, never inside of a character."""
    text, found = explanation.document, marks(explanation)
    spans = {
        number: (last_boundary(text, token.start), next_boundary(text, token.end))
        for number, token in enumerate(explanation.document_tokens)
        if token.start is not None and token.end is not None and token.start < token.end
    }
    edges = {place for span in spans.values() for place in span} | {p for m in found for p in (m.start, m.end)}
    borders = sorted({0, until, *(place for place in edges if place < until)})
    inside: dict[int, list[int]] = {}
    for number, (start, end) in spans.items():
        for border in borders[bisect_left(borders, start) : bisect_left(borders, end)]:
            inside.setdefault(border, []).append(number)
    painter = _Painter.of(explanation)
    marked = {border: mark for mark in found for border in borders if mark.start <= border < mark.end}
    for start, end in pairwise(borders):
        mark, tokens = marked.get(start), inside.get(start, [])
        yield TextPart(
            text=text[start:end],
            tones=painter.tones(tokens),
            best=painter.best(tokens),
            mark=min(_STEPS, max(1, math.ceil(mark.weight * _STEPS))) if mark else 0,
            opens=mark is not None and mark.start == start,
            closes=mark is not None and mark.end == end,
        )


@dataclass(frozen=True, repr=False)
class _Painter(Short):
    """The tints of the document's tokens for each token of the query.

    Attributes:
        shares: how deep each tint is, in percent ``[query tokens, document tokens]``.
        winners: the query tokens that each document token is the best match of.
    """

    shares: NDArray[np.int64]
    winners: Mapping[int, Sequence[int]]

    @classmethod
    def of(cls, explanation: Explanation) -> _Painter:
        low, high = scale(explanation.similarities)
        depths = ((explanation.similarities - low) / (high - low)).clip(0, 1) ** _CURVE
        shares = (100 * depths).round().astype(np.int64)
        winners: dict[int, list[int]] = {}
        for match in explanation.matches[:_CHOICES]:
            for token in match.document_tokens:
                winners.setdefault(token, []).append(match.query_token)
        return cls(shares[:_CHOICES], winners)

    def tones(self, tokens: Sequence[int]) -> list[tuple[int, int]]:
        """The tints of a part: the deepest of its tokens for each token of the query."""
        if not tokens:
            return []
        depths = self.shares[:, list(tokens)].max(axis=1).tolist()
        return [(number, depth) for number, depth in enumerate(depths) if depth >= _FAINT]

    def best(self, tokens: Sequence[int]) -> str:
        """The classes of the query tokens whose best match is in a part."""
        found = sorted({query for token in tokens for query in self.winners.get(token, ())})
        return " ".join(f"b{number}" for number in found)


def _row(explanation: Explanation, number: int) -> MatchRow:
    match, token = explanation.matches[number], explanation.query_tokens[number]
    names = [label(explanation.document_tokens[place].text) for place in match.document_tokens]
    return MatchRow(
        token=label(token.text),
        matched=" + ".join(names),
        similarity=match.similarity,
        others=[
            (label(explanation.document_tokens[place].text), float(explanation.similarities[match.query_token, place]))
            for place in next_best(explanation, match)
        ],
        is_word=token.start is not None and any(letter.isalnum() for letter in token.text),
    )
