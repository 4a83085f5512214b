"""A corpus: from a list, a JSONL/CSV/TSV file, or a folder of text and Markdown files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tardif.data.rows import Row, read_lines, read_rows
from tardif.data.text import text_id
from tardif.errors import DataError
from tardif.types import Document

TEXT_SUFFIXES = (".txt", ".md", ".markdown")
ID_COLUMNS = ("_id", "id", "document_id", "doc_id")
TEXT_COLUMNS = ("text", "document", "passage", "content", "contents", "body")


def read_documents(source: str | Path | Iterable[Any]) -> list[Document]:
    """Read a corpus; ids are kept where there are any, else made from the texts.

    Args:
        source: a ``.jsonl``, ``.csv`` or ``.tsv`` file with a text column (an id, a title and any
            other columns are kept, the others as metadata); a BEIR folder; a folder of ``.txt`` and
            ``.md`` files, searched through, whose ids are the paths inside it; or an iterable of
            strings, :class:`Document` or dicts.

    Raises:
        DataError: nothing to read, a text is empty, two documents share an id; says where.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            if (path / "corpus.jsonl").is_file():
                return read_documents(path / "corpus.jsonl")
            return _unique(_from_folder(path), str(path))
        return _unique([_from_row(row) for row in read_rows(path)], str(path))
    items = list(source)
    if not items:
        raise DataError("The corpus is empty: it holds no document.")
    return _unique([_from_item(item, number) for number, item in enumerate(items, start=1)], "documents")


def _from_item(item: Any, number: int) -> Document:
    if isinstance(item, Document):
        return item
    if isinstance(item, str):
        if not item.strip():
            raise DataError("the text is empty.", "documents", number)
        return Document(text_id("d-", item), item)
    if isinstance(item, dict):
        return _from_row(Row(item, Path("documents"), number))
    raise DataError(f"a document must be a text, a dict or a Document, not {type(item).__name__}.", "documents", number)


def _from_row(row: Row) -> Document:
    names = {name.lower(): name for name in row.fields}
    text_name = next((names[name] for name in TEXT_COLUMNS if name in names), None)
    if text_name is None:
        raise row.error(f"missing column {'|'.join(TEXT_COLUMNS)}; it has {', '.join(names)}.")
    id_name = next((names[name] for name in ID_COLUMNS if name in names), None)
    title_name = names.get("title")
    text = row.fields[text_name]
    title = row.fields.get(title_name, "") if title_name else ""
    if not isinstance(text, str) or not isinstance(title or "", str):
        raise row.error(f"columns {text_name} and title must be text.")
    title = title or ""
    identity = row.fields.get(id_name) if id_name else None
    if identity is None and not text.strip() and not title.strip():
        # With an id an empty document stays: published collections (Cranfield) have some, and their
        # judgements count on it. It is never mined, and scores lowest.
        raise row.error("the document is empty: it has neither text nor title.")
    if identity is not None and (isinstance(identity, bool) or not isinstance(identity, str | int)):
        raise row.error(f"column {id_name} must be text or a whole number.")
    if identity == "":
        raise row.error(f"column {id_name} is empty.")
    used = {text_name, id_name, title_name}
    extra = {name: value for name, value in row.fields.items() if name not in used}
    if isinstance(extra.get("metadata"), dict):
        extra = {**extra.pop("metadata"), **extra}
    extra = {name: value for name, value in extra.items() if value not in (None, {})}
    return Document(text_id("d-", f"{title} {text}".strip()) if identity is None else str(identity), text, title, extra)


def _from_folder(folder: Path) -> list[Document]:
    documents = []
    empty = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in TEXT_SUFFIXES or not path.is_file():
            continue
        text = "\n".join(line for _, line in read_lines(path)).strip()
        if not text:
            empty += 1
            continue
        name = path.relative_to(folder).as_posix()
        documents.append(Document(name, text, metadata={"path": name}))
    if not documents:
        found = f" ({empty} empty ones)" if empty else ""
        raise DataError(f"holds no text: no file ends in {', '.join(TEXT_SUFFIXES)}{found}.", folder)
    return documents


def _unique(documents: list[Document], where: str) -> list[Document]:
    """Refuse two documents with one id; the very same document twice is one document."""
    seen: dict[str, Document] = {}
    for document in documents:
        other = seen.setdefault(document.id, document)
        if other is not document and (other != document or not document.id.startswith("d-")):
            raise DataError(f"{where}: two documents have the id {document.id!r}: ids must be unique.")
    return list(seen.values())
