"""Reading an index: each transaction has the view of the index that belongs to it; unchanged views are kept."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from tardif.errors import FolderError
from tardif.forks import ForkAware, register
from tardif.index.codebooks import read_codebook
from tardif.index.segment import Segment, check_segment
from tardif.index.snapshot import View, without
from tardif.index.store import Store


class Views(ForkAware):
    """The views of an index on disk.

    Args:
        folder: the index.
        store: its database.
        identity: of the index.
        bits: of each component as stored.
        incomplete: documents may lack their vectors, as they do during a repair.
    """

    def __init__(self, folder: Path, store: Store, identity: str, bits: int, *, incomplete: bool) -> None:
        self._folder, self._store, self._bits, self._incomplete = folder, store, bits, incomplete
        self._newest: View | None = None
        # The codebook of a name. Raises FolderError if it is missing or damaged.
        self.codebook = cache(partial(read_codebook, folder / "codebooks", identity))
        self._renew_locks()
        register(self)

    def _renew_locks(self) -> None:
        self._opening, self._held = threading.Lock(), threading.local()

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`: another thread of the parent may hold the lock."""
        if in_child:
            self._renew_locks()

    def close(self) -> None:
        """Let go of the segments' files."""
        self._newest = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        """Begin a transaction that reads, and give its view. Within another of this thread, give that one's view.

        Raises:
            FolderError: the index is damaged.
        """
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
        """A new transaction. After a compaction, a write may remove a segment's file between the start of this
        transaction and the opening of the file: the transaction is then begun again."""
        seen = -1
        while True:
            with self._store.reading():
                change = self._store.number("changes")
                try:
                    view = self._current(change)
                except FileNotFoundError as error:
                    if change == seen:  # nothing was written meanwhile: the file is lost
                        raise FolderError(f"{error.filename} is missing: see tardif doctor {self._folder}.") from error
                    seen = change
                    continue
                yield view
                return

    def _current(self, change: int) -> View:
        """The view of the transaction that this thread is in."""
        # One thread opens segments at a time: others wait for it and then find the view.
        with self._opening:
            known = self._newest
            if known is not None and known.change == change:
                return known
            view = self._open(change)
            # A slow reader of an older state must not replace a newer view.
            if known is None or known.change < change:
                self._newest = view
            return view

    def _open(self, change: int) -> View:
        old = {} if self._newest is None else dict(zip(self._newest.names, self._newest.segments, strict=True))
        names, deleted = self._store.living()
        # Segments never change, so those that an older view has opened and verified are used again.
        dim, codebook = self._store.number("dim"), self._store.fact("codebook")
        segments = tuple(
            old.get(name)
            or check_segment(Segment(self._folder / "segments" / name, self.codebook), self._bits, dim, codebook)
            for name in names
        )
        alive = tuple(without(segment.numbers, deleted) for segment in segments)
        if not self._incomplete and sum(int(living.sum()) for living in alive) != self._store.rows():
            raise self._store.damaged("its documents are not those of its segments")
        return View(change, tuple(names), segments, alive)
