"""A table's row becomes a document: which columns are its text, title, id and metadata."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.checks import id_fault, is_missing, plain_text, storable, text_fault, whole
from tardif.data.formats.cells import BadCell, cell_text
from tardif.errors import DataError, SettingError
from tardif.text.normal import text_id
from tardif.types import Document

ID_COLUMNS = ("_id", "id", "document_id", "doc_id", "docid", "docno", "pid", "passage_id", "corpus_id", "corpus-id")
TEXT_COLUMNS = ("text", "document", "passage", "content", "contents", "body")


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its fields by column name, and where it stood.

    Attributes:
        fields: the cells.
        path: the table.
        line: where the record begins.
        typed: the cells are a workbook's, where a number is as good a text as any, and an empty cell is none.
    """

    fields: dict[str, Any]
    path: Path
    line: int
    typed: bool = False

    def error(self, what: str) -> DataError:
        """An error that points at this row."""
        return DataError(what, self.path, self.line)


@dataclass(frozen=True, slots=True)
class DocumentColumns:
    """The columns that were chosen; none by default, and the common names are looked for."""

    text: tuple[str, ...] = ()
    title: str | None = None
    id: str | None = None
    metadata: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls, text: str | Sequence[str] | None, title: str | None, identity: str | None, metadata: Sequence[str] | None
    ) -> DocumentColumns:
        """Check and hold a user's choice.

        Raises:
            SettingError: a list of names is empty, or one is no name.
        """
        texts = () if text is None else (text,) if isinstance(text, str) else tuple(text)
        if text is not None and not texts:
            raise SettingError("text=[]: name at least one column.")
        if isinstance(metadata, str):
            metadata = (metadata,)
        kept = None if metadata is None else tuple(metadata)
        for name in (*texts, title, identity, *(kept or ())):
            if name is not None and (not isinstance(name, str) or not name):
                raise SettingError(f"{name!r} is no column's name.")
        return cls(texts, title, identity, kept)

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that was chosen."""
        return (*self.text, *(name for name in (self.title, self.id) if name), *(self.metadata or ()))


class DocumentReader:
    """Makes documents of one table's rows, and holds that every chosen column was there at all."""

    def __init__(self, columns: DocumentColumns) -> None:
        self.columns = columns
        self.rows = 0
        self._missing = set(columns.named)

    def document(self, row: Row) -> Document:
        """The document of a row.

        Raises:
            DataError: a column is missing or of the wrong type, or there is neither text nor title.
        """
        self.rows += 1
        names = {name.lower(): name for name in row.fields}
        texts = self._text_columns(row, names)
        title_name = self._find(self.columns.title or "title", row, names)
        id_name = self._id_column(row, names)
        values = [_text(row, name, optional=len(self.columns.text) > 1) for name in texts]
        text = values[0] if len(values) == 1 else "\n\n".join(value for value in values if value.strip())
        title = _text(row, title_name, optional=True) if title_name else ""
        identity = _identity(row, id_name) if id_name else None
        if identity is None:
            # With an id an empty document stays: published collections (Cranfield) have some, and their
            # judgements count on it. It is never mined, and scores lowest.
            if not text.strip() and not title.strip():
                raise row.error("the document is empty: it has neither text nor title.")
            identity = text_id("d-", f"{title} {text}".strip())
        return Document(identity, text, title, self._metadata(row, names, {*texts, title_name, id_name}))

    def finish(self, path: Path) -> None:
        """Raise if a chosen column was in no row: a misspelt name would drop a whole column in silence.

        Raises:
            DataError: a chosen column was in no row.
        """
        if self._missing:
            raise DataError(f"no row has the column {', '.join(sorted(self._missing))}: check its name.", path)

    def _text_columns(self, row: Row, names: Mapping[str, str]) -> list[str]:
        wanted = self.columns.text or TEXT_COLUMNS
        found = [name for want in wanted if (name := self._find(want, row, names)) is not None]
        if not found:
            raise row.error(
                f"missing column {'|'.join(wanted)}; it has {', '.join(map(str, row.fields)) or 'none'}: say which is "
                "the text with columns={'text': ...} (--columns text=...)."
            )
        return found if self.columns.text else found[:1]

    def _id_column(self, row: Row, names: Mapping[str, str]) -> str | None:
        if self.columns.id is None:
            return next((names[name] for name in ID_COLUMNS if name in names), None)
        name = self._find(self.columns.id, row, names)
        if name is None or is_missing(row.fields[name]):
            raise row.error(f"missing column {self.columns.id}; it has {', '.join(row.fields)}.")
        return name

    def _find(self, wanted: str, row: Row, names: Mapping[str, str]) -> str | None:
        """A column by its exact name, else in any case."""
        name = wanted if wanted in row.fields else names.get(wanted.lower())
        if name is not None:
            self._missing.discard(wanted)
        return name

    def _metadata(self, row: Row, names: Mapping[str, str], used: set[str | None]) -> dict[str, Any]:
        nested = row.fields.get("metadata")
        nested = nested if isinstance(nested, Mapping) and "metadata" not in used else {}
        if self.columns.metadata is None:
            own = {name: value for name, value in row.fields.items() if name not in used}
            if nested:
                own.pop("metadata")
            chosen = {**nested, **own}
        else:
            chosen = {}
            for wanted in self.columns.metadata:
                name = self._find(wanted, row, names)
                if name is not None:
                    chosen[name] = row.fields[name]
                elif wanted in nested:
                    self._missing.discard(wanted)
                    chosen[wanted] = nested[wanted]
        try:
            return {
                str(name): _plain(value, row)
                for name, value in chosen.items()
                if not (_is_missing(value) or (row.typed and value == ""))
            }
        except RecursionError:
            raise row.error("the metadata is nested too deep.") from None


def fields_of(item: object) -> dict[str, Any] | None:
    """The fields of a dict, or of another library's document, known by its shape; None for what is neither.

    LangChain's has ``page_content``, ``metadata`` and ``id``; LlamaIndex's nodes, with a score too, have
    ``get_content()``, ``metadata`` and ``node_id``; Haystack's has ``content``, ``meta`` and ``id``. Nothing is
    imported.
    """
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, str | bytes | type):
        return None
    metadata = _attribute(item, "metadata")
    if isinstance(metadata, Mapping) and hasattr(item, "page_content"):
        return _fields(item.page_content, _attribute(item, "id"), metadata)
    if isinstance(metadata, Mapping) and callable(read := _attribute(item, "get_content")):
        identity = _attribute(item, "node_id")
        return _fields(read(), _attribute(item, "id_") if identity is None else identity, metadata)
    meta = _attribute(item, "meta")
    if isinstance(meta, Mapping) and hasattr(item, "content"):
        return _fields(item.content, _attribute(item, "id"), meta)
    return None


def _fields(text: object, identity: object, metadata: Mapping[Any, Any]) -> dict[str, Any]:
    fields = {"text": text, "metadata": dict(metadata)}
    return fields if identity is None else {"id": identity, **fields}


def _attribute(item: object, name: str) -> Any:
    return getattr(item, name, None)


def _text(row: Row, name: str, *, optional: bool) -> str:
    value = _sheet_text(row, name) if row.typed else row.fields[name]
    if optional and _is_missing(value):
        return ""
    if is_missing(value):
        raise row.error(f"column {name} must be text, and is missing: give one, or take the row out.")
    if fault := text_fault(value):
        raise row.error(f"column {name} {fault}.")
    return plain_text(value)


def _sheet_text(row: Row, name: str) -> str:
    """A cell of a workbook as a text."""
    value = row.fields[name]
    if isinstance(value, BadCell):
        raise row.error(f"column {name} holds {value.what}: mend the cell, or take the row out.")
    return cell_text(value)


def _identity(row: Row, name: str) -> str | None:
    value = _sheet_text(row, name) if row.typed else whole(row.fields[name])
    if is_missing(value):
        return None
    if fault := id_fault(value):
        raise row.error(f"column {name} {fault}.")
    return plain_text(value)


def _sound(text: str, row: Row) -> str:
    """Refuse half characters (JSON's ``"\\ud800"``): no file could hold them again."""
    if not storable(text):
        raise row.error("column metadata holds half a character (a lone surrogate): write it as UTF-8.")
    return text


def _is_missing(value: object) -> bool:
    """Whether a cell says nothing: it is missing, an empty object, or a workbook's error."""
    return is_missing(value) or isinstance(value, BadCell) or (isinstance(value, dict) and not value)


def _plain(value: Any, row: Row) -> Any:
    """A metadata value as JSON can hold it."""
    if isinstance(value, str):
        return _sound(value, row)
    if is_missing(value) or isinstance(value, bool | int | float):
        return None if is_missing(value) else value
    if isinstance(value, Mapping):
        return {_sound(str(name), row): _plain(inner, row) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, row) for inner in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        raise row.error("a metadata column holds bytes: leave it out with metadata=[...].")
    # NumPy's numbers, and its arrays.
    return _plain(value.tolist(), row) if callable(getattr(value, "tolist", None)) else str(value)
