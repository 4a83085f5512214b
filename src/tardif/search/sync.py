"""An index in step with a folder: what is new, changed and gone in it.

Documents are compared by what the index would hold of them: title, text, metadata, and how they are cut; times of files
count for nothing. Each document of an index is noted with the folder or file that it came from, and only what came from
this one can be gone from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.index.pieces import blocks_of, by_whole, differing
from tardif.index.protocol import Index
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.data.document_report import DocumentReport

# Documents and pieces compared at a time.
_TOGETHER = 2048


@dataclass(frozen=True)
class Synced:
    """What a sync has done, or would do: ids of documents.

    Attributes:
        new: added.
        changed: replaced.
        gone: deleted, since the folder does not hold them any more.
        kept: left although no document of the folder has their id, since their file is there and cannot be read, or
            was not read.
        others: left, since they came from elsewhere.
        moved: as they were, and noted now as documents of this folder.
        unchanged: how many documents of the folder were as they are.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    unchanged: int = 0

    def rows(self) -> Iterator[tuple[str, str]]:
        """What is done to each document that is touched: ``new``, ``changed`` or ``gone``, and its id."""
        for what in ("new", "changed", "gone"):
            yield from ((what, identity) for identity in getattr(self, what))

    def lines(self, *, dry_run: bool = False) -> list[str]:
        """What was done, for people."""
        words = f"{len(self.new)} new, {len(self.changed)} changed, {len(self.gone)} gone, {self.unchanged} unchanged"
        lines = [f"{words}{': nothing was done (--dry-run).' if dry_run else '.'}"]
        for ids, why in (
            (self.kept, "left: their files are there but were not read"),
            (
                self.others,
                "left: they came from elsewhere (--delete-others deletes them, in Python delete_others=True)",
            ),
        ):
            if ids:
                named = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
                lines.append(f"{len(ids)} {why}: {named}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """What a script wants to know."""
        named = ("new", "changed", "gone", "kept", "others")
        return {**{name: list(getattr(self, name)) for name in named}, "unchanged": self.unchanged}


def plan(
    index: Index, corpus: Sequence[Document], source: str, report: DocumentReport, *, delete_others: bool = False
) -> tuple[Synced, list[Document]]:
    """What has to be done for an index to hold what a folder holds, and the documents to be added for it, with all of
    their pieces.

    A document of the index is gone if it came from this folder, which has no document of its id now, and no file: one
    that is there but was not read is left as it is.

    Args:
        index: to be changed.
        corpus: what the folder holds, as it is indexed; not empty, since nothing tells an empty folder from a disk that
            is not mounted.
        source: of these documents, by :func:`source_of`.
        report: of what was not read.
        delete_others: have the folder own the whole index: what came from elsewhere is gone too.
    """
    wholes, there = by_whole(corpus), index.sources()
    changed = [document for block in blocks_of(wholes, _TOGETHER) for document in differing(index, block)]
    touched = by_whole(changed)
    absent = [identity for identity in there if identity not in wholes]
    # A file of the folder may have been added by its own name.
    own = [i for i in absent if delete_others or there[i] in (source, str(Path(source) / i.replace("\0", "")))]
    unread = set(_unread(own, Path(source), report))
    same = [identity for identity in wholes if identity not in touched]
    found = Synced(
        new=tuple(identity for identity in touched if identity not in there),
        changed=tuple(identity for identity in touched if identity in there),
        gone=tuple(identity for identity in own if identity not in unread),
        kept=tuple(identity for identity in own if identity in unread),
        others=tuple(identity for identity in absent if identity not in set(own)),
        moved=tuple(identity for identity in same if there[identity] != source),
        unchanged=len(same),
    )
    return found, changed


def _unread(ids: Sequence[str], folder: Path, report: DocumentReport) -> list[str]:
    """Those documents that a folder may still hold, though it was read without them. Ids of files are their paths in
    it; any other is a row's."""
    from tardif.data.extraction.extract import kind_of
    from tardif.data.formats.table_rows import is_table

    if not folder.is_dir():
        return []
    # A folder of tables that got its first text file is read as one of files: its rows are there all the same.
    skipped = (Path(note.file) for note in report.notes if note.action == "skipped" and not note.line)
    has_tables = any(is_table(path) and path.suffix.lower() != ".json" for path in skipped)
    return [i for i in ids if os.path.lexists(folder / i) or (has_tables and kind_of(Path(i)) is None)]


def source_of(documents: Any) -> str:
    """Where an index notes that documents came from: the absolute path of a file or folder, "" for values.

    A BEIR folder's documents come from the corpus in it: should one be put into a folder of other files, these are not
    gone because it is read in their place.
    """
    from tardif.data.regular import user_path

    if not isinstance(documents, str | Path):
        return ""
    path = user_path(documents).resolve()
    return str(path / "corpus.jsonl" if (path / "corpus.jsonl").is_file() else path)
