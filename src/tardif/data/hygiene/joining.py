"""The documents that contain the judged texts.

Users who give pairs and the corpus that they come from want that corpus searched. So a positive that a document
contains (:mod:`tardif.text.containment`) is not added as another document: the true document would count as wrong, and
mining would take it as a hard negative. The rules:

- Every document that contains a positive is relevant. Of a document that was cut these are the pieces that hold half
  of the positive's words, or that the positive fills by half; at least the piece that holds most.
- A document that is part of a positive is relevant.
- One judgement makes one example, with the document that contains all of the positive and shares most of the query's
  words: an index will hold that document. Where the positive ends behind what models read of the document, the
  example has the positive's own text as an excerpt, which is in no corpus to search.
- A negative that fills half of a document means that document. Else the rest of the document is not judged, and the
  negative is an excerpt too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from tardif.batching import batched
from tardif.data.chunking import PIECE
from tardif.data.staging import Staging
from tardif.data.synthetic import PARENT
from tardif.text.containment import NEAR, Containment, Occurrence, contained, is_sure
from tardif.text.normal import word_places, words_in_order

# About 512 tokens, the most that most models read: prepare has no model to ask.
READ_BYTES = 2_300

# Judged texts that are documents themselves are looked for inside longer documents up to this number of them.
LIMIT = 50_000

# The share of a text that a piece must hold, or of a piece that the text must fill.
HALF = 0.5

_BLOCK = 60_000_000  # characters of texts looked for at a time
_LONGEST_TITLE = 30  # words of a title that a text may begin with
_FETCHED = 2_000  # documents fetched at a time

# Variants are for training only: no search returns them.
_CORPUS = f"corpus AND metadata NOT LIKE '%{PARENT}%'"


@dataclass(frozen=True, slots=True)
class Link:
    """A document of the set, whole or a piece, that contains a judged text or a part of it.

    Attributes:
        document: its id.
        held: the share of the text that it contains.
        filled: the share of the document that the text fills.
        exact: whether it contains the text word for word.
        behind: whether the text ends behind what models read of the document.
    """

    document: str
    held: float = 1.0
    filled: float = 1.0
    exact: bool = True
    behind: bool = False


@dataclass(slots=True)
class Joined:
    """The documents that contain judged texts.

    Attributes:
        links: for each text (id) that documents contain: these documents, by id.
        parts: for each other text: the documents that are part of it, by id.
        unsure: texts so short that the one document with them must fit the query too.
        short: texts too short to tell where they come from.
        common: texts in too many documents to tell.
        lines: further lines for a reader.
    """

    links: dict[str, list[Link]] = field(default_factory=dict)
    parts: dict[str, list[Link]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    common: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)


def find(staging: Staging, *, near: bool = True) -> Joined | None:
    """Find the documents that contain the judged texts.

    Leaves the table ``judged_texts`` (id, text, is_document: it is the text of a document with an id of its own).

    Args:
        staging: with the tables ``stated`` (its ``given`` is the document as it was judged), ``same`` and ``texts``.
        near: also find documents that nearly contain a text.

    Returns:
        None where no corpus is given.
    """
    if not staging.one(f"SELECT 1 FROM documents WHERE {_CORPUS} LIMIT 1"):
        return None
    staging.run(
        """CREATE TABLE judged_texts AS
        SELECT id, text, is_document, (sum(length(text)) OVER (PARTITION BY is_document ORDER BY id)) // ? AS block
        FROM (
          SELECT d.id, min(d.text) AS text, bool_or(same.id IS NOT NULL) AS is_document
          FROM documents d SEMI JOIN stated s ON s.given = d.id LEFT JOIN same ON same.given = d.id
          WHERE NOT d.corpus AND d.id NOT IN (SELECT id FROM documents WHERE corpus) GROUP BY d.id
        )""",
        [_BLOCK],
    )
    joined = Joined()
    blocks = staging.all("SELECT DISTINCT is_document, block FROM judged_texts ORDER BY ALL")
    if (count := int(staging.one("SELECT count(*) FROM judged_texts WHERE is_document"))) > LIMIT:
        joined.lines.append(
            f"{count:,} judged texts that are documents were not looked for inside longer documents: there are over "
            f"{LIMIT:,}"
        )
        blocks = [block for block in blocks if not block[0]]
    for block in blocks:
        texts = dict(
            staging.all("SELECT id, text FROM judged_texts WHERE is_document = ? AND block = ? ORDER BY id", block)
        )
        _find(staging, texts, joined, NEAR if near else None, parts=not block[0])
    return joined


class _Rows:
    """Ids and texts that a query returns. Every iteration runs it again: documents are read twice, and not held."""

    def __init__(self, staging: Staging, statement: str) -> None:
        self._staging, self._statement = staging, statement

    def __iter__(self) -> Iterator[tuple[str, str]]:
        rows: Iterator[Any] = self._staging.stream(self._statement, _FETCHED)
        return rows


def _find(staging: Staging, texts: dict[str, str], joined: Joined, near: float | None, *, parts: bool) -> None:
    """Find the documents of some texts."""
    corpus = _Rows(
        staging, f"SELECT id, title || ' ' || text AS content FROM documents WHERE {_CORPUS} AND piece_of IS NULL"
    )
    held = contained(texts.items(), corpus, near=near, every=True)
    # Rows often hold an article as title and text in one cell, while the corpus holds it without the title.
    missing = [identity for identity in texts if identity not in held.found and identity not in held.common]
    for found in _under_titles(staging, {identity: texts[identity] for identity in missing}, near):
        held.found[found.text] = [*held.found.get(found.text, []), found]
        held.short.discard(found.text)
    joined.unsure |= {identity for identity in held.found if not is_sure(words_in_order(texts[identity]))}
    joined.short |= held.short
    joined.common |= held.common
    _place(staging, held, joined)
    missing = [identity for identity in missing if identity not in held.found]
    if parts and missing:
        _find_parts(staging, {identity: texts[identity] for identity in missing}, joined, near)


def _under_titles(staging: Staging, texts: dict[str, str], near: float | None) -> Iterator[Occurrence]:
    """Find texts that begin with the title of a document and continue with some of its text."""
    heads: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for identity, text in texts.items():
        words = words_in_order(text)
        for count in range(1, min(_LONGEST_TITLE, len(words) - 1) + 1):
            heads[tuple(words[:count])].append(identity)
    # One text may begin with several titles: its rest is looked for once for each number of words.
    rests: dict[str, str] = {}
    titled: dict[str, set[str]] = defaultdict(set)  # document -> keys of rests
    statement = f"SELECT id, title FROM documents WHERE {_CORPUS} AND piece_of IS NULL AND title <> ''"
    for document, title in _Rows(staging, statement):
        head = tuple(words_in_order(title))
        for identity in heads.get(head, ()):
            key = f"{len(head)} {identity}"
            titled[document].add(key)
            if key not in rests:
                text = texts[identity]
                rests[key] = text[word_places(text)[len(head) - 1][1] :]
    if not titled:
        return
    held = contained(rests.items(), _contents(staging, titled), near=near, most=len(titled))
    for one in chain.from_iterable(held.found.values()):
        if one.text in titled[one.document]:
            yield replace(one, text=one.text.partition(" ")[2])


def _contents(staging: Staging, identities: Iterable[str]) -> list[tuple[str, str]]:
    """The texts, below their titles, of some whole documents."""
    staging.table("wanted", "id VARCHAR", [[identity] for identity in identities])
    return staging.all(
        f"""SELECT DISTINCT d.id, d.title || ' ' || d.text FROM documents d JOIN wanted USING (id)
        WHERE {_CORPUS} AND d.piece_of IS NULL ORDER BY d.id"""
    )


def _place(staging: Staging, held: Containment, joined: Joined) -> None:
    """Link each text to the documents of the set that contain it; to pieces, where the document was cut."""
    by_document: dict[str, list[Occurrence]] = defaultdict(list)
    for found in chain.from_iterable(held.found.values()):
        by_document[found.document].append(found)
    for part in batched(sorted(by_document), _FETCHED):
        contents = _contents(staging, part)
        titles = dict(staging.all("SELECT DISTINCT d.id, length(d.title) FROM documents d JOIN wanted USING (id)"))
        pieces: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for parent, identity, metadata in staging.all(
            """SELECT d.piece_of, d.id, d.metadata FROM documents d JOIN wanted ON d.piece_of = wanted.id
            ORDER BY length(d.id), d.id"""
        ):
            piece = json.loads(metadata)[PIECE]
            pieces[parent].append((identity, piece["start"], piece["end"]))
        for document, content in contents:
            places = word_places(content)
            for found in by_document[document]:
                begin_at, end_at = places[found.start][0], places[found.end - 1][1]
                if document in pieces:
                    before = titles[document] + 1  # the title and a space: pieces count from the text
                    links = _in_pieces(pieces[document], begin_at - before, end_at - before, exact=found.exact)
                else:
                    filled = (found.end - found.start) / len(places)
                    behind = len(content[:end_at].encode()) > READ_BYTES
                    links = [Link(document, 1.0, filled, found.exact, behind)]
                joined.links.setdefault(found.text, []).extend(links)
    for text in held.found:
        # A document may contain a text at several places: the place with most of it counts.
        best: dict[str, Link] = {}
        for link in sorted(joined.links[text], key=lambda link: (-link.held, link.behind, -link.filled)):
            best.setdefault(link.document, link)
        joined.links[text] = [best[document] for document in sorted(best)]


def _in_pieces(pieces: Sequence[tuple[str, int, int]], begin: int, end: int, *, exact: bool) -> list[Link]:
    """The pieces that hold half of a passage, or that it fills by half; at least the one that holds most of it."""
    links = []
    for identity, start, stop in pieces:
        shared = min(end, stop) - max(begin, start)
        if shared > 0:
            links.append(Link(identity, shared / (end - begin), shared / (stop - start), exact))
    if not links:  # the passage is in the title, which every piece has
        return [Link(pieces[0][0], 1.0, 0.0, exact)]
    found = [link for link in links if link.held >= HALF or link.filled >= HALF]
    return found or [max(links, key=lambda link: link.held)]


def _find_parts(staging: Staging, texts: dict[str, str], joined: Joined, near: float | None) -> None:
    """Find the documents that are part of texts that no document contains.

    Documents that together make up half of a text count as containing it; else they are its parts.
    """
    found: dict[str, list[Occurrence]] = defaultdict(list)
    for block in _corpus_blocks(staging):
        for document, rows in contained(block.items(), list(texts.items()), near=near).found.items():
            if is_sure(words_in_order(block[document])):
                for one in rows:
                    found[one.document].append(one)
    for identity, rows in found.items():
        length = len(words_in_order(texts[identity]))
        # Documents may overlap: each word of the text counts once.
        covered = len({word for one in rows for word in range(one.start, one.end)})
        ordered = sorted(rows, key=lambda one: one.text)
        links = [Link(one.text, (one.end - one.start) / length, 1.0, one.exact) for one in ordered]
        (joined.links if covered >= HALF * length else joined.parts)[identity] = links


def _corpus_blocks(staging: Staging) -> Iterator[dict[str, str]]:
    """The documents that can be part of a text, without their titles, in blocks of about 60 MB."""
    rows = _Rows(staging, f"SELECT id, text FROM documents WHERE {_CORPUS} AND NOT parent")
    return map(dict, batched(rows, _BLOCK, lambda row: len(row[1])))
