"""Models that rank by a score of every query with every document: opened by a description that processes can share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tardif.encoder.base import resolve_base
from tardif.evaluation.exhaustive import BlockScorer, Corpus, DenseScorer, LateScorer
from tardif.evaluation.work import write_part
from tardif.progress import Console
from tardif.ranking import TopK
from tardif.types import Document

ModelKind = Literal["late", "dense", "raw", "step 0"]
# Texts that a dense model encodes between two steps of the progress bar.
_DENSE_BLOCK = 512
# Seconds of work that an interrupted evaluation loses at most, beside the block that it was at.
KEEP_SECONDS = 30.0


@dataclass(frozen=True)
class ModelSpec:
    """A model, as any process can open it.

    Attributes:
        kind: a late-interaction checkpoint; a dense model; the raw token vectors of a base; or a base with the recipe
            at step 0.
        folder: of the model or the base.
        device: torch's name of the device.
        sample: the texts that the projection of an untrained base is fitted on.
    """

    kind: ModelKind
    folder: str
    device: str
    sample: tuple[str, ...] = ()

    def corpus(self, documents: Sequence[Document]) -> Corpus:
        """Return documents in the blocks that the model encodes."""
        if self.kind == "dense":
            return Corpus(documents, block=_DENSE_BLOCK, longest_first=False)
        return Corpus(documents)

    def scorer(self, model: Any, queries: Sequence[str]) -> BlockScorer:
        """Return the scorer of queries."""
        return DenseScorer(model, queries) if self.kind == "dense" else LateScorer(model, queries)


class Models:
    """Opens models; the last one stays open, for the next data set."""

    def __init__(self) -> None:
        self._key: Any = None
        self._model: Any = None

    def open(self, spec: ModelSpec) -> Any:
        """Return the model of a description.

        Raises:
            ModelError: it cannot be loaded.
        """
        # The two untrained systems are views of one model.
        key = (spec.kind in ("raw", "step 0") or spec.kind, spec.folder, spec.device, spec.sample)
        if key != self._key:
            self._key = self._model = None  # the memory of the last one is free before the next is loaded
            self._model, self._key = _opened(spec), key
        if spec.kind != "raw":
            return self._model
        from tardif.encoder.model import raw_view

        return raw_view(self._model)


def _opened(spec: ModelSpec) -> Any:
    from tardif.encoder.model import build_model, fit_projection, open_model
    from tardif.encoder.recipe import Recipe

    if spec.kind == "late":
        return open_model(spec.folder, device=spec.device)
    base = resolve_base(spec.folder)
    if spec.kind == "dense":
        from tardif.mining.dense import open_dense

        return open_dense(base, spec.device)
    model = build_model(base, Recipe(), device=spec.device)
    if not base.is_colbert:
        fit_projection(model, spec.sample)
    return model


def rank_part(
    corpus: Corpus,
    score: BlockScorer,
    best: TopK,
    blocks: Iterable[int],
    path: Path | None,
    advance: Callable[[int], None],
) -> None:
    """Add the hits in some blocks to the best ones, and keep what is found in a file.

    Args:
        corpus: the documents.
        score: the scorer.
        best: empty; takes the hits.
        blocks: their numbers.
        path: the file; None keeps nothing.
        advance: called with the number of documents done, for progress.
    """
    done: list[int] = []
    kept = time.monotonic()
    for block in blocks:
        corpus.add(best, score, block)
        done.append(block)
        advance(corpus.size(block))
        if path is not None and time.monotonic() - kept > KEEP_SECONDS:
            write_part(path, best.keys, done)
            kept = time.monotonic()
    if path is not None and done:
        write_part(path, best.keys, done)


def warn_of_truncation(name: str, model: Any, data: str, documents: Sequence[Document], console: Console) -> None:
    """Say what a model does not read of the documents. They are judged whole, so they are not cut."""
    from tardif.encoder.truncation import document_reach, overlong, truncation_warning

    way_out = "Documents are judged whole, so they are not cut here; a search of pieces (--chunk) finds it."
    found, reach = overlong(model, documents), document_reach(model)
    if line := truncation_warning(found, reach, len(documents), way_out):
        console.say(f"{name} on {data}: {line}")
