"""Build an index in Qdrant, or move one there: in blocks, so that the same command continues an interrupted one.

An embedded shard grows in a hidden folder and is published when it is whole. A collection of a service is there from
the first block on; it remembers that it is not whole, and is not opened before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tardif.errors import FolderError, SettingError
from tardif.folders import check_output, holding, real_place, remove, writable
from tardif.index.disk import DiskIndex
from tardif.index.manifest import check_no_shard
from tardif.index.protocol import Vectors
from tardif.index.qdrant.edge_engine import EdgeEngine
from tardif.index.qdrant.engine import BITS, Engine
from tardif.index.qdrant.places import FORMAT, VERSION, Edge, Service
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.index.sharded_folder import FolderIndex, open_index
from tardif.index.spool import SpooledCorpus
from tardif.index.stored import StoredBlock, stored_blocks
from tardif.progress import Bar, Console
from tardif.search.build import (
    BuildOptions,
    EncodeParts,
    check_corpus,
    corpus_for,
    encoded_blocks,
    encoding,
    finish,
    work_beside,
)
from tardif.search.corpus_reader import CorpusReader
from tardif.search.export_vectors import parts_of
from tardif.search.indexed_model import IndexedModel, precision_of
from tardif.search.query_encoder import ENCODER, bind_encoder, check_encoder, export_encoder
from tardif.search.source_notes import copy_notes, note_source
from tardif.search.sync import source_of
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Documents encoded and uploaded together: a killed build loses at most this many.
_BLOCK = 512
# Token vectors that are moved together.
_TOKENS = 50_000
_Row: TypeAlias = tuple[Document, Vectors, NDArray[np.int64] | None, str]
# What decides the vectors: an unfinished index with others is built from the beginning.
_DECIDES = ("format", "version", "pool", "bits", "from")


def check_target(place: Service | Edge, *, overwrite: bool, read: Sequence[Any] = ()) -> None:
    """Check, before any work, that an index can be built at a place.

    Raises:
        MissingExtraError: the extra ``qdrant`` is not installed.
        FolderError: there is one, and ``overwrite`` is false; or the folder cannot be written, or holds what the build
            reads (``read``).
        ServiceError: no service answers, or it refuses.
    """
    if isinstance(place, Edge):
        check_output(check_no_shard(place.folder), overwrite=overwrite, read=read)
        return
    engine = place.engine()
    try:
        _check_free(engine.about(), place, overwrite=overwrite)
    finally:
        engine.close()


def _check_free(about: Mapping[str, Any] | None, place: Service | Edge, *, overwrite: bool) -> None:
    if about is not None and about.get("whole") and not overwrite:
        raise FolderError(f"{place} exists: give another name, or --overwrite (in Python overwrite=True).")


def build_in_qdrant(
    model: str | Path, reader: CorpusReader, place: Service | Edge, options: BuildOptions, bits: int | None = None
) -> MultiVectorEncoder:
    """Read, encode and index a corpus. Interrupted, the same call continues: documents that are there unchanged are not
    encoded again.

    Args:
        model: a late-interaction checkpoint: a folder or a hub id.
        reader: gives the corpus, and shows progress.
        place: of the index.
        options: how; its ``bits`` are those of Tardif's own index.
        bits: of each component that Qdrant stores: 32 or 16.

    Returns:
        The model that encoded the corpus.

    Raises:
        SettingError: an option cannot be used with Qdrant.
        ModelError, DataError: as for :func:`tardif.search.build.build_index`.
        FolderError, ServiceError: as for :func:`check_target`.
    """
    bits = _bits_of(bits)
    if options.words is not None:
        raise SettingError(f"{place}: an index in Qdrant holds no words. Leave out --hybrid (in Python hybrid=True).")
    with corpus_for(model, reader, options) as (base, corpus, encoder, decided):
        about = _about(_model(base.folder, place, decided.precision), options.pool, bits)
        with _under_way(place, about, bits, overwrite=options.overwrite) as index:
            with (
                encoding(encoder, base.folder, decided, reader.console) as encode,
                reader.console.progress("Indexing", len(corpus), "documents") as bar,
            ):
                _fill(index, corpus, encode, bar, source_of(reader.documents))
            note_source(index, reader, source_of(reader.documents), options.chunk, home=True)
            if isinstance(index.folder, Path):
                export_encoder(encoder, index.folder / ENCODER, reader.console)
                bind_encoder(index)
    return encoder


def _bits_of(bits: int | None) -> int:
    if bits is not None and bits not in BITS:
        raise SettingError(
            f"bits={bits}: Qdrant stores vectors in 32 bits or in 16. Give one of them, or leave it out."
        )
    return bits or BITS[0]


def _about(model: Mapping[str, Any], pool: float, bits: int) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "pool": pool, "bits": bits, "model": dict(model), "whole": False}


def _model(folder: Path, place: Service | Edge, precision: str) -> dict[str, Any]:
    """What the index remembers of its model."""
    return IndexedModel.remember(folder, place.folder if isinstance(place, Edge) else str(place), precision)


def _fill(index: QdrantIndex, corpus: SpooledCorpus, encode: EncodeParts, bar: Bar, source: str) -> None:
    """Make an index hold exactly these documents."""
    check_corpus(corpus)

    def blocks() -> Iterator[list[Document]]:
        for block in corpus.blocks(_BLOCK):
            missing = list(index.unlike(block))
            bar.resume(bar.done + len(block) - len(missing))
            if missing:
                yield missing

    for documents, encoded in encoded_blocks(blocks(), encode, bar.advance):
        index.add(documents, *encoded, source=source)
    # An interrupted build may have indexed documents that are gone from the corpus since.
    if len(index) > corpus.wholes:
        index.delete(list(corpus.unknown(index.ids())))


def export_to_qdrant(
    index: str | Path, place: Service | Edge, *, overwrite: bool = False, quiet: bool = False
) -> QdrantIndex:
    """Move an index of Tardif's own to Qdrant, without encoding: the vectors are those that a search computes with.

    Interrupted, the same call continues. The index itself stays as it is. One in shards becomes one collection.

    >>> from tardif.index.qdrant.places import qdrant_place
    >>> moved = export_to_qdrant("support.index", qdrant_place("edge:support-edge"), quiet=True)
    >>> len(moved)
    20
    >>> moved.close()

    Args:
        index: the index's folder.
        place: where to.
        overwrite: replace an index that is there.
        quiet: show no progress on stderr.

    Returns:
        The index in Qdrant, open.

    Raises:
        FolderError: the index is damaged; or as for :func:`check_target`.
        ServiceError: as for :func:`check_target`.
    """
    check_target(place, overwrite=overwrite)
    console = Console(quiet=quiet)
    with open_index(index) as opened, parts_of(opened) as parts:
        found = IndexedModel.of(opened)
        model = found.placed(place.folder if isinstance(place, Edge) else str(place))
        # An export of another index is not continued.
        about = {**_about(model, float(opened.manifest["pool"]), BITS[0]), "from": opened.identity}
        with _under_way(place, about, BITS[0], overwrite=overwrite) as made:
            _move(opened, parts, made, console)
            known = opened.note(ENCODER)
            if known and isinstance(made.folder, Path):
                shutil.copytree(check_encoder(opened.folder, known), made.folder / ENCODER, dirs_exist_ok=True)
                made.note(ENCODER, known)
    return QdrantIndex(place.engine())


def _move(index: FolderIndex, parts: Sequence[DiskIndex], made: QdrantIndex, console: Console) -> None:
    """Store all of an index's documents that are not there unchanged, with what the index noted for its builder."""
    with console.progress("Exporting", sum(part.store.rows() for part in parts), "documents") as bar:
        held: list[_Row] = []
        for block in chain.from_iterable(stored_blocks(part, _TOKENS) for part in parts):
            held += _rows_of(block)
            # The pieces of a document follow one another, and are stored together.
            last = held[-1][0].whole_id
            done = [row for row in held if row[0].whole_id != last]
            held = [row for row in held if row[0].whole_id == last]
            _store(made, done)
            bar.advance(len(done))
        _store(made, held)
        bar.advance(len(held))
    wholes = set(index.ids())
    made.delete([name for name in made.ids() if name not in wholes])
    copy_notes(index, made)


def _rows_of(block: StoredBlock) -> list[_Row]:
    parts = np.split(block.vectors, np.cumsum(block.lengths)[:-1])
    return list(zip(block.documents, parts, block.groups, block.sources, strict=True))


def _store(made: QdrantIndex, rows: Sequence[_Row]) -> None:
    missing = {document.id for document in made.unlike([row[0] for row in rows])}
    for source, run in groupby((row for row in rows if row[0].id in missing), key=lambda row: row[3]):
        documents, parts, labels, _ = zip(*run, strict=True)
        lengths = [len(part) for part in parts]
        groups = None
        if any(label is not None for label in labels):
            groups = [np.arange(n) if own is None else own for own, n in zip(labels, lengths, strict=True)]
        made.add(documents, np.concatenate(parts), lengths, groups, source=source)


@contextmanager
def _under_way(place: Service | Edge, about: Mapping[str, Any], bits: int, *, overwrite: bool) -> Iterator[QdrantIndex]:
    """Give an index that is whole when the block ends without an error; an interrupted one is continued.

    Raises:
        FolderError: another process builds this index, or the folder cannot be written.
    """
    under_way = _folder_under_way if isinstance(place, Edge) else _collection_under_way
    with under_way(place, about, bits, overwrite) as index:  # type: ignore[arg-type]  # the one for this place
        yield index


@contextmanager
def _collection_under_way(
    place: Service, about: Mapping[str, Any], bits: int, overwrite: bool
) -> Iterator[QdrantIndex]:
    engine = place.engine()
    try:
        there = engine.about()
        _check_free(there, place, overwrite=overwrite)
        if there is not None and (there.get("whole") or not _same(there, about)):
            engine.drop()
        index = QdrantIndex(engine, about, bits=bits)
        yield index
        index.remember(whole=True)
    finally:
        engine.close()


@contextmanager
def _folder_under_way(place: Edge, about: Mapping[str, Any], bits: int, overwrite: bool) -> Iterator[QdrantIndex]:
    folder = real_place(place.folder)
    work = work_beside(folder)
    with holding(place.folder, overwrite=overwrite, what=f"{place} is being built"), writable(place.folder):
        engine = _interrupted(work, about)
        index = QdrantIndex(engine, about, bits=bits)
        try:
            yield index
            engine.settle()
            index.remember(whole=True)
            index.close()
            finish(work, folder)
        finally:
            is_empty = not index.manifest.get("whole") and not index.is_there
            index.close()
            if is_empty:  # nothing to continue from
                remove(work)


def _interrupted(work: Path, about: Mapping[str, Any]) -> Engine:
    """The shard that an interrupted build left, if it was built with the same model and options; else a new one."""
    try:
        engine = EdgeEngine(work)
        there = engine.about()
        if there is None or _same(there, about):
            return engine
        engine.close()
    except FolderError:  # damaged: killed while it was made
        pass
    remove(work)
    return EdgeEngine(work)


def _same(there: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Whether an unfinished index has the vectors that this one would have."""
    before, now = there.get("model", {}), about["model"]
    if before.get("fingerprint") != now["fingerprint"] or precision_of(before) != precision_of(now):
        return False
    return all(there.get(name) == about.get(name) for name in _DECIDES)
