"""Choices of negatives, and finished blocks of them on disk, from which an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import xxhash

from tardif._version import __version__
from tardif.data.training_set import TrainingSet
from tardif.file_reading import read_bounded
from tardif.folders import replacing

OWN, MINED, RANDOM = "own", "mined", "random"


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """A document of a choice: its id and origin, and its scores from the searcher and the teacher."""

    id: str
    origin: str
    score: float | None = None
    teacher: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The negatives chosen for one query.

    Attributes:
        query: its id.
        positives: the query's own.
        negatives: the user's own, then mined and random ones.
        considered: hits in the window.
        dropped: how many of them each rule dropped.
        reference: the positive's score that the ratio was taken of; None if no positive could judge.
        as_asked: how many random ones were asked for; more were drawn if the window ran out.
        short: whether there are fewer negatives than asked for.

    >>> choice = Choice("q", (ScoredDocument("a", "positive", 7.5),), (), 50, {"ratio": 3}, 7.5, 0, True)
    >>> Choice.parse(choice.line()) == choice
    True
    """

    query: str
    positives: tuple[ScoredDocument, ...]
    negatives: tuple[ScoredDocument, ...]
    considered: int
    dropped: Mapping[str, int]
    reference: float | None
    as_asked: int
    short: bool

    def line(self) -> str:
        """The choice as a line of JSON: its fields in order, documents as lists of theirs."""
        return json.dumps(astuple(self))

    @classmethod
    def parse(cls, line: str) -> Choice:
        """The choice that :meth:`line` wrote."""
        query, positives, negatives, *rest = json.loads(line)
        own, others = (tuple(ScoredDocument(*row) for row in rows) for rows in (positives, negatives))
        return cls(query, own, others, *rest)


class Blocks:
    """Finished blocks of queries in a folder, one file each. The key in its name decides which run reads it.

    Args:
        folder: made when the first block is written.
        key: a hash of everything that decides the choice (:func:`block_key`).
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def read(self, number: int, queries: Sequence[str]) -> list[Choice] | None:
        """A block's choices; None if the block is missing, damaged, or of other queries."""
        # Whatever is wrong with a block, it is chosen again: the draws are seeded, so it comes out the same.
        try:
            *lines, last = read_bounded(self._path(number)).decode("ascii").splitlines(keepends=True)
            if last != _checksum(lines):
                return None
            choices = [Choice.parse(line) for line in lines]
        except (OSError, ValueError, TypeError):
            return None
        return choices if [choice.query for choice in choices] == list(queries) else None

    def write(self, number: int, choices: Sequence[Choice]) -> None:
        """Keep a block."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [choice.line() + "\n" for choice in choices]
        with replacing(self._path(number), durable=True) as file:
            file.write("".join([*lines, _checksum(lines)]).encode("ascii"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._key}-{number:06d}.jsonl"


def _checksum(lines: Sequence[str]) -> str:
    """The last line of a block."""
    return xxhash.xxh3_128_hexdigest("".join(lines).encode("ascii")) + "\n"


def block_key(data: TrainingSet, settings: Mapping[str, Any]) -> str:
    """A hash of everything that decides the choice: version, settings, texts, judgements, split."""
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: Any) -> None:
        digest.update(json.dumps(values, sort_keys=True, default=str).encode())
        digest.update(b"\n")

    # One value at a time: the JSON of a whole corpus would not fit into memory.
    add(__version__, settings)
    for document in data.documents.values():
        add(document.id, document.title, document.text, document.metadata)
    for query, text in data.queries.items():
        add(query, text, data.split[query], list(data.qrels.get(query, {}).items()))
    for query, documents in data.unclear.items():
        add(query, documents)
    for example in data.examples:
        add(example.query_id, example.positive_id, example.negative_ids, example.scores)
    return digest.hexdigest()
