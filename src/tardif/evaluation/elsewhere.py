"""What a training cost elsewhere: a model compared with the untrained base on foreign queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tardif.evaluation.figures import p_words, signed
from tardif.evaluation.verdict import DECIDES, FEW, Comparison


@dataclass(frozen=True)
class Elsewhere:
    """The published model on one set of foreign queries, before and after training.

    Attributes:
        data: the set's name.
        checksum: of its queries, judgements and documents: figures with equal ones are comparable.
        documents: the number of documents.
        before: the measures of the stronger of the two untrained systems on this set.
        after: those of the published model.
        comparison: of the two, query by query.
    """

    data: str
    checksum: str
    documents: int
    before: Mapping[str, float]
    after: Mapping[str, float]
    comparison: Comparison

    def sentence(self) -> str:
        """Return the figures as one plain sentence.

        >>> from tardif.evaluation.verdict import compare_values
        >>> before = {"nDCG@10": {f"q{n}": n % 2 for n in range(300)}}
        >>> after = {"nDCG@10": {query: 0.9 * value for query, value in before["nDCG@10"].items()}}
        >>> found = compare_values(after, before, "raw")
        >>> Elsewhere("Python 3.11", "", 300, {}, {}, found).sentence()
        'Elsewhere: -.050 nDCG@10 on 300 foreign queries of Python 3.11 (95 % -.057 to -.043, p < .001), worse.'
        """
        one = self.comparison.deciding
        verdict = "too few queries to tell" if self.comparison.verdict == FEW else self.comparison.verdict
        interval = f"95 % {signed(one.low)} to {signed(one.high)}"
        where = f"{self.comparison.queries:,} foreign queries of {self.data}"
        return f"Elsewhere: {signed(one.difference)} {DECIDES} on {where} ({interval}, {p_words(one.p)}), {verdict}."

    def as_json(self) -> dict[str, Any]:
        """Return the figures as ``results.json`` holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Elsewhere:
        """Read what :meth:`as_json` returned."""
        return cls(**{**read, "comparison": Comparison.from_json(read["comparison"])})
