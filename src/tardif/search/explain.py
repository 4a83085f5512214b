"""Explanations of scores: which token of a document each token of a query matched, and how similar they are.

An explanation is made of two parts. The index, or a model, gives the similarities of the vectors; the tokenizer gives
the places of the tokens in the text. The number of vectors and of tokens must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tardif.checks import check_ids, check_query, shown, text_fault
from tardif.encoder.model_tokens import encode_and_read
from tardif.encoder.spans import ReadText
from tardif.errors import DataError, FolderError
from tardif.explanation import Explanation, Match
from tardif.index.protocol import Index, Vectors
from tardif.index.token_matches import TokenMatches
from tardif.types import Document, Hit

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.encoder.onnx.encoder import LightEncoder
    from tardif.search.search_model import SearchModel


def explain_text(
    model: MultiVectorEncoder | LightEncoder, query: str, text: str, *, document_id: str = ""
) -> Explanation:
    """Explain the score of a text for a query: both are encoded now.

    >>> from tardif.encoder.model import open_model
    >>> found = explain_text(open_model("models/support"), "reset my password", "How to reset a password.")
    >>> best = max(found.matches, key=lambda match: match.similarity)
    >>> sum(match.similarity for match in found.matches) == found.score
    True

    Args:
        model: an opened late-interaction model, or an exported encoder.
        query: the query.
        text: the document's text; with a title, ``Document.content``.
        document_id: the document's id, for the reader.

    Raises:
        SettingError: the query is empty.
        DataError: the document is not a text.
        ModelError: the model pools its tokens itself.
    """
    query = check_query(query)
    if fault := text_fault(text):
        raise DataError(f"The document {fault}.")
    return _encoded(model, query, encode_and_read(model, query, "query"), text, document_id)


def document_explainer(model: MultiVectorEncoder | LightEncoder) -> Callable[[str, Document], Explanation]:
    """Return a function that explains documents as :func:`explain_text` does. It encodes a query once for all of the
    documents that it is asked for one after the other."""

    @lru_cache(maxsize=1)
    def read(query: str) -> tuple[Vectors, ReadText]:
        return encode_and_read(model, query, "query")

    def explain(query: str, document: Document) -> Explanation:
        query = check_query(query)
        return _encoded(model, query, read(query), document.content, document.id)

    return explain


def _encoded(
    model: MultiVectorEncoder | LightEncoder, query: str, asked: tuple[Vectors, ReadText], text: str, document_id: str
) -> Explanation:
    """The explanation of a text, which is encoded, for a query that was encoded."""
    vectors, document_read = encode_and_read(model, text, "document")
    matches = TokenMatches.of_vectors(asked[0], vectors)
    return explanation_of((query, asked[1]), (text, document_read), matches, document_id=document_id)


def explain_stored(index: Index, model: SearchModel, query: str, hit: Hit | str) -> Explanation:
    """Explain a document's score by its stored vectors; :meth:`tardif.search.retriever.Retriever.explain` says how."""
    asked, query_read = model.read_query(query)
    # One moment for texts and vectors: a writer may replace a document between the two.
    with index.moment():
        document = _chosen(index, asked, hit)
        (found,) = index.matches(asked, [document.id])
    notes = []
    if isinstance(hit, Hit) and found.values.size and hit.score != found.score:
        notes.append(
            f"The hit's score, {hit.score:.6g}, is not its MaxSim: a hybrid search blends that with the words' score. "
            "MaxSim is explained."
        )
    return _stored((query, query_read), document, model, found, notes)


def explain_hits(
    index: Index, model: SearchModel, query: str, ranked: Sequence[str], documents: Mapping[str, Document]
) -> list[Explanation]:
    """Explain several documents of an index for one query, which is encoded once.

    Args:
        index: holds the documents; the caller holds its moment.
        model: encodes the query and reads the documents' tokens.
        query: the query.
        ranked: ids of documents or pieces.
        documents: by these ids.
    """
    asked, query_read = model.read_query(query)
    matches = index.matches(asked, ranked)
    return [
        _stored((query, query_read), documents[identity], model, found)
        for identity, found in zip(ranked, matches, strict=True)
    ]


def _stored(
    query: tuple[str, ReadText],
    document: Document,
    model: SearchModel,
    found: TokenMatches,
    notes: Sequence[str] = (),
) -> Explanation:
    """The explanation of a document's stored vectors, with its tokens read from its text.

    Raises:
        FolderError: the tokens are not those of the vectors.
    """
    read = model.read_document(document.content)
    vectors = found.similarities.shape[1]
    tokens = vectors if found.groups is None else sum(map(len, found.groups))
    if tokens != len(read.tokens):
        raise FolderError(
            f"The document {shown(document.id)} has vectors of {tokens} tokens, and the model reads {len(read.tokens)} "
            "tokens with a vector in its text: the index was not built with this model. Build it again."
        )
    return explanation_of(query, (document.content, read), found, document_id=document.id, notes=notes)


def _chosen(index: Index, query: Vectors, hit: Hit | str) -> Document:
    """The document or piece to explain: of several pieces the best for the query."""
    # The id of a whole document would stand for all of its pieces, and a grouped hit has one of them.
    piece = hit.piece if isinstance(hit, Hit) else None
    asked = hit.document_id if isinstance(hit, Hit) else check_ids([hit])[0]
    documents = index.get([asked])
    if isinstance(hit, Hit):
        own = [document for document in documents.values() if document.piece == piece and document.text == hit.text]
        if documents and not own:
            raise DataError(f"The document {shown(asked)} has changed since it was found: search again.")
        documents = {document.id: document for document in own}
    if not documents:
        raise DataError(
            f"The document {shown(asked)} is not in the index: give the id of a document or of a piece, as a search "
            "shows it."
        )
    if len(documents) == 1:
        return next(iter(documents.values()))
    names = list(documents)
    # Equal scores: the highest id first, as a search ranks them.
    return documents[max(zip(index.score(query, names), names, strict=True))[1]]


def explanation_of(
    query: tuple[str, ReadText],
    document: tuple[str, ReadText],
    found: TokenMatches,
    *,
    document_id: str = "",
    notes: Sequence[str] = (),
) -> Explanation:
    """Put texts, tokens and similarities together.

    Args:
        query: its text, and its tokens with a vector.
        document: the same.
        found: how their vectors match.
        document_id: the document's id.
        notes: what else a reader must know.
    """
    (query_text, query_read), (text, read) = query, document
    groups = found.groups or tuple((number,) for number in range(len(read.tokens)))
    matches = tuple(
        Match(number, groups[vector], float(value))
        for number, (vector, value) in enumerate(zip(found.best.tolist(), found.values.tolist(), strict=True))
    )
    # [query tokens, vectors] -> [query tokens, document tokens]: a pooled vector stands at each of its tokens.
    spread = np.zeros((len(query_read.tokens), len(read.tokens)), dtype=np.float32)
    for vector, tokens in enumerate(groups):
        spread[:, list(tokens)] = found.similarities[:, vector : vector + 1]
    return Explanation(
        query=query_text,
        document=text,
        query_tokens=query_read.tokens,
        document_tokens=read.tokens,
        matches=matches,
        score=found.score if matches else 0.0,
        similarities=spread,
        document_id=document_id,
        note=" ".join([*_notes(query_read, read), *notes]),
    )


def _notes(query: ReadText, document: ReadText) -> list[str]:
    """What a reader must know of the two texts."""
    found = []
    for name, read in (("query", query), ("document", document)):
        if not read.tokens:
            found.append(f"The {name} has no token that can be matched.")
        if not read.has_places:
            found.append(
                f"The model's tokenizer does not say where its tokens stand: those of the {name} have no places in "
                "the text, and their texts are the vocabulary's pieces."
            )
        if read.unread:
            found.append(f"The model does not read the {name} to its end: {read.unread} characters are left out.")
    return found
