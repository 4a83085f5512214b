"""The results of synthesis: pairs, the variants of documents that they need, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tardif.data.chunking import PIECE
from tardif.data.records import Judgement
from tardif.data.spooled import where
from tardif.display import Short
from tardif.types import Document, Query

# Metadata of a variant: its kind, and the id of the document of the corpus that it was made from.
KIND = "synthetic_kind"
PARENT = "synthetic_parent"


@dataclass(frozen=True, slots=True, repr=False)
class SyntheticPair(Short):
    """A query made from the corpus, and its positive.

    Attributes:
        query: the query's text.
        kind: how it was made.
        document_id: the positive's id.
        parent_id: the document of the corpus that the pair was made from. It answers the query too, so it must not
            be a negative.
        group: the parent, or the whole document where the parent is a piece. Pairs of one group belong on one side of
            a split.
        document: the positive where it is a variant: the parent's text without the words that the query was made
            from. None where the positive is the parent itself.
    """

    query: str
    kind: str
    document_id: str
    parent_id: str
    group: str
    document: Document | None = None


@dataclass(repr=False)
class KindCount(Short):
    """Counts of the candidates of one kind; ``made`` is the sum of ``kept`` and all ``dropped``."""

    made: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def line(self, kind: str) -> str:
        """The counts as a line for a reader."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items()))
        return f"{kind}: {self.kept} kept of {self.made} made" + (f" (dropped: {reasons})" if reasons else "")


@dataclass(frozen=True, repr=False)
class SynthesisResult(Short):
    """Pairs made from a corpus; also a :class:`~tardif.data.records.Source` of judgements.

    Attributes:
        pairs: the pairs, in a seeded order that mixes the kinds.
        counts: the counts by kind.
        copies: the number of documents skipped because another has the same text.
        name: the name of the source in reports.
    """

    pairs: Sequence[SyntheticPair]
    counts: Mapping[str, KindCount]
    copies: int = 0
    name: str = "synthesis"

    @property
    def shape(self) -> str:
        """One line on what the source holds."""
        return f"{self.name}: {len(self.pairs)} queries made from the documents themselves"

    @property
    def report(self) -> list[str]:
        """Lines for a reader."""
        copies = [f"{self.copies} documents passed over: another has the same text"] if self.copies else []
        return [self.shape, *(count.line(kind) for kind, count in self.counts.items()), *copies]

    def documents(self) -> Iterator[tuple[int, Document]]:
        """The variants. They are for training only: a corpus to search must not hold them."""
        seen = set()
        for place, pair in enumerate(self.pairs, start=1):
            if pair.document is not None and pair.document_id not in seen:
                seen.add(pair.document_id)
                yield place, pair.document

    def queries(self) -> Iterator[tuple[int, Query]]:
        """None: every judgement carries its query's text."""
        return iter(())

    def judgements(self) -> Iterator[Judgement]:
        """The pairs as judgements, grouped by the document that they were made from."""
        for place, pair in enumerate(self.pairs, start=1):
            # Its text is known: a variant is among documents(), its parent in the corpus.
            yield Judgement(pair.query, None, "positive", place, document_id=pair.document_id, group=pair.group)


def parent_of(document: Document) -> str | None:
    """The id of the document that a variant was made from; None for a document of the corpus."""
    parent: Any = document.metadata.get(PARENT)
    return parent if isinstance(parent, str) else None


def without_variants(documents: Mapping[str, Document]) -> Sequence[Document]:
    """The documents that hard negatives are searched in. Variants are positives of made queries alone, and would be
    found beside the documents that they were made from."""
    return where(documents, lambda document: parent_of(document) is None)


def whole_of(document: Document) -> str:
    """The id of the document that a piece was cut from (:mod:`tardif.data.chunking`), or its own."""
    piece: Any = document.metadata.get(PIECE)
    parent = piece.get("document") if isinstance(piece, Mapping) else None
    return parent if isinstance(parent, str) else document.whole_id
