"""Keys that a filter asks for and no document has: a filter on a misspelt key is no error, it lets nothing through."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields

from tardif.index.filter_nodes import Exists, Field, Filter
from tardif.index.protocol import Index


def unknown_keys(index: Index, where: Filter) -> list[str]:
    """A sentence for each key of a filter that no document of the index has, with the keys that are meant perhaps.

    A key that some document has costs little; for another, all metadata are read.
    """
    return [_said(index, field) for field in dict.fromkeys(_fields(where)) if not index.has(Exists(field))]


def _fields(where: Filter) -> Iterator[Field]:
    """The keys of metadata that a filter asks for."""
    for one in fields(where):  # type: ignore[arg-type]  # every filter is a dataclass
        value = getattr(where, one.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Filter):
                yield from _fields(part)
            elif isinstance(part, Field) and not (part.of_document or part.of_piece):
                yield part


def _said(index: Index, field: Field) -> str:
    keys = index.keys()
    near = difflib.get_close_matches(field.names[0], keys, n=3)
    if field.names[0] in keys:
        return f"No document has the key {field}: {field.names[0]} is there, and holds no such name."
    if not near:
        named = ", ".join(keys[:10]) + (" and others" if len(keys) > 10 else "")
        return f"No document has the key {field}" + (f": there are {named}." if keys else ": none has metadata.")
    return f"No document has the key {field}: did you mean {' or '.join(near)}?"
