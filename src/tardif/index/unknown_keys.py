"""Keys of a filter that no document has. A filter on a misspelt key is valid, but no document passes it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields

from tardif.index.filter_nodes import Exists, Field, Filter
from tardif.index.protocol import Index


def unknown_keys(index: Index, where: Filter) -> list[str]:
    """Return a sentence for each key of a filter that no document has, with similar keys that exist.

    It is fast if all keys exist; for an unknown key, the metadata of every document are read.
    """
    return [_sentence(index, field) for field in dict.fromkeys(_fields(where)) if not index.has(Exists(field))]


def _fields(where: Filter) -> Iterator[Field]:
    """The metadata keys of a filter."""
    for attribute in fields(where):  # type: ignore[arg-type]  # every filter is a dataclass
        value = getattr(where, attribute.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Filter):
                yield from _fields(part)
            elif isinstance(part, Field) and not (part.of_document or part.of_piece):
                yield part


def _sentence(index: Index, field: Field) -> str:
    keys = index.keys()
    near = difflib.get_close_matches(field.names[0], keys, n=3)
    if field.names[0] in keys:
        return f"No document has the key {field}: {field.names[0]} is there, and holds no such name."
    if not near:
        named = ", ".join(keys[:10]) + (" and others" if len(keys) > 10 else "")
        return f"No document has the key {field}" + (f". Keys present: {named}." if keys else ": none has metadata.")
    return f"No document has the key {field}: did you mean {' or '.join(near)}?"
