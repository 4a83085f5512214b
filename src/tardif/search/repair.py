"""Examine every byte of an index, and repair it: lost vectors are encoded again from the stored texts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.errors import FolderError, SettingError
from tardif.extras import MODEL, need
from tardif.folders import expanded, publish
from tardif.index.checking import Examination, examine_index, mend, to_encode
from tardif.index.disk import DiskIndex
from tardif.index.pieces import blocks_of, by_whole
from tardif.index.qdrant.places import open_qdrant, qdrant_place
from tardif.index.qdrant.qdrant_checking import examine_qdrant
from tardif.index.shard_checking import examine_shards
from tardif.index.sharded_folder import FolderIndex, ShardedFolder, is_sharded
from tardif.progress import Console
from tardif.search.build import BLOCK, add_documents, document_vectors
from tardif.search.indexed_model import IndexedModel, precision_of
from tardif.search.query_encoder import ENCODER, bind_encoder, check_encoder, export_encoder
from tardif.text.normal import keyed_order
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def examine(index: str | Path) -> Examination:
    """Read every byte of an index, compare it with its checksum, and return what the index holds and what is wrong.

    >>> found = examine("support.index")
    >>> found.documents, found.problems
    (20, [])

    Of an index in Qdrant every point is read (:mod:`tardif.index.qdrant.qdrant_checking`).

    Raises:
        FolderError: the folder is not an index, its manifest is damaged, or it was written by another version.
        ServiceError: no service answers for an index in Qdrant.
    """
    if (place := qdrant_place(index)) is not None:
        with open_qdrant(place) as opened:
            found, index = examine_qdrant(opened), opened.folder
            found.encoder = opened.note(ENCODER) or ""
    else:
        found = examine_shards(Path(index)) if is_sharded(Path(index)) else examine_index(index)
    if found.encoder:
        from tardif.encoder.onnx.encoder import LightEncoder

        try:
            LightEncoder(check_encoder(Path(index), found.encoder), threads=1)
        except FolderError as error:
            found.problems.append(str(error))
            found.encoder_is_damaged = True
    return found


def repair(
    index: str | Path,
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    trust_remote_code: bool = False,
    console: Console,
) -> tuple[list[str], Examination]:
    """Repair an index. A document with a damaged text is removed and named; everything else is restored.

    Nothing is removed before its replacement is on disk, so an interrupted repair can be run again.

    Args:
        index: the folder.
        model: the model's folder, if it was moved since.
        device: torch's name of the device to encode on.
        trust_remote_code: let the model run its own code.
        console: shows progress.

    Returns:
        A line for each repair, and the examination of the repaired index.

    Raises:
        SettingError: the index is in Qdrant.
        MissingExtraError: PyTorch is not installed.
        FolderError: the database cannot be read, the model is needed and is missing, or the folder cannot be written.
    """
    if (there := qdrant_place(index)) is not None:
        raise SettingError(
            f"{there} is in Qdrant, where Tardif repairs nothing: leave out --repair to see what is wrong, and build "
            "the index again if something is."
        )
    found = examine(index)
    if not found.problems:
        return [], found
    # Before anything is removed: what is lost is encoded again.
    need("train", "Repairing an index", MODEL)
    folder = expanded(index)
    parts = {folder / name: part for name, part in found.shards.items()} if is_sharded(folder) else {folder: found}
    # First remove what is damaged, so that the index opens; then encode again what it lacks.
    done = [line for place, part in parts.items() if part.problems for line in mend(place, part)]
    lacking = {place: to_encode(place, part) for place, part in parts.items() if part.problems}
    if any(lacking.values()) or found.encoder_is_damaged:
        from tardif.encoder.model import open_model

        with _opened(folder) as opened:
            home = IndexedModel.of(opened, model)
            encoder = open_model(str(home.path), device=device, trust_remote_code=trust_remote_code)
            for place, documents in lacking.items():
                _reencode(_part_in(opened, place), documents, encoder, console)
            if count := sum(map(len, lacking.values())):
                done.append(f"{count} documents were encoded again.")
            if found.encoder_is_damaged:
                done.append(_export_again(opened, encoder, console))
    return done, examine(folder)


def _opened(folder: Path) -> FolderIndex:
    """An index, opened even if documents lack their vectors."""
    if is_sharded(folder):
        return ShardedFolder(
            folder, open_shard=lambda place, threads: DiskIndex(place, threads=threads, incomplete=True)
        )
    return DiskIndex(folder, incomplete=True)


def _part_in(index: FolderIndex, place: Path) -> DiskIndex:
    """The index, or its shard, in a folder."""
    if isinstance(index, DiskIndex):
        return index
    found: DiskIndex = index.stored[index.names.index(place.name)]
    return found


def _export_again(index: FolderIndex, encoder: MultiVectorEncoder, console: Console) -> str:
    folder = index.folder
    # Aside first: a repair that is interrupted leaves the old encoder, or a whole new one.
    aside = folder / f".{ENCODER}"
    shutil.rmtree(aside, ignore_errors=True)  # left by an interrupted repair
    export_encoder(encoder, aside, console)
    if aside.is_dir():
        publish(aside, folder / ENCODER)
        done = "The query encoder was exported again."
    else:
        shutil.rmtree(folder / ENCODER, ignore_errors=True)
        done = "The query encoder, which cannot be exported, was removed."
    bind_encoder(index)
    return done


def _reencode(index: DiskIndex, documents: Sequence[Document], encoder: MultiVectorEncoder, console: Console) -> None:
    pool, precision = float(index.manifest["pool"]), precision_of(index.manifest["model"])
    # In random order: centroids may have to be learned again, from the first block.
    ordered = sorted(documents, key=lambda document: keyed_order(0, document.whole_id))
    sources = index.sources()
    with console.progress("Encoding again", len(ordered), "documents") as bar:
        # By source, because a document keeps the source that it was added from: sync compares it.
        for source in sorted({sources[document.whole_id] for document in ordered}):
            add_documents(
                index,
                blocks_of(by_whole(document for document in ordered if sources[document.whole_id] == source), BLOCK),
                lambda texts: document_vectors(encoder, texts, pool, precision),
                advance=bar.advance,
                source=source,
            )
