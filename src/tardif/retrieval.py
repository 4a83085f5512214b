"""Search with a trained model: build an index, open it, search and change it, rerank without one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.data.cutting import Chunk, cutter
from tardif.data.documents import read_documents
from tardif.errors import FolderError, SettingError
from tardif.evaluation import encode_documents, encode_queries
from tardif.folders import check_output
from tardif.index.codes import check_bits
from tardif.index.disk import DiskIndex
from tardif.index.filters import Filter, parse_filter
from tardif.index.protocol import RECALL
from tardif.indexing import ENCODER, build_index, check_pool, document_vectors, fingerprint
from tardif.modeling.base import Base, resolve_base
from tardif.scoring import LOWEST, maxsim_arrays, top
from tardif.talk import Talk
from tardif.types import Document, Hit, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.light.encoder import LightEncoder

Where = str | Mapping[Any, Any] | Filter | None
"""Which documents may be found: an expression, a dict (:mod:`tardif.index.filters`), or None for all."""


class Retriever:
    """A model and an index, searched together.

    Queries are encoded without PyTorch where the index holds an exported query encoder, so a search begins in about
    a second; the model itself is loaded when documents are added, or where there is no such encoder.
    """

    def __init__(
        self,
        index: str | Path,
        *,
        model: str | Path | None = None,
        device: str | None = None,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Open an index.

        Args:
            index: the folder that :meth:`build` wrote.
            model: where the model is now, if it was moved since.
            device: torch's name of the device to encode on; by default queries are encoded without torch, and
                documents on the CPU.
            threads: that score; all processors by default.
            trust_remote_code: let the model bring its own code.

        Raises:
            FolderError: the index is damaged; or its model is needed and is gone, or was trained anew since.
        """
        self.index = DiskIndex(index, threads=threads)
        self.device = device or "cpu"
        self.trust_remote_code = trust_remote_code
        self._given = None if model is None else Path(model)
        self._model: MultiVectorEncoder | None = None
        self._light: LightEncoder | None = None
        self._is_light = device is None and model is None and (self.index.folder / ENCODER).is_dir()
        if not self._is_light:
            _ = self.model_path

    @classmethod
    def build(
        cls,
        model: str | Path,
        documents: Any,
        out: str | Path,
        *,
        chunk: Chunk = "auto",
        bits: int = 8,
        pool: float = 1.0,
        overwrite: bool = False,
        device: str = "cpu",
        threads: int | None = None,
        trust_remote_code: bool = False,
        quiet: bool = False,
    ) -> Retriever:
        """Encode a corpus with a late-interaction model and index it.

        Interrupted, the same call goes on with the documents that were not indexed yet.

        Args:
            model: a checkpoint's folder or hub id.
            documents: a list of texts, dicts or :class:`~tardif.types.Document`; a file; a folder.
            out: the index's folder.
            chunk: cut documents longer than so many of the model's tokens; ``auto`` cuts files of text,
                Markdown, HTML and PDF at 256 and keeps rows whole; None keeps all whole.
            bits: of each component as stored: 16, 8, 4 or 2. 8 loses nothing that is measured; 4 and 2 are a half
                and a quarter of it.
            pool: keep one vector for so many tokens of a document (hierarchical pooling: Clavié et al., 2024); 2
                halves the index.
            overwrite: replace what stands there.
            device: torch's name of the device to encode on.
            threads: that score; all processors by default.
            trust_remote_code: let the model bring its own code.
            quiet: show no progress on stderr.

        Raises:
            ModelError: the model cannot be loaded or is not late-interaction.
            DataError: the documents cannot be read.
            SettingError: an option cannot be used.
            FolderError: the folder cannot be written, or another process builds this index.
        """
        out = check_output(Path(out), overwrite=overwrite)
        check_bits(bits)
        check_pool(pool)
        base = resolve_base(model, trust_remote_code=trust_remote_code)
        corpus = _corpus(documents, chunk, base)
        encoder = build_index(
            base,
            corpus,
            out,
            bits=bits,
            pool=pool,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            talk=Talk(quiet=quiet),
        )
        retriever = cls(
            out, device=None if device == "cpu" else device, threads=threads, trust_remote_code=trust_remote_code
        )
        retriever._given, retriever._model = base.folder, encoder
        return retriever

    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what goes on in the background, and let go of the files."""
        self.index.close()

    def __len__(self) -> int:
        return len(self.index)

    def add(self, documents: Any, *, chunk: Chunk = "auto", quiet: bool = False) -> tuple[int, int]:
        """Add documents; those whose ids are there replace them. They can be found when this returns.

        Args:
            documents: as for :meth:`build`, as is ``chunk``.
            chunk: as there.
            quiet: show no progress on stderr.

        Returns:
            How many documents were added, and how many of them replaced one.

        Raises:
            DataError: the documents cannot be read.
            ModelError: the model cannot be loaded.
            FolderError: the model is gone or was trained anew, or the index cannot be written.
        """
        corpus = _corpus(documents, chunk, resolve_base(self.model_path))
        pool, replaced = float(self.index.manifest["pool"]), 0
        with Talk(quiet=quiet).progress("Adding", len(corpus), "documents") as bar:
            for begin in range(0, len(corpus), 256):
                block = corpus[begin : begin + 256]
                vectors, lengths = document_vectors(self.model, [document.content for document in block], pool)
                replaced += self.index.add(block, vectors, lengths)
                bar.advance(len(block))
        return len(corpus), replaced

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents; ids that are not there are passed over. Returns how many were there."""
        return self.index.delete(ids)

    def search(
        self, query: str, k: int = 10, *, where: Where = None, exact: bool = False, recall: float = RECALL
    ) -> list[Hit]:
        """The ``k`` best documents for a query by MaxSim, best first.

        Args:
            query: the query.
            k: how many.
            where: which documents may be found.
            exact: score every document.
            recall: else, the expected share of an exact search's hits.

        Raises:
            SettingError: the query is empty, or an option cannot be used.
        """
        return self.search_many([query], k, where=where, exact=exact, recall=recall)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
    ) -> list[list[Hit]]:
        """The hits of several queries, encoded and scored together; arguments and errors as :meth:`search`."""
        with self.index.moment():
            found = self._search(queries, k, where, exact, recall)
            documents = self.index.get(sorted({identity for hits in found for identity, _ in hits}))
        return [_hits(hits, documents) for hits in found]

    def run(
        self,
        queries: Mapping[str, str],
        k: int = 100,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
    ) -> Run:
        """The run of queries by id: query id -> document id -> score; arguments and errors as :meth:`search`."""
        found = self._search(list(queries.values()), k, where, exact, recall)
        return {query: dict(hits) for query, hits in zip(queries, found, strict=True)}

    def rerank(self, query: str, ids: Sequence[str], k: int = 10) -> list[Hit]:
        """Order documents of the index for a query, from their stored vectors: nothing is encoded but the query.

        Raises:
            SettingError: the query is empty or ``k`` is below 1.
            DataError: a document is not in the index.
        """
        _check([query], k)
        vectors, _ = self._encode([query])
        with self.index.moment():
            ids = list(dict.fromkeys(ids))
            scores = np.array(self.index.score(vectors, ids))
            ranked = top(scores, np.array(ids, dtype=object), k)
            return _hits([hit for hit in ranked if hit[1] > LOWEST], self.index.get(ids))

    def _search(
        self, queries: Sequence[str], k: int, where: Where, exact: bool, recall: float
    ) -> list[list[tuple[str, float]]]:
        _check(queries, k)
        if isinstance(recall, bool) or not isinstance(recall, int | float) or not 0 < recall <= 1:
            raise SettingError(f"recall={recall!r}: give a share above 0, at most 1.")
        allowed = parse_filter(where) if isinstance(where, str | Mapping) else where
        vectors, lengths = self._encode(queries)
        return self.index.search(vectors, lengths, k, exact=exact, recall=recall, where=allowed)

    def _encode(self, queries: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        if not self._is_light:
            return encode_queries(self.model, list(queries))
        if self._light is None:
            from tardif.light.encoder import LightEncoder

            self._light = LightEncoder(self.index.folder / ENCODER)
        return self._light.encode_queries(list(queries))

    @property
    def model(self) -> MultiVectorEncoder:
        """The model, loaded on first use.

        Raises:
            FolderError: it is gone, or was trained anew since.
            ModelError: it cannot be loaded.
        """
        if self._model is None:
            from tardif.modeling.build import open_model

            self._model = open_model(str(self.model_path), device=self.device, trust_remote_code=self.trust_remote_code)
        return self._model

    @property
    def model_path(self) -> Path:
        """The model's folder, checked to be the one that the documents were encoded with.

        Raises:
            FolderError: it is not.
        """
        remembered, given = self.index.manifest["model"], self._given
        places = [given] if given is not None else [Path(remembered["path"])]
        if given is None and remembered.get("relative"):
            places.insert(0, Path(os.path.normpath(self.index.folder.absolute() / remembered["relative"])))
        for place in places:
            if place.is_dir():
                if fingerprint(place) != remembered["fingerprint"]:
                    raise FolderError(
                        f"The model in {place} is not the one that {self.index.folder} was built with: "
                        "build the index again, or say where that model is (--model)."
                    )
                return place
        raise FolderError(
            f"The model of {self.index.folder} is not in {places[-1]} any more: say where it is (--model)."
        )


def _corpus(documents: Any, chunk: Chunk, base: Base) -> list[Document]:
    cut = cutter(documents, chunk, lambda: base)
    return [piece for document in read_documents(documents) for piece in (cut(document) if cut else [document])]


def rerank(
    model: str | Path | MultiVectorEncoder,
    query: str,
    documents: Iterable[Any] | str | Path,
    k: int = 10,
    *,
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> list[Hit]:
    """Order documents for a query by exact MaxSim, without an index.

    Args:
        model: a checkpoint, or an opened ``MultiVectorEncoder``.
        query: the query.
        documents: as for :meth:`Retriever.build`.
        k: how many hits to give.
        device: torch's name of the device.
        trust_remote_code: let the model bring its own code.

    Raises:
        SettingError: the query is empty or ``k`` is below 1.
        DataError: the documents cannot be read.
        ModelError: the model cannot be loaded.
    """
    _check([query], k)
    corpus = read_documents(documents)
    if isinstance(model, str | Path):
        from tardif.modeling.build import open_model

        model = open_model(str(model), device=device, trust_remote_code=trust_remote_code)
    q_vectors, q_lengths = encode_queries(model, [query])
    d_vectors, d_lengths = encode_documents(model, [document.content for document in corpus])
    scores = maxsim_arrays(q_vectors, q_lengths, d_vectors, d_lengths)[0]
    ranked = top(scores, np.array([document.id for document in corpus], dtype=object), k)
    return _hits([hit for hit in ranked if hit[1] > LOWEST], {document.id: document for document in corpus})


def _check(queries: Sequence[str], k: int) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise SettingError(f"k={k!r}: give a whole number of hits, 1 or more.")
    for query in queries:
        if not isinstance(query, str) or not query.strip():
            raise SettingError("The query is empty: give some words.")


def _hits(found: Sequence[tuple[str, float]], documents: Mapping[str, Document]) -> list[Hit]:
    hits = []
    for place, (identity, score) in enumerate(found, start=1):
        document = documents[identity]
        hits.append(Hit(place, identity, score, document.text, document.title, document.metadata))
    return hits
