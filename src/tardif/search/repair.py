"""An index examined to the last byte, and repaired: what is lost of it is encoded again from the texts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.errors import FolderError
from tardif.folders import publish
from tardif.index.building import BLOCK, blocks_of, by_whole, encoded
from tardif.index.checking import Examination, examine_index, mend, to_encode
from tardif.index.disk import DiskIndex
from tardif.progress import Console
from tardif.search.build import ENCODER, IndexedModel, bind_encoder, check_encoder, document_vectors, export_encoder
from tardif.text.normal import keyed_order
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def examine(index: str | Path) -> Examination:
    """What is in an index, and what is wrong with it: every byte is read and compared with its checksum.

    Raises:
        FolderError: the folder is no index, its manifest is damaged, or it was written by another version.
    """
    found = examine_index(index)
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
    """Mend an index. A document whose text is damaged is given up and named; all else comes back.

    Nothing is removed before what takes its place is on disk, so an interrupted repair can be made again.

    Args:
        index: the folder.
        model: where the model is now, if it was moved since.
        device: torch's name of the device to encode on.
        trust_remote_code: let the model bring its own code.
        console: where to show progress.

    Returns:
        A line for each thing that was done, and how the index is now.

    Raises:
        FolderError: the database cannot be read, the model is needed and is not there, or the folder cannot be
            written.
    """
    found = examine(index)
    if not found.problems:
        return [], found
    folder = Path(index)
    done = mend(folder, found)
    documents = to_encode(folder, found)
    if documents or found.encoder_is_damaged:
        from tardif.encoder.model import open_model

        with DiskIndex(folder, incomplete=True) as opened:
            home = IndexedModel.of(opened, model)
            encoder = open_model(str(home.path), device=device, trust_remote_code=trust_remote_code)
            _encode_again(opened, documents, encoder, console)
            if documents:
                done.append(f"{len(documents)} documents were encoded again.")
            if found.encoder_is_damaged:
                done.append(_export_again(opened, encoder, console))
    return done, examine(folder)


def _export_again(index: DiskIndex, encoder: MultiVectorEncoder, console: Console) -> str:
    folder = index.folder
    aside = folder / f".{ENCODER}"
    shutil.rmtree(aside, ignore_errors=True)  # of a repair that was broken off
    export_encoder(encoder, aside, console)
    if aside.is_dir():
        publish(aside, folder / ENCODER)
        said = "The query encoder was exported again."
    else:
        shutil.rmtree(folder / ENCODER, ignore_errors=True)
        said = "The query encoder, which cannot be exported, was removed."
    bind_encoder(index)
    return said


def _encode_again(
    index: DiskIndex, documents: Sequence[Document], encoder: MultiVectorEncoder, console: Console
) -> None:
    pool = float(index.manifest["pool"])
    # In no order: the first block may have to be a sample that centroids are learnt from.
    ordered = sorted(documents, key=lambda document: keyed_order(0, document.whole_id))
    sources = index.sources()
    with console.progress("Encoding again", len(ordered), "documents") as bar:
        for source in sorted({sources[document.whole_id] for document in ordered}):
            own = by_whole(document for document in ordered if sources[document.whole_id] == source)
            for block in blocks_of(own, BLOCK):
                vectors, lengths = encoded(block, lambda texts: document_vectors(encoder, texts, pool), bar.advance)
                index.add(block, vectors, lengths, source=source)
