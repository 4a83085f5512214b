"""A collection as RAGatouille's users give it: texts, ids and metadata, checked, cut and preprocessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any
from uuid import UUID

from tardif.checks import called, check_ids, check_list
from tardif.errors import DataError
from tardif.integrations.ragatouille.data import CorpusProcessor, Preprocessing, document_ids_of
from tardif.integrations.ragatouille.indexes import as_documents
from tardif.types import Document

Splitter = Callable[..., list[Any]]


def documents_of(
    collection: Sequence[str],
    document_ids: Sequence[str] | None,
    document_metadatas: Sequence[dict[str, Any]] | None,
    splitter: Splitter | None,
    preprocessing_fn: Preprocessing | list[Preprocessing] | None,
    length: int,
) -> list[Document]:
    """Cut and preprocess a collection, as documents of an index.

    Args:
        collection: the texts.
        document_ids: an id for each text; None makes ids of the texts.
        document_metadatas: a dict for each text, or None.
        splitter: a function of (documents, ids, chunk_size); None keeps documents whole.
        preprocessing_fn: a function of (passages, ids), or several.
        length: the most tokens of a passage.

    Raises:
        ValueError: ids or metadata do not fit the collection.
        DataError: a text or an id cannot be used.
    """
    collection = checked_texts(collection)
    ids = document_ids_of(collection) if document_ids is None else checked_ids(document_ids)
    if len(ids) != len(collection):
        raise ValueError("document_ids must be the same length as collection")
    if len(set(ids)) < len(ids):
        raise ValueError("document_ids must be unique")
    if document_metadatas is not None and len(document_metadatas) != len(collection):
        raise ValueError("document_metadatas must be the same length as collection")
    if splitter is None and preprocessing_fn is None:
        passages = [{"document_id": name, "content": text} for name, text in zip(ids, collection, strict=True)]
    else:
        processor = CorpusProcessor(splitter, preprocessing_fn)
        passages = processor.process_corpus(collection, ids, **({"chunk_size": length} if splitter else {}))
    return as_documents(passages, dict(zip(ids, document_metadatas or (), strict=False)))


def checked_texts(values: Any, name: str = "collection") -> list[str]:
    """A collection as a list of texts.

    Raises:
        DataError: it is a single text, or one of them is no text.
    """
    found = check_list(values, name, DataError)
    for number, text in enumerate(found, start=1):
        if not isinstance(text, str):
            raise DataError(f"{name}: number {number} must be text, not {called(text)}.")
    return [str.__str__(text) for text in found]


def checked_ids(values: Any) -> list[str]:
    """The ids of a collection.

    Raises:
        ValueError: they are not of one type.
        DataError: one of them cannot be an id.
    """
    given = check_list(values, "document_ids", DataError)
    if len({type(name) for name in given}) > 1:
        raise ValueError("All document_ids must be of the same type")
    if not all(isinstance(name, Integral) or str(name).strip() for name in given):
        raise ValueError("document_ids must not contain empty strings")
    return as_ids(given)


def as_ids(values: Any) -> list[str]:
    """One id or several, as the index has them: a whole number is its digits, as is a UUID's text."""
    several = values if hasattr(values, "__iter__") and not isinstance(values, str) else [values]
    return check_ids([str(name) if isinstance(name, UUID) else name for name in several])
