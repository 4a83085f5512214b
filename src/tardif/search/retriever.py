"""The retriever: a model and an index, built, opened, searched and changed together."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tardif.checks import called, check_hits, check_ids, check_queries, check_query, shown
from tardif.cluster.connection import check_address, check_replicas, connected
from tardif.cluster.shards import open_shards
from tardif.display import Hits, ShortDict, ShortList, brief_repr, short, table
from tardif.encoder.base import resolve_base
from tardif.errors import SettingError
from tardif.explanation import Explanation
from tardif.extras import INDEXING, MODEL, need
from tardif.folders import check_output, expanded
from tardif.index.filters import parse_filter
from tardif.index.manifest import check_no_shard
from tardif.index.memory import MemoryIndex
from tardif.index.protocol import RECALL, Index, Vectors
from tardif.index.qdrant.places import open_qdrant, qdrant_place
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.index.sharded import ShardedIndex, answered
from tardif.index.sharded_folder import (
    FolderIndex,
    ShardedFolder,
    check_shards,
    is_sharded,
    open_index,
    reopened,
)
from tardif.index.spool import SpooledCorpus
from tardif.index.unknown_keys import unknown_keys
from tardif.progress import Console
from tardif.ranking import WORD_SHARE, Ranking
from tardif.search.build import (
    BuildOptions,
    DocumentVectors,
    add_documents,
    build_index,
    check_pool,
    document_vectors,
)
from tardif.search.corpus_reader import CorpusReader
from tardif.search.explain import explain_hits, explain_stored, explain_text
from tardif.search.hits import SearchOptions, Where, hits_of, owners_of, rank_queries
from tardif.search.indexed_model import IndexedModel
from tardif.search.qdrant_build import build_in_qdrant, check_target
from tardif.search.query_encoder import encoder_of
from tardif.search.rerank import rerank_stored
from tardif.search.search_model import SearchModel
from tardif.search.source_notes import chunk_of, note_source, reading_of
from tardif.search.sync import Synced, check_place, plan, source_of
from tardif.text.languages import language as find_language
from tardif.types import Document, Hit, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.data.chunking import Chunk
    from tardif.data.document_report import DocumentReport
    from tardif.encoder.onnx.encoder import LightEncoder

# Documents that add() and sync() encode and write together: fewer than a build, so that they can be found sooner.
_TOGETHER = 256


class Retriever:
    """A model and an index, searched together.

    Queries are encoded without PyTorch where the index holds an exported query encoder, so a first search answers in
    about a second. The model itself is loaded when documents are added, or where there is no such encoder.

    >>> with Retriever("support.index") as retriever:
    ...     len(retriever.search("reset my password", k=3, where="lang = 'en'"))
    3

    Attributes:
        index: the documents and their vectors.
        home: the model on disk; None if it was given opened.
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
        ray: str | None = None,
        replicas: int = 1,
    ) -> None:
        """Open an index.

        Args:
            index: the folder that :meth:`build` wrote; or in Qdrant, the address ``http://HOST:6333/COLLECTION`` or
                ``edge:FOLDER``.
            model: the model's folder or hub id, if it was moved since; the index remembers where it is.
            device: torch's name of the device to encode on; by default queries are encoded without PyTorch, and
                documents on the CPU.
            threads: for scoring; all processors by default.
            trust_remote_code: let the model run its own code.
            ray: search the shards of an index in shards on a Ray cluster (docs/cluster.md): ``local``, ``auto`` or
                ``HOST:PORT``.
            replicas: with ``ray``, the actors of each shard: it is found as long as one of them lives.

        Raises:
            SettingError: ``ray`` or ``replicas`` cannot be used, or the index is not in shards.
            ClusterError: the cluster cannot be reached.
            MissingExtraError: a device or a model is given, or the index has no query encoder, and PyTorch is not
                installed.
            FolderError: the index is damaged; or its model is needed and is missing, or was trained again since.
        """
        how: Any = {"model": model, "device": device, "threads": threads, "trust_remote_code": trust_remote_code}
        place = qdrant_place(index)
        how |= {"ray": ray, "replicas": replicas}
        # Absolute: another process may have another working folder.
        self._call = functools.partial(Retriever, str(place) if place else expanded(index).absolute(), **how)
        self._joined = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            opening.enter_context(self._joined)  # closed if the index cannot be opened
            self._use(open_qdrant(place, threads) if place and ray is None else self._opened(expanded(index)), model)
            opening.pop_all()

    def _opened(self, folder: Path) -> FolderIndex:
        """Open the index in a folder, here or on a cluster."""
        threads, ray, replicas = (self._call.keywords[name] for name in ("threads", "ray", "replicas"))
        check_replicas(replicas)
        if ray is None:
            if replicas != 1:
                raise SettingError(f"replicas={replicas}: they are of a cluster, and none is given (ray).")
            return open_index(folder, threads=threads)
        address = check_address(ray)
        if not is_sharded(folder):
            raise SettingError(
                f"{folder} is not in shards, which a cluster searches: build it in shards, or open it without one."
            )
        cluster = self._joined.enter_context(connected(address))
        return ShardedFolder(folder, threads=threads, open_shard=open_shards(cluster, folder.absolute(), replicas))

    def _use(self, opened: FolderIndex | QdrantIndex, model: str | Path | None) -> None:
        how, self.index = self._call.keywords, opened
        self.pool = float(opened.manifest["pool"])
        self.home = IndexedModel.of(opened, model)
        query_encoder = encoder_of(opened) if how["device"] is None and how["model"] is None else None
        device, trusts = how["device"] or "cpu", how["trust_remote_code"]
        self._model = SearchModel(home=self.home, query_encoder=query_encoder, device=device, trust_remote_code=trusts)
        if query_encoder is None:
            try:
                need("train", f"Encoding for {opened.folder} with PyTorch", MODEL)
                _ = self.home.path  # raises now and not at the first search
            except BaseException:
                opened.close()
                raise

    def __reduce__(self) -> Any:
        """Pickle as the call that opens the index: another process opens it itself. Documents in memory cannot be
        pickled."""
        if not isinstance(self.index, FolderIndex | QdrantIndex):
            raise SettingError("Documents in memory cannot be sent to another process: build an index.")
        return self._call, ()

    def use_query_encoder(self, folder: str | Path) -> None:
        """Encode queries from now on without PyTorch, with an encoder that was exported of the index's model.

        For an index in a Qdrant service, which has no folder to hold one. Whoever calls this answers for its being of
        the same model.

        >>> retriever = Retriever("support.index")
        >>> retriever.use_query_encoder("support.index/encoder")
        >>> retriever.search("how do I change my password?", k=1)[0].rank
        1

        Args:
            folder: that ``tardif export MODEL --format onnx`` wrote.
        """
        self._model.use_exported(expanded(folder))

    def reopen(self) -> None:
        """Continue with the index that is in the folder now.

        While an index is open, it may be built again, or another may be copied over it. Every call then raises
        :class:`~tardif.errors.ReplacedError` until the index is opened again.

        Raises:
            FolderError: as on opening.

        >>> retriever = Retriever("support.index")
        >>> retriever.reopen()
        >>> retriever.search("how do I change my password?", k=1)[0].rank
        1
        """
        if isinstance(self.index, FolderIndex) and self.home is not None:
            self._use(reopened(self.index, self._call.keywords["threads"]), self.home.given)

    @classmethod
    def build(
        cls,
        model: str | Path,
        documents: Any,
        out: str | Path,
        *,
        chunk: Chunk = "auto",
        bits: int | None = None,
        pool: float = 1.0,
        hybrid: bool = False,
        language: str = "en",
        shards: int | None = None,
        overwrite: bool = False,
        device: str = "cpu",
        precision: str = "fp32",
        threads: int | None = None,
        trust_remote_code: bool = False,
        report: str | Path | None = None,
        quiet: bool = False,
        ray: str | None = None,
        **reading: Any,
    ) -> Retriever:
        """Encode a corpus with a late-interaction model and index it. Interrupted, the same call continues.

        >>> Retriever.build("models/support", "articles/", "articles.index", quiet=True)
        Retriever(...articles.index..., 20 documents)

        Args:
            model: a checkpoint's folder or hub id.
            documents: texts, dicts or :class:`~tardif.types.Document` in a list or a generator, read once and a block
                at a time; a file; a folder; or training data:
                each document of pairs once, or a collection's corpus.
            out: the index's folder; or in Qdrant, ``http://HOST:6333/COLLECTION`` or ``edge:FOLDER``.
            chunk: cut documents longer than this many of the model's tokens; None cuts none. ``auto`` cuts files of
                text, Markdown, reStructuredText, HTML, PDF and Word at 256 (or at the model's length, if that is
                less), and no rows, because their ids are the user's. Text beyond the model's length is reported.
            bits: of each stored component: 16, 8, 4 or 2; by default 8, which costs no measurable quality. In Qdrant
                32, the default there, or 16.
            pool: how many tokens of a document become one vector (hierarchical pooling); 2 halves the index.
            hybrid: also index the words, for searches fused with BM25.
            language: of those words: ISO 639 code.
            shards: build so many shards, each an index of its own in a folder of the index's, and searched as one;
                None builds one index.
            overwrite: replace an existing folder.
            device: torch's name of the device to encode on.
            precision: of encoding documents, here and when some are added later: ``fp32``; ``bf16``, which takes two
                thirds of the time or less on CPUs with instructions for it, and changes scores in their third digit;
                ``auto``: bf16 on those, else fp32.
            threads: for scoring; all processors by default.
            trust_remote_code: let the model run its own code.
            report: a file for JSON lines: every file and row that was not read whole, and every truncated document.
            quiet: show no progress on stderr.
            ray: encode on a Ray cluster (docs/cluster.md): ``local``, ``auto`` or ``HOST:PORT``.
            **reading: how tables are read (:class:`tardif.data.reading.Reading`).

        Raises:
            MissingExtraError: what indexing needs is not installed (the extra ``train``).
            ModelError: the model cannot be loaded, or is not a late-interaction model.
            DataError: the documents cannot be read.
            SettingError: an option cannot be used.
            FolderError: the folder cannot be written, or another process builds this index.
        """
        need("train", "Indexing documents", INDEXING)
        place = qdrant_place(out)
        if place is not None:
            check_target(place, overwrite=overwrite, read=[model, documents])
        else:
            out = check_output(check_no_shard(Path(out)), overwrite=overwrite, read=[model, documents])
        words = find_language(language).code if hybrid else None
        count = None if shards is None else check_shards(shards)
        if place is not None and count is not None:
            raise SettingError("shards: Qdrant divides its collections itself; leave it out.")
        how: Any = {"device": device, "threads": threads, "trust_remote_code": trust_remote_code}
        own_bits = 8 if bits is None or place is not None else bits
        decided: Any = {"chunk": chunk, "bits": own_bits, "pool": pool, "words": words, "precision": precision}
        options = BuildOptions(**decided, overwrite=overwrite, ray=ray, **how)
        target = Path(out) if place is None else None
        reader = CorpusReader(documents, Console(quiet=quiet), report, reading, beside=[model], out=target)
        if place is not None:
            encoder = build_in_qdrant(model, reader, place, options, bits)
        elif count is None:
            encoder = build_index(model, reader, Path(out), options)
        else:
            from tardif.search.build_sharded import build_sharded

            encoder = build_sharded(model, reader, Path(out), options, count)
        retriever = cls(out, **{**how, "device": None if device == "cpu" else device})
        retriever._model.use(encoder)
        retriever.report = reader.report
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
        """Encode a corpus to be searched in memory, without a folder: for some ten thousand documents.

        Every search scores all documents. Documents can be added and deleted; nothing is saved.

        >>> Retriever.encode("models/support", ["The moon makes the tides.", "Bread rises."], quiet=True)
        Retriever(in memory, 2 documents)

        Args:
            model: a checkpoint's folder or hub id, or an opened ``MultiVectorEncoder``.
            documents, chunk, pool, device, trust_remote_code, report, quiet, reading: as for :meth:`build`, as are the
                errors.
        """
        need("train", "Indexing documents", INDEXING)
        reader = CorpusReader(documents, Console(quiet=quiet), report, reading, beside=[model])
        self = cls.__new__(cls)
        self._joined = contextlib.ExitStack()
        self.index, self.home, self.pool = MemoryIndex(), None, check_pool(pool)
        if isinstance(model, str | Path):
            base = resolve_base(model, trust_remote_code=trust_remote_code)
            self._model = SearchModel(base=base, device=device, trust_remote_code=trust_remote_code)
        else:
            self._model = SearchModel(opened=model)
        source = source_of(documents)
        with reader.corpus(chunk, self._model.base) as corpus:
            self._put(reader, corpus, source)
        note_source(self.index, reader, source, chunk, home=True)
        return self

    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for work in the background, and close the files."""
        with self._joined:
            self.index.close()

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return brief_repr(self, *self._facts())

    def _repr_html_(self) -> str:
        return table((), [(fact,) for fact in self._facts()], caption="Retriever")

    def _facts(self) -> list[str]:
        where = "in memory"
        if isinstance(self.index, FolderIndex | QdrantIndex):
            where = short(self.index.place if isinstance(self.index, QdrantIndex) else str(self.index.folder))
        try:
            return [where, f"{len(self)} documents"]
        except Exception:  # closed, replaced or damaged: a repr must not raise, and the next call reports it
            return [where]

    def add(
        self,
        documents: Any,
        *,
        chunk: Chunk | Literal["same"] = "same",
        report: str | Path | None = None,
        quiet: bool = False,
        **reading: Any,
    ) -> tuple[int, int]:
        """Add documents. A document with an id that exists replaces the old one, with all of its pieces. Searches find
        the documents as soon as this returns.

        >>> with Retriever("support.index") as retriever:
        ...     retriever.add([{"id": "stairs", "text": "Delivery up the stairs is free."}], quiet=True)
        (1, 0)

        Args:
            documents, report, quiet, reading: as for :meth:`build`.
            chunk: as for :meth:`build`; ``same`` cuts the documents of a file or folder as they were cut before, and
                others as the index was built. Where that was ``auto``, values are cut if files of text were.

        Returns:
            How many documents were added (a document that was cut counts once), and how many of them replaced one.

        Raises:
            MissingExtraError: as for :meth:`build`.
            DataError: the documents cannot be read.
            ModelError: the model cannot be loaded.
            FolderError: the model is missing or was trained again, or the index cannot be written.
            SettingError: documents are to be cut, and the model was given opened, without a folder.
        """
        need("train", "Adding documents", INDEXING)
        self._check_changeable()
        beside = [self._call.keywords["model"], self.index.folder] if isinstance(self.index, FolderIndex) else []
        reader = CorpusReader(documents, Console(quiet=quiet), report, reading, beside=beside)
        source = source_of(documents)
        cut = self._chunk(source) if chunk == "same" else chunk
        with reader.corpus(cut, self._model.base, self._scratch()) as corpus:
            done = self._put(reader, corpus, source)
        if source:
            note_source(self.index, reader, source, cut)
        return done

    def _chunk(self, source: str) -> Chunk:
        """How documents of a file or folder are cut where the caller does not say it."""
        from tardif.encoder.truncation import as_read

        return chunk_of(self.index, source, lambda: as_read(self._model.base()))

    def _check_changeable(self) -> None:
        """Raise, before anything is read or encoded, if a shard of the index is lost."""
        if isinstance(self.index, ShardedIndex):
            self.index.check_changeable()

    def _scratch(self) -> Path | None:
        return self.index.scratch() if isinstance(self.index, FolderIndex) else None

    def _put(self, reader: CorpusReader, corpus: SpooledCorpus, source: str) -> tuple[int, int]:
        """Encode and add documents. Returns how many, and how many replaced one."""
        reader.show_unread(self.model, corpus)
        self.report = reader.report
        with reader.console.progress("Adding", len(corpus), "documents") as bar:
            blocks = corpus.blocks(_TOGETHER)
            replaced = add_documents(self.index, blocks, self._document_vectors, advance=bar.advance, source=source)
        return corpus.wholes, replaced

    def _document_vectors(self, texts: Sequence[str]) -> DocumentVectors:
        return document_vectors(self.model, texts, self.pool, self.home.precision if self.home else "fp32")

    def delete(self, ids: Sequence[str] | None = None, *, where: Where = None) -> int:
        """Delete documents, with all of their pieces, by their ids or by a filter.

        >>> with Retriever("support.index") as retriever:
        ...     retriever.delete(["article-20", "unknown"]), retriever.delete(where="year = 2033")
        (1, 1)

        Args:
            ids: of documents; unknown ids are ignored.
            where: a filter instead. A document that was cut is deleted if all of its pieces pass.

        Returns:
            How many documents were deleted.

        Raises:
            DataError: ``ids`` is not a list of ids, or holds the id of a piece.
            SettingError: both ids and a filter are given, or the filter cannot be used.
        """
        if where is None:
            given: Any = ids  # None is reported as not being a list
            return self.index.delete(check_ids(given))
        if ids is not None:
            raise SettingError("delete: give ids or a filter (where), not both.")
        return self.index.delete_where(parse_filter(where))

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
        """Bring the index into step with a folder: add new documents, replace changed ones, and delete those that are
        gone from the folder (:func:`tardif.search.sync.plan`).

        Interrupted, each document is in its old or in its new state, and the same call continues.

        >>> with Retriever("support.index") as retriever:
        ...     len(retriever.sync("articles/", dry_run=True, quiet=True).new)
        20

        Args:
            folder: the path of a folder of documents, or of a table; documents given as values have no place.
            dry_run: report what would be done, and do nothing.
            chunk: as for :meth:`add`; another is kept for the next call. Documents that would be cut differently count
                as changed.
            delete_others: also delete the documents that did not come from this folder.
            quiet: show no progress on stderr.
            **reading: as for :meth:`build`; by default as the folder was read when it was last built, added or synced.

        Raises:
            MissingExtraError: as for :meth:`build`.
            SettingError: ``folder`` is no path, or an option cannot be used.
            DataError: the folder cannot be read, or holds no document.
            ModelError: the model cannot be loaded.
            FolderError: the model is missing or was trained again, or the index cannot be written.
        """
        check_place(folder)
        need("train", "sync", INDEXING)
        self._check_changeable()
        source = source_of(folder)
        if all(value is None for value in reading.values()):
            reading = reading_of(self.index, source)
        reader = CorpusReader(folder, Console(quiet=quiet), None, reading)
        cut = self._chunk(source) if chunk == "same" else chunk
        with reader.corpus(cut, self._model.base, self._scratch()) as corpus:
            found = plan(self.index, corpus, source, reader.report, delete_others=delete_others)
            self.report = reader.report
            if dry_run or not len(corpus):
                reader.show()
            else:
                self._put(reader, corpus, source)
        if not dry_run:
            if found.moved:
                self.index.adopt(found.moved, source)
            note_source(self.index, reader, source, cut, home=not found.others)
            # Deleted last: the text of a renamed file is found at every moment, by one id or the other.
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
        word_share: float | None = None,
        group: bool = False,
        explain: bool = False,
        partial: bool = False,
    ) -> list[Hit]:
        """Return the ``k`` best documents for a query by MaxSim, best first.

        Args:
            query: the query.
            k: the number of hits.
            where: a filter on metadata, as an expression or a dict (:mod:`tardif.index.filters`).
            exact: score every document.
            recall: without ``exact``, the expected share of an exact search's hits.
            hybrid: fuse with BM25's ranking; scores are then those of the fusion (:func:`tardif.ranking.blend`).
            word_share: BM25's share of a hybrid search's scores, from 0 to 1. None: :attr:`word_share`, which the
                model's training learnt on its held-out queries; 0.15 where it learnt none.
            group: one hit per document: the best of its pieces, under the document's id; ``k`` counts documents.
            explain: give each hit the passage of its text that earned most of the score (:attr:`Hit.snippet
                <tardif.types.Hit.snippet>`), and the words that earned it.
            partial: of an index in shards, return what the shards find that answer, with a
                :class:`~tardif.errors.PartialWarning` that names the others.

        Raises:
            SettingError: the query is empty, or an option cannot be used.
            ShardError: a shard of the index does not answer; with ``partial``, none does.

        >>> hits = Retriever("support.index").search("how do I change my password?", k=2, where="year >= 2020")
        >>> [hit.rank for hit in hits], all(hit.metadata["year"] >= 2020 for hit in hits)
        ([1, 2], True)
        >>> hit = Retriever("support.index").search("how do I change my password?", k=1, explain=True)[0]
        >>> 0 < len(hit.snippet) <= 250
        True
        """
        queries, options = [check_query(query)], self._options(k, where, exact, recall, hybrid, word_share, group)
        return answered(self.index, lambda: self._hits(queries, options, explain=explain), partial=partial)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
        hybrid: bool = False,
        word_share: float | None = None,
        group: bool = False,
        explain: bool = False,
        partial: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> list[list[Hit]]:
        """Return the hits of several queries, encoded and scored together; arguments and errors as :meth:`search`.

        ``advance`` is called with the number of queries done, for progress.
        """
        options = self._options(k, where, exact, recall, hybrid, word_share, group)
        checked = check_queries(queries)
        return answered(self.index, lambda: self._hits(checked, options, advance, explain=explain), partial=partial)

    @property
    def word_share(self) -> float:
        """BM25's share of the scores of a hybrid search that names none."""
        return WORD_SHARE if self.home is None else self.home.word_share

    def _options(
        self, k: int, where: Where, exact: bool, recall: float, hybrid: bool, word_share: float | None, group: bool
    ) -> SearchOptions:
        options = SearchOptions.of(k, where, exact, recall, hybrid, word_share, group)
        return options if options.word_share is not None else replace(options, word_share=self.word_share)

    def _hits(
        self,
        queries: Sequence[str],
        options: SearchOptions,
        advance: Callable[[int], None] | None = None,
        *,
        explain: bool = False,
    ) -> list[list[Hit]]:
        asked: list[Vectors] = []

        def encode(block: Sequence[str]) -> tuple[Vectors, list[int]]:
            vectors, lengths = self._model.encode_queries(block)
            if explain:
                asked.extend(np.split(vectors, np.cumsum(lengths)[:-1]))
            return vectors, lengths

        with self.index.moment():
            found = rank_queries(self.index, encode, queries, options, advance)
            documents = self.index.get(sorted({identity for ranking in found for identity, _ in ranking}))
            hits = [hits_of(ranking, documents, group=options.group) for ranking in found]
            for place, vectors in enumerate(asked):
                ids = [identity for identity, _ in found[place]]
                hits[place] = self._explained((queries[place], vectors), hits[place], ids, documents)
        return ShortList(hits)

    def _explained(
        self, query: tuple[str, Vectors], hits: Sequence[Hit], ids: Sequence[str], documents: Mapping[str, Document]
    ) -> list[Hit]:
        """Hits with their snippets, by the vectors that the query was scored with. Whoever calls this holds the index's
        moment."""
        from tardif.search.snippet import explained_hit

        explanations = explain_hits(self.index, self._model, self._model.with_tokens(*query), ids, documents)
        return Hits(explained_hit(*pair) for pair in zip(hits, explanations, strict=True))

    def run(
        self,
        queries: Mapping[str, str],
        k: int = 100,
        *,
        where: Where = None,
        exact: bool = False,
        recall: float = RECALL,
        hybrid: bool = False,
        word_share: float | None = None,
        group: bool = False,
        partial: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> Run:
        """Return the run of queries given by id: query id -> document id -> score. Arguments and errors are those of
        :meth:`search_many`.

        >>> with Retriever("support.index") as retriever:
        ...     {query: len(scores) for query, scores in retriever.run({"q1": "my parcel"}, k=5).items()}
        {'q1': 5}
        """
        options = self._options(k, where, exact, recall, hybrid, word_share, group)
        if not isinstance(queries, Mapping):
            raise SettingError(f"queries: give a dict of ids and texts, not {called(queries)}.")
        names, texts = check_ids(list(queries)), check_queries(list(queries.values()))
        if len(set(names)) < len(names):
            raise SettingError("queries: two of them have the same id, one as a text and one as a number.")

        def ranked() -> tuple[list[Ranking], Mapping[str, str]]:
            with self.index.moment():
                found = rank_queries(self.index, self._model.encode_queries, texts, options, advance)
                return found, owners_of(self.index, found) if options.group else {}

        found, owners = answered(self.index, ranked, partial=partial)
        return ShortDict(
            (query, ShortDict((owners.get(identity, identity), score) for identity, score in ranking))
            for query, ranking in zip(names, found, strict=True)
        )

    def rerank(
        self, query: str, ids: Sequence[str], k: int = 10, *, group: bool = False, explain: bool = False
    ) -> list[Hit]:
        """Order documents of the index for a query, from their stored vectors: only the query is encoded.

        A repeated id gives one hit. The id of a document that was cut stands for all of its pieces. ``position`` is
        the first place of the id in ``ids``.

        >>> with Retriever("support.index") as retriever:
        ...     sorted(hit.position for hit in retriever.rerank("my parcel", ["article-3", "article-9"]))
        [0, 1]

        Args:
            query: the query.
            ids: of documents, or of pieces.
            k: the number of hits.
            group: one hit per document, as for :meth:`search`.
            explain: snippets and matches, as for :meth:`search`.

        Raises:
            SettingError: the query is empty or ``k`` is below 1.
            DataError: a document is not in the index, or ``ids`` is not a list of ids.
        """
        query, k, given = check_query(query), check_hits(k), check_ids(ids)
        vectors, _ = self._model.encode_queries([query])
        with self.index.moment():
            ranking, documents, positions = rerank_stored(self.index, vectors, given, k, group=group)
            hits = hits_of(ranking, documents, positions, group=group)
            ids = [identity for identity, _ in ranking]
            return self._explained((query, vectors), hits, ids, documents) if explain else hits

    def explain(self, query: str, hit: Hit | str) -> Explanation:
        """Say which token of a document each token of a query matched, from the vectors as stored.

        The document is not encoded again, and PyTorch is not needed where the index has a query encoder. The
        similarities of the matches sum to the score of a search exactly, in any order. A hit of a hybrid search is
        explained by its vectors alone.

        >>> with Retriever("support.index") as retriever:
        ...     hit = retriever.search("how do I change my password?", k=1)[0]
        ...     found = retriever.explain("how do I change my password?", hit)
        >>> sum(match.similarity for match in found.matches) == found.score == hit.score
        True

        Args:
            query: the query.
            hit: a hit of :meth:`search` or :meth:`rerank`; or the id of a document or piece. The id of a document that
                was cut explains its best piece.

        Raises:
            SettingError: the query is empty.
            DataError: the document is not in the index, or has changed since it was a hit.
            FolderError: the index is damaged.
        """
        return explain_stored(self.index, self._model, [(check_query(query), hit)])[0]

    def explain_many(self, pairs: Sequence[tuple[str, Hit | str]]) -> list[Explanation]:
        """Explain several scores; the queries are encoded together. Errors as :meth:`explain`.

        >>> with Retriever("support.index") as retriever:
        ...     [found.document_id for found in retriever.explain_many([("my parcel", "article-3")])]
        ['article-3']

        Args:
            pairs: each a query, and a hit of it or the id of a document or piece.
        """
        return explain_stored(self.index, self._model, [(check_query(query), hit) for query, hit in pairs])

    def explain_text(self, query: str, text: str) -> Explanation:
        """Explain the score that a text would have, whether or not it is in the index: both are encoded now.

        >>> with Retriever("support.index") as retriever:
        ...     found = retriever.explain_text("reset my password", "How to reset a password.")
        >>> sum(match.similarity for match in found.matches) == found.score
        True

        Args:
            query: the query.
            text: the document's text; with a title, ``Document.content``.

        Raises:
            SettingError: the query is empty.
            DataError: the document is not a text.
        """
        return explain_text(self.encoder, query, text)

    def why_nothing(self, query: str, *, where: Where = None) -> str:
        """Explain to a person, in a sentence or two, why a search found nothing.

        >>> with Retriever("support.index") as retriever:
        ...     retriever.why_nothing("reset my password", where="langg = 'en'")
        'No document passes the filter. No document has the key langg: did you mean lang?'
        """
        if not len(self):
            return "The index holds no document."
        if where is not None:
            chosen = parse_filter(where)
            if not self.index.has(chosen):
                return " ".join(["No document passes the filter.", *unknown_keys(self.index, chosen)])
        if not all(self.matchable([query])):
            return (
                f"The query {shown(query)} has no token that can be matched, only punctuation or the like: "
                "it finds nothing."
            )
        return "No document that may be found has a token that can be matched."

    def matchable(self, queries: Sequence[str]) -> list[bool]:
        """Return whether each query has a token that can be matched. A query without one, such as ``...``, finds
        nothing by its vectors.

        >>> with Retriever("support.index") as retriever:
        ...     retriever.matchable(["my parcel", "..."])
        [True, False]

        Raises:
            SettingError: a query is empty.
        """
        return [length > 0 for length in self._model.encode_queries(check_queries(queries))[1]]

    @property
    def encoder(self) -> MultiVectorEncoder | LightEncoder:
        """What encodes queries: the index's exported encoder, without PyTorch, or the model where there is none."""
        return self._model.lightest()

    @property
    def model(self) -> MultiVectorEncoder:
        """The model, loaded on first use.

        Raises:
            MissingExtraError: PyTorch is not installed.
            FolderError: it is missing, or was trained again since.
            ModelError: it cannot be loaded.
        """
        return self._model.open()

    def check_model(self) -> None:
        """Raise if the model is known to be out of reach. Nothing is loaded, and PyTorch is not imported.

        Raises:
            MissingExtraError: PyTorch is not installed.
            FolderError: the model is missing, or was trained again since.
        """
        self._model.check()
