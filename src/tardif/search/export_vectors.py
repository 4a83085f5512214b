"""An index as Parquet files: ids, texts, metadata and token vectors, for other programs and engines.

vectors-00000.parquet ...   a row per document or piece, in the order of adding:
  id         string
  document   string                 the id of the whole document
  title      string
  text       string
  metadata   string                 JSON
  piece      string                 JSON: number, of, start, end, headings, page; null for a whole document
  vectors    list<list<float>>      token vectors as the index stores them
manifest.json               format, version, model, rows, documents, token vectors, dim, and the files
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tardif.display import Short
from tardif.extras import need
from tardif.folders import expanded, staged, write_json
from tardif.index.disk import DiskIndex
from tardif.index.document_columns import columns_of
from tardif.index.sharded_folder import FolderIndex, ShardedFolder, open_index
from tardif.index.stored import StoredBlock, stored_blocks

FORMAT, VERSION = "tardif-vectors", 1
# Bytes of vectors in a row group, which memory holds a few times, and in a file.
_BLOCK, _FILE = 32 << 20, 1 << 30
_WHOLE = {"id": "string", "document": "string", "title": "string", "text": "string", "metadata": "string"}


@dataclass(repr=False)
class VectorExport(Short):
    """A written export.

    Attributes:
        folder: the folder.
        dim: the width of a token vector.
        rows: the number of documents and pieces.
        documents: the number of documents; one that was cut counts once.
        tokens: the number of token vectors.
        files: the names of the Parquet files, in order.
    """

    folder: Path
    dim: int
    rows: int = 0
    documents: int = 0
    tokens: int = 0
    files: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Lines for a reader."""
        return [
            f"{self.folder}: {self.documents:,} documents in {self.rows:,} rows with {self.tokens:,} token vectors of "
            f"{self.dim} components"
        ]


def export_vectors(index: str | Path, out: str | Path, *, overwrite: bool = False) -> VectorExport:
    """Write an index as Parquet files. The same index gives the same bytes.

    Vectors are those that a search computes with, as float32, which holds them exactly. Rows are streamed: memory holds
    one block of 32 MiB of vectors a few times, however large the index is.

    Args:
        index: the index's folder. Others may search it and write to it meanwhile; the export is of one moment.
        out: the folder to write.
        overwrite: replace a folder that exists.

    Raises:
        FolderError: the index is damaged; or the folder exists (and ``overwrite`` is false) or cannot be written.

    >>> export_vectors("support.index", "support-vectors").rows
    20
    """
    need("parquet", "An export of vectors")
    folder = expanded(out)
    with (
        open_index(expanded(index)) as opened,
        parts_of(opened) as parts,
        staged(folder, overwrite=overwrite) as aside,
    ):
        dim = max(part.store.number("dim") for part in parts)
        made = VectorExport(folder, dim)
        tokens = max(_BLOCK // (4 * max(dim, 1)), 1)
        _write(chain.from_iterable(stored_blocks(part, tokens) for part in parts), aside, made)
        about = {"rows": made.rows, "documents": made.documents, "tokens": made.tokens, "dim": dim, "dtype": "float32"}
        # Without the model's place: the folder may leave this machine.
        model = {"fingerprint": opened.manifest["model"].get("fingerprint")}
        settings = {"bits": opened.bits, "pool": opened.manifest["pool"]}
        write_json(
            aside / "manifest.json",
            {"format": FORMAT, "version": VERSION, "model": model, **settings, **about, "files": made.files},
        )
    return made


@contextmanager
def parts_of(index: FolderIndex) -> Iterator[list[DiskIndex]]:
    """The index, or its shards, in one state."""
    if isinstance(index, ShardedFolder):
        with index.still() as shards:
            yield shards
    else:
        with index.moment():
            yield [index]


def _write(blocks: Iterator[StoredBlock], folder: Path, made: VectorExport) -> None:
    """Write blocks as row groups; a new file begins when one is full."""
    import pyarrow.parquet as pq

    # An index without documents is one file without rows.
    first = next(blocks, StoredBlock([], np.zeros((0, made.dim), dtype=np.float32), [], [], []))
    written, writer, last = _FILE, None, ""
    with ExitStack() as open_file:
        for block in chain([first], blocks):
            batch = _batch(block)
            if written >= _FILE or writer is None:
                open_file.close()
                made.files.append(f"vectors-{len(made.files):05d}.parquet")
                writer = open_file.enter_context(
                    pq.ParquetWriter(
                        folder / made.files[-1],
                        batch.schema,
                        compression="zstd",
                        # Floats hardly repeat: bytes of the same place side by side compress better than a dictionary.
                        use_dictionary=[*_WHOLE, "piece"],
                        column_encoding={"vectors.list.element.list.element": "BYTE_STREAM_SPLIT"},
                    )
                )
                written = 0
            writer.write_batch(batch)
            written += block.vectors.nbytes
            made.rows += len(block.documents)
            made.tokens += len(block.vectors)
            for document in block.documents:  # the pieces of a document follow one another
                made.documents += document.whole_id != last
                last = document.whole_id


def _batch(block: StoredBlock) -> Any:
    """The record batch of a block; its vectors are not copied."""
    import pyarrow as pa

    documents, (tokens, dim) = block.documents, block.vectors.shape
    metadata, wholes, pieces = zip(*map(columns_of, documents), strict=True) if documents else ((), (), ())
    columns = {
        "id": [document.id for document in documents],
        "document": wholes,
        "title": [document.title for document in documents],
        "text": [document.text for document in documents],
        "metadata": metadata,
        "piece": pieces,
    }
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    numbers = pa.array(block.vectors.reshape(-1))
    each = pa.ListArray.from_arrays(pa.array(np.arange(tokens + 1, dtype=np.int32) * dim), numbers)
    ends = np.concatenate([[0], np.cumsum(block.lengths, dtype=np.int64)]).astype(np.int32)
    return pa.RecordBatch.from_pydict({**arrays, "vectors": pa.ListArray.from_arrays(pa.array(ends), each)})
