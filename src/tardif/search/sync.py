"""Bring an index into step with a folder: find the documents that are new in it, changed, or gone from it.

Documents are compared by what the index would hold of them: title, text, metadata and cuts. The times of files do not
matter. An index records the folder or file of each document, and only documents of this folder can be gone from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.batching import batched
from tardif.checks import called
from tardif.errors import SettingError
from tardif.index.disk import DiskIndex
from tardif.index.pieces import by_whole, differing
from tardif.index.protocol import Index
from tardif.index.spool import SpooledCorpus

if TYPE_CHECKING:
    from tardif.data.document_report import DocumentReport

# Documents and pieces compared at a time: it bounds memory.
_TOGETHER = 2048


@dataclass(frozen=True)
class Synced:
    """The documents that a sync added, replaced and deleted, or would, by their ids.

    Attributes:
        new: added.
        changed: replaced.
        gone: deleted, because the folder does not hold them any more.
        kept: not in the folder's documents, but not deleted, because their file exists and was not read.
        others: not deleted, because they came from elsewhere.
        moved: unchanged, and recorded as documents of this folder from now on.
        unchanged: the number of unchanged documents of the folder.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    unchanged: int = 0

    def rows(self) -> Iterator[tuple[str, str]]:
        """Give each document that is touched as a pair: ``new``, ``changed`` or ``gone``, and its id."""
        for what in ("new", "changed", "gone"):
            yield from ((what, identity) for identity in getattr(self, what))

    def lines(self, *, dry_run: bool = False) -> list[str]:
        """Return what was done, in lines for people.

        >>> Synced(new=("a.md", "b.md"), unchanged=7).lines()
        ['2 new, 0 changed, 0 gone, 7 unchanged.']
        """
        words = f"{len(self.new)} new, {len(self.changed)} changed, {len(self.gone)} gone, {self.unchanged} unchanged"
        lines = [f"{words}{': nothing was done (--dry-run).' if dry_run else '.'}"]
        elsewhere = "they came from elsewhere (--delete-others deletes them, in Python delete_others=True)"
        for ids, why in ((self.kept, "their files are there but were not read"), (self.others, elsewhere)):
            if ids:
                named = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
                lines.append(f"{len(ids)} left: {why}: {named}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the ids and the number of unchanged documents, for scripts."""
        named = ("new", "changed", "gone", "kept", "others")
        return {**{name: list(getattr(self, name)) for name in named}, "unchanged": self.unchanged}


def plan(
    index: Index, corpus: SpooledCorpus, source: str, report: DocumentReport, *, delete_others: bool = False
) -> Synced:
    """Compare an index with a folder. The corpus then holds only the documents to add, with all of their pieces.

    A document of the index is gone if it came from this folder, and the folder has neither a document nor a file of its
    id now. A document with a file that was not read is kept.

    Args:
        index: the index.
        corpus: the folder's documents and pieces; not empty, because an empty folder looks like a disk that is not
            mounted.
        source: of these documents, from :func:`source_of`.
        report: of what was not read.
        delete_others: documents that came from elsewhere are gone too.

    Returns:
        What has to be done.
    """
    absent, foreign = _compared_ids(index, corpus, source)
    new: list[str] = []
    replaced: list[str] = []
    moved: list[str] = []
    unchanged = 0
    for block in corpus.blocks(_TOGETHER):
        wholes, changed = by_whole(block), by_whole(differing(index, block))
        same = [identity for identity in wholes if identity not in changed]
        corpus.drop(same)
        there = by_whole(index.get(list(changed)).values())
        new += (identity for identity in changed if identity not in there)
        replaced += (identity for identity in changed if identity in there)
        # Unchanged documents that came from elsewhere belong to this folder now.
        moved += (identity for identity in same if identity in foreign)
        unchanged += len(same)
    # A file of the folder may have been added by its own path.
    # A path cannot hold a null character, and an id can.
    # A dict for its order, and because an index may hold many of them.
    own = dict.fromkeys(
        i
        for i, origin in absent.items()
        if delete_others or origin in (source, str(Path(source) / i.replace("\0", "")))
    )
    unread = set(_unread(own, Path(source), report))
    return Synced(
        new=tuple(new),
        changed=tuple(replaced),
        gone=tuple(identity for identity in own if identity not in unread),
        kept=tuple(identity for identity in own if identity in unread),
        others=tuple(identity for identity in absent if identity not in own),
        moved=tuple(moved),
        unchanged=unchanged,
    )


def each_source(index: Index) -> Iterator[tuple[str, str]]:
    """Yield the documents of an index, each with the file or folder that it came from."""
    # An index on disk may hold more documents than memory: their ids come some at a time.
    return index.each_source() if isinstance(index, DiskIndex) else iter(index.sources().items())


def _compared_ids(index: Index, corpus: SpooledCorpus, source: str) -> tuple[dict[str, str], set[str]]:
    """The documents of an index that a corpus lacks, with their sources, and those in both that came from elsewhere."""
    absent: dict[str, str] = {}
    foreign: set[str] = set()
    for block in batched(each_source(index), _TOGETHER):
        lacking = set(corpus.unknown(identity for identity, _ in block))
        absent |= ((identity, origin) for identity, origin in block if identity in lacking)
        foreign |= {identity for identity, origin in block if identity not in lacking and origin != source}
    return absent, foreign


def _unread(ids: Iterable[str], folder: Path, report: DocumentReport) -> list[str]:
    """The documents that a folder may still hold, although they were not read. The id of a file is its path in the
    folder; any other id is that of a row."""
    from tardif.data.extraction.extract import kind_of
    from tardif.data.formats.table_rows import is_table

    if not folder.is_dir():
        return []
    # A folder of tables is read as one of files once it holds a text file; its tables are skipped then, not gone.
    skipped = (Path(note.file) for note in report.notes if note.action == "skipped" and not note.line)
    has_tables = any(is_table(path) and path.suffix.lower() != ".json" for path in skipped)
    return [i for i in ids if os.path.lexists(folder / i) or (has_tables and kind_of(Path(i)) is None)]


def check_place(documents: Any) -> None:
    """Check that an index can follow documents: they are in a folder or file.

    Documents given as values have no place, and nobody can tell which of those in an index are gone from one.

    Raises:
        SettingError: they are not a path.
    """
    if not isinstance(documents, str | Path):
        raise SettingError(
            f"sync: give the path of a folder or file, not {called(documents)}. Documents that are no file came from "
            "no place, so none is gone from it: add() replaces those with the same ids, and delete() deletes by ids "
            "or a filter."
        )


def source_of(documents: Any) -> str:
    """Return the source that an index records for documents: the absolute path of a file or folder, "" for values.

    For a BEIR folder it is the corpus file in it. If such files are added to a folder of other files, only they are
    read; the others then have another source, so they are not gone.
    """
    from tardif.data.formats.corpora import find_file
    from tardif.data.regular import user_path

    if not isinstance(documents, str | Path):
        return ""
    # Resolved: the same folder by another path, or through a link, is the same source.
    path = user_path(documents).resolve()
    return str(find_file(path, "corpus.jsonl") or path)
