"""Token vectors of real collections, for benchmarks of the engine: encoded once, kept in a work folder.

    .venv/bin/python benchmarks/collection_vectors.py debian-desc scifact --data FOLDER_OF_ARCHIVES --work DIR

The model is all-MiniLM-L6-v2 with the classic recipe at step 0: documents read to 256 tokens, queries filled to 32, 128
dimensions or ``--dim``, computed as this machine trains. An interrupted run goes on with the blocks that are missing.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archives import unpacked
from recipes import as_trained
from tardif.data.judged import read_judged
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model, fit_projection, open_model, transformer_of
from tardif.encoder.recipe import Recipe
from tardif.progress import Console
from tardif.types import Document, Qrels

QUERIES = 1000
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Collection:
    """A collection's documents and queries with their token vectors.

    Attributes:
        documents: the corpus.
        vectors: float32 ``[tokens, dim]``, on disk.
        lengths: rows of each document.
        queries: float32 ``[tokens, dim]``.
        query_ids: in the order of the vectors.
        query_lengths: rows of each query.
        qrels: judgements of these queries.
        bare: the vectors of each query without expansion, its own tokens alone.
    """

    documents: Sequence[Document]
    vectors: NDArray[np.float32]
    lengths: NDArray[np.int64]
    queries: NDArray[np.float32]
    query_ids: Sequence[str]
    query_lengths: NDArray[np.int64]
    qrels: Qrels
    bare: Sequence[NDArray[np.float32]]

    def one_by_one(self) -> Iterator[NDArray[np.float32]]:
        """The vectors of each query."""
        ends = np.cumsum(self.query_lengths)
        for begin, end in itertools.pairwise([0, *ends.tolist()]):
            yield self.queries[begin:end]

    def first(self, count: int) -> Collection:
        """The same with so many documents."""
        rows = int(self.lengths[:count].sum())
        return Collection(
            self.documents[:count],
            self.vectors[:rows],
            self.lengths[:count],
            self.queries,
            self.query_ids,
            self.query_lengths,
            self.qrels,
            self.bare,
        )

    def pieces(self, tokens: int, count: int) -> Collection:
        """So many documents of so many tokens each, cut from these one after the other: a workload of one length."""
        count = min(count, len(self.vectors) // tokens)
        made = [Document(f"piece-{n}", f"piece {n}") for n in range(count)]
        rows = self.vectors[: count * tokens]
        return Collection(
            made, rows, np.full(count, tokens), self.queries, self.query_ids, self.query_lengths, self.qrels, self.bare
        )


def collection(name: str, archives: Path, work: Path, dim: int) -> Collection:
    """A collection with its vectors of a width; encoded if they are not in ``work``."""
    beir = read_judged(unpacked(archives / f"{name}.tar.gz", work / "collections"), "train")
    documents = beir.documents
    query_ids = [query for query in beir.queries if query in beir.qrels][:QUERIES]
    folder = work / f"token-vectors-{dim}" / name
    folder.mkdir(parents=True, exist_ok=True)
    model: list[Any] = []

    def encoded(what: str, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if not (folder / f"{what}.lengths.npy").exists():
            model[:] = model or [open_model(str(model_folder(work, documents, dim)))]
            transformer, expansion = transformer_of(model[0]), transformer_of(model[0]).query_expansion
            transformer.query_expansion = None if what == "bare" else expansion
            _encode(model[0], what, texts, folder)
            transformer.query_expansion = expansion
        return np.load(folder / f"{what}.npy", mmap_mode="r"), np.load(folder / f"{what}.lengths.npy")

    asked = [beir.queries[query] for query in query_ids]
    queries, query_lengths = encoded("query", asked)
    bare, bare_lengths = encoded("bare", asked)
    vectors, lengths = encoded("document", [document.content for document in documents])
    qrels = {query: beir.qrels[query] for query in query_ids}
    parts = np.split(np.array(bare), np.cumsum(bare_lengths)[:-1])
    return Collection(documents, vectors, lengths, np.array(queries), query_ids, query_lengths, qrels, parts)


def model_folder(work: Path, documents: Sequence[Document], dim: int) -> Path:
    """The untrained model, made and saved once; its projection fits the first collection that asks."""
    folder = work / f"model-{dim}"
    if not folder.exists():
        made = build_model(resolve_base(MINILM), Recipe(dim=dim, document_length=256, expansion=32))
        fit_projection(made, [document.content for document in documents[:: max(1, len(documents) // 256)]])
        made.save_pretrained(str(folder))
    return folder


def _encode(model: Any, what: str, texts: Sequence[str], folder: Path) -> None:
    from tardif.encoder.encoding import encode_texts

    parts = [folder / f"{what}.{begin}.npz" for begin in range(0, len(texts), _BLOCK)]
    with Console().progress(f"Encoding ({folder.name})", len(texts), "texts") as bar, as_trained():
        for number, part in enumerate(parts):
            block = texts[number * _BLOCK : (number + 1) * _BLOCK]
            if not part.exists():
                vectors, lengths = encode_texts(model, block, "document" if what == "document" else "query")
                aside = part.with_suffix(".part.npz")
                np.savez(aside, vectors=vectors, lengths=np.array(lengths))
                aside.rename(part)
            bar.advance(len(block))
    lengths = np.concatenate([np.load(part)["lengths"] for part in parts])
    shape = (int(lengths.sum()), np.load(parts[0])["vectors"].shape[1])
    whole = np.lib.format.open_memmap(folder / f"{what}.npy", mode="w+", dtype=np.float32, shape=shape)
    done = 0
    for part in parts:
        rows = np.load(part)["vectors"]
        whole[done : done + len(rows)] = rows
        done += len(rows)
    whole.flush()
    np.save(folder / f"{what}.lengths.npy", lengths)
    for part in parts:
        part.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=128)
    options = parser.parse_args()
    for name in options.names:
        found = collection(name, options.data, options.work, options.dim)
        Console().say(f"{name}: {len(found.documents)} documents, {len(found.vectors)} token vectors")


if __name__ == "__main__":
    main()
