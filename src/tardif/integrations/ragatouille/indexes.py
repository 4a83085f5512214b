"""An index's folder as RAGatouille lays it out: Tardif's index, and the JSON files that scripts read.

``.ragatouille/colbert/indexes/NAME`` holds ``tardif/``, the index itself, and beside it ``collection.json`` (the
passages' texts), ``pid_docid_map.json`` (each passage's document), ``metadata.json`` (the checkpoint) and, where
documents have metadata, ``docid_metadata_map.json``. The index is the truth. The JSON files are written after each
change, and again when a change was interrupted. A folder that RAGatouille wrote has the same JSON files without
``tardif/``: it is encoded from them. Its tensors are pickles and are not opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tardif.checks import called, check_ids
from tardif.errors import DataError, FolderError
from tardif.folders import expanded, read_json, write_json
from tardif.progress import Console
from tardif.search.retriever import Retriever
from tardif.types import Document, Piece

INDEX = "tardif"
COLLECTION, PASSAGES, METADATA, SETTINGS = (
    "collection.json",
    "pid_docid_map.json",
    "docid_metadata_map.json",
    "metadata.json",
)
# Made before a change and removed after the JSON files are written: it marks files that may be old.
_CHANGING = "changing"


class IndexFolder:
    """One index in RAGatouille's layout.

    Args:
        path: the index's folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path)
        self.index = self.path / INDEX

    @property
    def exists(self) -> bool:
        """Whether there is an index, of Tardif or RAGatouille."""
        # An index is RAGatouille's if its texts are there and Tardif's folder is not.
        return self.index.is_dir() or (self.path / COLLECTION).is_file()

    def open(self, *, device: str | None, quiet: bool) -> Retriever:
        """Open the index; one that RAGatouille wrote is encoded first.

        Args:
            device: torch's name of the device to encode on; None encodes queries without torch.
            quiet: show no progress.

        Raises:
            FolderError: there is no index.
        """
        if not self.exists:
            raise FolderError(f"There is no index at {self.path}: build one with RAGPretrainedModel.index.")
        if not self.index.is_dir():
            return self._encode_again(device or "cpu", quiet)
        retriever = Retriever(self.index, device=device)
        if (self.path / _CHANGING).exists():
            self.write(retriever)
        return retriever

    def checkpoint(self) -> str:
        """The model's folder or hub id.

        Raises:
            FolderError: ``metadata.json`` does not name it.
        """
        if not isinstance(found := self._settings().get("checkpoint"), str):
            raise FolderError(f"{self.path / SETTINGS} does not name the checkpoint: build the index again.")
        return found

    def longest(self) -> int:
        """Tokens of a passage, as the index was built: 256 where that is not recorded."""
        try:
            found = self._settings().get("doc_maxlen")
        except FolderError:  # the index itself is whole
            return 256
        return found if isinstance(found, int) else 256

    def _settings(self) -> dict[str, Any]:
        """What the index was built with; an older colbert-ai does not put it under ``config``."""
        read = read_json(self.path / SETTINGS, what="the index's metadata")
        config = read.get("config", read) if isinstance(read, dict) else None
        return config if isinstance(config, dict) else {}

    def _encode_again(self, device: str, quiet: bool) -> Retriever:
        """Build Tardif's index of the texts that RAGatouille kept."""
        texts = read_json(self.path / COLLECTION, what="the index's texts")
        owners = read_json(self.path / PASSAGES, what="the index's map of passages")
        if not isinstance(texts, list) or not isinstance(owners, dict):
            raise FolderError(f"{self.path}: {COLLECTION} must be a list and {PASSAGES} an object.")
        known = self.path / METADATA
        metadata = read_json(known, what="the index's metadata of documents") if known.is_file() else {}
        if not isinstance(metadata, dict):
            raise FolderError(f"{self.path}: {METADATA} must be an object: remove it, or build the index again.")
        try:
            # A deletion leaves RAGatouille's numbers as they were, and closes the gaps among the texts: their order
            # counts. By number: the keys of a JSON object are texts, and "10" comes before "9".
            names = check_ids(owners[number] for number in sorted(owners, key=int))
        except (ValueError, DataError) as error:
            raise FolderError(f"{self.path / PASSAGES} is damaged ({error}): build the index again.") from error
        if len(names) != len(texts):
            raise FolderError(
                f"{self.path}: {COLLECTION} has {len(texts)} texts and {PASSAGES} {len(names)}: build the index again."
            )
        passages = [{"document_id": name, "content": text} for name, text in zip(names, texts, strict=True)]
        Console(quiet=quiet).say(
            f"{self.path} was written by RAGatouille: its {len(passages)} passages are encoded again."
        )
        retriever = Retriever.build(
            self.checkpoint(), as_documents(passages, metadata), self.index, chunk=None, device=device, quiet=quiet
        )
        self.write(retriever)
        return retriever

    def build(self, checkpoint: str, documents: Sequence[Document], **options: Any) -> Retriever:
        """Build the index; until :meth:`write` is called, the JSON files may be of another state.

        A failure removes the folder again, unless an index or the work of an interrupted build is in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / _CHANGING).touch()
        try:
            return Retriever.build(checkpoint, documents, self.index, chunk=None, **options)
        except BaseException:
            if not self.exists:
                (self.path / _CHANGING).unlink(missing_ok=True)
                with suppress(OSError):  # what was encoded before an interruption is there: the same call continues
                    self.path.rmdir()
            raise

    def version(self) -> tuple[int, int]:
        """What differs after every change of the JSON files, whichever process made it."""
        try:
            found = (self.path / COLLECTION).stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    @contextmanager
    def changing(self, retriever: Retriever) -> Iterator[None]:
        """Write the JSON files after a change of the index, or at the next opening where this is interrupted."""
        (self.path / _CHANGING).touch()
        yield
        self.write(retriever)

    def write(self, retriever: Retriever, **settings: Any) -> None:
        """Write the JSON files of what the index holds now."""
        passages = passages_of(retriever)
        write_json(self.path / COLLECTION, [passage.text for passage in passages])
        write_json(self.path / PASSAGES, {str(number): p.whole_id for number, p in enumerate(passages)})
        metadata = {passage.whole_id: dict(passage.metadata) for passage in passages if passage.metadata}
        if metadata:
            write_json(self.path / METADATA, metadata)
        else:
            (self.path / METADATA).unlink(missing_ok=True)
        if settings:
            write_json(self.path / SETTINGS, {"config": settings})
        # Last: until then the next opening writes the files again.
        (self.path / _CHANGING).unlink(missing_ok=True)


def passages_of(retriever: Retriever) -> list[Document]:
    """All passages, documents in the order of adding, each with its passages in their order."""
    ids = list(retriever.index.sources())
    rows: dict[str, list[Document]] = {name: [] for name in ids}
    for passage in retriever.index.get(ids).values():
        rows[passage.whole_id].append(passage)
    return [passage for name in ids for passage in rows[name]]


def as_documents(passages: Sequence[dict[str, str]], metadata: Mapping[str, Any]) -> list[Document]:
    """Passages as documents of an index: a document's only passage is whole, several are its pieces.

    Raises:
        DataError: a passage is no dict with ``document_id`` and ``content``.
    """
    of: dict[str, list[str]] = {}
    for number, passage in enumerate(passages, start=1):
        if not isinstance(passage, dict) or not {"document_id", "content"} <= passage.keys():
            raise DataError(
                f"Passage {number} is {called(passage)}: the splitter and preprocessing_fn must return dicts with "
                "document_id and content."
            )
        of.setdefault(passage["document_id"], []).append(passage["content"])
    found = []
    for name, texts in of.items():
        known = metadata.get(name) or {}
        if len(texts) == 1:
            found.append(Document(name, texts[0], metadata=known))
            continue
        # The passages' places in the document are not known; their order is.
        # No document may have the id of a piece, and ids of users may end like one.
        mark = "#"
        while any(f"{name}{mark}{number}" in of for number in range(1, len(texts) + 1)):
            mark += "#"
        found += [
            Document(f"{name}{mark}{number}", text, metadata=known, piece=Piece(name, number, len(texts), 0, 0))
            for number, text in enumerate(texts, start=1)
        ]
    return found
