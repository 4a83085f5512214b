"""A row of a table becomes a document: which columns are its text, title, id and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.checks import is_missing
from tardif.data.formats.cells import BadCell
from tardif.data.formats.column_names import DOCUMENT_COLUMNS, first_usual, plain
from tardif.data.formats.table_rows import Row
from tardif.data.json_metadata import as_stored
from tardif.errors import DataError, SettingError
from tardif.text.normal import text_id
from tardif.types import Document

EMPTY = (
    "the document is empty: it has neither text nor title nor id: mend it, or leave such documents out with "
    'on={"empty": "drop"} (--on empty=drop).'
)
_LAYOUTS = 1000  # sets of column names kept: each of a million rows may bring a column of its own


@dataclass(frozen=True, slots=True)
class DocumentColumns:
    """The columns that the user named. Where there is none, a column with a usual name is looked for."""

    text: tuple[str, ...] = ()
    title: str | None = None
    id: str | None = None
    metadata: tuple[str, ...] | None = None

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> DocumentColumns:
        """Check what the user named: role to column, or to several for ``text`` and ``metadata``.

        Raises:
            SettingError: a list of names is empty, or one is no name.
        """
        many = {role: columns[role] or () for role in ("text", "metadata") if role in columns}
        many = {role: (names,) if isinstance(names, str) else tuple(names) for role, names in many.items()}
        texts, metadata = many.get("text", ()), many.get("metadata")
        if columns.get("text") is not None and not texts:
            raise SettingError("text=[]: name at least one column.")
        title, identity = columns.get("title") or None, columns.get("id") or None
        for name in (*texts, title, identity, *(metadata or ())):
            if name is not None and (not isinstance(name, str) or not name):
                raise SettingError(f"{name!r} is no column's name.")
        return cls(texts, title, identity, metadata)

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that was named."""
        return (*self.text, *(name for name in (self.title, self.id) if name), *(self.metadata or ()))


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the columns of some rows are: ``nested`` is an object of metadata, ``metadata`` the other columns of it."""

    texts: tuple[str, ...]
    title: str | None
    id: str | None
    nested: str | None
    metadata: tuple[str, ...]


class DocumentReader:
    """Makes documents of one table's rows, and checks that some row has each column that the user named.

    Args:
        columns: the columns that the user named.
        needs_id: refuse a row without an id, where judgements name documents by their ids. Otherwise the id is made
            from the text.
        empty: what to do with a row that has neither text nor title nor id: ``refuse`` or ``drop``. With an id it is a
            document: published collections (Cranfield) have some, and their judgements name them.

    >>> document = DocumentReader().document(Row({"docno": "X1", "contents": "The sea.", "year": 1902}, "data", 1))
    >>> document.id, document.text, document.metadata
    ('X1', 'The sea.', {'year': 1902})
    """

    def __init__(
        self, columns: DocumentColumns | None = None, *, needs_id: bool = False, empty: str = "refuse"
    ) -> None:
        self._columns, self._needs_id, self._empty = columns or DocumentColumns(), needs_id, empty
        self._missing = set(self._columns.named)
        self._layouts: dict[tuple[Any, ...], _Layout] = {}

    def document(self, row: Row) -> Document | None:
        """The document of a row; None for an empty one that is dropped.

        Missing values and empty cells are the same here, so a table means the same in every format.

        Raises:
            DataError: a column is missing or of the wrong type, or there is neither text nor title nor id.
        """
        # Rows of one table mostly have the same columns, so their roles are found once.
        names = tuple(row.fields)
        layout = self._layouts.get(names)
        if layout is None:
            # Forgetting all costs less than a queue of the least used, and happens in odd data only.
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[names] = self._layout(row)
        texts = [row.cell(name).words() for name in layout.texts]
        text = texts[0] if len(texts) == 1 else "\n\n".join(found for found in texts if found.strip())
        title = row.cell(layout.title).words() if layout.title else ""
        identity = row.cell(layout.id).identity() if layout.id else None
        if identity is None:
            content = f"{title} {text}".strip()
            if not content and self._empty == "drop":
                return None
            identity = self._made_id(row, content)
        return Document(identity, text, title, self._metadata(row, layout))

    def finish(self, path: Path | str) -> None:
        """Refuse a misspelt name, which would drop a whole column in silence.

        Raises:
            DataError: a column that the user named was in no row.
        """
        if self._missing:
            raise DataError(f"no row has the column {', '.join(sorted(self._missing))}: check its name.", path)

    def _made_id(self, row: Row, content: str) -> str:
        has = ", ".join(map(str, row.fields))
        if self._columns.id is not None:
            raise row.error(f"missing column {self._columns.id}; it has {has}.")
        if self._needs_id:
            raise row.error(f"has no id: it must have a column _id or id; it has {has}.")
        if not content:
            raise row.error(EMPTY)
        return text_id("d-", content)

    def _layout(self, row: Row) -> _Layout:
        columns = self._columns
        wanted = columns.text or DOCUMENT_COLUMNS["text"]
        if columns.text:
            texts = [name for want in wanted if (name := self._find(want, row)) is not None]
        else:
            texts = [name] if (name := first_usual(row.fields, wanted)) is not None else []
        if not texts:
            raise row.error(
                f"missing column {'|'.join(wanted)}; it has {', '.join(map(str, row.fields)) or 'none'}: say which is "
                "the text with columns={'text': ...} (--columns text=...)."
            )
        title, identity, nested = (
            self._find(named, row) if named else first_usual(row.fields, DOCUMENT_COLUMNS[role])
            for role, named in (("title", columns.title), ("id", columns.id), ("metadata", None))
        )
        used = {*texts, title, identity}
        nested = None if nested in used else nested
        if columns.metadata is None:
            metadata = tuple(name for name in row.fields if name not in used)
        else:
            metadata = tuple(name for want in columns.metadata if (name := self._find(want, row)) is not None)
        return _Layout(tuple(texts), title, identity, nested, metadata)

    def _find(self, named: str, row: Row) -> str | None:
        """A column by its exact name, else by a name that is compared as the same."""
        name = named if named in row.fields else first_usual(row.fields, [plain(named)])
        if name is not None:
            # A column that some row has under its own or a similar name is no misspelling.
            self._missing.discard(named)
        return name

    def _metadata(self, row: Row, layout: _Layout) -> dict[str, Any]:
        nested = row.fields[layout.nested] if layout.nested else None
        nested = nested if isinstance(nested, Mapping) else {}
        chosen = {name: row.fields[name] for name in layout.metadata}
        if self._columns.metadata is not None:
            inside = {name: nested[name] for name in self._columns.metadata if name in nested}
            self._missing -= inside.keys()
            chosen = {**inside, **chosen}
        elif nested:
            # Columns of their own win over the same names in the nested object.
            chosen = {**nested, **{name: value for name, value in chosen.items() if name != layout.nested}}
        if not chosen:
            return {}
        try:
            return as_stored({name: value for name, value in chosen.items() if not _is_empty(value, row)}, exact=True)
        except DataError as error:
            raise row.error(error.what) from None


def fields_of(item: object) -> dict[str, Any] | None:
    """The fields of a dict, or of another library's document; None for any other value.

    A document is recognised by its attributes, so that nothing is imported: LangChain's has ``page_content``,
    ``metadata`` and ``id``; LlamaIndex's nodes, with a score too, have ``get_content()``, ``metadata`` and ``node_id``;
    Haystack's has ``content``, ``meta`` and ``id``.
    """
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, str | bytes | type):
        return None
    metadata, identity = getattr(item, "metadata", None), getattr(item, "id", None)
    if isinstance(metadata, Mapping) and hasattr(item, "page_content"):
        text = item.page_content
    elif isinstance(metadata, Mapping) and callable(read := getattr(item, "get_content", None)):
        node = getattr(item, "node_id", None)
        text, identity = read(), getattr(item, "id_", None) if node is None else node
    elif isinstance(metadata := getattr(item, "meta", None), Mapping) and hasattr(item, "content"):
        text = item.content
    else:
        return None
    return {"id": identity, "text": text, "metadata": dict(metadata)}


def _is_empty(value: object, row: Row) -> bool:
    """Whether a cell says nothing: it is missing, an empty object, or a workbook's error or empty cell."""
    return (
        is_missing(value)
        or isinstance(value, BadCell)
        or (isinstance(value, dict) and not value)
        or (row.typed and value == "")
    )
