"""An index examined to the last byte, and repaired: what is lost of it is encoded again from the texts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.data.text import keyed_order
from tardif.errors import FolderError
from tardif.index.building import BLOCK
from tardif.index.checking import Examination, examine_index, mend, to_encode
from tardif.index.disk import DiskIndex
from tardif.indexing import ENCODER, IndexedModel, document_vectors, export_encoder
from tardif.talk import Talk
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def examine(index: str | Path) -> Examination:
    """What is in an index, and what is wrong with it: every byte is read and compared with its checksum.

    Raises:
        FolderError: the folder is no index, its manifest is damaged, or it was written by another version.
    """
    found = examine_index(index)
    encoder = Path(index) / ENCODER
    if encoder.is_dir():
        from tardif.light.files import read_form

        try:
            read_form(encoder)
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
    talk: Talk,
) -> tuple[list[str], Examination]:
    """Mend an index. A document whose text is damaged is given up and named; all else comes back.

    Nothing is removed before what takes its place is on disk, so an interrupted repair can be made again.

    Args:
        index: the folder.
        model: where the model is now, if it was moved since.
        device: torch's name of the device to encode on.
        trust_remote_code: let the model bring its own code.
        talk: where to show progress.

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
        from tardif.modeling.build import open_model

        with DiskIndex(folder) as opened:
            home = IndexedModel(folder, opened.manifest["model"], model)
            encoder = open_model(str(home.path), device=device, trust_remote_code=trust_remote_code)
            _encode_again(opened, documents, encoder, talk)
        if documents:
            done.append(f"{len(documents)} documents were encoded again.")
        if found.encoder_is_damaged:
            shutil.rmtree(folder / ENCODER)
            export_encoder(encoder, folder / ENCODER, talk)
            done.append("The query encoder was exported again.")
    return done, examine(folder)


def _encode_again(index: DiskIndex, documents: Sequence[Document], encoder: MultiVectorEncoder, talk: Talk) -> None:
    pool = float(index.manifest["pool"])
    # In no order: the first block may have to be a sample that centroids are learnt from.
    ordered = sorted(documents, key=lambda document: keyed_order(0, document.id))
    with talk.progress("Encoding again", len(ordered), "documents") as bar:
        for begin in range(0, len(ordered), BLOCK):
            block = ordered[begin : begin + BLOCK]
            vectors, lengths = document_vectors(encoder, [document.content for document in block], pool)
            index.add(block, vectors, lengths)
            bar.advance(len(block))
