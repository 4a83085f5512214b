"""The index on disk: segments that never change, documents in SQLite, one transaction that makes both true.

manifest.json           identity, format, version, bits, what is remembered of the model (:mod:`tardif.index.manifest`)
index.sqlite            documents, living segments, deletions (:mod:`tardif.index.store`)
segments/*.segment      token vectors (:mod:`tardif.index.segment`)
codebooks/*.npz         centroids and residuals, once there are vectors enough to learn them from
encoder/                the exported query encoder (:mod:`tardif.encoder.onnx`), put there by who builds the index

The database holds the identity of the index and the checksum of everything else, so no file of another index passes
for one of this. Names of segments and codebooks begin with the identity and end with their content's checksum: none
is ever used twice, and no index removes another's.

A write puts its vectors into a file, has it on disk, and commits: before the commit nobody sees the file, after
it everybody does. A deletion is a row in the database until its segment is written again. What a killed process
left behind is swept by the next write. Readers hold a view and never wait; every search looks first whether
the view is still the newest, and the index still the one that was opened.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_hits, check_ids, check_list
from tardif.errors import DataError, FolderError, ReplacedError, SettingError
from tardif.folders import share, sync
from tardif.forks import ForkAware, register
from tardif.index.codebooks import IDENTITY, centroid_count, read_codebook, write_codebook
from tardif.index.codes import Codebook, TiledQuery, check_bits, scale_of, to_fixed, train
from tardif.index.compaction import PLAIN_TOKENS, merge, victims, write_vectors
from tardif.index.fulltext import words_of
from tardif.index.manifest import new_manifest, read_manifest, write_manifest
from tardif.index.pieces import check_fit
from tardif.index.protocol import RECALL, Vectors
from tardif.index.segment import SUFFIX, Segment, check_segment, living_name
from tardif.index.snapshot import View, Workers, without
from tardif.index.store import Store
from tardif.locks import hold, is_held
from tardif.ranking import best_first
from tardif.scoring import LOWEST
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter


# Of a file that is being written, or was when its process was killed.
_ASIDE = ".partial"
# Times that an opening begins again, because the folder was replaced meanwhile.
_TRIES = 3


class DiskIndex(ForkAware):
    """An index in a folder. Any number of threads and processes may search and write it at once."""

    def __init__(self, folder: str | Path, *, threads: int | None = None, incomplete: bool = False) -> None:
        """Open an index.

        Args:
            folder: what :meth:`create` made.
            threads: that score for one call; all processors by default.
            incomplete: open it also where documents lack their vectors, as a repair does that is to add them.

        Raises:
            FolderError: it is no index, is damaged, or was written by another version.
        """
        self.folder = Path(folder)
        self._workers, self._incomplete = Workers(threads or os.cpu_count() or 1), incomplete
        self._opening = threading.Lock()
        self._held = threading.local()
        # Writers in several threads start one compaction at a time, and all that were started are waited for.
        self._compaction: threading.Thread | None = None
        self._starting = threading.Lock()
        self._failure: Exception | None = None
        self._open_files()
        register(self)

    def _open_files(self) -> None:
        """Open what stands in the folder. It may be replaced while it is read: then once more."""
        for _ in range(_TRIES):
            self.manifest = read_manifest(self.folder)
            self.identity: str = self.manifest["identity"]
            self.bits = check_bits(self.manifest["bits"])
            words = words_of(self.manifest.get("words"))
            self.store = Store(self.folder / "index.sqlite", words, self.identity)
            self._view: View | None = None
            self._rows_checked: View | None = None
            self._passed: tuple[int, Filter, NDArray[np.int64]] | None = None
            self._codebooks: dict[str, Codebook] = {}
            try:
                self._check_manifest()
                self.view()
                return
            except FolderError:
                self.store.close()
                if read_manifest(self.folder)["identity"] == self.identity:
                    raise
        raise ReplacedError(self.folder)

    def _check_manifest(self) -> None:
        if self.store.fact("manifest") != self.manifest["checksum"]:
            raise FolderError(
                f"{self.folder} is damaged (manifest.json is not the one that was written): build the index again."
            )

    def reopen(self) -> None:
        """Open what stands in the folder now: what a handle needs whose index was replaced
        (:class:`~tardif.errors.ReplacedError`).

        Raises:
            FolderError: it is no index, is damaged, or was written by another version.
        """
        self.wait()
        self.store.close()
        self._open_files()

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`."""
        if in_child:
            self._opening, self._held = threading.Lock(), threading.local()
            self._compaction, self._starting = None, threading.Lock()

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
    ) -> DiskIndex:
        """Make an empty index in an empty or new folder.

        Args:
            folder: where.
            model: what the index remembers of the model.
            bits: of each component as stored, of :data:`tardif.index.codes.BITS`.
            pool: how many of a document's tokens became one vector, for who adds more.
            words: the documents' language, to search them by words as well; None for vectors alone.
            threads: as for :class:`DiskIndex`.

        Raises:
            SettingError: vectors cannot be stored in so many bits; or the language is unknown.
            FolderError: the folder cannot be written.
        """
        folder = Path(folder)
        check_bits(bits)
        manifest = new_manifest({"bits": bits, "pool": pool, "words": words, "model": dict(model)})
        facts = {"identity": manifest["identity"], "manifest": manifest["checksum"]}
        try:
            for part in ("segments", "codebooks"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            Store.create(folder / "index.sqlite", facts, words_of(words))
            write_manifest(folder, manifest)
            share(folder)
        except OSError as error:
            raise FolderError(f"{folder} cannot be written ({error.strerror or error}).") from error
        return cls(folder, threads=threads)

    def __len__(self) -> int:
        return self.store.count()

    @property
    def prunes(self) -> bool:
        """As :attr:`tardif.index.protocol.Index.prunes`: from some 100,000 token vectors on."""
        return any(segment.has_postings for segment in self.view().segments)

    def close(self) -> None:
        """Wait for a compaction, and let go of the files.

        Raises:
            FolderError: the compaction failed; nothing is lost by that.
        """
        try:
            self.wait()
        finally:
            self._workers.close()
            self._view = None
            self.store.close()

    def __enter__(self) -> DiskIndex:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # Reading

    def view(self) -> View:
        """The index as it is now; within a :meth:`moment` as it was at its beginning."""
        with self._reading() as view:
            return view

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """As :meth:`tardif.index.protocol.Index.moment`."""
        with self._reading():
            yield

    @contextlib.contextmanager
    def _reading(self) -> Iterator[View]:
        """A transaction that reads, and the view that belongs to it. Within another of this thread it is that one."""
        held: View | None = getattr(self._held, "view", None)
        if held is not None:
            yield held
            return
        with self._begun() as view:
            self._held.view = view
            try:
                yield view
            finally:
                self._held.view = None

    @contextlib.contextmanager
    def _begun(self) -> Iterator[View]:
        """A new transaction with its view. A segment that it knows may be gone before it is opened, when a write
        has swept what was compacted since: then the transaction is begun anew."""
        seen = -1
        while True:
            with self.store.reading():
                change = self.store.number("changes")
                try:
                    view = self._current(change)
                except FileNotFoundError as error:
                    if change == seen:
                        raise FolderError(f"{error.filename} is missing: see tardif doctor {self.folder}.") from error
                    seen = change
                    continue
                yield view
                return

    def _current(self, change: int) -> View:
        """The view of the transaction that this thread is in."""
        with self._opening:
            known = self._view
            if known is not None and known.change == change:
                return known
            view = self._open(change)
            if known is None or known.change < change:
                self._view = view
            return view

    def _open(self, change: int) -> View:
        old = {} if self._view is None else dict(zip(self._view.names, self._view.segments, strict=True))
        names, deleted = self.store.living()
        folder = self.folder / "segments"
        dim, codebook = self.store.number("dim"), self.store.fact("codebook")
        segments = tuple(
            old.get(name) or check_segment(Segment(folder / name, self._codebook), self.bits, dim, codebook)
            for name in names
        )
        alive = tuple(without(segment.numbers, deleted) for segment in segments)
        if not self._incomplete and sum(int(living.sum()) for living in alive) != self.store.rows():
            raise self.store.damaged("its documents are not those of its segments")
        return View(change, tuple(names), segments, alive)

    def _codebook(self, name: str) -> Codebook:
        if name not in self._codebooks:
            self._codebooks[name] = read_codebook(self.folder / "codebooks", self.identity, name)
        return self._codebooks[name]

    def has(self, where: Filter) -> bool:
        """As :meth:`tardif.index.protocol.Index.has`."""
        return self.store.any_matching(where)

    def keys(self) -> list[str]:
        """As :meth:`tardif.index.protocol.Index.keys`."""
        return self.store.keys()

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """As :meth:`tardif.index.protocol.Index.get`."""
        return self.store.documents(check_ids(ids))

    def ids(self) -> list[str]:
        """The ids of all documents, in the order in which they were added."""
        return self.store.all_ids()

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
        with self._reading() as now:
            view = now
            self._check_width(vectors)
            queries = [TiledQuery.of(vectors[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
            if where is not None:
                view = now.only(self._passing(now, where))

            def found(query: TiledQuery) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
                return view.search(query, k, exact=exact, recall=recall, workers=self._workers)

            return [self._named(numbers, scores, k) for numbers, scores in self._workers.map(found, queries)]

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """As :meth:`tardif.index.protocol.Index.score`."""
        with self._reading() as view:
            self._check_width(vectors)
            query, ids = TiledQuery.of(vectors), check_ids(ids)
            numbers = self.store.numbers(ids)
            missing = next((identity for identity in ids if identity not in numbers), None)
            if missing is not None:
                raise DataError(f"The document {missing!r} is not in the index.")
            wanted = np.array([numbers[identity] for identity in ids], dtype=np.int64)
            scores: list[float] = view.score(query, wanted, LOWEST).tolist()
            return scores

    def search_words(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """As :meth:`tardif.index.protocol.Index.search_words`."""
        if self.store.words is None:
            raise SettingError(
                f"{self.folder} was built without words: build it again with --hybrid (Python: hybrid=True)."
            )
        k = check_hits(k)
        with self._reading() as now, self.store.reading() as database:
            allowed = None if where is None else self._passing(now, where)
            lengths = self.store.check_words(database)
            found = self.store.words.search(database, query, k, lengths, allowed)
            ids = self.store.ids([number for number, _ in found])
            return best_first(((ids[number], score) for number, score in found), k)

    def _passing(self, view: View, where: Filter) -> NDArray[np.int64]:
        """The numbers of the documents that a filter lets through, ascending. The last ones are kept: a hybrid search
        asks twice, and many queries may come with one filter."""
        known = self._passed
        if known is not None and known[:2] == (view.change, where):
            return known[2]
        self._check_rows(view)
        numbers = np.array(sorted(self.store.matching(where)), dtype=np.int64)
        self._passed = view.change, where, numbers
        return numbers

    def _check_rows(self, view: View) -> None:
        """Check the texts and metadata of all documents, once: a filter must not turn one down for what was never
        written."""
        if self._rows_checked is not view:
            self.store.check(view.numbers())
            self._rows_checked = view

    def _check_width(self, vectors: Vectors) -> None:
        dim = self.store.number("dim")
        if dim and vectors.shape[-1] != dim and len(vectors):
            raise DataError(f"The vectors have {vectors.shape[-1]} dimensions, those of {self.folder} have {dim}.")

    def _named(self, numbers: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> list[tuple[str, float]]:
        """The best ``k`` with their ids: ties go by id, so all that tie with the last are named."""
        k = min(k, len(scores))
        if k <= 0:
            return []
        near = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        ids = self.store.ids(numbers[near].tolist())
        hits = [(ids[n], s) for n, s in zip(numbers[near].tolist(), scores[near].tolist(), strict=True)]
        return best_first(hits, k)

    # Writing

    def add(self, documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int], *, source: str = "") -> int:
        """As :meth:`tardif.index.protocol.Index.add`.

        Raises:
            DataError: as there.
            FolderError: the folder cannot be written, or another process does not stop writing.
        """
        documents = check_list(documents, "documents", DataError)
        check_fit(documents, vectors, lengths)
        self._check_width(vectors)
        if not documents:
            return 0
        scale = scale_of(vectors)
        fixed = to_fixed(vectors, scale)
        with self._writable():
            numbers = self._reserve(len(documents))
            # A few documents are scanned until there are enough for a segment of their own.
            book = self._codebook_for(fixed) if len(fixed) >= PLAIN_TOKENS else None
            with self._aside() as aside:
                made = write_vectors(
                    aside,
                    numbers,
                    np.array(lengths, dtype=np.int64),
                    fixed,
                    bits=self.bits,
                    scale=scale,
                    book=book,
                    workers=self._workers,
                )
                with self.store.writing() as database:
                    self._sweep()
                    self.store.set_fact(database, "dim", vectors.shape[1])
                    replaced = self.store.insert(database, documents, numbers.tolist(), source)
                    self._publish(database, made, len(documents), len(fixed))
        self._tidy()
        return replaced

    def delete(self, ids: Sequence[str]) -> int:
        """As :meth:`tardif.index.protocol.Index.delete`.

        Raises:
            FolderError: the folder cannot be written, or another process does not stop writing.
        """
        wanted = list(dict.fromkeys(check_ids(ids)))
        with self.store.writing() as database:
            count = self.store.remove(database, wanted)
            if count:
                self.store.touch(database)
        return count

    def delete_where(self, where: Filter) -> int:
        """As :meth:`tardif.index.protocol.Index.delete_where`.

        Raises:
            FolderError: the folder cannot be written, or another process does not stop writing.
        """
        with self.store.writing() as database:
            self.store.check(self.store.all_numbers())
            count = self.store.remove(database, self.store.all_matching(where))
            if count:
                self.store.touch(database)
        return count

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """As :meth:`tardif.index.protocol.Index.adopt`.

        Raises:
            FolderError: the folder cannot be written, or another process does not stop writing.
        """
        with self.store.writing() as database:
            self.store.adopt(database, check_ids(ids), source)

    def expect(self, tokens: int) -> None:
        """Say how many token vectors the index is about to get: the number of centroids follows it."""
        with self.store.writing() as database:
            self.store.set_fact(database, "expected tokens", tokens)

    def note(self, name: str, value: str | None = None) -> str | None:
        """A fact that the index keeps for who built it, written first where a value is given.

        Raises:
            FolderError: the folder cannot be written.
        """
        if value is not None:
            with self.store.writing() as database:
                self.store.set_fact(database, name, value)
        return self.store.fact(name)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FolderError(f"{self.folder} could not be written ({error.strerror or error}).") from error

    @contextlib.contextmanager
    def _aside(self) -> Iterator[Path]:
        """A new file's name until it lives. It is locked meanwhile, so that nobody sweeps it."""
        path = self.folder / "segments" / f"{os.urandom(6).hex()}{_ASIDE}"
        with hold(path):
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def _reserve(self, count: int) -> NDArray[np.int64]:
        """Numbers that no other document gets."""
        with self.store.writing() as database:
            first = self.store.number("next")
            self.store.set_fact(database, "next", first + count)
        return np.arange(first, first + count)

    def _codebook_for(self, vectors: NDArray[np.int16]) -> tuple[str, Codebook]:
        """The index's codebook and its name; learnt from these vectors if there is none."""
        name = self.store.fact("codebook")
        if name is not None:
            return name, self._codebook(name)
        book = train(vectors, centroid_count(max(len(vectors), self.store.number("expected tokens"))))
        name = write_codebook(self.folder / "codebooks", book, self.identity)
        with self.store.writing() as database:
            first = self.store.fact("codebook")
            if first is None:
                self.store.set_fact(database, "codebook", name)
                return name, book
        return first, self._codebook(first)  # another process was faster

    def _publish(self, database: Connection, made: Path, documents: int, tokens: int) -> None:
        """Have a file live, in a transaction."""
        serial = self.store.number("serial") + 1
        name = living_name(self.identity[:IDENTITY], serial, made)
        made.replace(made.parent / name)
        sync(made.parent)
        database.execute("INSERT INTO segments VALUES (?, ?, ?)", (name, documents, tokens))
        self.store.set_fact(database, "serial", serial)
        self.store.touch(database)

    def _sweep(self) -> None:
        """Remove what is no living segment, as an earlier process or compaction has left it. At the beginning of a
        transaction: what it takes out of the index has to stay until it is committed. Another index's files, should
        one have taken this one's place just now, are left alone."""
        living = set(self.store.segments())
        for found in (self.folder / "segments").iterdir():
            # The lock of a file that was never made or is gone: looking at it removes it.
            is_lock = found.name.endswith(f"{_ASIDE}.lock")
            path = found.with_name(found.name[1 : -len(".lock")]) if is_lock else found
            mine = path.suffix == SUFFIX and path.name.startswith(f"{self.identity[:IDENTITY]}-")
            gone = (mine and path.name not in living) or (path.suffix == _ASIDE and not is_held(path))
            if gone:
                with contextlib.suppress(OSError):  # on Windows another process may have it open
                    path.unlink()

    # Compaction

    def wait(self) -> None:
        """Wait for the compaction in the background.

        Raises:
            FolderError: it failed; nothing is lost by that.
        """
        while True:
            with self._starting:
                running, self._compaction = self._compaction, None
            if running is None:
                break
            running.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _tidy(self) -> None:
        """Compact in the background, where it is time."""
        with self._starting:
            busy = self._compaction is not None and self._compaction.is_alive()
            if not busy and victims(self.view()):
                self._compaction = threading.Thread(target=self._compact_quietly, name="tardif-compaction")
                self._compaction.start()

    def _compact_quietly(self) -> None:
        try:
            self.compact()
        except Exception as error:
            self._failure = error

    def compact(self) -> bool:
        """Write segments that are better one as one, without what was deleted. Returns whether there were any.

        Raises:
            FolderError: a segment is damaged, or the folder cannot be written.
        """
        view = self.view()
        chosen = victims(view)
        if not chosen:
            return False
        names = [view.names[i] for i in chosen]
        gone = np.concatenate([view.segments[i].numbers[~view.alive[i]] for i in chosen])
        with self._writable(), self._aside() as aside:
            made = merge(view, chosen, aside, bits=self.bits, book=self._codebook_for, workers=self._workers)
            with self.store.writing() as database:
                self._sweep()
                if not set(names) <= set(self.store.segments()):
                    return False  # somebody else has compacted them
                database.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in names])
                self.store.forget(database, gone)
                if made is None:
                    self.store.touch(database)
                else:
                    self._publish(database, *made)
        return True
