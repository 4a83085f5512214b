"""What an index notes of the files and folders that its documents came from: how they were cut, and their tables read.

A later ``add`` or ``sync`` of the same file or folder does the same. The place that the index was built from stands for
the index: other places, and documents given as values, which have no place, are cut as it was. An index that was built
before places were noted has the notes of its build alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tardif.encoder.base import Base
from tardif.index.filters import parse_filter
from tardif.index.protocol import Index
from tardif.search.corpus_reader import CorpusReader
from tardif.search.sync import each_source

if TYPE_CHECKING:
    from tardif.data.chunking import Chunk

# Of the place that the index was built from: how it was cut and read, and where it is.
_CHUNK, _READING, _HOME = "chunk", "reading", "source"
# The tokens of a piece where files of text were cut by ``auto``.
_TEXT = "text tokens"


class _Noted(NamedTuple):
    chunk: Chunk
    reading: dict[str, Any]


def note_source(index: Index, reader: CorpusReader, source: str, chunk: Chunk, *, home: bool = False) -> None:
    """Note how the documents of a file or folder were cut and read.

    Args:
        index: the index, which holds them.
        reader: that read them.
        source: where they came from, from :func:`tardif.search.sync.source_of`; "" for values.
        chunk: tokens of a piece, ``auto`` or None.
        home: the index holds nothing else: this place stands for the index from now on.
    """
    found = _Noted(chunk if chunk is None or chunk == "auto" else int(chunk), dict(reader.options.given()))
    before = index.note(_HOME)
    notes: dict[str, str] = {}
    if home or source == before:
        if before and before != source:
            notes[_name(before)] = json.dumps(_of_index(index)._asdict())
        notes |= {_CHUNK: json.dumps(found.chunk), _READING: json.dumps(found.reading), _HOME: source}
    elif _noted(index, source) or (around := _around(index, source)) is None or found != _Noted(around.chunk, {}):
        # A file that was cut as its folder needs no note of its own: many may be added one by one.
        notes[_name(source)] = json.dumps(found._asdict())
    if reader.text_tokens is not None:
        notes[_TEXT] = str(reader.text_tokens)
    for name, value in notes.items():
        if index.note(name) != value:
            index.note(name, value)


def chunk_of(index: Index, source: str, base: Callable[[], Base]) -> Chunk:
    """Return how the documents of a file or folder are cut: as they were, or as the index was.

    Args:
        index: the index.
        source: as for :func:`note_source`. Where the index was cut by ``auto``, values are cut as its files of text
            were, if there are any: their ends would be in no vector.
        base: returns the checkpoint with the tokens that its model reads; rarely called.
    """
    if source and (noted := _noted(index, source) or _around(index, source)):
        return noted.chunk
    cut = _of_index(index).chunk
    if source or cut != "auto":
        return cut
    if (tokens := index.note(_TEXT)) is not None:
        return int(tokens)
    # Before places were noted, pieces alone tell that files of text were cut.
    if index.note(_HOME) is None and index.has(parse_filter("@piece.number >= 1")):
        from tardif.data.chunking import CHUNK_TOKENS

        return min(CHUNK_TOKENS, base().max_tokens)
    return cut


def reading_of(index: Index, source: str) -> dict[str, Any]:
    """Return how the tables of a file or folder were read: options of :class:`tardif.data.reading.Reading`."""
    if (noted := _noted(index, source)) is not None:
        return noted.reading
    if index.note(_HOME) is None and any(found == source for _, found in each_source(index)):
        return _of_index(index).reading
    return {}


def copy_notes(index: Index, made: Index) -> None:
    """Copy the notes of an index into another that holds the same documents."""
    sources = set(index.sources().values())
    places = {place for source in sources for place in (source, *_above(source))}
    for name in (_CHUNK, _READING, _HOME, _TEXT, *map(_name, sorted(places))):
        if (noted := index.note(name)) is not None:
            made.note(name, noted)


def _of_index(index: Index) -> _Noted:
    reading = json.loads(index.note(_READING) or "{}")
    return _Noted(json.loads(index.note(_CHUNK) or '"auto"'), reading if isinstance(reading, dict) else {})


def _noted(index: Index, place: str) -> _Noted | None:
    if place == index.note(_HOME):
        return _of_index(index)
    found = index.note(_name(place))
    return None if found is None else _Noted(**json.loads(found))


def _around(index: Index, source: str) -> _Noted | None:
    """What is noted of the nearest folder around a file or folder of which something is."""
    return next((noted for place in _above(source) if (noted := _noted(index, place))), None)


def _above(source: str) -> list[str]:
    return [str(parent) for parent in Path(source).parents] if source else []


def _name(source: str) -> str:
    return f"source {json.dumps(source)}"
