"""What verbs leave: lines and JSON on stdout, results.json in a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tardif.errors import FolderError


def show_hits(query: str, hits: Sequence[Any], as_json: bool) -> None:
    """Hits as JSON, or for a person: two lines each."""
    if as_json:
        put_json({"query": query, "hits": [hit.as_json() for hit in hits]})
        return
    for hit in hits:
        text = " ".join(f"{hit.title} {hit.text}".split())
        put(f"{hit.rank:>3}  {hit.score:8.3f}  {hit.document_id}\n     {text[:160]}")


def leave_results(folder: Path, value: Any) -> None:
    """Write results.json.

    Raises:
        FolderError: the folder cannot be written.
    """
    from tardif.folders import write_json

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "results.json", value)
    except OSError as error:
        raise FolderError(f"{folder} cannot be written ({error.strerror}).") from error


def put(line: str) -> None:
    """A line on stdout."""
    sys.stdout.write(line + "\n")


def put_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
