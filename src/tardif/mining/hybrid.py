"""Several searchers as one, by reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

from tardif.checks import check_list
from tardif.errors import SettingError
from tardif.fusion import DEPTH, fuse
from tardif.lexical import LexicalSearcher
from tardif.mining.searcher import Scorer, Searcher


class HybridSearcher:
    """Fuses the rankings of several searchers.

    A ratio of two fused scores (:mod:`tardif.fusion`) means nothing, so :meth:`score` is that of one judge.

    Args:
        searchers: what is fused; all over the same corpus.
        judge: whose scores :meth:`score` gives; by default the first searcher that is not lexical,
            else the first.
        depth: ranks of each that are fused, where no more are asked for.

    Raises:
        SettingError: there is no searcher, or the judge cannot score.
    """

    def __init__(self, searchers: Sequence[Searcher], judge: Scorer | None = None, *, depth: int = DEPTH) -> None:
        if not searchers:
            raise SettingError("A hybrid searcher needs at least one searcher.")
        first = next((one for one in searchers if not isinstance(one, LexicalSearcher)), searchers[0])
        self._judge: Scorer = first if judge is None else judge  # type: ignore[assignment]
        if not hasattr(self._judge, "score"):
            raise SettingError(
                f"{type(self._judge).__name__} cannot judge a hybrid search, since it has no scores for given "
                "documents: give another judge."
            )
        self._searchers = list(searchers)
        self._depth = depth

    @property
    def notes(self) -> list[str]:
        """What the user should know of the searchers' models."""
        return [note for searcher in self._searchers for note in getattr(searcher, "notes", [])]

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, fused score), best first; equal scores by id, the highest
        first."""
        queries = check_list(queries, "queries", SettingError)
        rankings = [searcher.search(queries, max(k, self._depth)) for searcher in self._searchers]
        return [fuse(of_query, k) for of_query in zip(*rankings, strict=True)]

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """The judge's scores of given documents (ids) of each query.

        Raises:
            DataError: a document is not in the corpus.
        """
        return self._judge.score(queries, documents)
