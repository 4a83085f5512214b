"""Dense search: one vector per text, exact cosines over the whole corpus (sentence-transformers)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_choice, check_list
from tardif.cluster.connection import Cluster
from tardif.cluster.pool import Pool
from tardif.cluster.shipping import ship
from tardif.data.spooled import at_hand
from tardif.encoder import MINILM
from tardif.encoder.base import Base, resolve_base
from tardif.errors import ModelError, SettingError
from tardif.mining.vector_cache import Contents, Encode, EncodeBlocks, Remembered, encode_all, fingerprint
from tardif.progress import Console
from tardif.ranking import Ids, TopK
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SIZES = ("small", "base", "large")

# Texts per block of the cache: a kill costs at most one block, and within it texts are sorted by length.
_BLOCK = 512
_BATCH = 32
# Cosines of a batch of queries by a block of documents that are held at a time: 2**22 floats are 16 MB.
_COSINES = 1 << 22
_QUERIES = 256


@dataclass(frozen=True, slots=True)
class DenseModel:
    """A dense model and its prefixes for queries and documents. A prefix of None uses the model's own saved prompt."""

    name: str
    query_prefix: str | None = None
    document_prefix: str | None = None


def _family(pattern: str, query: str, document: str, sizes: Sequence[str] = SIZES) -> Mapping[str, DenseModel]:
    return {size: DenseModel(pattern.format(name), query, document) for size, name in zip(SIZES, sizes, strict=True)}


# The dense models of each language, by size. BGE v1.5 (Xiao et al., C-Pack, SIGIR 2024) with the instructions of its
# model cards; Solon has no small model.
MODELS: Mapping[str, Mapping[str, DenseModel]] = {
    "en": _family("BAAI/bge-{}-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
    "zh": _family("BAAI/bge-{}-zh-v1.5", "为这个句子生成表示以用于检索相关文章：", ""),
    "fr": _family("OrdalieTech/Solon-embeddings-{}-0.1", "query : ", "", ("base", "base", "large")),
}

# The models of every other language (Wang et al., Multilingual E5, 2024).
MULTILINGUAL = _family("intfloat/multilingual-e5-{}", "query: ", "passage: ")


def dense_model(language: Language, size: str = "small") -> DenseModel:
    """Return the dense model of a language.

    Raises:
        SettingError: the size is none of :data:`SIZES`.

    >>> from tardif.text.languages import language
    >>> dense_model(language("sw")).name
    'intfloat/multilingual-e5-small'
    """
    check_choice("size", size, SIZES)
    return MODELS.get(language.code, MULTILINGUAL)[size]


class DenseSearcher:
    """Searches a corpus by the cosine of dense vectors.

    The corpus is encoded once. Nothing is approximated: every query is compared with every document,
    a block of each at a time, so memory holds the corpus's ids and vectors (these on disk, with a cache) and one block.

    Args:
        documents: the corpus, also from a generator, which is then kept on disk until it is encoded
            (:func:`tardif.data.spooled.spooled`); title and text are encoded, a block of them at a time.
        language: a code or language; chooses the model if none is named.
        model: a dense model by folder or hub id, or a loaded one.
        size: of the language's model; ``small`` mines about as well as ``large`` in a tenth of the time.
        query_prefix: text before each query; by default what the model is known to need, or its
            own saved prompt.
        document_prefix: the same for documents.
        base: used, mean-pooled, if the language's model is neither in the local cache nor on a reachable hub.
            :attr:`notes` then says so.
        device: torch's name of the device.
        cache: a folder for the corpus's vectors; an interrupted run resumes from it.
        console: where to show progress.
        cluster: where documents are encoded, in place of this process.

    Attributes:
        notes: what the user should know about the model.

    Raises:
        ModelError: a named model is missing, or the language's model and the base are.
        SettingError: the language or size is not known.
        DataError: two documents have the same id.
        FolderError: the cache cannot be written.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        *,
        language: Language | str = "en",
        model: str | Path | SentenceTransformer | None = None,
        size: str = "small",
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        base: str | Path = MINILM,
        device: str = "cpu",
        cache: str | Path | None = None,
        console: Console | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.notes: list[str] = []
        documents = at_hand(documents)
        lengths = array("q")

        def read() -> Iterator[str]:
            for document in documents:
                lengths.append(len(document.content))
                yield document.id

        ids = Ids(read())
        # Long texts first: a batch too large for the memory shows at once, and little is padded. Equal ones by id.
        order = np.lexsort((ids.places, -np.array(lengths)))
        self._ids = Ids(map(ids.__getitem__, order.tolist()))
        chosen = find_language(language) if isinstance(language, str) else language
        wanted = self._load(chosen, model, size, base, device)
        query_prefix = _first(query_prefix, wanted.query_prefix, self._own("query"))
        document_prefix = _first(document_prefix, wanted.document_prefix, self._own("document", "passage", "corpus"))
        with self._spread(cluster, document_prefix, console) as over:
            self._vectors = encode_all(
                Contents(documents, order),
                partial(_encode, self._model.encode_document, document_prefix),
                block=_BLOCK,
                dtype="float32",
                folder=None if cache is None else Path(cache),
                identity="" if cache is None else fingerprint(self._model, repr(document_prefix)),
                console=console,
                what="Encoding documents (dense)",
                over=over,
            ).rows  # [documents, dim]
        self._query_vectors = Remembered(partial(_encode, self._model.encode_query, query_prefix), limit=8192)

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, cosine), best first; equal scores by id, the highest first."""
        queries = check_list(queries, "queries", SettingError)
        found: list[list[tuple[str, float]]] = []
        width = max(_COSINES // _QUERIES, 1)
        for begin in range(0, len(queries), _QUERIES):
            asked = np.concatenate(self._query_vectors(queries[begin : begin + _QUERIES]))  # [queries, dim]
            best = TopK(len(asked), k)
            for first in range(0, len(self._ids), width):
                block = np.asarray(self._vectors[first : first + width])
                best.add(asked @ block.T, self._ids.places[first : first + width])
            found += best.hits(self._ids.ascending)
        return found

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """The cosine of given documents (ids) with each query.

        Raises:
            DataError: a document is not in the corpus.
        """
        wanted = [self._ids.rows(ids) for ids in documents]
        queries = check_list(queries, "queries", SettingError)
        found: list[list[float]] = []
        for begin in range(0, len(queries), _QUERIES):
            asked = self._query_vectors(queries[begin : begin + _QUERIES])
            for [vector], rows in zip(asked, wanted[begin : begin + _QUERIES], strict=True):
                found.append((self._vectors[rows] @ vector).tolist() if rows else [])
        return found

    def _own(self, *names: str) -> str | None:
        """The model's first non-empty prompt of these names: models may be saved with an empty one."""
        prompts = getattr(self._model, "prompts", {})
        return next((prompts[name] for name in names if prompts.get(name)), None)

    @contextmanager
    def _spread(
        self, cluster: Cluster | None, prefix: str | None, console: Console | None
    ) -> Iterator[EncodeBlocks | None]:
        """The encoding of documents by a cluster, if there is one."""
        if cluster is None:
            yield None
            return
        if self._folder is None:
            raise SettingError("A model in memory cannot be sent to a cluster: give its folder.")
        make = partial(_opened_encode, prefix, cluster.device)
        with Pool(cluster, make, [ship(self._folder)], console or Console(quiet=True)) as pool:
            yield pool.map

    def _load(self, language: Language, model: Any, size: str, base: str | Path, device: str) -> DenseModel:
        """Load the given model, the language's, or the base in its place; return its name and prefixes."""
        if model is not None and not isinstance(model, str | Path):
            self._model, self._folder = model, None
            return DenseModel("")
        if model is not None:
            found = resolve_base(model)
            known = [entry for table in (*MODELS.values(), MULTILINGUAL) for entry in table.values()]
            wanted = next((entry for entry in known if entry.name == str(model)), DenseModel(str(model)))
        else:
            wanted = dense_model(language, size)
            try:
                found = resolve_base(wanted.name)
            except ModelError:
                found = resolve_base(base)
                self.notes.append(
                    f"dense: the model for {language.name}, {wanted.name}, is not on this machine and the hub cannot "
                    f"be reached; the base {found.name} itself is used, with mean pooling."
                )
                wanted = DenseModel(found.name)
        self._model, self._folder = open_dense(found, device), found.folder
        return wanted


def _encode(encode: Any, prefix: str | None, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
    vectors = encode(list(texts), prompt=prefix, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32), [1] * len(texts)


def _opened_encode(prefix: str | None, device: str, folder: Path) -> Encode:
    """Open a model in a worker, and return what encodes documents as :class:`DenseSearcher` does."""
    return partial(_encode, open_dense(resolve_base(folder), device).encode_document, prefix)


def _first(*prefixes: str | None) -> str | None:
    return next((prefix for prefix in prefixes if prefix is not None), None)


def open_dense(base: Base, device: str) -> SentenceTransformer:
    """Open a base as a dense model: as it was saved, or with mean pooling if it is no dense model.

    Raises:
        ModelError: the weights cannot be loaded, are missing, or are not numbers.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    from tardif.encoder.loading import check_built, check_report, loading

    what = f"The base {base.name}"
    check_report(what, base.transformer)
    with loading(what, base.folder):
        if base.kind == "dense":
            model = SentenceTransformer(str(base.folder), device=device, local_files_only=True)
        else:
            modules = [Transformer(str(base.transformer)), Pooling(base.hidden_size, "mean")]
            model = SentenceTransformer(modules=modules, device=device)
    check_built(what, base.folder, model, lambda: [model.encode("late interaction", show_progress_bar=False).sum()])
    return model
