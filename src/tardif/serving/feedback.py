"""Feedback: a user's judgements of hits, as lines of JSON that ``tardif prepare`` reads as labels.

Each line holds a query, a document's id and a label: 1 where the document is relevant, 0 where it is not. The texts are
those of the corpus, which ``tardif prepare --documents`` reads: a line with a text of its own would refuse every later
version of the document. A piece is noted under its document's id; ``prepare`` finds the piece that fits the query best.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tardif.errors import FolderError, SettingError, reason
from tardif.folders import check_file, expanded
from tardif.locks import hold
from tardif.types import Document

# Characters of a query that is kept with its judgement.
MOST_QUERY = 10_000
# Bytes of the file, some million judgements: a service that anyone can reach must not fill a disk.
MOST_BYTES = 1 << 30
# Seconds to wait for another process that writes the file.
_PATIENCE = 10.0


class Feedback:
    """A file of judgements. Several threads and processes may write one.

    Args:
        path: the file; it need not exist.

    Raises:
        FolderError: it cannot be written.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp(), "feedback.jsonl")
    >>> Feedback(file).add("my parcel", Document("a", "Parcels come on Monday."), 1)
    >>> print(file.read_text())
    {"query": "my parcel", "document_id": "a", "label": 1}
    <BLANKLINE>
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path)
        check_file(self.path)

    def add(self, query: str, document: Document, label: int) -> None:
        """Append a judgement; it is on disk when this returns.

        Raises:
            SettingError: the label is not 0 or 1, or the query is too long.
            FolderError: the file cannot be written, or is full.
        """
        if isinstance(label, bool) or label not in (0, 1):
            raise SettingError(f"label={label!r}: give 1 (relevant) or 0 (not relevant).")
        if len(query) > MOST_QUERY:
            raise SettingError(f"The query has {len(query):,} characters; feedback takes at most {MOST_QUERY:,}.")
        row = {"query": query, "document_id": document.whole_id, "label": label}
        # A query may hold half a character, which no UTF-8 file can.
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with hold(self.path, what=f"{self.path} is being written", wait=_PATIENCE):
            try:
                self._append(line)
            except OSError as error:
                raise FolderError(f"{self.path} cannot be written: {reason(error)}.") from error

    def _append(self, line: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            if size + len(line) > MOST_BYTES:
                raise FolderError(
                    f"{self.path} is full ({MOST_BYTES:,} bytes): give it to tardif prepare, and start with a new file."
                )
            left = self._ending(size) + line
            try:
                while left:
                    left = left[file.write(left) or 0 :]
                os.fsync(file.fileno())
            except OSError:
                # A full disk may have taken half of the line, which nobody could read.
                file.truncate(size)
                raise

    def _ending(self, size: int) -> bytes:
        """The line break that the file lacks: a process that was killed, or a user, may have left it out."""
        if not size:
            return b""
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return b"" if file.read(1) == b"\n" else b"\n"
