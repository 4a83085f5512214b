"""One ranking of an evaluation: what is asked of a system, what is known of it already, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import xxhash

from tardif.data.judged import JudgedSet
from tardif.evaluation.work import PairWork
from tardif.progress import Bar


@dataclass
class Job:
    """The ranking of a judged set by one system. Progress is counted in scores: one query with one document.

    Attributes:
        judged: queries and documents.
        depth: the hits of a query.
        work: what an interrupted evaluation has found.
        bar: of the whole evaluation.
        note: names system and set on it.
        counted: the scores shown so far.
    """

    judged: JudgedSet
    depth: int
    work: PairWork = field(default_factory=PairWork)
    bar: Bar = field(default_factory=lambda: Bar("", None, "scores"))
    note: str = ""
    counted: int = 0

    def __post_init__(self) -> None:
        # Speed and time left are those of the system at work: another one may be a thousand times as fast.
        self.bar.resume(self.bar.done)

    def documents_done(self, count: int) -> None:
        """Count documents that all queries were scored with."""
        self._count(count * len(self.judged.queries))

    def queries_done(self, count: int) -> None:
        """Count queries that were searched in all documents."""
        self._count(count * len(self.judged.documents))

    def documents_known(self, count: int) -> None:
        """Count documents that an interrupted evaluation has scored."""
        self._know(count * len(self.judged.queries))

    def queries_known(self, count: int) -> None:
        """Count queries that an interrupted evaluation has searched."""
        self._know(count * len(self.judged.documents))

    def known(self) -> None:
        """Count everything that is left: an interrupted evaluation has finished this ranking."""
        self._know(size_of(self.judged) - self.counted)

    def _count(self, scores: int) -> None:
        self.counted += scores
        self.bar.advance(scores, self.note)

    def _know(self, scores: int) -> None:
        self.counted += scores
        self.bar.resume(self.bar.done + scores)


def size_of(judged: JudgedSet) -> int:
    """Return the number of scores of a ranking."""
    return len(judged.queries) * len(judged.documents)


def data_digest(judged: JudgedSet) -> str:
    """Return a checksum (XXH3) of what the hits of a judged set depend on: queries, documents, and what is no hit."""
    digest = xxhash.xxh3_128()

    def add(*texts: str) -> None:
        for text in texts:
            content = text.encode("utf-8", "surrogatepass")
            # The length first: ("ab", "c") is not ("a", "bc").
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)

    add(str(len(judged.queries)), str(len(judged.documents)))
    for query, text in judged.queries.items():
        add(query, text)
    for document in judged.documents:
        add(document.id, document.content)
    for query, own in sorted(judged.left_out.items()):
        add(query, *sorted(own))
    return digest.hexdigest()
