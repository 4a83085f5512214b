"""What folders share: a corpus and a list of queries in files, and judgements that name their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tardif.data.formats.corpora import read_corpus, read_groups, read_queries
from tardif.data.records import Judgement
from tardif.errors import DataError
from tardif.types import Document, Query

VALIDATION_SPLITS = ("dev", "validation", "valid", "val")


class CollectionSource:
    """A corpus file, a file of queries, and judgements by id.

    Args:
        name: what messages name.
        what: what is read as what, for a reader.
        judged: gives the judgements.
        queries: the file of queries; None where another source gives them.
        corpus: the file of documents; None likewise.
        group_by: a field of the queries, or else of the documents, whose value groups judgements.
        groups_in: the files in which that field may be, where they are not ``queries`` and ``corpus``.
        id_maps: other ids for those of queries and documents.
        passed: counts what ``judged`` does not use, for a reader.
        judged_in: the file of judgements, for messages.
    """

    def __init__(
        self,
        name: str,
        what: str,
        judged: Callable[[], Iterator[Judgement]],
        *,
        queries: Path | None,
        corpus: Path | None,
        group_by: str | None = None,
        groups_in: tuple[Path, Path] | None = None,
        id_maps: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
        passed: Counter[str] | None = None,
        judged_in: Path | None = None,
    ) -> None:
        self.name = name
        parts = {"documents": corpus, "queries": queries, "judgements": judged_in}
        self.files = {part: str(path) for part, path in parts.items() if path is not None}
        self.shape = f"{what}; group from {group_by}" if group_by else what
        self._judged = judged
        self._id_maps = id_maps or ({}, {})
        self._queries, self._corpus = queries, corpus
        self._group_by, self._passed = group_by, Counter() if passed is None else passed
        self._groups_in = groups_in or ((queries, corpus) if queries and corpus else None)

    def documents(self) -> Iterator[tuple[int, Document]]:
        """The corpus, by line."""
        ids = self._id_maps[1]
        for line, found in () if self._corpus is None else read_corpus(self._corpus):
            yield line, replace(found, id=ids.get(found.id, found.id)) if ids else found

    def queries(self) -> Iterator[tuple[int, Query]]:
        """The list of queries, by line; those that nothing judges are among them."""
        ids = self._id_maps[0]
        for line, found in () if self._queries is None else read_queries(self._queries):
            yield line, replace(found, id=ids.get(found.id, found.id)) if ids else found

    def judgements(self) -> Iterator[Judgement]:
        """The judgements, by line of their file.

        Raises:
            DataError: there is none, a line is malformed, or the field to group by is nowhere.
        """
        group = self._grouper()
        count = 0
        for judgement in self._judged():
            count += 1
            found = judgement if group is None else group(judgement)
            yield self._renamed(found) if any(self._id_maps) else found
        if not count:
            raise DataError("is empty: it holds no judgement.", self.files.get("judgements", self.name))
        passed = "".join(f"; not used: {times} {what}" for what, times in self._passed.items())
        self.shape += f"{passed} ({count} judgements)"

    def _renamed(self, judgement: Judgement) -> Judgement:
        query, document = judgement.query_id or "", judgement.document_id or ""
        queries, documents = self._id_maps
        return replace(judgement, query_id=queries.get(query, query), document_id=documents.get(document, document))

    def _grouper(self) -> Callable[[Judgement], Judgement] | None:
        """What gives each judgement its group: the field is looked for in the queries, then in the corpus."""
        field = self._group_by
        if field is None or self._groups_in is None:
            return None
        by_query = read_groups(self._groups_in[0], field)
        by_document = {} if by_query else read_groups(self._groups_in[1], field)
        if not by_query and not by_document:
            names = " and ".join(path.name for path in self._groups_in)
            raise DataError(f"there is no field {field} to group by in {names}.", self.name)

        def grouped(judgement: Judgement) -> Judgement:
            key = judgement.query_id if by_query else judgement.document_id
            group = (by_query or by_document).get(key or "")
            if group is None:
                raise DataError(f"the id {key!r} has no {field} to group by.", self.name, judgement.place)
            return replace(judgement, group=group)

        return grouped
