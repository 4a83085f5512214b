"""Explanations of scores: which token of a document each token of a query matched, and how similar they are.

An explanation is made of two parts. The index, or a model, gives the similarities of the vectors; the tokenizer gives
the places of the tokens in the text. The number of vectors and of tokens must agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tardif.checks import check_ids, check_query, shown, text_fault
from tardif.encoder.model_tokens import EncodedText, encode_and_read
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

# Scores that differ by less, or by a smaller share, are equal but for the rounding of another batch.
_SAME = 1e-3


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
    (asked,), (found,) = encode_and_read(model, [query], "query"), encode_and_read(model, [text], "document")
    return explain_encoded(asked, found, document_id=document_id)


def explain_texts(model: MultiVectorEncoder | LightEncoder, pairs: Sequence[tuple[str, Document]]) -> list[Explanation]:
    """Explain the scores of documents for queries. Every distinct text is encoded once, and all together.

    Args:
        model: an opened late-interaction model, or an exported encoder.
        pairs: each a query and a document.

    Raises:
        SettingError, ModelError: as for :func:`explain_text`.
    """
    queries = [check_query(query) for query, _ in pairs]
    asked = encode_and_read(model, queries, "query")
    found = encode_and_read(model, [document.content for _, document in pairs], "document")
    return [
        explain_encoded(query, text, document_id=document.id)
        for query, text, (_, document) in zip(asked, found, pairs, strict=True)
    ]


def explain_encoded(query: EncodedText, document: EncodedText, *, document_id: str = "") -> Explanation:
    """Explain the score of a text for a query by the vectors that they have."""
    matches = TokenMatches.of_vectors(query.vectors, document.vectors)
    return explanation_of((query.text, query.read), (document.text, document.read), matches, document_id=document_id)


def explain_stored(index: Index, model: SearchModel, pairs: Sequence[tuple[str, Hit | str]]) -> list[Explanation]:
    """Explain documents' scores by their stored vectors; :meth:`tardif.search.retriever.Retriever.explain` says how."""
    queries = model.asked([query for query, _ in pairs])
    found = []
    # One moment for texts and vectors: a writer may replace a document between the two.
    with index.moment():
        for query, (_, hit) in zip(queries, pairs, strict=True):
            document = _chosen(index, query.vectors, hit)
            (matches,) = index.matches(query.vectors, [document.id])
            notes = _blended(hit, matches) if isinstance(hit, Hit) else []
            found.append(_stored(query, document, model, matches, notes))
    return found


def _blended(hit: Hit, matches: TokenMatches) -> list[str]:
    """What to say of a hit whose score is not its MaxSim."""
    # A query encoded in another batch, or by another process, has vectors that differ in their last bits.
    if not matches.values.size or math.isclose(hit.score, matches.score, rel_tol=_SAME, abs_tol=_SAME):
        return []
    return [
        f"The hit's score, {hit.score:.6g}, is not its MaxSim: a hybrid search blends that with the words' score. "
        "MaxSim is explained."
    ]


def explain_hits(
    index: Index, model: SearchModel, query: EncodedText, ranked: Sequence[str], documents: Mapping[str, Document]
) -> list[Explanation]:
    """Explain several documents of an index for one query.

    Args:
        index: holds the documents; the caller holds its moment.
        model: reads the documents' tokens.
        query: with the vectors that the documents were scored by.
        ranked: ids of documents or pieces.
        documents: by these ids.
    """
    matches = index.matches(query.vectors, ranked)
    return [_stored(query, documents[identity], model, found) for identity, found in zip(ranked, matches, strict=True)]


def _stored(
    query: EncodedText,
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
    asked, text = (query.text, query.read), (document.content, read)
    return explanation_of(asked, text, found, document_id=document.id, notes=notes)


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
