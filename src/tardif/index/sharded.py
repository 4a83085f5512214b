"""An index in shards: each holds some of the documents, and a search merges what they find.

A document is in the shard that a hash of its id chooses, with all of its pieces. Every shard gives its k best hits with
their scores, so the k best of all are those of one index over the same documents, with the same scores and ties. BM25
needs statistics of all documents: shards are asked for theirs first, and score with their sum.

A pruned search asks each shard for its own k best at the wanted recall. Fewer of them are among the k best of all, so
the share that is missed of those is no larger.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import xxhash

from tardif.checks import check_hits, check_ids, check_list
from tardif.errors import DataError, FolderError, PartialWarning, ReplacedError, SettingError, ShardError, first_line
from tardif.index.codes import NOT_FINITE
from tardif.index.document_columns import as_kept
from tardif.index.pieces import check_deletable, check_fit, check_free
from tardif.index.protocol import RECALL, Index, Vectors
from tardif.index.shard_threads import Crew, Crews
from tardif.index.token_groups import Groups, check_groups
from tardif.index.token_matches import TokenMatches
from tardif.ranking import best_first
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter
    from tardif.index.fulltext import WordStatistics

Answer = TypeVar("Answer")
Value = TypeVar("Value")

# The rule of shard_of(), for folders to name.
HASH_RULE = "xxh3_64(id) mod shards"
# The usual id of a piece: that of its document, and a number.
_PIECE = re.compile(r"\A(.+)#\d+\Z", re.DOTALL)
# How often a moment begins again because the index was written while its shards began theirs.
_TRIES = 1000


def shard_of(identity: str, shards: int) -> int:
    """Return the number of the shard of a document, from 0. It depends on nothing but the id and the number of shards.

    >>> [shard_of(identity, 3) for identity in ("article-1", "article-2", "article-3")]
    [2, 1, 1]
    """
    return xxhash.xxh3_64_intdigest(identity.encode("utf-8", "surrogatepass")) % shards


class Shard(Index, Protocol):
    """An index that can be one of several shards. Every call comes from any thread; those within a moment all come
    from the thread that began it."""

    def word_statistics(self, query: str) -> WordStatistics:
        """Return what BM25 must know of all documents here, for a query.

        Raises:
            SettingError: the index holds no words.
        """

    def search_words(
        self, query: str, k: int, *, where: Filter | None = None, whole: WordStatistics | None = None
    ) -> list[tuple[str, float]]:
        """As :meth:`tardif.index.protocol.Index.search_words`; ``whole`` holds the statistics of all shards."""


@dataclass
class _Block(threading.local):
    """What a thread is within: a moment with its crew, and a block that takes partial answers."""

    crew: Crew | None = None
    missing: dict[str, str] | None = None


class ShardedIndex:
    """An index over shards, which may be of any kind. Only :meth:`close` closes them.

    Args:
        shards: at least one; each holds the documents that :func:`shard_of` gives it, and no others.
        names: of the shards, for errors; by default their numbers.

    >>> from tardif.index.memory import MemoryIndex
    >>> index = ShardedIndex([MemoryIndex(), MemoryIndex()])
    >>> index.add([Document("a", "first"), Document("b", "second")], np.eye(2, 4, dtype=np.float32), [1, 1])
    0
    >>> [name for name, score in index.search(np.eye(1, 4, dtype=np.float32), [1], k=1)[0]]
    ['a']
    """

    def __init__(self, shards: Sequence[Shard], names: Sequence[str] | None = None) -> None:
        if not shards:
            raise SettingError("An index has at least one shard.")
        self.shards = list(shards)
        self.names = [f"shard {number}" for number in range(len(shards))] if names is None else list(names)
        self._crews = Crews(len(shards))
        self._block = _Block()

    def __len__(self) -> int:
        return sum(self._ask_all(len).values())

    @property
    def prunes(self) -> bool:
        """As :attr:`tardif.index.protocol.Index.prunes`."""
        return any(self._ask_all(lambda shard: shard.prunes).values())

    def close(self) -> None:
        """Close the shards. If one cannot be closed, the others are."""
        with ExitStack() as closing:
            closing.callback(self._crews.close)
            for shard in self.shards:
                closing.callback(shard.close)

    # Asking shards

    @contextmanager
    def moment(self) -> Iterator[None]:
        """As :meth:`tardif.index.protocol.Index.moment`. A change that several shards share in becomes visible in one
        after the other; of two changes, the second is never seen without the first."""
        block = self._block
        if block.crew is not None:
            yield
            return
        with self._crews.one() as crew:
            held = self._begun(crew)
            block.crew = crew
            try:
                yield
            finally:
                block.crew = None
                self._answers(_ended(crew, held))

    def _begun(self, crew: Crew) -> dict[int, AbstractContextManager[None]]:
        """Begin a moment in every shard. Readers never wait: if another wrote in between, they begin again."""
        for _ in range(_TRIES):
            before = self._change()
            outcomes = crew.run({place: partial(_entered, self.shards[place]) for place in self._places()})
            begun = {place: found for place, found in outcomes.items() if not isinstance(found, Exception)}
            try:
                self._answers(outcomes)
            except BaseException:
                _ended(crew, begun)
                raise
            if self._change() == before:
                return begun
            _ended(crew, begun)
        raise FolderError("The index is written faster than a moment of it can begin: search again.")

    def _change(self) -> Hashable:
        """What changes with every write of another process or thread, before it begins."""
        return None

    @contextmanager
    def partial(self) -> Iterator[dict[str, str]]:
        """Within this block, reads of this thread leave out shards that do not answer.

        Gives their names, each with the reason, as far as they are known by then. A shard that did not answer once is
        not asked again in the block. Changes are complete or raise, as ever.

        >>> from tardif.index.memory import MemoryIndex
        >>> index = ShardedIndex([MemoryIndex(), MemoryIndex()])
        >>> with index.partial() as missing:
        ...     len(index), missing
        (0, {})
        """
        block = self._block
        before, block.missing = block.missing, {} if block.missing is None else block.missing
        try:
            yield block.missing
        finally:
            block.missing = before

    def _places(self) -> list[int]:
        """The shards to ask."""
        missing = self._block.missing or {}
        return [place for place, name in enumerate(self.names) if name not in missing]

    def _ask_all(self, work: Callable[[Shard], Answer]) -> dict[int, Answer]:
        return self._ask(dict.fromkeys(self._places(), work))

    def _ask(self, works: Mapping[int, Callable[[Shard], Answer]]) -> dict[int, Answer]:
        """Ask shards at once, each by its number. Return their answers in the order of the numbers.

        Raises:
            ShardError: one does not answer; or none does, where a part of the answers is enough.
            TardifError: what a shard raised about the question.
        """
        places = set(self._places())
        asked = {place: partial(work, self.shards[place]) for place, work in sorted(works.items()) if place in places}
        crew = self._block.crew
        if crew is not None:
            return self._answers(crew.run(asked))
        with self._crews.one() as lent:
            return self._answers(lent.run(asked))

    def _answers(self, outcomes: Mapping[int, Answer | Exception]) -> dict[int, Answer]:
        failed = {place: found for place, found in outcomes.items() if isinstance(found, Exception)}
        for place, error in failed.items():
            if isinstance(error, DataError | SettingError):
                raise error  # the question is wrong, not the shard
            if isinstance(error, ReplacedError) and self._is_replaced():
                raise error
            if self._block.missing is None:
                raise self._silent({place: error}) from error
        if failed and self._block.missing is not None:
            known = self._silent(failed)
            self._block.missing |= known.shards
            if len(self._block.missing) == len(self.shards):
                raise known from next(iter(failed.values()))
        return {place: found for place, found in outcomes.items() if not isinstance(found, Exception)}

    def _silent(self, failed: Mapping[int, Exception]) -> ShardError:
        return ShardError({self.names[place]: first_line(error).rstrip(".") for place, error in failed.items()})

    def _is_replaced(self) -> bool:
        """Whether another index is in the place of this one, rather than in that of one shard."""
        return True

    # Reading

    def has(self, where: Filter) -> bool:
        """As :meth:`tardif.index.protocol.Index.has`."""
        return any(self._ask_all(lambda shard: shard.has(where)).values())

    def keys(self) -> list[str]:
        """As :meth:`tardif.index.protocol.Index.keys`."""
        return sorted(set(chain.from_iterable(self._ask_all(lambda shard: shard.keys()).values())))

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """As :meth:`tardif.index.protocol.Index.get`."""
        ids = check_ids(ids)

        def named(found: Mapping[str, Document]) -> set[str]:
            return {name for document in found.values() for name in (document.id, document.whole_id)}

        return self._looked_up(ids, lambda shard, some: shard.get(some), named)

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.wholes`."""
        return self._looked_up(check_ids(ids), lambda shard, some: shard.wholes(some), set)

    def _looked_up(
        self,
        ids: Sequence[str],
        ask: Callable[[Shard, list[str]], dict[str, Value]],
        named: Callable[[dict[str, Value]], set[str]],
    ) -> dict[str, Value]:
        """Look ids up in the shards where they should be; and in all, where they are not, for a piece may have any id
        and is in the shard of its document."""
        by_place = self._by_place(ids, lambda identity: _PIECE.sub(r"\1", identity))
        likely = self._ask({place: partial(_second, ask, some) for place, some in by_place.items()})
        found = {name: value for part in likely.values() for name, value in part.items()}
        known = named(found)
        left = [identity for identity in ids if identity not in known]
        if left and len(self.shards) > 1:
            for part in self._ask_all(partial(_second, ask, left)).values():
                found |= part
        return found

    def _by_place(self, ids: Iterable[str], whole: Callable[[str], str]) -> dict[int, list[str]]:
        """Ids by the shard of the whole document of each."""
        found: dict[int, list[str]] = {}
        for identity in ids:
            found.setdefault(shard_of(whole(identity), len(self.shards)), []).append(identity)
        return found

    def sources(self) -> dict[str, str]:
        """The ids of all documents, each with the file or folder that it came from: shard by shard, in each shard in
        the order of adding."""
        return {name: source for part in self._ask_all(lambda s: s.sources()).values() for name, source in part.items()}

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
        found = self._ask_all(lambda s: s.search(vectors, lengths, k, exact=exact, recall=recall, where=where))
        return [best_first(chain.from_iterable(hits), k) for hits in zip(*found.values(), strict=True)]

    def search_words(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """As :meth:`tardif.index.protocol.Index.search_words`. Shards are asked twice: for statistics, then for
        scores."""
        k = check_hits(k)
        with self.moment():
            first, *others = self._ask_all(lambda shard: shard.word_statistics(query)).values()
            whole = sum(others, start=first)
            found = self._ask_all(lambda shard: shard.search_words(query, k, where=where, whole=whole))
        return best_first(chain.from_iterable(found.values()), k)

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """As :meth:`tardif.index.protocol.Index.score`."""
        return self._in_order(check_ids(ids), lambda shard, some: shard.score(vectors, some))

    def matches(self, vectors: Vectors, ids: Sequence[str]) -> list[TokenMatches]:
        """As :meth:`tardif.index.protocol.Index.matches`."""
        return self._in_order(check_ids(ids), lambda shard, some: shard.matches(vectors, some))

    def _in_order(self, ids: Sequence[str], ask: Callable[[Shard, list[str]], list[Value]]) -> list[Value]:
        """Ask for a value of each document in the shards where they are. Return the values in the order of ``ids``."""
        with self.moment():
            there = self.wholes(ids)
            missing = next((identity for identity in ids if identity not in there), None)
            if missing is not None:
                raise DataError(f"The document {missing!r:.200} is not in the index.")
            by_place = self._by_place(dict.fromkeys(ids), there.__getitem__)
            found = self._ask({place: partial(_second, ask, some) for place, some in by_place.items()})
        values = {name: value for place in found for name, value in zip(by_place[place], found[place], strict=True)}
        return [values[identity] for identity in ids]

    # Writing

    def _writing(self) -> AbstractContextManager[None]:
        """Keep other writers away: ids are unique over all shards."""
        return nullcontext()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A change, which is of all shards that it concerns."""
        block = self._block
        before, block.missing = block.missing, None
        try:
            with _needing_all(), self._writing():
                yield
        finally:
            block.missing = before

    def check_changeable(self) -> None:
        """Raise if documents cannot be added, before anything is done for them: every shard is asked whether it has
        their ids.

        Raises:
            ShardError: a shard does not answer.
        """
        with _needing_all():
            self._ask_all(len)

    def add(
        self,
        documents: Sequence[Document],
        vectors: Vectors,
        lengths: Sequence[int],
        groups: Groups | None = None,
        *,
        source: str = "",
    ) -> int:
        """As :meth:`tardif.index.protocol.Index.add`. If it is interrupted, or a shard does not answer, each document
        is in its old or in its new state, and the same call completes it."""
        documents = check_list(documents, "documents", DataError)
        check_fit(documents, vectors, lengths)
        groups = check_groups(groups, lengths)
        # Everything that a shard would refuse is refused here, before another has changed.
        if not np.isfinite(vectors).all():
            raise DataError(NOT_FINITE)
        for document in documents:
            as_kept(document)
        with self._changing():
            # Some shards may be empty, so each must know the vectors' width to be its own.
            self._ask_all(lambda shard: shard.score(vectors[:1], []))
            self._check_free(documents)
            parts = parts_by_shard(documents, vectors, lengths, groups, len(self.shards))
            return sum(self._ask({place: partial(_add, part, source) for place, part in parts.items()}).values())

    def _check_free(self, documents: Sequence[Document]) -> None:
        """Raise if an id is that of another document, or of a piece of one, in any shard."""
        new = {document.whole_id for document in documents}
        names = list(new | {document.id for document in documents})
        owners: dict[str, str] = {}
        for found in self._ask_all(lambda shard: shard.get(names)).values() if names else ():
            for document in found.values():
                owners |= {document.id: document.whole_id, document.whole_id: document.whole_id}
        check_free(documents, {name: owner for name, owner in owners.items() if owner not in new})

    def delete(self, ids: Sequence[str]) -> int:
        """As :meth:`tardif.index.protocol.Index.delete`."""
        wanted = list(dict.fromkeys(check_ids(ids)))
        with self._changing():
            check_deletable({name: whole for name, whole in self.wholes(wanted).items() if name != whole})
            return sum(self._ask(self._by_shard(wanted, lambda shard, some: shard.delete(some))).values())

    def delete_where(self, where: Filter) -> int:
        """As :meth:`tardif.index.protocol.Index.delete_where`. Every shard must answer before one deletes."""
        with self._changing():
            self._ask_all(len)
            return sum(self._ask_all(lambda shard: shard.delete_where(where)).values())

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """As :meth:`tardif.index.protocol.Index.adopt`."""
        with self._changing():
            self._ask_all(len)
            self._ask(self._by_shard(check_ids(ids), lambda shard, some: shard.adopt(some, source)))

    def _by_shard(
        self, wholes: Sequence[str], ask: Callable[[Shard, list[str]], Value]
    ) -> dict[int, Callable[[Shard], Value]]:
        by_place = self._by_place(wholes, lambda identity: identity)
        return {place: partial(_second, ask, some) for place, some in by_place.items()}


def _second(ask: Callable[[Shard, list[str]], Value], some: list[str], shard: Shard) -> Value:
    return ask(shard, some)


def _entered(shard: Shard) -> AbstractContextManager[None]:
    """A moment of a shard, begun."""
    moment = shard.moment()
    moment.__enter__()
    return moment


def _ended(crew: Crew, moments: Mapping[int, AbstractContextManager[None]]) -> dict[int, bool | Exception | None]:
    """End the moments of shards, each in the thread that began it. Return what could not be ended, as an exception."""
    return crew.run({place: partial(moment.__exit__, None, None, None) for place, moment in moments.items()})


@contextmanager
def _needing_all() -> Iterator[None]:
    """Let an error of a lost shard say that a change cannot leave it out."""
    try:
        yield
    except ShardError as error:
        raise ShardError(error.shards, changing=True) from error


# Documents, and of them packed vectors, the number of each's, and the tokens that share one.
Part = tuple[list[Document], Vectors, list[int], "Groups | None"]


def parts_by_shard(
    documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int], groups: Groups | None, shards: int
) -> dict[int, Part]:
    """Return what each shard gets of documents that are added together, in their order; shards that get none are left
    out."""
    places = np.array([shard_of(document.whole_id, shards) for document in documents], dtype=np.int64)
    rows = np.repeat(places, np.asarray(lengths, dtype=np.int64))  # [tokens]: the shard of each
    found: dict[int, Part] = {}
    for place in np.unique(places).tolist():
        own = np.flatnonzero(places == place).tolist()
        some = None if groups is None else [groups[n] for n in own]
        found[place] = ([documents[n] for n in own], vectors[rows == place], [int(lengths[n]) for n in own], some)
    return found


def _add(part: Part, source: str, shard: Shard) -> int:
    return shard.add(*part, source=source)


def answered(index: Index, read: Callable[[], Answer], *, partial: bool) -> Answer:
    """Return what ``read`` reads of an index.

    Args:
        index: of any kind.
        read: is done again where a shard stopped answering while it read.
        partial: leave out the shards of the index that do not answer, and warn of them.

    Raises:
        ShardError: a shard does not answer; with ``partial``, none does.
    """
    if not partial or not isinstance(index, ShardedIndex):
        return read()
    with index.partial() as missing, index.moment():
        while True:
            known = len(missing)
            try:
                found = read()
            except (LookupError, DataError):  # a shard that gave a hit no longer gives its document
                if len(missing) == known:
                    raise
            else:
                if len(missing) == known:
                    break
    if missing:
        warnings.warn(PartialWarning(missing), stacklevel=3)
    return found
