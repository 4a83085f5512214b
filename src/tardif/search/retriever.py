"""Search with a trained model: build an index, open it, search and change it, rerank without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tardif.checks import called, check_hits, check_ids, check_queries, check_query, is_number, shown
from tardif.data.json_metadata import as_stored
from tardif.display import Hits, ShortDict, ShortList, brief_repr, short, table
from tardif.encoder.base import Base, resolve_base
from tardif.encoder.token_vectors import encode_queries
from tardif.errors import DataError, SettingError
from tardif.folders import check_file, check_output
from tardif.forks import ForkAware, register
from tardif.index.building import blocks_of, by_whole, encoded
from tardif.index.codes import check_bits
from tardif.index.disk import DiskIndex
from tardif.index.filters import Filter, parse_filter
from tardif.index.memory import MemoryIndex
from tardif.index.protocol import RECALL, Index, check_pieces
from tardif.index.unknown_keys import unknown_keys
from tardif.progress import Console
from tardif.ranking import DEPTH, WORD_SHARE, best_first, blend, check_share, top
from tardif.scoring import LOWEST, maxsim_arrays
from tardif.search.build import (
    IndexedModel,
    build_index,
    check_pool,
    chunk_of,
    document_vectors,
    encoder_of,
    reading_of,
)
from tardif.search.sync import source_of
from tardif.text.languages import language as find_language
from tardif.types import Document, Hit, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.data.chunking import Chunk
    from tardif.data.document_report import DocumentReport
    from tardif.encoder.onnx.encoder import LightEncoder
    from tardif.search.sync import Synced

_PIECE = 256  # tokens, as :data:`tardif.data.chunking.CHUNK_TOKENS`
# Documents encoded and written together.
_TOGETHER = 256
# Queries encoded and searched together: bounds memory, and progress shows after each.
_QUERIES = 32

Where = str | Mapping[Any, Any] | Filter | None
"""Which documents may be found: an expression, a dict (:mod:`tardif.index.filters`), or None for all."""


class Retriever(ForkAware):
    """A model and an index, searched together.

    Queries are encoded without PyTorch where the index holds an exported query encoder, so a search begins in about
    a second; the model itself is loaded when documents are added, or where there is no such encoder.

    Attributes:
        index: the documents and their vectors.
        home: the model on disk; None where it was given opened.
        pool: how many of a document's tokens become one vector.
        report: what the last call that read documents made of them
            (:class:`tardif.data.document_report.DocumentReport`).
    """

    index: Index
    home: IndexedModel | None
    report: DocumentReport | None = None

    def __init__(
        self,
        index: str | Path,
        *,
        model: str | Path | None = None,
        device: str | None = None,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Open an index.

        Args:
            index: the folder that :meth:`build` wrote.
            model: where the model is now, if it was moved since.
            device: torch's name of the device to encode on; by default queries are encoded without torch, and
                documents on the CPU.
            threads: that score; all processors by default.
            trust_remote_code: let the model bring its own code.

        Raises:
            FolderError: the index is damaged; or its model is needed and is gone, or was trained anew since.
        """
        self._device, self._trust = device or "cpu", trust_remote_code
        self._asked_for = model if device is None else device
        self._again = Path(index).absolute(), model, device, threads, trust_remote_code
        self._use(DiskIndex(index, threads=threads), model)

    def _use(self, opened: DiskIndex, model: str | Path | None) -> None:
        self.index = opened
        self.pool = float(opened.manifest["pool"])
        self._chunk: Chunk = chunk_of(opened)
        self.home = IndexedModel.of(opened, model)
        self._model: MultiVectorEncoder | None = None
        self._known: Base | None = None
        self._light: LightEncoder | None = None
        register(self)
        self._encoder = encoder_of(opened) if self._asked_for is None else None
        if self._encoder is None:
            _ = self.home.path

    def __reduce__(self) -> Any:
        """Sent to another process, it is opened there anew; what is only in memory cannot be sent."""
        if not isinstance(self.index, DiskIndex):
            raise SettingError("Documents in memory cannot be sent to another process: build an index.")
        return _opened_again, self._again

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`: the threads that PyTorch computes with are the parent's, and a
        child that waited for them would wait for ever."""
        if in_child and self._model is not None:
            import torch

            torch.set_num_threads(1)

    def reopen(self) -> None:
        """Go on with the index that stands in the folder now.

        An index that was built again, or copied over, while it was open is not searched or changed any more: every
        call raises :class:`~tardif.errors.ReplacedError`, until it is opened again.

        Raises:
            FolderError: as on opening.
        """
        if isinstance(self.index, DiskIndex) and self.home is not None:
            self.index.reopen()
            self._use(self.index, self.home.given)

    @classmethod
    def build(
        cls,
        model: str | Path,
        documents: Any,
        out: str | Path,
        *,
        chunk: Chunk = "auto",
        bits: int = 8,
        pool: float = 1.0,
        hybrid: bool = False,
        language: str = "en",
        overwrite: bool = False,
        device: str = "cpu",
        threads: int | None = None,
        trust_remote_code: bool = False,
        report: str | Path | None = None,
        quiet: bool = False,
        **reading: Any,
    ) -> Retriever:
        """Encode a corpus with a late-interaction model and index it.

        Interrupted, the same call goes on with the documents that were not indexed yet.

        Args:
            model: a checkpoint's folder or hub id.
            documents: a list of texts, dicts or :class:`~tardif.types.Document`; a file; a folder; also what a model is
                trained on: of pairs each document once, of a collection its corpus.
            out: the index's folder.
            chunk: cut documents longer than so many of the model's tokens; ``auto`` cuts files of text,
                Markdown, reStructuredText, HTML, PDF and Word at 256, or at what the model reads where that is less,
                and keeps rows whole, whose ids are the user's; None keeps all whole. What of a document the model
                does not read, and so no search finds, is said.
            bits: of each component as stored: 16, 8, 4 or 2. 8 loses nothing that is measured; 4 and 2 are a half
                and a quarter of it.
            pool: keep one vector for so many tokens of a document (hierarchical pooling: Clavié et al., 2024); 2
                halves the index.
            hybrid: index the words too, for searches that are fused with BM25.
            language: of those words: ISO 639 code.
            overwrite: replace what stands there.
            device: torch's name of the device to encode on.
            threads: that score; all processors by default.
            trust_remote_code: let the model bring its own code.
            report: a file to write as JSON lines: every file and row that is not a document, or not quite, and every
                document that the model does not read to its end.
            quiet: show no progress on stderr.
            **reading: how tables are read, as they are for training: ``columns``, ...
                (:class:`tardif.data.reading.Reading`).

        Raises:
            ModelError: the model cannot be loaded or is not late-interaction.
            DataError: the documents cannot be read.
            SettingError: an option cannot be used.
            FolderError: the folder cannot be written, or another process builds this index.
        """
        out = check_output(Path(out), overwrite=overwrite)
        bits, pool = check_bits(bits), check_pool(pool)
        words = find_language(language).code if hybrid else None
        console = Console(quiet=quiet)
        read = _Reading(documents, console, report, reading)
        base = resolve_base(model, trust_remote_code=trust_remote_code)
        corpus = read.corpus(chunk, lambda: base)
        encoder = build_index(
            base,
            corpus,
            out,
            bits=bits,
            pool=pool,
            words=words,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            console=console,
            overwrite=overwrite,
            source=source_of(documents),
            chunk=chunk,
            reading=read.options.given(),
            opened=lambda model: read.tell(model, corpus),
        )
        retriever = cls(
            out, device=None if device == "cpu" else device, threads=threads, trust_remote_code=trust_remote_code
        )
        retriever._model, retriever.report = encoder, read.report
        return retriever

    @classmethod
    def encode(
        cls,
        model: str | Path | MultiVectorEncoder,
        documents: Any,
        *,
        chunk: Chunk = "auto",
        pool: float = 1.0,
        device: str = "cpu",
        trust_remote_code: bool = False,
        report: str | Path | None = None,
        quiet: bool = False,
        **reading: Any,
    ) -> Retriever:
        """Encode a corpus to be searched from memory, without a folder: for some ten thousand documents.

        Every search scores all of them. Documents can be added and deleted; nothing is kept when the program ends.

        Args:
            model: a checkpoint's folder or hub id, or an opened ``MultiVectorEncoder``.
            documents: as for :meth:`build`, as are the others.
            chunk: as there.
            pool: as there.
            device: as there.
            trust_remote_code: as there.
            report: as there.
            quiet: as there.
            **reading: as there.

        Raises:
            ModelError: the model cannot be loaded or is not late-interaction.
            DataError: the documents cannot be read.
            SettingError: an option cannot be used.
        """
        from tardif.encoder.model import open_model

        read = _Reading(documents, Console(quiet=quiet), report, reading)
        self = cls.__new__(cls)
        self.index, self.home, self.pool = MemoryIndex(), None, check_pool(pool)
        self._chunk = chunk
        self._model, self._known, self._light, self._encoder = None, None, None, None
        if isinstance(model, str | Path):
            self._known = resolve_base(model, trust_remote_code=trust_remote_code)
        else:
            self._model = model
        corpus = read.corpus(chunk, self._base)
        if self._known is not None:
            self._model = open_model(str(self._known.folder), device=device, trust_remote_code=trust_remote_code)
        register(self)
        self._put(read, corpus, source_of(documents))
        return self

    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what goes on in the background, and let go of the files."""
        self.index.close()

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return brief_repr(self, *self._facts())

    def _repr_html_(self) -> str:
        return table((), [(fact,) for fact in self._facts()], caption="Retriever")

    def _facts(self) -> list[str]:
        where = short(str(self.index.folder)) if isinstance(self.index, DiskIndex) else "in memory"
        try:
            return [where, f"{len(self)} documents"]
        except Exception:  # closed, replaced, damaged: its next call says so
            return [where]

    def add(
        self,
        documents: Any,
        *,
        chunk: Chunk = "auto",
        report: str | Path | None = None,
        quiet: bool = False,
        **reading: Any,
    ) -> tuple[int, int]:
        """Add documents; those whose ids are there replace them, with all of their pieces. They can be found when this
        returns.

        Args:
            documents: as for :meth:`build`, as is ``chunk``.
            chunk: as there.
            report: as there.
            quiet: show no progress on stderr.
            **reading: as there.

        Returns:
            How many documents were added, however many pieces they have, and how many of them replaced one.

        Raises:
            DataError: the documents cannot be read.
            ModelError: the model cannot be loaded.
            FolderError: the model is gone or was trained anew, or the index cannot be written.
            SettingError: documents are to be cut, and the model was given opened, without a folder.
        """
        read = _Reading(documents, Console(quiet=quiet), report, reading)
        return self._put(read, read.corpus(chunk, self._base), source_of(documents))

    def _put(self, reading: _Reading, corpus: Sequence[Document], source: str) -> tuple[int, int]:
        """Encode and add whole documents and pieces. A document is replaced with all of its pieces at once, so they are
        encoded together."""
        reading.tell(self.model, corpus)
        self.report = reading.report
        wholes, replaced = by_whole(corpus), 0
        with reading.console.progress("Adding", len(corpus), "documents") as bar:
            for block in blocks_of(wholes, _TOGETHER):
                vectors, lengths = encoded(block, self._document_vectors, bar.advance)
                replaced += self.index.add(block, vectors, lengths, source=source)
        return len(wholes), replaced

    def _document_vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        return document_vectors(self.model, texts, self.pool)

    def delete(self, ids: Sequence[str] | None = None, *, where: Where = None) -> int:
        """Delete documents, with all of their pieces: those of these ids, or those that a filter lets through.

        Args:
            ids: of documents; those that are not there are passed over.
            where: a filter instead. A document that was cut passes if all of its pieces do.

        Returns:
            How many documents there were.

        Raises:
            DataError: ``ids`` is no list of ids, or holds the id of a piece.
            SettingError: ids and a filter are given, or the filter cannot be used.
        """
        if where is None:
            given: Any = ids  # nothing at all is no list, and said to be none
            return self.index.delete(check_ids(given))
        if ids is not None:
            raise SettingError("delete: give ids or a filter (where), not both.")
        return self.index.delete_where(_parsed(where))

    def sync(
        self,
        folder: str | Path,
        *,
        dry_run: bool = False,
        chunk: Chunk | Literal["same"] = "same",
        delete_others: bool = False,
        quiet: bool = False,
        **reading: Any,
    ) -> Synced:
        """Have the index hold what a folder holds now: new documents are added, changed ones replaced, and those that
        are gone from it deleted (:func:`tardif.search.sync.plan`).

        Interrupted, each document is as it was or as it is now, and the same call goes on.

        Args:
            folder: of documents, or a table; as for :meth:`build`.
            dry_run: say what would be done, and do nothing.
            chunk: as for :meth:`build`; ``same`` cuts as the index was built. Documents that would be cut elsewhere
                than they are count as changed.
            delete_others: delete also the documents that did not come from this folder.
            quiet: show no progress on stderr.
            **reading: as for :meth:`build`; by default as what the index was built of, if this is it.

        Raises:
            DataError: the folder cannot be read, or holds no document.
            ModelError: the model cannot be loaded.
            FolderError: the model is gone or was trained anew, or the index cannot be written.
        """
        from tardif.search.sync import plan

        said = any(value is not None for value in reading.values())
        if not said and isinstance(self.index, DiskIndex) and source_of(folder) in self.index.sources().values():
            reading = reading_of(self.index)
        read = _Reading(folder, Console(quiet=quiet), None, reading)
        corpus, source = read.corpus(self._chunk if chunk == "same" else chunk, self._base), source_of(folder)
        found, changed = plan(self.index, corpus, source, read.report, delete_others=delete_others)
        self.report = read.report
        if dry_run or not changed:
            read.say()
        if not dry_run:
            if changed:
                self._put(read, changed, source)
            if found.moved:
                self.index.adopt(found.moved, source)
            if found.gone:
                self.index.delete(found.gone)
        return found

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
        hybrid: bool = False,
        word_share: float = WORD_SHARE,
        group: bool = False,
    ) -> list[Hit]:
        """The ``k`` best documents for a query by MaxSim, best first.

        Args:
            query: the query.
            k: how many.
            where: which documents may be found.
            exact: score every document.
            recall: else, the expected share of an exact search's hits.
            hybrid: fuse with BM25's ranking; the hits' scores are then those of the fusion
                (:func:`tardif.ranking.blend`).
            word_share: BM25's share of a hybrid search's scores, from 0 to 1.
            group: one hit a document: the best of its pieces, under the document's id. ``k`` counts documents then.

        Raises:
            SettingError: the query is empty, or an option cannot be used.
        """
        return self.search_many(
            [check_query(query)],
            k,
            where=where,
            exact=exact,
            recall=recall,
            hybrid=hybrid,
            word_share=word_share,
            group=group,
        )[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
        hybrid: bool = False,
        word_share: float = WORD_SHARE,
        group: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> list[list[Hit]]:
        """The hits of several queries, encoded and scored together; arguments and errors as :meth:`search`.

        ``advance`` is called with the number of queries done, for progress.
        """
        asked, queries = _Asked.of(k, where, exact, recall, hybrid, word_share, group), check_queries(queries)
        with self.index.moment():
            found = self._search(queries, asked, advance)
            documents = self.index.get(sorted({identity for hits in found for identity, _ in hits}))
        return ShortList(_hits(hits, documents, group=asked.group) for hits in found)

    def run(
        self,
        queries: Mapping[str, str],
        k: int = 100,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
        hybrid: bool = False,
        word_share: float = WORD_SHARE,
        group: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> Run:
        """The run of queries by id: query id -> document id -> score; arguments and errors as :meth:`search_many`."""
        asked = _Asked.of(k, where, exact, recall, hybrid, word_share, group)
        if not isinstance(queries, Mapping):
            raise SettingError(f"queries: give a dict of ids and texts, not {called(queries)}.")
        names, texts = check_ids(list(queries)), check_queries(list(queries.values()))
        if len(set(names)) < len(names):
            raise SettingError("queries: two of them have the same id, one as a text and one as a number.")
        with self.index.moment():
            found = self._search(texts, asked, advance)
            owners = self._owners(found) if asked.group else {}
        return ShortDict(
            (query, ShortDict((owners.get(identity, identity), score) for identity, score in hits))
            for query, hits in zip(names, found, strict=True)
        )

    def rerank(self, query: str, ids: Sequence[str], k: int = 10, *, group: bool = False) -> list[Hit]:
        """Order documents of the index for a query, from their stored vectors: nothing is encoded but the query.

        A document is one hit, however often its id is given, and the id of one that was cut stands for all of its
        pieces; ``position`` is the first place of the id in ``ids``.

        Args:
            query: the query.
            ids: of documents, or of pieces.
            k: how many hits to give.
            group: one hit a document, as for :meth:`search`.

        Raises:
            SettingError: the query is empty or ``k`` is below 1.
            DataError: a document is not in the index; ``ids`` is one text and no list, or holds what can be no id.
        """
        query, k, given = check_query(query), check_hits(k), check_ids(ids)
        ids = list(dict.fromkeys(given))
        vectors, _ = self._encode([query])
        with self.index.moment():
            documents = self.index.get(ids)
            known = documents.keys() | {document.whole_id for document in documents.values()}
            names = [*documents, *(identity for identity in ids if identity not in known)]
            scores = np.array(self.index.score(vectors, names))
            ranked = [hit for hit in top(scores, np.array(names, dtype=object), len(names)) if hit[1] > LOWEST]
            if group:
                ranked = best_of_each(ranked, {i: document.whole_id for i, document in documents.items()}, k)
            first = {identity: place for place, identity in reversed(list(enumerate(given)))}
            places = {i: first.get(i, first.get(document.whole_id, 0)) for i, document in documents.items()}
            return _hits(ranked[:k], documents, places, group=group)

    def why_nothing(self, query: str, *, where: Where = None) -> str:
        """Why a search found nothing, in a sentence or some: for a person to read, after a search without hits.

        >>> retriever.why_nothing("reset my password", where="langg = 'en'")  # doctest: +SKIP
        "No document passes the filter. No document has the key langg: did you mean lang?"
        """
        if not len(self):
            return "The index holds no document."
        if where is not None:
            chosen = _parsed(where)
            if not self.index.has(chosen):
                return " ".join(["No document passes the filter.", *unknown_keys(self.index, chosen)])
        if not all(self.matchable([query])):
            return (
                f"The query {shown(query)} has no token that can be matched, only punctuation or the like: "
                "it finds nothing."
            )
        return "No document that may be found has a token that can be matched."

    def matchable(self, queries: Sequence[str]) -> list[bool]:
        """Whether each query has a token that can be matched: one without, such as ``...``, finds nothing by its
        vectors.

        Raises:
            SettingError: a query is empty.
        """
        return [length > 0 for length in self._encode(check_queries(queries))[1]]

    def _search(
        self, queries: Sequence[str], asked: _Asked, advance: Callable[[int], None] | None = None
    ) -> list[list[tuple[str, float]]]:
        found: list[list[tuple[str, float]]] = []
        for begin in range(0, len(queries), _QUERIES):
            block = queries[begin : begin + _QUERIES]
            found += self._search_block(block, asked)
            if advance is not None:
                advance(len(block))
        return found

    def _search_block(self, queries: Sequence[str], asked: _Asked) -> list[list[tuple[str, float]]]:
        """The hits of each query; grouped, the best piece of each document."""
        vectors, lengths = self._encode(queries)
        if not asked.group:
            return self._ranked(queries, vectors, lengths, asked)
        # Pieces of one document crowd others out: deeper until there are documents enough, or no more pieces.
        ends = np.cumsum(lengths)
        found: list[list[tuple[str, float]]] = [[] for _ in queries]
        waiting, depth = list(range(len(queries))), asked.k
        while waiting:
            rows = [vectors[ends[place] - lengths[place] : ends[place]] for place in waiting]
            ranked = self._ranked(
                [queries[place] for place in waiting],
                np.concatenate(rows),
                [lengths[place] for place in waiting],
                replace(asked, k=depth),
            )
            owners = self._owners(ranked)
            for place, hits in zip(waiting, ranked, strict=True):
                found[place] = best_of_each(hits, owners, asked.k)
            waiting = [
                place
                for place, hits in zip(waiting, ranked, strict=True)
                if len(found[place]) < asked.k and len(hits) == depth
            ]
            depth *= 4
        return found

    def _owners(self, found: Sequence[Sequence[tuple[str, float]]]) -> dict[str, str]:
        """The documents that hits are, or are pieces of."""
        return self.index.wholes(sorted({identity for hits in found for identity, _ in hits}))

    def _ranked(
        self, queries: Sequence[str], vectors: NDArray[np.float32], lengths: Sequence[int], asked: _Asked
    ) -> list[list[tuple[str, float]]]:
        """The best documents and pieces of each query."""
        k = max(asked.k, DEPTH) if asked.hybrid else asked.k
        found = self.index.search(vectors, lengths, k, exact=asked.exact, recall=asked.recall, where=asked.where)
        if not asked.hybrid:
            return found
        words = [self.index.search_words(query, k, where=asked.where) for query in queries]
        return [blend(*rankings, asked.k, asked.word_share) for rankings in zip(found, words, strict=True)]

    def _encode(self, queries: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        if self._encoder is None:
            return encode_queries(self.model, list(queries))
        if self._light is None:
            from tardif.encoder.onnx.encoder import LightEncoder

            self._light = LightEncoder(self._encoder)
        return self._light.encode_queries(list(queries))

    def _base(self) -> Base:
        """The checkpoint whose tokens count where documents are cut."""
        if self._known is None:
            if self.home is None:
                raise SettingError(
                    "Documents are cut by the tokens of a checkpoint, and none is known: give chunk=None, or the "
                    "model as a folder or hub id."
                )
            self._known = resolve_base(self.home.path, trust_remote_code=self._trust)
        return self._known

    @property
    def model(self) -> MultiVectorEncoder:
        """The model, loaded on first use.

        Raises:
            FolderError: it is gone, or was trained anew since.
            ModelError: it cannot be loaded.
        """
        if self._model is None:
            from tardif.encoder.model import open_model

            assert self.home is not None
            self._model = open_model(str(self.home.path), device=self._device, trust_remote_code=self._trust)
        return self._model


def _parsed(where: str | Mapping[Any, Any] | Filter) -> Filter:
    return where if isinstance(where, Filter) else parse_filter(where)


def _opened_again(
    index: Path, model: str | Path | None, device: str | None, threads: int | None, trust_remote_code: bool
) -> Retriever:
    return Retriever(index, model=model, device=device, threads=threads, trust_remote_code=trust_remote_code)


@dataclass(frozen=True)
class _Asked:
    """A search's options, checked."""

    k: int
    where: Filter | None
    exact: bool
    recall: float
    hybrid: bool
    word_share: float
    group: bool

    @classmethod
    def of(
        cls, k: int, where: Where, exact: bool, recall: float, hybrid: bool, word_share: float, group: bool
    ) -> _Asked:
        if not is_number(recall) or not 0 < recall <= 1:
            raise SettingError(f"recall={shown(recall)}: give a share above 0, at most 1.")
        chosen = None if where is None else _parsed(where)
        return cls(check_hits(k), chosen, exact, float(recall), hybrid, check_share(word_share), bool(group))


class _Reading:
    """A corpus on its way to a model, and all that is to be said of what did not get there.

    Args:
        documents: as the user gave them.
        console: where it is said.
        file: where it is written, if anywhere.
        options: how tables are read.
    """

    def __init__(self, documents: Any, console: Console, file: str | Path | None, options: Mapping[str, Any]) -> None:
        # Imported here, as below: a search needs none of what reads documents, and is to answer at once.
        from tardif.data.document_report import DocumentReport
        from tardif.data.reading import reading_from

        if file is not None and not isinstance(file, str | Path):
            raise SettingError(f"report={shown(file)}: give the path of a file to write.")
        self.documents, self.console = documents, console
        self.file = None if file is None else Path(file)
        if self.file is not None:
            check_file(self.file)
        self.options = reading_from(options)
        self.report = DocumentReport()

    def corpus(self, chunk: Chunk, base: Callable[[], Base]) -> list[Document]:
        """The documents, whose ids are unique, cut into pieces where ``chunk`` says so."""
        from tardif.data.chunking import cutter
        from tardif.data.documents import read_documents
        from tardif.encoder.truncation import as_read

        cut = cutter(self.documents, chunk, lambda: as_read(base()))
        read = self._read(lambda: read_documents(self.documents, reading=self.options, report=self.report))
        found = [piece for document in read for piece in (cut(document) if cut else [document])]
        check_pieces(found)
        return found

    def whole(self) -> list[Document]:
        """The documents, copies among them."""
        from tardif.data.documents import stream_documents

        return self._read(
            lambda: [
                document for _, document in stream_documents(self.documents, reading=self.options, report=self.report)
            ]
        )

    def _read(self, read: Callable[[], list[Document]]) -> list[Document]:
        try:
            return read()
        except DataError:  # the report says more than the error, where no file of a folder can be read
            self._write()
            raise

    def tell(self, model: Any, corpus: Sequence[Document], way_out: str = "") -> None:
        """Say what was not read, and what of it the model will not read, before anything is encoded."""
        from tardif.encoder.coverage import SAMPLE, texts_warning
        from tardif.encoder.truncation import document_reach, overlong, truncation_warning
        from tardif.text.normal import keyed_sample

        found, reach = overlong(model, corpus), document_reach(model)
        for document in found:
            self.report.cut(document.id, f"{document.tokens - reach} of {document.tokens} tokens are not read")
        pieces = min(_PIECE, reach)
        way_out = way_out or f"Cut them into pieces: --chunk {pieces} (in Python chunk={pieces})."
        self.report.lost = truncation_warning(found, reach, len(corpus), way_out)
        self.say()
        sample = keyed_sample(0, (document.content for document in corpus), SAMPLE)
        if remark := texts_warning("The model", model[0].tokenizer, sample, "these documents"):
            self.console.warn(remark)

    def say(self) -> None:
        """Say what was read as what and what was not, and write it where that was asked for."""
        # Of values that are all taken there is nothing to say.
        if self.report.notes or isinstance(self.documents, str | Path):
            for line in self.report.lines():
                self.console.say(line)
        self._write()

    def _write(self) -> None:
        if self.file is not None:
            self.report.write(self.file)


def rerank(
    model: str | Path | MultiVectorEncoder,
    query: str,
    documents: Iterable[Any] | str | Path,
    k: int = 10,
    *,
    device: str = "cpu",
    trust_remote_code: bool = False,
    report: str | Path | None = None,
    quiet: bool = False,
    **reading: Any,
) -> list[Hit]:
    """Order documents for a query by exact MaxSim, without an index.

    Every document that is given is ordered, copies too: :attr:`Hit.position <tardif.types.Hit.position>` says which
    one a hit is. Equal scores go by id, the highest first, then by position.

    >>> rerank("models/mine", "what makes the tides", ["The moon does.", "Bread rises."])  # doctest: +SKIP

    Args:
        model: a checkpoint, or an opened ``MultiVectorEncoder``.
        query: the query.
        documents: as for :meth:`Retriever.build`: plain texts, say. Ids need not be unique.
        k: how many hits to give.
        device: torch's name of the device.
        trust_remote_code: let the model bring its own code.
        report: as for :meth:`Retriever.build`.
        quiet: do not say what was not read.
        **reading: as for :meth:`Retriever.build`.

    Raises:
        SettingError: the query is empty or ``k`` is below 1.
        DataError: the documents cannot be read.
        ModelError: the model cannot be loaded.
    """
    from tardif.encoder.model import open_model

    query, k = check_query(query), check_hits(k)
    base = resolve_base(model, trust_remote_code=trust_remote_code) if isinstance(model, str | Path) else None
    read = _Reading(documents, Console(quiet=quiet), report, reading)
    given = read.whole()
    opened = model if base is None else open_model(str(base.folder), device=device, trust_remote_code=trust_remote_code)
    read.tell(opened, given, "Cut them first, or search an index of pieces (tardif index --chunk).")
    scores = _scores(opened, query, [document.content for document in given])
    places = [place for place, score in enumerate(scores) if score > LOWEST]
    places.sort(key=lambda place: (scores[place], given[place].id), reverse=True)  # the stable sort keeps copies' order
    # As an index would give them back.
    found = [(place, replace(given[place], metadata=as_stored(given[place].metadata))) for place in places[:k]]
    return Hits(_hit(rank, document, scores[place], place) for rank, (place, document) in enumerate(found, start=1))


def _scores(model: Any, query: str, texts: Sequence[str]) -> list[float]:
    """MaxSim of a query with each text, the same for the same text; the least float where there is nothing to score."""
    vectors, lengths = encode_queries(model, [query])
    if not lengths[0]:
        return [LOWEST] * len(texts)
    distinct = list(dict.fromkeys(texts))
    found = maxsim_arrays(vectors, lengths, *document_vectors(model, distinct, 1))[0]  # [1, distinct] -> [distinct]
    by_text = dict(zip(distinct, found.tolist(), strict=True))
    return [by_text[text] for text in texts]


def _hit(rank: int, document: Document, score: float, position: int | None = None, name: str = "") -> Hit:
    return Hit(
        rank,
        name or document.id,
        score,
        document.text,
        document.title,
        document.metadata,
        position=position,
        piece=document.piece,
    )


def _hits(
    found: Sequence[tuple[str, float]],
    documents: Mapping[str, Document],
    positions: Mapping[str, int] | None = None,
    *,
    group: bool = False,
) -> list[Hit]:
    """Hits as they are given: by their own ids or, grouped, by their documents'."""
    places = positions or {}
    return Hits(
        _hit(rank, documents[name], score, places.get(name), documents[name].whole_id if group else name)
        for rank, (name, score) in enumerate(found, start=1)
    )


def best_of_each(ranked: Sequence[tuple[str, float]], owners: Mapping[str, str], k: int) -> list[tuple[str, float]]:
    """The first piece of each of the first ``k`` documents of a ranking. Equal scores go by the documents' ids, as
    where a document is one piece."""
    first: dict[str, tuple[str, float]] = {}
    for hit in ranked:
        first.setdefault(owners[hit[0]], hit)
    best = best_first(((owner, score) for owner, (_, score) in first.items()), k)
    return [first[owner] for owner, _ in best]
