"""Which corpora are cut into pieces: files of running text, whose length nobody chose, unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tardif.data.chunking import Chunker, Tokenized
from tardif.data.extraction import kind_of
from tardif.data.regular import is_folder, user_path
from tardif.types import Document

CHUNK_TOKENS = 256
Chunk = int | Literal["auto"] | None


def cutter(documents: Any, chunk: Chunk, base: Callable[[], Tokenized]) -> Callable[[Document], list[Document]] | None:
    """What cuts the documents of a corpus, or None where they stay whole.

    Args:
        documents: the corpus as the user gave it; None for a corpus inside another source.
        chunk: the most tokens of a piece; ``auto``: :data:`CHUNK_TOKENS` for files of text, Markdown,
            HTML and PDF, and rows stay whole; None: all stay whole.
        base: gives the base whose tokens count; called only where something is cut.

    Raises:
        SettingError: ``chunk`` is out of range.
    """
    if chunk is None or (chunk == "auto" and not _is_running_text(documents)):
        return None
    found = base()
    tokens = min(CHUNK_TOKENS, found.max_tokens) if chunk == "auto" else chunk
    return Chunker(found, tokens).chunk


def _is_running_text(documents: Any) -> bool:
    if not isinstance(documents, str | Path):
        return False
    path = user_path(documents)
    if (path / "corpus.jsonl").is_file():
        return False
    if is_folder(path):
        inside = (file.relative_to(path) for file in path.rglob("*"))
        return any(kind_of(file) for file in inside if not any(part.startswith(".") for part in file.parts))
    return kind_of(path) is not None
