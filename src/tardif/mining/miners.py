"""Miners by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tardif.errors import SettingError
from tardif.languages import Language
from tardif.lexical import LexicalSearcher
from tardif.mining.searcher import Searcher
from tardif.types import Document


def make_searcher(
    name: str,
    documents: Sequence[Document],
    *,
    language: Language,
    base: Any,
    model: Any = None,
    dense_model: str | None = None,
    size: str = "small",
    device: str = "cpu",
    cache: Path | None = None,
    talk: Any = None,
) -> Searcher:
    """The searcher of a name over a corpus."""
    if name != "lexical":
        raise SettingError(f"miner={name!r} is not there yet: use lexical.")
    return LexicalSearcher(documents, language)
