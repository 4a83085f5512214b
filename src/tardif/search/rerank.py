"""Rerank documents for a query: those a user gives, encoded now, or those of an index, from their stored vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tardif.checks import check_hits, check_query
from tardif.data.json_metadata import as_stored
from tardif.display import Hits
from tardif.encoder.model_tokens import with_tokens
from tardif.encoder.opening import ready_encoder
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.index.protocol import Index, Vectors
from tardif.progress import Console
from tardif.ranking import Ranking, top
from tardif.scoring import LOWEST, maxsim_arrays
from tardif.search.corpus_reader import CorpusReader
from tardif.search.hits import best_of_each, hit_of
from tardif.types import Document, Hit

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.encoder.onnx.encoder import LightEncoder


def rerank(
    model: str | Path | MultiVectorEncoder | LightEncoder,
    query: str,
    documents: Iterable[Any] | str | Path,
    k: int = 10,
    *,
    device: str = "cpu",
    explain: bool = False,
    trust_remote_code: bool = False,
    report: str | Path | None = None,
    quiet: bool = False,
    **reading: Any,
) -> list[Hit]:
    """Order documents for a query by exact MaxSim, without an index.

    Every given document is ordered, copies included: :attr:`Hit.position <tardif.types.Hit.position>` is a hit's place
    in ``documents``. Equal scores are ordered by id, the highest first, then by position.

    >>> hits = rerank("models/support", "what makes the tides", ["The moon does.", "Bread rises."], quiet=True)
    >>> sorted(hit.position for hit in hits)
    [0, 1]

    Args:
        model: a checkpoint; an exported encoder or an index that has one, which need no PyTorch; or an opened
            ``MultiVectorEncoder`` or :class:`~tardif.encoder.onnx.encoder.LightEncoder`.
        query: the query.
        documents: as for :meth:`Retriever.build <tardif.search.retriever.Retriever.build>`, for example a list of
            texts. Ids need not be unique.
        k: the number of hits.
        device: torch's name of the device.
        explain: give each hit the passage that earned most of its score, and the words that earned it.
        trust_remote_code: let the model run its own code.
        report: as for ``Retriever.build``.
        quiet: do not report what was not read.
        **reading: as for ``Retriever.build``.

    Raises:
        SettingError: the query is empty, or ``k`` is below 1.
        MissingExtraError: the model is a checkpoint, and PyTorch is not installed.
        DataError: the documents cannot be read.
        ModelError: the model cannot be loaded.
    """
    query, k = check_query(query), check_hits(k)
    ready: Callable[[], Any] = lambda: model  # noqa: E731
    if isinstance(model, str | Path):
        ready = ready_encoder(model, device=device, trust_remote_code=trust_remote_code)
    reader = CorpusReader(documents, Console(quiet=quiet), report, reading, beside=[model])
    given = reader.uncut()
    opened = ready()
    reader.show_unread(opened, given, "Cut them first, or search an index of pieces (tardif index --chunk).")
    scored = _score(opened, query, [document.content for document in given])
    scores = scored.scores
    # LOWEST: a query or document without a token that can be scored. It is no hit.
    places = [place for place, score in enumerate(scores) if score > LOWEST]
    places.sort(key=lambda place: (scores[place], given[place].id), reverse=True)  # stable: copies keep their order
    # Metadata as an index would return it.
    found = [(place, replace(given[place], metadata=as_stored(given[place].metadata))) for place in places[:k]]
    hits = Hits(hit_of(rank, document, scores[place], place) for rank, (place, document) in enumerate(found, start=1))
    return _explained(opened, query, scored, hits, [document.content for _, document in found]) if explain else hits


class _Scored(NamedTuple):
    """MaxSim of a query with each text, and the vectors ``[tokens, dim]`` of both."""

    scores: list[float]
    query: Vectors
    texts: Mapping[str, Vectors]


def _score(model: Any, query: str, texts: Sequence[str]) -> _Scored:
    """Score texts; the lowest float for a query without a token. Equal texts are encoded once, so they have equal
    scores whatever batch they would be in."""
    asked, lengths = encode_queries(model, [query])
    if not lengths[0]:
        return _Scored([LOWEST] * len(texts), asked, {})
    distinct = list(dict.fromkeys(texts))
    vectors, counts = encode_documents(model, distinct)
    found = maxsim_arrays(asked, lengths, vectors, counts)[0]  # [1, distinct] -> [distinct]
    by_text = dict(zip(distinct, found.tolist(), strict=True))
    parts = np.split(vectors, np.cumsum(counts)[:-1])
    return _Scored([by_text[text] for text in texts], asked, dict(zip(distinct, parts, strict=True)))


def _explained(model: Any, query: str, scored: _Scored, hits: Sequence[Hit], texts: Sequence[str]) -> list[Hit]:
    """Hits with their snippets, by the vectors that scored them."""
    from tardif.search.explain import explain_encoded
    from tardif.search.snippet import explained_hit

    if not hits:
        return Hits()
    (asked,) = with_tokens(model, [query], scored.query, [len(scored.query)], "query")
    parts = [scored.texts[text] for text in texts]
    found = with_tokens(model, texts, np.concatenate(parts), list(map(len, parts)), "document")
    return Hits(explained_hit(hit, explain_encoded(asked, own)) for hit, own in zip(hits, found, strict=True))


def rerank_stored(
    index: Index, query: Vectors, given: Sequence[str], k: int, *, group: bool
) -> tuple[Ranking, dict[str, Document], dict[str, int]]:
    """Order documents of an index for one query, from their stored vectors.

    Args:
        index: holds the documents. The caller holds its moment: a writer may replace a document between the two reads.
        query: the query's vectors ``[tokens, dim]``.
        given: ids of documents or pieces, repeated ids included.
        k: the number of hits.
        group: one hit per document.

    Returns:
        The ranking, the documents by its ids, and the place of each in ``given``.

    Raises:
        DataError: a document is not in the index.
    """
    ids = list(dict.fromkeys(given))
    documents = index.get(ids)
    known = documents.keys() | {document.whole_id for document in documents.values()}
    # An id that the index does not know is scored too: Index.score says which one it is.
    names = [*documents, *(identity for identity in ids if identity not in known)]
    scores = np.array(index.score(query, names))
    ranked = [hit for hit in top(scores, names, len(names)) if hit[1] > LOWEST]
    if group:
        ranked = best_of_each(ranked, {i: document.whole_id for i, document in documents.items()}, k)
    first = {identity: place for place, identity in reversed(list(enumerate(given)))}
    positions = {i: first.get(i, first.get(document.whole_id, 0)) for i, document in documents.items()}
    return ranked[:k], documents, positions
