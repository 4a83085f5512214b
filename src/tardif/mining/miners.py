"""The one place where a miner's name becomes a searcher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.errors import SettingError
from tardif.languages import Language
from tardif.lexical import LexicalSearcher
from tardif.mining.dense import DenseSearcher
from tardif.mining.hybrid import HybridSearcher
from tardif.mining.late import LateSearcher
from tardif.mining.searcher import Scorer
from tardif.modeling.base import MINILM, resolve_base
from tardif.talk import Talk
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
    talk: Talk | None = None,
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
        talk: where to show progress.

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
            talk=talk,
        )

    def hybrid() -> HybridSearcher:
        return HybridSearcher([LexicalSearcher(documents, language), dense()])

    if name == "lexical":
        return LexicalSearcher(documents, language)
    if name == "dense":
        return dense()
    if name == "hybrid":
        return hybrid()
    return LateSearcher(_late_model(model, base, device), documents, hybrid, cache=cache, talk=talk)


def _late_model(model: Any, base: str | Path, device: str) -> MultiVectorEncoder:
    """The model given, or the base before any training: its raw token vectors, or itself if it is a ColBERT."""
    from tardif.modeling.build import build_model, open_model, raw_view
    from tardif.modeling.recipe import Recipe

    if isinstance(model, str | Path):
        return open_model(str(model), device=device)
    if model is not None:
        return model  # type: ignore[no-any-return]
    found = resolve_base(base)
    built = build_model(found, Recipe(), device=device)
    return built if found.is_colbert else raw_view(built)
