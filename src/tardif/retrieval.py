"""Search with a trained model: build an index, open it, search it, rerank without one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tardif.data.cutting import Chunk, cutter
from tardif.data.documents import read_documents
from tardif.errors import FolderError, SettingError
from tardif.evaluation import encode_documents, encode_queries
from tardif.folders import check_output
from tardif.index.exact import ExactIndex
from tardif.modeling.base import resolve_base
from tardif.scoring import LOWEST, maxsim_arrays, top
from tardif.talk import Talk
from tardif.types import Document, Hit, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


class Retriever:
    """A model and an index, searched together. The model is loaded with the first query."""

    def __init__(
        self,
        index: str | Path,
        *,
        model: str | Path | None = None,
        device: str = "cpu",
        trust_remote_code: bool = False,
    ) -> None:
        """Open an index.

        Args:
            index: the folder that :meth:`build` wrote.
            model: where the model is now, if it was moved since.
            device: torch's name of the device for the queries.
            trust_remote_code: let the model bring its own code.

        Raises:
            FolderError: the index is damaged, or its model is gone or has been trained anew since.
        """
        self.index = ExactIndex(index)
        self.device = device
        self.trust_remote_code = trust_remote_code
        self.model_path = self._find_model(None if model is None else Path(model))
        self._model: MultiVectorEncoder | None = None

    @classmethod
    def build(
        cls,
        model: str | Path,
        documents: Any,
        out: str | Path,
        *,
        chunk: Chunk = "auto",
        overwrite: bool = False,
        device: str = "cpu",
        trust_remote_code: bool = False,
        quiet: bool = False,
    ) -> Retriever:
        """Encode a corpus with a late-interaction model and index it.

        Args:
            model: a checkpoint's folder or hub id.
            documents: a list of texts, dicts or :class:`~tardif.types.Document`; a file; a folder.
            out: the index's folder.
            chunk: cut documents longer than so many of the model's tokens; ``auto`` cuts files of text,
                Markdown, HTML and PDF at 256 and keeps rows whole; None keeps all whole.
            overwrite: replace what stands there.
            device: torch's name of the device to encode on.
            trust_remote_code: let the model bring its own code.
            quiet: show no progress on stderr.

        Raises:
            ModelError: the model cannot be loaded or is not late-interaction.
            DataError: the documents cannot be read.
            FolderError: the folder cannot be written.
        """
        from tardif.modeling.build import open_model

        out = check_output(Path(out), overwrite=overwrite)
        base = resolve_base(model, trust_remote_code=trust_remote_code)
        folder = base.folder
        cut = cutter(documents, chunk, lambda: base)
        corpus = [piece for document in read_documents(documents) for piece in (cut(document) if cut else [document])]
        encoder = open_model(str(folder), device=device, trust_remote_code=trust_remote_code)
        remembered = {
            "path": str(folder),
            "relative": os.path.relpath(folder, out) if folder.drive == out.drive else None,
            "fingerprint": fingerprint(folder),
        }
        with Talk(quiet=quiet).progress("Indexing", len(corpus), "documents") as bar:
            ExactIndex.build(
                out,
                corpus,
                lambda texts: encode_documents(encoder, texts),
                model=remembered,
                overwrite=overwrite,
                advance=bar.advance,
            )
        retriever = cls(out, device=device, trust_remote_code=trust_remote_code)
        retriever._model = encoder
        return retriever

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The ``k`` best documents for a query by exact MaxSim, best first.

        Raises:
            SettingError: the query is empty or ``k`` is below 1.
        """
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The hits of several queries, encoded and scored together.

        Raises:
            SettingError: a query is empty or ``k`` is below 1.
        """
        _check(queries, k)
        vectors, lengths = encode_queries(self.model, list(queries))
        found = self.index.search(vectors, lengths, k)
        documents = self.index.documents.get(sorted({identity for hits in found for identity, _ in hits}))
        return [_hits(hits, documents) for hits in found]

    def run(self, queries: Mapping[str, str], k: int = 100) -> Run:
        """The run of queries by id: query id -> document id -> score."""
        _check(list(queries.values()), k)
        vectors, lengths = encode_queries(self.model, list(queries.values()))
        found = self.index.search(vectors, lengths, k)
        return {query: dict(hits) for query, hits in zip(queries, found, strict=True)}

    @property
    def model(self) -> MultiVectorEncoder:
        """The encoder, loaded on first use."""
        if self._model is None:
            from tardif.modeling.build import open_model

            self._model = open_model(str(self.model_path), device=self.device, trust_remote_code=self.trust_remote_code)
        return self._model

    def _find_model(self, given: Path | None) -> Path:
        """The model's folder, checked to be the one that the documents were encoded with."""
        remembered = self.index.manifest["model"]
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
    if not isinstance(k, int) or k < 1:
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


def fingerprint(folder: Path) -> str:
    """A checksum of what determines a model's vectors: its configs, tokenizer and weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix not in (".json", ".safetensors", ".txt", ".model", ".bin"):
            continue
        if path.name == "results.json":
            continue
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
