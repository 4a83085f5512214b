"""Documents on their way to a model: read, cut into pieces, and reported where the model does not read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tardif.checks import shown
from tardif.data.json_metadata import as_stored
from tardif.encoder.base import Base
from tardif.errors import DataError, FolderError, SettingError, TardifError
from tardif.folders import check_file, expanded
from tardif.index.spool import Held, SpooledCorpus, text_digest
from tardif.progress import Console
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.data.chunking import Chunk
    from tardif.encoder.truncation import Overlong

# Progress of reading is shown for every so many documents: none for a small corpus.
_STEP = 10_000


Found = TypeVar("Found")


class CorpusReader:
    """Reads documents as a user gave them, and reports what a model will not see of them.

    Args:
        documents: what the user gave.
        console: shows the report.
        file: a file for the report as JSON lines; None for none.
        options: how tables are read, by the names of :class:`tardif.data.reading.Reading`.
        beside: what the caller reads beside the documents, which ``file`` must not replace.
        out: the folder that the caller writes.

    Attributes:
        options: how tables are read, checked.
        report: what became of the files and rows (:class:`tardif.data.document_report.DocumentReport`).
        text_tokens: the tokens of a piece, where :meth:`corpus` cut files of text because ``chunk`` was ``auto``.

    Raises:
        SettingError: an option or ``file`` cannot be used.
        FolderError: ``file`` cannot be written, or is read or written otherwise.
    """

    def __init__(
        self,
        documents: Any,
        console: Console,
        file: str | Path | None,
        options: Mapping[str, Any],
        *,
        beside: Sequence[Any] = (),
        out: Path | None = None,
    ) -> None:
        # Imported here and in the methods below: a search reads no documents, and must answer at once.
        from tardif.data.document_report import DocumentReport
        from tardif.data.reading import reading_from

        if file is not None and not isinstance(file, str | Path):
            raise SettingError(f"report={shown(file)}: give the path of a file to write.")
        self.documents, self.console = documents, console
        self.file = None if file is None else expanded(file)
        if self.file is not None:
            check_file(self.file, read=[documents, *beside])
            if out is not None and self.file.resolve().is_relative_to(out.resolve()):
                raise FolderError(f"{self.file} is in {out}, which is written anew: give a file outside it (--report).")
        self.options = reading_from(options)
        self.report = DocumentReport()
        self.text_tokens: int | None = None

    @contextmanager
    def corpus(
        self, chunk: Chunk = None, base: Callable[[], Base] | None = None, spool: Path | None = None
    ) -> Iterator[SpooledCorpus]:
        """Read documents with unique ids, cut them into pieces where ``chunk`` asks for it, and keep them on disk.

        The documents are a stream: one at a time is in memory, and each is read once.

        Args:
            chunk: tokens of a piece, ``auto`` or None.
            base: returns the checkpoint whose tokens are counted; called only if documents may be cut, and not needed
                where ``chunk`` is None.
            spool: a new file for the corpus; None for a temporary file of the system. It is removed after the block.

        Raises:
            DataError: the documents cannot be read, or two have the same id.
            FolderError: the disk is full.
        """
        from tardif.data.chunking import Chunker, piece_tokens
        from tardif.encoder.truncation import as_read

        cut = None
        if base is not None:
            tokens = piece_tokens(self.documents, chunk, lambda: as_read(base()))
            self.text_tokens = tokens if chunk == "auto" else None
            cut = None if tokens is None else Chunker(as_read(base()), tokens).chunk
        with SpooledCorpus(spool) as corpus:
            self._read(lambda: self._spool(corpus, cut or (lambda document: [document])))
            yield corpus

    def _spool(self, corpus: SpooledCorpus, cut: Callable[[Document], list[Document]]) -> None:
        from tardif.data.documents import stream_documents

        count = 0
        with self.console.progress("Reading", None, "documents") as bar:
            try:
                placed = stream_documents(self.documents, reading=self.options, report=self.report)
                for count, (place, document) in enumerate(placed, start=1):
                    held = corpus.put(place, document, cut(document))
                    if held is not None:
                        self._join(corpus, held, place, document, cut)
                    if count % _STEP == 0:
                        bar.advance(_STEP)
            except Exception as error:
                if not isinstance(error, TardifError):  # of the user's own generator: it must come through as it is
                    error.add_note(f"It was raised while document {count + 1} was read. No document was indexed.")
                raise
        corpus.check()

    def _join(
        self,
        corpus: SpooledCorpus,
        held: Held,
        place: int,
        document: Document,
        cut: Callable[[Document], list[Document]],
    ) -> None:
        """Join a document with the earlier one of its id, or raise."""
        from tardif.data.documents import join_repeated

        where = str(self.documents) if isinstance(self.documents, str | Path) else "documents"
        stored = replace(document, metadata=as_stored(document.metadata))
        is_same = held.digest == text_digest(document)
        common = join_repeated(stored, is_same, held.metadata, (held.place, place), where, self.report)
        if common is not None:
            joined = replace(stored, metadata=common)
            corpus.join(joined, cut(joined))

    def uncut(self) -> list[Document]:
        """Read whole documents, copies included.

        Raises:
            DataError: the documents cannot be read.
        """
        from tardif.data.documents import stream_documents

        def read() -> list[Document]:
            placed = stream_documents(self.documents, reading=self.options, report=self.report)
            return [document for _, document in placed]

        return self._read(read)

    def _read(self, read: Callable[[], Found]) -> Found:
        try:
            return read()
        except DataError:  # of a folder in which no file can be read, the report says more than the error
            self._write()
            raise

    def show_unread(self, model: Any, corpus: SpooledCorpus | Sequence[Document], way_out: str = "") -> None:
        """Show, before anything is encoded, what was not read and which documents the model truncates.

        Args:
            model: an opened ``MultiVectorEncoder``, or an exported encoder.
            corpus: what :meth:`corpus` or :meth:`uncut` returned.
            way_out: what the user can do about truncation; by default to cut documents into pieces.
        """
        from tardif.data.chunking import CHUNK_TOKENS
        from tardif.encoder.coverage import SAMPLE, texts_warning
        from tardif.encoder.truncation import document_reach, each_overlong, tokenizer_of, truncation_warning
        from tardif.text.normal import keyed_sample

        # Counted with the model's own tokenizer: what is beyond its length is in no vector, so no search finds it.
        reach = document_reach(model)

        def noted() -> Iterator[Overlong]:
            for document in each_overlong(model, corpus):
                self.report.cut(document.id, f"{document.tokens - reach} of {document.tokens} tokens are not read")
                yield document

        pieces = min(CHUNK_TOKENS, reach)
        way_out = way_out or f"Cut them into pieces: --chunk {pieces} (in Python chunk={pieces})."
        self.report.lost = truncation_warning(noted(), reach, len(corpus), way_out)
        self.show()
        sample = keyed_sample(0, (document.content for document in corpus), SAMPLE)
        if remark := texts_warning("The model", tokenizer_of(model), sample, "these documents"):
            self.console.warn(remark)

    def show(self) -> None:
        """Show what was read and what was not, and write the report's file if there is one."""
        # Of values that were all taken there is nothing to report.
        if self.report.notes or isinstance(self.documents, str | Path):
            for line in self.report.lines():
                self.console.say(line)
        self._write()

    def _write(self) -> None:
        if self.file is not None:
            self.report.write(self.file)
