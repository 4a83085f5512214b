"""What was chosen for each query, and finished blocks of it kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from tardif._version import __version__
from tardif.data.training_set import TrainingSet
from tardif.folders import read_bounded, replacing

OWN, MINED, RANDOM = "own", "mined", "random"


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """A document beside a query: its id, where it comes from, the searcher's and the teacher's score of it."""

    id: str
    origin: str
    score: float | None = None
    teacher: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for one query, and why nothing else.

    Attributes:
        query: its id.
        positives: the query's own.
        negatives: the user's own, then mined and random ones.
        considered: hits in the window.
        dropped: how many of them each rule dropped.
        reference: the positive's score that the ratio was taken of; None where none could judge.
        as_asked: how many random ones were asked for; more were drawn where the window ran out.
        short: there were fewer negatives than asked.
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
        """The choice as a line of JSON."""
        rest = (self.considered, dict(self.dropped), self.reference, self.as_asked, self.short)
        return json.dumps([self.query, _rows(self.positives), _rows(self.negatives), *rest])

    @classmethod
    def parse(cls, line: str) -> Choice:
        """The choice that :meth:`line` wrote."""
        query, positives, negatives, *rest = json.loads(line)
        return cls(
            query, tuple(ScoredDocument(*p) for p in positives), tuple(ScoredDocument(*n) for n in negatives), *rest
        )


def _rows(scored: Sequence[ScoredDocument]) -> list[list[Any]]:
    return [[s.id, s.origin, s.score, s.teacher] for s in scored]


class Blocks:
    """Finished blocks of queries in a folder: each a file, written whole, that only its own key reads.

    Args:
        folder: made when the first block is written.
        key: of everything that decides what is chosen.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def read(self, number: int, queries: Sequence[str]) -> list[Choice] | None:
        """A block's choices; None where it is not there as it was written, or is of other queries."""
        try:
            *lines, said = read_bounded(self._path(number)).decode("ascii").splitlines(keepends=True)
            if said != _checksum(lines):
                return None
            choices = [Choice.parse(line) for line in lines]
        except (OSError, ValueError, TypeError):
            return None
        return choices if [choice.query for choice in choices] == list(queries) else None

    def write(self, number: int, choices: Sequence[Choice]) -> None:
        """Keep a block."""
        path = self._path(number)
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [choice.line() + "\n" for choice in choices]
        with replacing(path, durable=True) as file:
            file.write("".join([*lines, _checksum(lines)]).encode("ascii"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._key}-{number:06d}.jsonl"


def _checksum(lines: Sequence[str]) -> str:
    """The last line of a block."""
    return xxhash.xxh3_128_hexdigest("".join(lines).encode("ascii")) + "\n"


def block_key(data: TrainingSet, settings: Mapping[str, Any]) -> str:
    """A hash of everything that decides what is chosen: version, settings, texts, judgements, split."""
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: Any) -> None:
        digest.update(json.dumps(values, sort_keys=True, default=str).encode())
        digest.update(b"\n")

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
