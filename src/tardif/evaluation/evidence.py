"""The evidence behind a report: each query's values, examples with texts, and what the run was made with.

report/
  values.parquet   data, query_id, query, system, measure, value: a row for each judged query, system and measure
  examples.json    the queries with the biggest wins and losses, and pairs of a query and a document explained
  run.json         what was done, with which versions, on which machine, and the command that repeats it

The folder lies in a checkpoint, an evaluation's folder or a prepared set. A report is drawn from it, and can be drawn
again, by Tardif or by others. It holds texts of the user's data, so no export carries it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tardif.display import Short
from tardif.encoder.published import REPORT
from tardif.errors import FolderError, reason
from tardif.evaluation.verdict import Values
from tardif.explanation import Explanation, Match, Token
from tardif.folders import expanded, read_json, staged, write_json

# The page that is drawn of the evidence, beside its folder.
PAGE = "report.html"
FORMAT, VERSION = "tardif-report", 1
TRAINING, EVALUATION, PREPARATION = "training", "evaluation", "preparation"

_VALUES, _EXAMPLES, _RUN = "values.parquet", "examples.json", "run.json"
_TEXTS = ("data", "query_id", "query", "system", "measure")
_WHAT = "the data of a report"
# Digits of the similarities of an explained pair: a heat map shows no more.
_DIGITS = 3


@dataclass(frozen=True, repr=False)
class SetValues(Short):
    """The values of every query of one data set, with every system.

    Attributes:
        data: the data set's name.
        queries: query id -> its text, which may be cut.
        systems: system -> measure -> query id -> value.
    """

    data: str
    queries: Mapping[str, str] = field(repr=False)
    systems: Mapping[str, Values] = field(repr=False)


@dataclass(frozen=True, repr=False)
class ShownHit(Short):
    """One hit of a ranking that a report shows.

    Attributes:
        relevance: the judgement of the pair; None if nobody judged it.
        text: a passage of the document.
        marks: the words in ``text`` that earned the score: the place of the first character, the place after the last,
            and a weight from 0 to 1.
    """

    rank: int
    document_id: str
    score: float
    relevance: int | None
    title: str
    text: str
    marks: Sequence[tuple[int, int, float]] = ()

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> ShownHit:
        """Read a hit as ``examples.json`` holds it."""
        text, relevance = _text(read["text"]), read["relevance"]
        return cls(
            rank=_whole(read["rank"], 1),
            document_id=_text(read["document_id"]),
            score=_number(read["score"]),
            relevance=None if relevance is None else _whole(relevance, None),
            title=_text(read["title"]),
            text=text,
            marks=tuple((*_span(start, end, text), _number(weight)) for start, end, weight in read["marks"]),
        )


@dataclass(frozen=True, repr=False)
class ShownRanking(Short):
    """The first hits of one system for a query, and the value of its measure."""

    system: str
    value: float
    hits: Sequence[ShownHit] = ()


@dataclass(frozen=True, repr=False)
class ShownRelevant(Short):
    """A document that is relevant to a query and in none of the rankings shown.

    Attributes:
        text: the beginning of the document.
        ranks: system -> the document's rank; None where the system did not find it.
    """

    document_id: str
    text: str
    ranks: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class ShownQuery(Short):
    """A query that a report shows, with the rankings of two systems side by side.

    Attributes:
        data: the data set's name.
        query: the query's text.
        measure: what the rankings' values are of, such as ``nDCG@10``.
        rankings: the system that is judged, then the one that it is compared with.
        relevant: relevant documents that no shown hit is.
    """

    data: str
    query_id: str
    query: str
    measure: str
    rankings: Sequence[ShownRanking]
    relevant: Sequence[ShownRelevant] = ()

    @property
    def difference(self) -> float:
        """The first ranking's value less the second's; 0 if there is only one."""
        return self.rankings[0].value - self.rankings[1].value if len(self.rankings) > 1 else 0.0

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> ShownQuery:
        """Read a query as ``examples.json`` holds it."""
        rankings = [
            ShownRanking(_text(one["system"]), _number(one["value"]), tuple(map(ShownHit.from_json, one["hits"])))
            for one in read["rankings"]
        ]
        data, query_id, query, measure = (_text(read[name]) for name in ("data", "query_id", "query", "measure"))
        return cls(data, query_id, query, measure, tuple(rankings), tuple(map(_relevant, read["relevant"])))


@dataclass(frozen=True, repr=False)
class RunFacts(Short):
    """What was done, and how it is done again.

    Attributes:
        kind: ``training``, ``evaluation`` or ``preparation``.
        name: the checkpoint's, the folder's or the set's name.
        environment: the versions of Python, Tardif and its libraries, the processor, the memory, the device.
        command: the command line, or the Python call, that repeats it.
        seed: of everything random; None where nothing was.
    """

    kind: str
    name: str
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    seed: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the facts as ``run.json`` holds them."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


@dataclass(frozen=True, repr=False)
class Evidence(Short):
    """What a report is drawn from, beside ``results.json``.

    Attributes:
        values: of each data set.
        queries: those with the biggest wins and losses.
        explanations: a few pairs of a query and a relevant document, for heat maps.
        run: what was done.

    >>> import tempfile
    >>> values = SetValues("support", {"q1": "what is red?"}, {"after": {"nDCG@10": {"q1": 0.5}}})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_evidence(folder, Evidence([values], run=RunFacts("evaluation", "support")))
    ...     read_evidence(folder).values[0].systems
    {'after': {'nDCG@10': {'q1': 0.5}}}
    """

    values: Sequence[SetValues] = ()
    queries: Sequence[ShownQuery] = ()
    explanations: Sequence[Explanation] = ()
    run: RunFacts = field(default_factory=lambda: RunFacts(TRAINING, ""))


def write_evidence(folder: str | Path, evidence: Evidence) -> None:
    """Write a folder's evidence, completely or not at all. It replaces what was there.

    The same evidence gives the same bytes.

    Args:
        folder: of the checkpoint, the evaluation or the prepared set; the evidence goes into ``report/`` there.
        evidence: what to write.

    Raises:
        FolderError: it cannot be written.
    """
    explained = [
        {**one.as_json(), "similarities": np.round(one.similarities.astype(float), _DIGITS).tolist()}
        for one in evidence.explanations
    ]
    with staged(expanded(folder) / REPORT, overwrite=True) as aside:
        _write_values(aside / _VALUES, evidence.values)
        queries = [asdict(query) for query in evidence.queries]
        # One line: indented, the similarities of one pair alone are thousands of lines.
        text = json.dumps({"queries": queries, "explanations": explained}, ensure_ascii=False)
        (aside / _EXAMPLES).write_text(f"{text}\n", encoding="utf-8")
        write_json(aside / _RUN, evidence.run.as_json())


def _write_values(path: Path, values: Sequence[SetValues]) -> None:
    """Write the long table of values, the queries outermost: equal texts then lie side by side, and compress."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (found.data, query, text, system, measure, by[query])
        for found in values
        for query, text in found.queries.items()
        for system, measures in found.systems.items()
        for measure, by in measures.items()
    ]
    columns = list(zip(*rows, strict=True)) or [()] * (len(_TEXTS) + 1)
    table = {name: pa.array(column, pa.string()) for name, column in zip(_TEXTS, columns, strict=False)}
    pq.write_table(pa.table({**table, "value": pa.array(columns[-1], pa.float64())}), path, compression="zstd")


def read_evidence(folder: str | Path) -> Evidence | None:
    """Read what :func:`write_evidence` wrote into a folder; None if there is none.

    Raises:
        FolderError: it is damaged, or was written by a newer Tardif.
    """
    place = expanded(folder) / REPORT
    if not (place / _RUN).exists() and not (place / _VALUES).exists():
        return None
    run = _run(place)
    try:
        examples = read_json(place / _EXAMPLES, what=_WHAT)
        return Evidence(
            values=tuple(_read_values(place / _VALUES)),
            queries=tuple(map(ShownQuery.from_json, examples["queries"])),
            explanations=tuple(map(_explanation, examples["explanations"])),
            run=run,
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:  # Arrow's errors are among them
        raise _damaged(place, error) from error


def _damaged(place: Path, error: BaseException) -> FolderError:
    why = f"{error} is missing" if isinstance(error, KeyError) else reason(error)
    return FolderError(f"{place} is damaged ({why}): do again what wrote it, or remove that folder.")


def _run(place: Path) -> RunFacts:
    """Read ``run.json``, first of all: it says which version wrote the folder."""
    read = read_json(place / _RUN, what=_WHAT)
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise FolderError(f"{place} does not hold {_WHAT}: remove that folder.")
    try:
        if _whole(read["version"], 1) > VERSION:
            raise FolderError(f"{place} was written by a newer Tardif: upgrade to read it.")
        seed = read["seed"]
        kind, name, command = (_text(read[key]) for key in ("kind", "name", "command"))
        return RunFacts(kind, name, dict(read["environment"]), command, None if seed is None else _whole(seed, None))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(place, error) from error


def _read_values(path: Path) -> Iterator[SetValues]:
    """Read the long table of values, data set by data set."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path).select([*_TEXTS, "value"])
    if any(table[name].null_count or table[name].type != pa.string() for name in _TEXTS):
        raise ValueError(f"{path.name} has a text missing")
    if table["value"].null_count or table["value"].type != pa.float64():
        raise ValueError(f"{path.name} has a value missing")
    queries: dict[str, dict[str, str]] = {}
    systems: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    for data, query, text, system, measure, value in rows:
        queries.setdefault(data, {})[query] = text
        systems.setdefault(data, {}).setdefault(system, {}).setdefault(measure, {})[query] = value
    for data, measured in systems.items():
        # Queries are paired between systems: a row missing would pair them wrongly.
        if any(by.keys() != queries[data].keys() for measures in measured.values() for by in measures.values()):
            raise ValueError(f"{path.name} has not every query with every system")
        yield SetValues(data, queries[data], measured)


def _relevant(read: Mapping[str, Any]) -> ShownRelevant:
    ranks = {_text(name): None if rank is None else _whole(rank, 1) for name, rank in read["ranks"].items()}
    return ShownRelevant(_text(read["document_id"]), _text(read["text"]), ranks)


def _explanation(read: Mapping[str, Any]) -> Explanation:
    """Read an explanation with its similarities, and check that its numbers fit together."""
    query, document = _text(read["query"]), _text(read["document"])
    asked = tuple(_token(token, query) for token in read["query_tokens"])
    found = tuple(_token(token, document) for token in read["document_tokens"])
    similarities = np.array(read["similarities"], dtype=np.float32).reshape(len(asked), len(found))
    return Explanation(
        query=query,
        document=document,
        query_tokens=asked,
        document_tokens=found,
        matches=tuple(_match(match, len(asked), len(found)) for match in read["matches"]),
        score=_number(read["score"]),
        similarities=similarities,
        document_id=_text(read.get("document_id", "")),
        note=_text(read.get("note", "")),
    )


def _token(read: Mapping[str, Any], text: str) -> Token:
    start, end, word = read["start"], read["end"], read["word"]
    start, end = (None, None) if start is None or end is None else _span(start, end, text)
    return Token(_text(read["text"]), start, end, None if word is None else _whole(word, 0))


def _match(read: Mapping[str, Any], asked: int, found: int) -> Match:
    tokens = tuple(_whole(token, 0, found - 1) for token in read.get("document_tokens", [read["document_token"]]))
    return Match(_whole(read["query_token"], 0, asked - 1), tokens, _number(read["similarity"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is no text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r:.50} is no number")
    return float(value)


def _whole(value: Any, least: int | None, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r:.50} is no whole number")
    if (least is not None and value < least) or (most is not None and value > most):
        raise ValueError(f"{value} is out of range")
    return value


def _span(start: Any, end: Any, text: str) -> tuple[int, int]:
    """Check a pair of places in a text."""
    begin = _whole(start, 0, len(text))
    return begin, _whole(end, begin, len(text))
