"""ColBERT's files ``queries.tsv``, ``collection.tsv`` and ``triples.jsonl``, also under RAGatouille's names.

A line of triples is ``[query, positive, negative, ...]`` by id, or with a teacher's scores
``[query, [positive, score], [negative, score], ...]`` (ColBERTv2). The first is the positive.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.data.formats.corpora import find_file
from tardif.data.formats.json_files import json_lines
from tardif.data.formats.trec import CollectionSource, IdMaps, find_held_out, open_trec, read_trec_qrels
from tardif.data.formats.values import Cell
from tardif.data.records import Judgement, Role
from tardif.data.regular import open_regular
from tardif.errors import DataError

NAMES = ("queries.tsv", "collection.tsv", "triples.jsonl")
RAGATOUILLE_NAMES = ("queries.train.colbert.tsv", "corpus.train.colbert.tsv", "triples.train.colbert.jsonl")
# Our export numbers the ids, as ColBERT needs it; this file beside the others maps the numbers to the ids.
ID_MAPS = "id-maps.json"


@dataclass(frozen=True, slots=True)
class ColbertFiles:
    """The files of a ColBERT training set."""

    folder: Path
    queries: Path
    collection: Path
    triples: Path
    qrels: Path | None = None
    id_maps: Path | None = None


def find_colbert(folder: Path) -> ColbertFiles | None:
    """Find the files in a folder, under ColBERT's or RAGatouille's names; None if one is missing."""
    for names in (NAMES, RAGATOUILLE_NAMES):
        queries, collection, triples = (find_file(folder, name) for name in names)
        if queries and collection and triples:
            qrels, maps = find_file(folder, "qrels.tsv"), find_file(folder, ID_MAPS)
            return ColbertFiles(folder, queries, collection, triples, qrels, maps)
    return None


def open_colbert(files: ColbertFiles, group_by: str | None = None) -> CollectionSource:
    """Open triples with their queries and collection.

    Args:
        files: the files.
        group_by: must be None: these files have no fields.

    Raises:
        DataError: ``group_by`` is given, or the map of ids is damaged.
    """
    if group_by is not None:
        raise DataError(f"ColBERT's files have no field {group_by} to group by: leave it out.", files.folder)
    qrels = "" if files.qrels is None else f", labels from {files.qrels.name}"
    restored = "" if files.id_maps is None else f", ids restored from {files.id_maps.name}"
    return CollectionSource(
        str(files.folder),
        f"ColBERT files: documents from {files.collection.name}, queries from {files.queries.name}, positives "
        f"(the first of a line), negatives and any scores from {files.triples.name}{qrels}{restored}",
        lambda: _judged(files),
        files.triples,
        files.queries,
        files.collection,
        id_maps=_read_maps(files.id_maps),
    )


def open_colbert_held_out(files: ColbertFiles, split: str) -> list[CollectionSource]:
    """Open the folder's validation splits, such as ``qrels.validation.tsv`` with ``queries.validation.tsv``."""
    maps = _read_maps(files.id_maps)
    parts = find_held_out(files.folder, files.collection, split)
    return [open_trec(part, held_out=True, id_maps=maps) for part in parts]


def _judged(files: ColbertFiles) -> Iterator[Judgement]:
    """The judgements of the triples, then those of the qrels."""
    for line, value in json_lines(files.triples):
        query, hits = _triple(value, files.triples, line)
        role: Role = "positive"
        for document, score in hits:
            yield Judgement(None, None, role, line, query, document, None, score)
            role = "negative"
    if files.qrels is not None:
        for line, query, document, relevance in read_trec_qrels(files.qrels):
            yield Judgement(None, None, "labelled", line, query, document, relevance)


def _triple(value: Any, path: Path, line: int) -> tuple[str, list[tuple[str, float | None]]]:
    """The id of the query, and the id and any score of each document."""
    if not isinstance(value, list) or len(value) < 2:
        raise DataError(
            "malformed line: it must be [query, positive, negative, ...] or [query, [positive, score], ...].",
            path,
            line,
        )
    # The first document decides for the line: a line that mixes both forms is damaged.
    # A line's first document is its positive; with or without scores, all of a line alike.
    scored = isinstance(value[1], list)
    hits: list[tuple[str, float | None]] = []
    for item in value[1:]:
        if isinstance(item, list) is not scored or (scored and len(item) != 2):
            raise DataError("malformed line: every document must be an id, or every one [id, score].", path, line)
        if scored:
            hits.append((_identity(item[0], path, line), Cell(item[1], "score", path, line).score()))
        else:
            hits.append((_identity(item, path, line), None))
    return _identity(value[0], path, line), hits


def _identity(value: Any, path: Path, line: int) -> str:
    # The fast path for ColBERT's own ids, of which a file of triples has millions.
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    identity = Cell(value, "id", path, line).identity()
    if identity is None:
        raise DataError("malformed line: an id is null.", path, line)
    return identity


def _read_maps(path: Path | None) -> IdMaps:
    if path is None:
        return {}, {}
    try:
        with open_regular(path) as file:
            found = json.load(file)
        maps = found["queries"], found["documents"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"is no map of ids ({error}): restore it, or remove it to keep the numbers.", path) from None
    for ids in maps:
        if not isinstance(ids, dict) or not all(isinstance(identity, str) for identity in ids.values()):
            raise DataError("is no map of ids to ids: restore it, or remove it to keep the numbers.", path)
        # Two numbers of one id would merge two texts.
        if len(set(ids.values())) != len(ids):
            raise DataError("maps two numbers to one id: restore it, or remove it to keep the numbers.", path)
    return maps
