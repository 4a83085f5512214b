"""The one place where a miner's name becomes a searcher; a hybrid one fuses several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.checks import check_list
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.errors import SettingError
from tardif.mining.dense import DenseSearcher
from tardif.mining.late import LateSearcher
from tardif.mining.searcher import Scorer, Searcher
from tardif.progress import Console
from tardif.ranking import DEPTH, fuse
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import Language
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

MINERS = ("lexical", "dense", "late", "hybrid")


def check_miner(name: str) -> str:
    """Return ``name`` if it is a miner's.

    Raises:
        SettingError: it is not.
    """
    if name not in MINERS:
        raise SettingError(f"The miner {name!r} is not known: use {', '.join(MINERS[:-1])} or {MINERS[-1]}.")
    return name


def make_searcher(
    name: str,
    documents: Sequence[Document],
    *,
    language: Language,
    base: str | Path = MINILM,
    model: MultiVectorEncoder | str | Path | None = None,
    dense_model: str | Path | None = None,
    size: str = "small",
    device: str = "cpu",
    cache: str | Path | None = None,
    console: Console | None = None,
) -> Scorer:
    """A searcher over a corpus, by its miner's name.

    Args:
        name: ``lexical`` (BM25); ``dense`` (one vector per text); ``hybrid`` (both, fused; dense judges);
            ``late`` (exact MaxSim over the hybrid's candidates, or over the whole of a small corpus).
        documents: the corpus.
        language: chooses stemmer, stopwords and dense model.
        base: the base that is trained; it takes the place of a dense model that cannot be had, and
            searches late by its raw token vectors where no ``model`` is given.
        model: the late-interaction model for ``late``: loaded, or a checkpoint's folder or hub id.
        dense_model: a dense model in place of the language's.
        size: of the language's dense model: small, base or large.
        device: torch's name of the device.
        cache: a folder for the corpus's vectors.
        console: where to show progress.

    Raises:
        SettingError: the name or size is not known.
        ModelError: a model cannot be had or loaded.
        DataError: two documents have the same id.
        FolderError: the cache cannot be written.
    """
    check_miner(name)

    def dense() -> DenseSearcher:
        return DenseSearcher(
            documents,
            language=language,
            model=dense_model,
            size=size,
            base=base,
            device=device,
            cache=cache,
            console=console,
        )

    def hybrid() -> HybridSearcher:
        return HybridSearcher([LexicalSearcher(documents, language), dense()])

    if name == "lexical":
        return LexicalSearcher(documents, language)
    if name == "dense":
        return dense()
    if name == "hybrid":
        return hybrid()
    return LateSearcher(_late_model(model, base, device), documents, hybrid, cache=cache, console=console)


def _late_model(model: Any, base: str | Path, device: str) -> MultiVectorEncoder:
    """The model given, or the base before any training: its raw token vectors, or itself if it is a ColBERT."""
    from tardif.encoder.model import build_model, open_model, raw_view
    from tardif.encoder.recipe import Recipe

    if isinstance(model, str | Path):
        return open_model(str(model), device=device)
    if model is not None:
        return model  # type: ignore[no-any-return]
    found = resolve_base(base)
    built = build_model(found, Recipe(), device=device)
    return built if found.is_colbert else raw_view(built)


class HybridSearcher:
    """Fuses the rankings of several searchers.

    A ratio of two fused scores (:mod:`tardif.ranking`) means nothing, so :meth:`score` is that of one judge.

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
