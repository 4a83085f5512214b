"""The index on disk: immutable segments, documents in SQLite, and one transaction that publishes changes of both.

manifest.json           identity, format, version, bits, and the model (:mod:`tardif.index.manifest`)
index.sqlite            documents, living segments, deletions (:mod:`tardif.index.store`)
segments/*.segment      token vectors (:mod:`tardif.index.segment`)
codebooks/*.npz         centroids and residuals, once there are enough vectors to learn them from
encoder/                the exported query encoder (:mod:`tardif.encoder.onnx`), added by whoever builds the index

The database holds the identity of the index and the checksum of every other file, so a file of another index is
noticed. Names of segments and codebooks begin with the identity and end with the checksum of the content: no name is
ever used twice, and no index removes another's files.

A write puts its vectors into a new file, waits until it is on disk, and commits. Nobody sees the file before the
commit, everybody does after it. A deletion is a row in the database until its segment is rewritten. The next write
removes what a killed process left. Readers hold a view and never wait; every search first checks whether the view is
the newest, and whether the index is the one that was opened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_hits, check_ids, check_list
from tardif.errors import DataError, FolderError, ReplacedError, SettingError
from tardif.folders import expanded, share, writable, write_json
from tardif.index.codebooks import centroid_count, write_codebook
from tardif.index.codes import Codebook, TiledQuery, check_bits, fixed_query, scale_of, to_fixed, train
from tardif.index.compaction import PLAIN_TOKENS, merge, victims, write_vectors
from tardif.index.fulltext import Words, WordStatistics, words_of
from tardif.index.manifest import MANIFEST, new_manifest, read_manifest, shard_identity
from tardif.index.metadata_fields import MetadataField
from tardif.index.pieces import check_fit
from tardif.index.protocol import RECALL, Vectors
from tardif.index.segment_writer import SegmentFiles
from tardif.index.snapshot import View
from tardif.index.store import Store
from tardif.index.token_groups import Groups, check_groups, unpacked
from tardif.index.token_matches import TokenMatches
from tardif.index.views import Views
from tardif.index.workers import Background, Workers
from tardif.ranking import best_first, candidates
from tardif.scoring import LOWEST
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter

Found = TypeVar("Found")
# How often opening starts over because the folder was replaced meanwhile.
_TRIES = 3


class DiskIndex:
    """An index in a folder. Any number of threads and processes may search and write it at once.

    >>> from tempfile import mkdtemp
    >>> with DiskIndex.create(mkdtemp(), model={}, threads=1) as index:
    ...     index.add([Document("a", "first"), Document("b", "second")], np.eye(2, 4, dtype=np.float32), [1, 1])
    ...     [[hit for hit, score in hits] for hits in index.search(np.eye(1, 4, dtype=np.float32), [1], k=1)]
    0
    [['a']]
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None, incomplete: bool = False) -> None:
        """Open an index.

        Args:
            folder: made by :meth:`create`.
            threads: for scoring one call; all processors by default.
            incomplete: open the index even if documents lack their vectors, to repair it.

        Raises:
            FolderError: the folder is not an index, is damaged, or was written by another version.
        """
        self.folder = expanded(folder)
        self._workers, self._incomplete = Workers(threads or os.cpu_count() or 1), incomplete
        self._background = Background("tardif-compaction")
        self._open_files()

    def _open_files(self) -> None:
        """Open the index in the folder, again if it was replaced while it was read."""
        for _ in range(_TRIES):
            self.manifest = read_manifest(self.folder)
            self.identity: str = self.manifest["identity"]
            self.bits = check_bits(self.manifest["bits"])
            self.store = Store(self.folder / "index.sqlite", words_of(self.manifest.get("words")), self.identity)
            self._files = SegmentFiles(self.folder / "segments", self.identity)
            self._views = Views(self.folder, self.store, self.identity, self.bits, incomplete=self._incomplete)
            self._rows_verified: View | None = None
            self._passed: tuple[int, Filter, NDArray[np.int64]] | None = None
            try:
                if self.store.fact("manifest") != self.manifest["checksum"]:
                    raise FolderError(
                        f"{self.folder} is damaged (manifest.json is not the one that was written): build the index "
                        "again."
                    )
                self.view()
                return
            except FolderError:
                self.store.close()
                if read_manifest(self.folder)["identity"] == self.identity:
                    raise
        raise ReplacedError(self.folder)

    def reopen(self) -> None:
        """Open the index that is in the folder now, after a :class:`~tardif.errors.ReplacedError`.

        Raises:
            FolderError: the folder is not an index, is damaged, or was written by another version.
        """
        self.wait()
        self.store.close()
        self._open_files()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        model: Mapping[str, Any],
        bits: int = 8,
        pool: float = 1.0,
        words: str | None = None,
        threads: int | None = None,
        shard: tuple[str, int] | None = None,
    ) -> DiskIndex:
        """Create an empty index in an empty or new folder.

        Args:
            folder: for the index.
            model: what the manifest records of the model.
            bits: of each stored component, of :data:`tardif.index.codes.BITS`.
            pool: how many of a document's tokens became one vector; recorded for those who add more.
            words: the documents' language, for an index that is also searched by words; None for vectors alone.
            threads: as for :class:`DiskIndex`.
            shard: of an index in shards: the identity of the whole, and the number of this shard.

        Raises:
            SettingError: ``bits`` cannot be used, or the language is unknown.
            FolderError: the folder cannot be written.
        """
        folder = expanded(folder)
        about = {"bits": check_bits(bits), "pool": pool, "words": words, "model": dict(model)}
        if shard is None:
            manifest = new_manifest(about)
        else:
            own = {**about, "shard": {"of": shard[0], "number": shard[1]}}
            manifest = new_manifest(own, identity=shard_identity(*shard))
        with writable(folder):
            # The manifest last: a folder without one is not an index, so a half-made one cannot be opened.
            for part in ("segments", "codebooks"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            facts = {"identity": manifest["identity"], "manifest": manifest["checksum"]}
            Store.create(folder / "index.sqlite", facts, words_of(words))
            write_json(folder / MANIFEST, manifest)
            share(folder)
        return cls(folder, threads=threads)

    def __len__(self) -> int:
        return self.store.count()

    @property
    def prunes(self) -> bool:
        """As :attr:`tardif.index.protocol.Index.prunes`: from some 100,000 token vectors on."""
        return any(segment.has_postings for segment in self.view().segments)

    def close(self) -> None:
        """Wait for a compaction, and close the files.

        Raises:
            FolderError: the compaction failed; no document is lost by that.
        """
        try:
            self.wait()  # a compaction uses everything that is closed below
        finally:
            self._workers.close()
            self._views.close()
            self.store.close()

    def __enter__(self) -> DiskIndex:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # Reading

    def view(self) -> View:
        """Return the index as it is now; within a :meth:`moment`, as it was when that began."""
        with self._views.reading() as view:
            return view

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """As :meth:`tardif.index.protocol.Index.moment`."""
        with self._views.reading():
            yield

    def has(self, where: Filter) -> bool:
        """As :meth:`tardif.index.protocol.Index.has`."""
        return self.store.any_matching(where)

    def keys(self) -> list[str]:
        """As :meth:`tardif.index.protocol.Index.keys`."""
        return self.store.keys()

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """As :meth:`tardif.index.protocol.Index.get`.

        >>> DiskIndex("support.index").get(["article-1"])["article-1"].metadata
        {'lang': 'en', 'year': 2015}
        """
        return self.store.documents(check_ids(ids))

    def ids(self) -> list[str]:
        """Return the ids of all documents, in the order of adding."""
        return self.store.all_ids()

    def each_id(self) -> Iterator[str]:
        """Yield the ids of all documents, sorted, while others may write: a few of them are in memory at a time."""
        return self.store.each_id()

    def each_source(self) -> Iterator[tuple[str, str]]:
        """Yield what :meth:`sources` returns, a few documents at a time, while others may write."""
        return self.store.each_source()

    def scratch(self) -> Path:
        """Return a new name for a file that is only needed while documents are added. The next write removes one that a
        killed process left."""
        return self._files.scratch()

    def some_ids(self, count: int) -> list[str]:
        """Return the ids of the first documents or pieces."""
        return list(self.store.ids(self.view().numbers()[:count].tolist()).values())

    @property
    def change(self) -> int:
        """The number of the last change of what searches find."""
        return self.view().change

    @property
    def tokens(self) -> int:
        """The number of token vectors; deleted ones count until their segment is rewritten."""
        return sum(segment.tokens for segment in self.view().segments)

    def fields(self) -> list[MetadataField]:
        """Return the fields of all documents' metadata, sorted by name, with their types, values and ranges."""
        return self.store.fields()

    @contextlib.contextmanager
    def words_signed_last(self) -> Iterator[None]:
        """Sign the words (:meth:`tardif.index.store.Store.sign_words`) when the block ends, and not with each write.

        Signing reads all words, so that the time of many writes would grow with the square of the documents. Until the
        block ends, nobody else may search the index by words. If the process is killed, enter the block again.
        """
        self.store.signs_words = False
        try:
            yield
        finally:
            self.store.signs_words = True
            with self.store.writing() as database:
                self.store.sign_words(database)

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.wholes`."""
        return self.store.wholes(check_ids(ids))

    def sources(self) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.sources`."""
        return self.store.sources()

    def search(
        self,
        vectors: Vectors,
        lengths: Sequence[int],
        k: int,
        *,
        exact: bool = False,
        recall: float = RECALL,
        where: Filter | None = None,
    ) -> list[list[tuple[str, float]]]:
        """As :meth:`tardif.index.protocol.Index.search`."""
        k = check_hits(k)
        ends = np.cumsum(lengths)
        with self._views.reading() as now:
            self._check_width(vectors)
            queries = [TiledQuery.of(vectors[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
            view = now if where is None else now.only(self._passing(now, where))

            def found(query: TiledQuery) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
                return view.search(query, k, exact=exact, recall=recall, workers=self._workers)

            # Queries in parallel, and where there is one query its documents in parallel.
            return [self._named(numbers, scores, k) for numbers, scores in self._workers.map(found, queries)]

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """As :meth:`tardif.index.protocol.Index.score`."""
        with self._views.reading() as view:
            self._check_width(vectors)
            query, ids = TiledQuery.of(vectors), check_ids(ids)
            wanted = np.array(self._known(ids, self.store.numbers(ids)), dtype=np.int64)
            scores: list[float] = view.score(query, wanted, LOWEST).tolist()
            return scores

    def matches(self, vectors: Vectors, ids: Sequence[str]) -> list[TokenMatches]:
        """As :meth:`tardif.index.protocol.Index.matches`."""
        with self._views.reading() as view:
            self._check_width(vectors)
            (query, factor), ids = fixed_query(vectors), check_ids(ids)
            rows = self._known(ids, self.store.located(ids))
            found = []
            for row in rows:
                stored, scale = view.stored(row.number)
                groups = unpacked(row.tokens, len(stored))
                if groups is not None and not all(groups):
                    raise self.store.damaged(
                        f"the groups of tokens of the document {row.id!r:.200} are of other vectors"
                    )
                found.append(TokenMatches.of_stored(query, stored, scale * factor, groups))
            return found

    def search_words(
        self, query: str, k: int, *, where: Filter | None = None, whole: WordStatistics | None = None
    ) -> list[tuple[str, float]]:
        """As :meth:`tardif.index.sharded.Shard.search_words`."""
        words, k = self._words(), check_hits(k)
        with self._views.reading() as now, self.store.reading() as database:
            allowed = None if where is None else self._passing(now, where)
            lengths = self.store.check_words(database)
            return self._named(*words.search(database, query, lengths, allowed, whole), k)

    def word_statistics(self, query: str) -> WordStatistics:
        """As :meth:`tardif.index.sharded.Shard.word_statistics`."""
        words = self._words()
        with self._views.reading(), self.store.reading() as database:
            return words.statistics(database, query, self.store.check_words(database))

    def _words(self) -> Words:
        if self.store.words is None:
            raise SettingError(f"{self.folder} was built without words: build it with --hybrid (Python: hybrid=True).")
        return self.store.words

    def _passing(self, view: View, where: Filter) -> NDArray[np.int64]:
        """The numbers of the rows that pass a filter, ascending. The last ones are kept: a hybrid search asks twice,
        and many queries may come with the same filter."""
        known = self._passed
        if known is not None and known[:2] == (view.change, where):
            return known[2]
        if self._rows_verified is not view:
            # Damaged metadata must raise, and not turn a document down.
            self.store.check(view.numbers())
            self._rows_verified = view
        numbers = np.array(sorted(self.store.matching(where)), dtype=np.int64)
        self._passed = view.change, where, numbers
        return numbers

    @staticmethod
    def _known(ids: Sequence[str], found: Mapping[str, Found]) -> list[Found]:
        """What was found of each id, in their order."""
        missing = next((identity for identity in ids if identity not in found), None)
        if missing is not None:
            raise DataError(f"The document {missing!r:.200} is not in the index.")
        return [found[identity] for identity in ids]

    def _check_width(self, vectors: Vectors) -> None:
        dim = self.store.number("dim")
        if dim and vectors.shape[-1] != dim and len(vectors):
            raise DataError(f"The vectors have {vectors.shape[-1]} dimensions, those of {self.folder} have {dim}.")

    def _named(self, numbers: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> list[tuple[str, float]]:
        """The best ``k`` with their ids. Ties are ordered by id, so all rows that tie with the last are looked up."""
        near = candidates(scores, k)
        ids = self.store.ids(numbers[near].tolist())
        return best_first([(ids[n], s) for n, s in zip(numbers[near].tolist(), scores[near].tolist(), strict=True)], k)

    # Writing. All methods raise FolderError if the folder cannot be written, or another process does not stop writing.

    def add(
        self,
        documents: Sequence[Document],
        vectors: Vectors,
        lengths: Sequence[int],
        groups: Groups | None = None,
        *,
        source: str = "",
    ) -> int:
        """As :meth:`tardif.index.protocol.Index.add`."""
        documents = check_list(documents, "documents", DataError)
        check_fit(documents, vectors, lengths)
        groups = check_groups(groups, lengths)
        self._check_width(vectors)
        if not documents:
            return 0
        scale = scale_of(vectors)
        fixed = to_fixed(vectors, scale)
        with writable(self.folder):
            # Numbers are reserved in a transaction of their own: other writers do not wait while vectors are written.
            numbers = self._reserve(len(documents))
            # A few documents are scanned, until there are enough for a segment with centroids.
            book = self._codebook_for(fixed) if len(fixed) >= PLAIN_TOKENS or self._codes(fixed) else None
            counts = np.array(lengths, dtype=np.int64)
            with self._files.aside() as aside:
                write_vectors(
                    aside, numbers, counts, fixed, bits=self.bits, scale=scale, book=book, workers=self._workers
                )
                with self.store.writing() as database:
                    self._files.sweep(set(self.store.segments()))
                    self.store.set_fact(database, "dim", vectors.shape[1])
                    replaced = self.store.insert(database, documents, numbers.tolist(), source, groups)
                    self._publish(database, aside, len(documents), len(fixed))
        # Started after the write is published: an error in it cannot undo the write.
        self._background.start(self.compact, is_needed=lambda: victims(self.view()))
        return replaced

    def delete(self, ids: Sequence[str]) -> int:
        """As :meth:`tardif.index.protocol.Index.delete`."""
        wanted = list(dict.fromkeys(check_ids(ids)))
        with self.store.writing() as database:
            return self._delete(database, wanted)

    def delete_where(self, where: Filter) -> int:
        """As :meth:`tardif.index.protocol.Index.delete_where`."""
        with self.store.writing() as database:
            # Damaged metadata must raise, and not decide whether a document is deleted.
            self.store.check(self.store.all_numbers())
            return self._delete(database, self.store.all_matching(where))

    def _delete(self, database: Connection, ids: Sequence[str]) -> int:
        count = self.store.remove(database, ids)
        if count:
            self.store.touch(database)
        return count

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """As :meth:`tardif.index.protocol.Index.adopt`."""
        with self.store.writing() as database:
            self.store.adopt(database, check_ids(ids), source)

    def expect(self, tokens: int) -> None:
        """Announce how many token vectors the index will get: it determines the number of centroids."""
        self.note("expected tokens", str(tokens))

    def codebook(self) -> Codebook | None:
        """Return the codebook that vectors are coded with; None before there is one."""
        name = self.store.fact("codebook")
        return None if name is None else self._views.codebook(name)

    def use_codebook(self, book: Codebook) -> None:
        """Code vectors with this codebook, if the index has none. Shards that share one score as one index does."""
        with writable(self.folder):
            name = write_codebook(self.folder / "codebooks", book, self.identity)
            with self.store.writing() as database:
                if self.store.fact("codebook") is None:
                    self.store.set_fact(database, "codebook", name)

    def note(self, name: str, value: str | None = None) -> str | None:
        """As :meth:`tardif.index.protocol.Index.note`."""
        if value is not None:
            with self.store.writing() as database:
                self.store.set_fact(database, name, value)
        return self.store.fact(name)

    def _reserve(self, count: int) -> NDArray[np.int64]:
        """Numbers that no other document gets. If the write fails they stay unused."""
        with self.store.writing() as database:
            # Not the number of documents: numbers stay unique after deletions.
            first = self.store.number("next")
            self.store.set_fact(database, "next", first + count)
        return np.arange(first, first + count)

    def _codebook_for(self, vectors: NDArray[np.int16]) -> tuple[str, Codebook]:
        """The name of the index's codebook, and the codebook; learned from these vectors if there is none."""
        name = self.store.fact("codebook")
        if name is not None:
            return name, self._views.codebook(name)
        book = train(vectors, centroid_count(max(len(vectors), self.store.number("expected tokens"))))
        name = write_codebook(self.folder / "codebooks", book, self.identity)
        # Learning takes seconds, so it happens outside the transaction. The first writer's codebook counts: all coded
        # segments must share one.
        with self.store.writing() as database:
            first = self.store.fact("codebook")
            if first is None:
                self.store.set_fact(database, "codebook", name)
                return name, book
        return first, self._views.codebook(first)  # another process was faster

    def _codes(self, vectors: NDArray[np.int16]) -> bool:
        """Whether even few vectors are coded. In 4 and 2 bits they are, once there is a codebook: their scores must not
        depend on how many were added with them."""
        return self.bits < 8 and len(vectors) > 0 and self.store.fact("codebook") is not None

    def _publish(self, database: Connection, aside: Path, documents: int, tokens: int) -> None:
        """Make a finished file a living segment when the transaction commits."""
        serial = self.store.number("serial") + 1
        name = self._files.publish(aside, serial)
        database.execute("INSERT INTO segments VALUES (?, ?, ?)", (name, documents, tokens))
        self.store.set_fact(database, "serial", serial)
        self.store.touch(database)

    # Compaction

    def wait(self) -> None:
        """Wait for the compaction in the background.

        Raises:
            FolderError: it failed; no document is lost by that.
        """
        self._background.wait()

    def sweep(self) -> None:
        """Remove the segments that compactions have replaced. The next write does it, too.

        Raises:
            FolderError: the folder cannot be written.
        """
        with self.store.writing():
            self._files.sweep(set(self.store.segments()))

    def compact(self) -> bool:
        """Merge segments that are better one, without their deleted documents. Return whether there were any.

        Raises:
            FolderError: a segment is damaged, or the folder cannot be written.
        """
        view = self.view()
        chosen = victims(view)
        if not chosen:
            return False
        names = [view.names[i] for i in chosen]
        gone = np.concatenate([view.segments[i].numbers[~view.alive[i]] for i in chosen])
        with writable(self.folder), self._files.aside() as aside:
            # Merged outside the transaction too: segments never change, and new ones may be added meanwhile.
            made = merge(
                view,
                chosen,
                aside,
                bits=self.bits,
                codes=self._codes,
                book=self._codebook_for,
                workers=self._workers,
            )
            with self.store.writing() as database:
                living = set(self.store.segments())
                self._files.sweep(living)
                if not set(names) <= living:
                    return False  # another process has compacted them
                database.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in names])
                # Documents deleted since the view was opened stay in the table of deletions: their rows were merged.
                self.store.forget(database, gone)
                if made is None:
                    self.store.touch(database)
                else:
                    self._publish(database, aside, *made)
        return True
