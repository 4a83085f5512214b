"""Judgements of texts moved to the documents that contain these texts (:mod:`tardif.data.hygiene.joining`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tardif.data.chunking import placing
from tardif.data.hygiene.joining import HALF, Joined, Link
from tardif.data.hygiene.rules import CONTAINED_NEGATIVE, CONTAINED_POSITIVE
from tardif.data.json_metadata import metadata_json
from tardif.data.staging import Staging
from tardif.data.synthetic import PARENT
from tardif.text.containment import MOST
from tardif.text.normal import words_in_order
from tardif.types import Document

_WHOLE = 0.95  # the share of a text from which a document contains it
_LETTERS = 4  # the fewest letters of a word that tells what a query is about
_ROWS = 20_000  # judgements moved at a time
# Copies of a positive are judged too, unless there are more of them: every query would be judged with all.
_COPIES = 1_000


@dataclass(frozen=True, slots=True)
class Move:
    """A judgement that moves from its own text to another document.

    Attributes:
        row: the judgement.
        rule: the rule that moves it.
        document: the document that is judged now; the text itself where it stays a document.
        excerpt_of: the document that the text replaces in training; None where training reads the document.
        detail: how the document contains the text.
    """

    row: int
    rule: str
    document: str
    excerpt_of: str | None
    detail: str


@dataclass(slots=True)
class JudgementMoves:
    """All moves, and pairs of a positive's row and another document that is relevant too."""

    moves: list[Move] = field(default_factory=list)
    also: list[tuple[int, str]] = field(default_factory=list)


def settle(staging: Staging, joined: Joined) -> JudgementMoves:
    """Decide where each judgement goes.

    Args:
        staging: with the tables ``stated`` and ``judged_texts``.
        joined: the documents that contain each judged text.
    """
    outcome = JudgementMoves()
    # A cursor of its own: other statements run while its rows are read.
    rows = staging.database.cursor().execute(
        """SELECT s.row, s.given, s.relevance > 0, t.is_document, q.text FROM stated s
        JOIN judged_texts t ON t.id = s.given
        JOIN (SELECT id, min(rowid) AS row FROM queries GROUP BY id) one ON one.id = s.query_id
        JOIN queries q ON q.rowid = one.row
        WHERE s.fate IS NULL ORDER BY s.given, s.row"""
    )
    while part := rows.fetchmany(_ROWS):
        # Only judgements with a choice between documents need the texts of these.
        wanted = {
            link.document
            for _, given, _, _, _ in part
            if len(links := joined.links.get(given, ())) > 1 or given in joined.unsure
            for link in links
        }
        documents = _documents(staging, wanted)
        for row, given, relevant, is_document, query in part:
            links = joined.links.get(given, [])
            if given in joined.unsure and not _fits(query, [documents[link.document] for link in links]):
                continue
            if relevant:
                outcome.also += [(row, link.document) for link in (*links, *joined.parts.get(given, ()))]
            if links and not is_document:
                outcome.moves.append(
                    _positive(row, links, query, documents) if relevant else _negative(row, given, links)
                )
    return outcome


def write(staging: Staging, outcome: JudgementMoves, rules: Iterable[str]) -> None:
    """Carry out moves in ``stated``, and leave the table ``also`` (row, document_id) of other relevant documents.

    Texts that are no longer judged leave the set. The metadata of an excerpt names the document that it replaces.
    """
    rules = set(rules)
    moves = [move for move in outcome.moves if move.rule in rules]
    staging.table(
        "moves",
        "row BIGINT, document_id VARCHAR, excerpt_of VARCHAR, metadata VARCHAR",
        [(m.row, m.document, m.excerpt_of, m.excerpt_of and metadata_json({PARENT: m.excerpt_of})) for m in moves],
    )
    staging.run(
        """UPDATE stated SET document_id = m.document_id, excerpt = CASE WHEN m.excerpt_of IS NOT NULL THEN given END
        FROM moves m WHERE stated.row = m.row"""
    )
    staging.run(
        """UPDATE texts SET metadata = x.metadata FROM (
          SELECT s.given, min(m.metadata) AS metadata FROM moves m JOIN stated s USING (row)
          WHERE m.excerpt_of IS NOT NULL GROUP BY s.given
        ) x WHERE texts.id = x.given
          AND texts.id NOT IN (SELECT document_id FROM stated WHERE relevance > 0 AND document_id IS NOT NULL)"""
    )
    staging.run(
        """DELETE FROM texts WHERE id IN (SELECT s.given FROM moves JOIN stated s USING (row))
        AND id NOT IN (SELECT document_id FROM stated WHERE document_id IS NOT NULL)
        AND id NOT IN (SELECT excerpt FROM stated WHERE excerpt IS NOT NULL)"""
    )
    staging.table("also_found", "row BIGINT, document_id VARCHAR", outcome.also if CONTAINED_POSITIVE in rules else [])
    # Copies of what is judged, and the pieces of a document that is judged by its text, answer as well.
    staging.run(
        f"""CREATE TABLE also AS
        SELECT row, document_id FROM also_found
        UNION SELECT s.row, t.id FROM stated s JOIN judged_texts j ON j.id = s.given AND {CONTAINED_POSITIVE in rules}
          JOIN texts own ON own.id = s.document_id JOIN texts t ON t.key = own.key
          WHERE s.relevance > 0 AND t.metadata NOT LIKE '%{PARENT}%'
            AND t.key NOT IN (SELECT key FROM texts GROUP BY key HAVING count(*) > {_COPIES})
        UNION SELECT s.row, d.id FROM stated s JOIN same ON same.given = s.given AND {CONTAINED_POSITIVE in rules}
          JOIN documents d ON d.piece_of = same.id WHERE s.relevance > 0"""
    )


def report(staging: Staging, joined: Joined, moved: Iterable[str]) -> list[str]:
    """Lines on how many of the texts were found.

    Args:
        staging: after :func:`write`.
        joined: the documents that contain each judged text.
        moved: the rules that moved judgements.
    """
    short = joined.short | joined.unsure
    reasons = [(identity, identity in short, identity in joined.common) for identity in short | joined.common]
    staging.table("reasons", "id VARCHAR, short BOOLEAN, common BOOLEAN", reasons)
    lines = []
    for name, rule, which in (("positives", CONTAINED_POSITIVE, "> 0"), ("negatives", CONTAINED_NEGATIVE, "<= 0")):
        if rule not in moved:
            continue
        every, lost, too_short, common = staging.all(
            f"""SELECT count(*), count(*) FILTER (lost), count(*) FILTER (lost AND r.short),
              count(*) FILTER (lost AND r.common)
            FROM (
              SELECT s.given, s.document_id = s.given AND s.excerpt IS NULL AS lost
              FROM stated s JOIN judged_texts t ON t.id = s.given WHERE s.relevance {which} AND s.fate IS NULL
            ) x LEFT JOIN reasons r ON r.id = x.given"""
        )[0]
        if every and not (rule == CONTAINED_NEGATIVE and lost == every):
            why = [f"{too_short} too short to search for"] * bool(too_short)
            why += [f"{common} in over {MOST} documents"] * bool(common)
            added = f", {lost} added as separate documents" if lost else ""
            added += f" ({', '.join(why)})" if why else ""
            lines.append(f"{every - lost} of {every} {name} found in the documents{added}")
    if count := int(staging.one("SELECT count(DISTINCT excerpt) FROM stated WHERE relevance > 0")):
        lines.append(
            f"{count} positives lie beyond the tokens that a model reads of their document: they are used in training, "
            "but no search can find the documents by them; cut the documents into pieces (--chunk 256, in Python "
            "chunk=256)"
        )
    return lines


def _documents(staging: Staging, identities: Iterable[str]) -> dict[str, Document]:
    staging.table("wanted", "id VARCHAR", [[identity] for identity in sorted(identities)])
    rows = staging.all("SELECT t.id, t.text, t.title FROM texts t JOIN wanted USING (id)")
    return {row[0]: Document(*row) for row in rows}


def _positive(row: int, links: Sequence[Link], query: str, documents: dict[str, Document]) -> Move:
    """Move to the document that contains all of the text; of several, to the one with most of the query's words."""
    # A document with all of the answer is a better positive than one with a part of it.
    candidates = [link for link in links if link.held >= _WHOLE] or list(links)
    best = candidates[0]
    if len(candidates) > 1:
        ordered = sorted(candidates, key=lambda link: (link.behind, len(link.document), link.document))
        candidates = [link for link in ordered if link.behind == ordered[0].behind]
        place = placing([documents[link.document] for link in candidates])(query)
        best = next(link for link in candidates if link.document == place)
    excerpt_of = best.document if best.behind else None
    return Move(row, CONTAINED_POSITIVE, best.document, excerpt_of, _detail(best, len(links)))


def _negative(row: int, given: str, links: Sequence[Link]) -> Move:
    """Move to the document that the text fills most of, if it fills half; else train on the text as an excerpt."""
    best = max(links, key=lambda link: (link.filled, link.held))
    if best.filled >= HALF and best.held >= HALF:
        return Move(row, CONTAINED_NEGATIVE, best.document, None, _detail(best, len(links)))
    return Move(row, CONTAINED_NEGATIVE, given, best.document, f"a passage of {best.document}")


def _detail(link: Link, count: int) -> str:
    how = "word for word" if link.exact else "nearly word for word"
    parts = [how if link.held >= _WHOLE else f"{link.held:.0%} of it, {how}"]
    # True counts as 1, so the list is empty or has one item.
    parts += ["beyond what a model reads"] * link.behind
    parts += [f"{count} documents hold it"] * (count > 1)
    return "; ".join(parts)


def _fits(query: str, documents: Sequence[Document]) -> bool:
    """Whether half of the query's longer words are in one of the documents too."""
    asked = {word for word in words_in_order(query) if len(word) >= _LETTERS or not word.isascii()}
    return bool(asked) and any(
        2 * len(asked.intersection(words_in_order(document.content))) >= len(asked) for document in documents
    )
