"""A model and a corpus into an index's folder, whole or not there; interrupted, the next call goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import is_number
from tardif.checksums import checksum
from tardif.display import Short
from tardif.encoder.base import Base
from tardif.encoder.published import CHECKSUMS
from tardif.encoder.token_vectors import encode_documents
from tardif.errors import FolderError, ModelError, SettingError
from tardif.folders import holding, name_aside, publish, real_place, remove, sweep
from tardif.index.building import fill
from tardif.index.disk import DiskIndex
from tardif.index.manifest import is_index
from tardif.locks import lock_file
from tardif.progress import Console
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The fact of an index that says how its corpus was cut.
_CHUNK = "chunk"
# And how the tables were read that it came from.
_READING = "reading"

ENCODER = "encoder"
"""The folder in an index that holds the exported query encoder."""

_MOVED = "model place"
_SAY = "tardif search, add, sync and doctor take --model (in Python model=), and the index remembers it."


@dataclass(frozen=True, repr=False)
class IndexedModel(Short):
    """The model that an index's documents were encoded with.

    Attributes:
        index: the index's folder.
        remembered: what its manifest says of the model, as :meth:`remember` gave it.
        given: where the user says it is now.
        note: keeps where it was found, or gives what was kept (:meth:`tardif.index.disk.DiskIndex.note`).
    """

    index: Path
    remembered: Mapping[str, Any]
    given: str | Path | None = None
    note: Callable[[str, str | None], str | None] | None = None

    @classmethod
    def of(cls, index: DiskIndex, given: str | Path | None = None) -> IndexedModel:
        """The model of an opened index, which remembers where a model that was moved is found.

        Args:
            index: the index.
            given: where the user says that the model is now.
        """
        return cls(index.folder, index.manifest["model"], given, index.note)

    @staticmethod
    def remember(folder: Path, index: Path) -> dict[str, Any]:
        """What the manifest of an index says of the model in a folder."""
        return {**_place(folder, index), "fingerprint": fingerprint(folder)}

    @cached_property
    def path(self) -> Path:
        """The model's folder, checked to be the one that the documents were encoded with.

        Where the user gives it, the index remembers it for the next time, if it can be written.

        Raises:
            FolderError: it is not there, or was trained anew since.
        """
        places = self._places()
        there = [place for place in places if place.is_dir()]
        found = next((place for place in there if fingerprint(place) == self.remembered["fingerprint"]), None)
        if found is not None:
            self._keep(found)
            return found
        if there:
            raise FolderError(
                f"The model in {there[0]} is not the one that {self.index} was built with: "
                "build the index again, or say where that model is: " + _SAY
            )
        raise FolderError(f"The model of {self.index} is not in {places[-1]} any more: say where it is: " + _SAY)

    def _places(self) -> list[Path]:
        """Where the model may be: where the user says, or where it was found last and where it was at first."""
        if self.given is not None:
            return [Path(self.given)]
        found = []
        for place in (self._kept(), self.remembered):
            if place.get("relative"):
                found.append(Path(os.path.normpath(self.index.absolute() / place["relative"])))
            if place.get("path"):
                found.append(Path(place["path"]))
        return list(dict.fromkeys(found))

    def _kept(self) -> Mapping[str, Any]:
        said = self.note(_MOVED, None) if self.note is not None else None
        try:
            kept = json.loads(said) if said else {}
        except ValueError:  # somebody's own note
            kept = {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self, folder: Path) -> None:
        """Have the index remember where the user says that the model is."""
        if self.given is None or self.note is None:
            return
        place = _place(folder, self.index)
        if place == (self._kept() or {name: self.remembered.get(name) for name in place}):
            return
        # An index that is only read, by somebody who may not write it, is searched all the same.
        with suppress(FolderError):
            self.note(_MOVED, json.dumps(place))


def _place(folder: Path, index: Path) -> dict[str, Any]:
    """A folder as an index remembers it: absolute, and from the index, should both be moved together."""
    folder, index = folder.expanduser().absolute(), index.absolute()
    return {
        "path": str(folder),
        "relative": os.path.relpath(folder, index) if folder.drive == index.drive else None,
    }


def build_index(
    base: Base,
    documents: Sequence[Document],
    out: Path,
    *,
    bits: int,
    pool: float,
    words: str | None,
    device: str,
    threads: int | None,
    trust_remote_code: bool,
    console: Console,
    overwrite: bool = True,
    source: str = "",
    chunk: Any = "auto",
    reading: Mapping[str, Any] | None = None,
    opened: Callable[[MultiVectorEncoder], None] = lambda model: None,
) -> MultiVectorEncoder:
    """Encode and index a corpus. Returns the model that did it.

    Args:
        base: a late-interaction checkpoint.
        documents: the corpus, with unique ids.
        out: the index's folder, absolute.
        bits: of each component as stored.
        pool: one vector for so many tokens of a document.
        words: the language of an index that is searched by words as well; None for vectors alone.
        device: torch's name of the device to encode on.
        threads: that compare vectors; all processors by default.
        trust_remote_code: let the model bring its own code.
        console: where to show progress.
        overwrite: replace what is there.
        source: the file or folder that the corpus came from.
        chunk: how it was cut, for the index to remember.
        reading: how its tables were read, likewise.
        opened: is called with the model before anything is encoded.

    Raises:
        ModelError: the model cannot be loaded or is not late-interaction.
        DataError: the corpus is empty, or an id stands twice.
        FolderError: the folder cannot be written, or another process builds this index.
    """
    from tardif.encoder.model import open_model

    model = open_model(str(base.folder), device=device, trust_remote_code=trust_remote_code)
    opened(model)
    wanted = {"bits": bits, "pool": pool, "words": words, "model": IndexedModel.remember(base.folder, out)}
    with _under_way(out, wanted, threads, overwrite=overwrite) as index:
        with console.progress("Indexing", len(documents), "documents") as bar:
            fill(
                index,
                documents,
                lambda texts: document_vectors(model, texts, pool),
                advance=bar.advance,
                resumed=lambda count: bar.resume(bar.done + count),
                source=source,
            )
        export_encoder(model, index.folder / ENCODER, console)
        bind_encoder(index)
        index.note(_CHUNK, json.dumps(chunk if chunk in (None, "auto") else int(chunk)))
        index.note(_READING, json.dumps(dict(reading or {})))
    return model


def chunk_of(index: DiskIndex) -> Any:
    """How the corpus was cut that an index was built of: tokens of a piece, ``auto``, or None for not at all."""
    return json.loads(index.note(_CHUNK) or '"auto"')


def reading_of(index: DiskIndex) -> dict[str, Any]:
    """How the tables were read that an index was built of: options of :class:`tardif.data.reading.Reading`."""
    found = json.loads(index.note(_READING) or "{}")
    return found if isinstance(found, dict) else {}


@contextmanager
def _under_way(
    out: Path, wanted: Mapping[str, Any], threads: int | None, *, overwrite: bool = True
) -> Iterator[DiskIndex]:
    """An index that becomes ``out`` when the block ends well; what an interrupted one left is gone on with.

    Args:
        out: the index's folder, absolute.
        wanted: what :meth:`DiskIndex.create` is given.
        threads: that compare vectors.
        overwrite: replace what is there.

    Raises:
        FolderError: another process is at it, or the folder cannot be written.
    """
    place = real_place(out)
    work = place.with_name(f".{place.name}.indexing")
    with holding(out, overwrite=overwrite, what=f"{out} is being built"):
        index = _left(work, wanted, threads)
        if index is None:
            remove(work)
            index = DiskIndex.create(work, **wanted, threads=threads)
        try:
            yield index
            index.close()
            _finish(work, place)
        except OSError as error:
            raise FolderError(f"{out} could not be written ({error.strerror or error}).") from error
        finally:
            if work.exists():
                is_empty = not len(index)
                index.close()
                if is_empty:
                    remove(work)


def _finish(work: Path, place: Path) -> None:
    """Publish a finished index. Killed meanwhile, no other folder is left that would be gone on with."""
    # Of a process that was killed when it had put the encoder there.
    sweep(work / ENCODER)
    remove(lock_file(work / ENCODER))
    aside = name_aside(place, "partial")
    work.rename(aside)
    try:
        publish(aside, place)
    except BaseException:
        if aside.exists():
            aside.rename(work)
        raise


def _left(work: Path, wanted: Mapping[str, Any], threads: int | None) -> DiskIndex | None:
    """What an interrupted call left, if it was made of the same."""
    if not is_index(work):
        return None
    try:
        index = DiskIndex(work, threads=threads)
    except FolderError:  # damaged, or another version's: begin again
        return None
    if all(index.manifest.get(name) == value for name, value in wanted.items()):
        return index
    index.close()
    return None


def export_encoder(encoder: MultiVectorEncoder, folder: Path, console: Console) -> None:
    """Put the query encoder beside the index, for searches without PyTorch."""
    from tardif.encoder.onnx.convert import export_query_encoder

    if folder.exists():
        return
    try:
        export_query_encoder(encoder, folder)
    except ModelError as error:
        console.say(f"{error} Searches load PyTorch.")


def bind_encoder(index: DiskIndex) -> None:
    """Have an index know the query encoder that lies in its folder, or that there is none."""
    from tardif.encoder.onnx.folder import SETTINGS

    settings = index.folder / ENCODER / SETTINGS
    index.note(ENCODER, checksum(settings) if settings.is_file() else "")


def encoder_of(index: DiskIndex) -> Path | None:
    """The folder of an index's query encoder, the one that was bound to it; None where it has none.

    Raises:
        FolderError: it is missing, or is another one.
    """
    known = index.note(ENCODER)
    return check_encoder(index.folder, known) if known else None


def check_encoder(index: Path, known: str) -> Path:
    """The folder of an index's query encoder, if it is the one of that checksum.

    Raises:
        FolderError: it is missing, or is another one.
    """
    from tardif.encoder.onnx.folder import SETTINGS

    folder = index / ENCODER
    settings = folder / SETTINGS
    if not settings.is_file() or checksum(settings) != known:
        what = "is not the one that the index was built with" if settings.exists() else "is missing"
        raise FolderError(f"{folder} is damaged (the query encoder {what}): see tardif doctor {index}.")
    return folder


def document_vectors(
    model: MultiVectorEncoder, texts: Sequence[str], pool: float
) -> tuple[NDArray[np.float32], list[int]]:
    """Token vectors of documents, packed ``[tokens, dim]``, and the rows of each; pooled where that is asked for.

    Args:
        model: a late-interaction model.
        texts: of the documents.
        pool: one vector for so many tokens of a document; 1 keeps all.
    """
    vectors, lengths = encode_documents(model, texts)
    if pool == 1 or not len(vectors):
        return vectors, lengths
    import torch
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    parts = HierarchicalTokenPooling(pool_factor=pool).pool(list(torch.split(torch.from_numpy(vectors), lengths)))
    return np.concatenate([part.numpy() for part in parts]), [len(part) for part in parts]


def check_pool(pool: float) -> float:
    """Return ``pool`` if documents can be pooled so.

    Raises:
        SettingError: they cannot.
    """
    if not is_number(pool) or not 1 <= pool < float("inf"):
        raise SettingError(f"pool={pool!r}: give a number of tokens for one vector, 1 or more.")
    return float(pool)


def fingerprint(folder: Path) -> str:
    """A checksum of what determines a model's vectors: its configs, tokenizer and weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix not in (".json", ".safetensors", ".txt", ".model", ".bin"):
            continue
        if path.name in ("results.json", CHECKSUMS):  # records of a run, and of the rest
            continue
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
