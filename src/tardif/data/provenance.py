"""What a source was: its name, and the checksums of its files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tardif.data.regular import open_regular, user_path


def source_name(source: Any, otherwise: str = "documents") -> str:
    """A source as the report names it: its path, or else what it is."""
    return str(source) if isinstance(source, str | Path) else otherwise


def source_json(source: Any) -> dict[str, Any]:
    """A source as the manifest names it: its name, and the checksums of its files."""
    if not isinstance(source, str | Path):
        return {"name": "none" if source is None else "values"}
    path = user_path(source)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {
        "name": path.name,
        "sha256": {file.name if path.is_file() else file.relative_to(path).as_posix(): _sha256(file) for file in files},
    }


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
