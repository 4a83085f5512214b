"""Truncation of documents: a model reads a limited number of tokens, and no search finds the text after them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tardif.batching import batched
from tardif.encoder.base import Base
from tardif.encoder.config_checks import read_config
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

_TOGETHER = 256  # documents tokenised at a time
_WINDOW = 100_000  # characters tokenised at a time: a tokenizer keeps a hundred bytes for each token


class Overlong(NamedTuple):
    """A document that is longer than a model reads; ``tokens`` counts start, marker and end too."""

    id: str
    tokens: int


def as_read(base: Base) -> Base:
    """Return a base with ``max_tokens`` lowered to the length of a document that its files set.

    A ColBERT reads fewer tokens than its encoder has positions, and long documents are cut to what is read.
    """
    if not base.is_colbert:
        return base
    settings = read_config(base.transformer / "sentence_bert_config.json") or {}
    saved = read_config(base.folder / "config_sentence_transformers.json") or {}
    metadata = read_config(base.folder / "artifact.metadata") or {}
    tokenizer = read_config(base.transformer / "tokenizer_config.json") or {}
    own = (settings.get("document_length"), saved.get("document_length"), metadata.get("doc_maxlen"))
    # Its own length takes precedence over its tokenizer's.
    lengths = _numbers(own)[:1] or _numbers((settings.get("max_seq_length"), tokenizer.get("model_max_length")))
    return replace(base, max_tokens=min(base.max_tokens, *lengths)) if lengths else base


def _numbers(found: Iterable[Any]) -> list[int]:
    return [number for number in found if isinstance(number, int) and number > 0]


def document_reach(model: MultiVectorEncoder | LightEncoder) -> int:
    """Return the number of tokens of a document that a model reads, with start, marker and end."""
    if isinstance(model, LightEncoder):
        return model.form.document.max_tokens
    transformer: Any = model[0]
    own = transformer.document_length
    return int(transformer.tokenizer.model_max_length if own is None else own)


def tokenizer_of(model: MultiVectorEncoder | LightEncoder) -> Any:
    """Return a model's tokenizer, of the library ``transformers``, or ``tokenizers`` for an exported encoder."""
    if isinstance(model, LightEncoder):
        return model.whole_tokenizer()
    transformer: Any = model[0]
    return transformer.tokenizer


def overlong(model: MultiVectorEncoder | LightEncoder, documents: Iterable[Document]) -> list[Overlong]:
    """Return the documents that are longer than a model reads, in their order."""
    return list(each_overlong(model, documents))


def each_overlong(model: MultiVectorEncoder | LightEncoder, documents: Iterable[Document]) -> Iterator[Overlong]:
    """Yield the documents that are longer than a model reads, in their order; some documents are read at a time."""
    tokenizer, reach = tokenizer_of(model), document_reach(model)
    prompt = model.form.document.prompt if isinstance(model, LightEncoder) else model.prompts.get("document") or ""
    # A token has at least one byte, and a character at most four: shorter documents need no tokenizer.
    long = (document for document in documents if len(document.content) * 4 > reach)
    for block in batched(long, _TOGETHER):
        texts = [prompt + document.content for document in block]
        for document, tokens in zip(block, _counts(tokenizer, texts), strict=True):
            if tokens > reach:
                yield Overlong(document.id, tokens)


def truncation_warning(found: Iterable[Overlong], reach: int, count: int, way_out: str) -> str:
    """Return the warning about truncated documents; empty if there are none.

    Args:
        found: the truncated documents.
        reach: the number of tokens that are read.
        count: the number of all documents.
        way_out: what the user can do about it.

    >>> truncation_warning([Overlong("manual", 1024)], 512, 10, "Cut it.")
    '1 of 10 documents is longer than the model reads (512 tokens): 50.0% of their text cannot be found (the longest, \
manual, has 1024 tokens). Cut it.'
    """
    number = lost = tokens = 0
    longest = Overlong("", 0)
    for document in found:
        number, lost, tokens = number + 1, lost + document.tokens - reach, tokens + document.tokens
        longest = max(longest, document, key=lambda one: one.tokens)  # the first of equals
    if not number:
        return ""
    share, are = lost / tokens, "is" if number == 1 else "are"
    return (
        f"{number} of {count} documents {are} longer than the model reads ({reach} tokens): "
        f"{max(share, 0.001):.1%} of their text cannot be found (the longest, {longest.id}, has "
        f"{longest.tokens} tokens). {way_out}"
    )


def _counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Count the tokens of each text. Very long texts are counted in parts, which may add a token at each seam."""
    parts = [(row, text[at : at + _WINDOW]) for row, text in enumerate(texts) for at in range(0, len(text), _WINDOW)]
    given = [part for _, part in parts]
    if hasattr(tokenizer, "token_to_id"):  # of the library tokenizers
        around = tokenizer.num_special_tokens_to_add(is_pair=False)
        read = [encoding.ids for encoding in tokenizer.encode_batch_fast(given, add_special_tokens=False)]
    else:
        around = tokenizer.num_special_tokens_to_add(pair=False)
        # verbose=False: the library would warn of every text that is longer than the model reads.
        read = tokenizer(given, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    counts = [around] * len(texts)
    for (row, _), ids in zip(parts, read, strict=True):
        counts[row] += len(ids)
    return counts
