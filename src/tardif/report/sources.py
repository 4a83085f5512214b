"""What a report is drawn from: the files of checkpoints, evaluations' folders and prepared sets, read and checked."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.data.regular import user_path
from tardif.data.training_set import HYGIENE, MINING
from tardif.display import Short
from tardif.encoder.published import REPORT
from tardif.errors import FolderError, SettingError, reason
from tardif.evaluation.evidence import EVALUATION, PREPARATION, TRAINING, Evidence, SetValues, read_evidence
from tardif.file_reading import read_bounded
from tardif.folders import read_json

RESULTS, LOG, VALUES = "results.json", "log.jsonl", "held_out.jsonl"
MANIFEST, ROWS = "manifest.json", "report.jsonl"
_FORMAT = "tardif-training-set"
# Of each rule, the rows that are shown.
EXAMPLES = 5
_WHAT = "a checkpoint, an evaluation's folder or a prepared set"


@dataclass(frozen=True, repr=False)
class Hygiene(Short):
    """The rows that the rules of a preparation concern: ``hygiene.json``, or of older sets ``report.jsonl``.

    Attributes:
        counts: rule -> action -> rows.
        examples: rule -> its first rows.
    """

    counts: Mapping[str, Mapping[str, int]]
    examples: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)


@dataclass(frozen=True, repr=False)
class ReportSource(Short):
    """One folder of a report.

    Attributes:
        name: tells it apart from the others of the report.
        kind: ``training``, ``evaluation`` or ``preparation``.
        results: ``results.json``; empty where there is none.
        log: the lines of ``log.jsonl``.
        values: of every query, with every system; from ``report/``, or else from ``held_out.jsonl``.
        evidence: what ``report/`` holds.
        mining: ``mining.json``, of a prepared set or of the set that a checkpoint was trained on.
        manifest: of a prepared set.
        hygiene: as ``mining``.
        notes: what could not be read, and so is not shown.
    """

    name: str
    kind: str
    results: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    values: Sequence[SetValues] = ()
    evidence: Evidence | None = None
    mining: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    hygiene: Hygiene | None = None
    notes: Sequence[str] = ()


def read_source(folder: str | Path) -> ReportSource:
    """Read one folder. What is missing from it is not shown; a part that is damaged is named in the report.

    Raises:
        FolderError: it is not there, holds nothing to show, or its ``results.json`` or ``manifest.json`` is damaged.
    """
    place = user_path(folder)
    if not place.is_dir():
        what = "is a file" if place.exists() else "is not there"
        raise FolderError(f"{place} {what}: give {_WHAT}.")
    notes: list[str] = []
    results = _mapping(place / RESULTS) if (place / RESULTS).exists() else {}
    manifest = _mapping(place / MANIFEST) if (place / MANIFEST).exists() else None
    if manifest is not None and manifest.get("format") != _FORMAT:
        manifest = None
    evidence = _part(notes, lambda: read_evidence(place))
    found = ReportSource(
        name=_name(place, evidence),
        kind=_kind(results, evidence, manifest),
        results=results,
        log=tuple(_lines(place / LOG, notes)),
        values=_values(place, results, evidence, notes),
        evidence=evidence,
        mining=_part(notes, lambda: _mining(place)),
        manifest=manifest,
        hygiene=_part(notes, lambda: _hygiene(place)),
        notes=tuple(notes),
    )
    if not (results or manifest or evidence or found.mining):
        why = f" ({notes[0]})" if notes else f": it has no {RESULTS}, no {MANIFEST} of a prepared set and no report/"
        raise FolderError(f"{place} holds nothing that a report shows{why}. Give {_WHAT}.")
    return found


def read_sources(folders: Sequence[str | Path]) -> list[ReportSource]:
    """Read some folders, and give them names that tell them apart.

    Raises:
        SettingError: there is none, or one is given twice.
        FolderError: one cannot be shown.
    """
    from dataclasses import replace

    if not folders:
        raise SettingError(f"There is nothing to report on: give {_WHAT}.")
    places = [user_path(folder).resolve() for folder in folders]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise SettingError(f"{twice} is given twice: give each folder once.")
    found = [read_source(folder) for folder in folders]
    counts = Counter(source.name for source in found)
    # Two runs of one name are told apart by the folders above them.
    return [
        source if counts[source.name] == 1 else replace(source, name=f"{place.parent.name}/{place.name}")
        for source, place in zip(found, places, strict=True)
    ]


def _name(place: Path, evidence: Evidence | None) -> str:
    return (evidence.run.name if evidence else "") or place.resolve().name or str(place)


def _kind(results: Mapping[str, Any], evidence: Evidence | None, manifest: Mapping[str, Any] | None) -> str:
    if evidence is not None and evidence.run.kind in (TRAINING, EVALUATION, PREPARATION):
        return evidence.run.kind
    if "systems" in results:
        return EVALUATION
    return PREPARATION if manifest is not None and not results else TRAINING


def _part(notes: list[str], read: Any) -> Any:
    """Read a part that a report can do without; note why it is missing."""
    try:
        return read()
    except FolderError as error:
        notes.append(str(error))
    return None


def _mapping(path: Path) -> dict[str, Any]:
    found = read_json(path, what=_WHAT)
    if not isinstance(found, dict):
        raise FolderError(f"{path} holds no JSON object: {_WHAT} is damaged.")
    return found


def _made(place: Path, name: str) -> Path | None:
    """A file on how a set was made: in a prepared set, or in the evidence of a training on it."""
    return next((path for path in (place / name, place / REPORT / name) if path.exists()), None)


def _mining(place: Path) -> Mapping[str, Any] | None:
    found = _made(place, MINING)
    return _mapping(found) if found else None


def _lines(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file of lines; what is no such line is counted and noted."""
    if not path.exists():
        return
    try:
        read = read_bounded(path).decode("utf-8", "replace").splitlines()
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({reason(error)}).")
        return
    wrong = 0
    for line in filter(str.strip, read):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            yield found
        else:
            wrong += 1
    if wrong:
        notes.append(f"{path.name} has {wrong:,} damaged lines, which are not shown.")


def _values(
    place: Path, results: Mapping[str, Any], evidence: Evidence | None, notes: list[str]
) -> Sequence[SetValues]:
    if evidence is not None and evidence.values:
        return evidence.values
    systems: dict[str, dict[str, dict[str, float]]] = {}
    queries: dict[str, str] = {}
    for line in _lines(place / VALUES, notes):
        query = str(line.pop("query_id", ""))
        queries[query] = ""
        for system, measured in line.items():
            for name, value in numbers(measured).items():
                systems.setdefault(system, {}).setdefault(name, {})[query] = value
    # Queries are paired between systems: a row that is missing would pair them wrongly.
    if any(by.keys() != queries.keys() for measures in systems.values() for by in measures.values()):
        notes.append(f"{VALUES} has not every query with every system, and is not shown.")
        return ()
    return (SetValues("held-out queries", queries, systems),) if systems else ()


def _findings(place: Path) -> Hygiene | None:
    """Read ``hygiene.json``, which has the texts of dropped rows too; None where there is none."""
    path = _made(place, HYGIENE)
    if path is None:
        return None
    counts: dict[str, Counter[str]] = {}
    examples: dict[str, list[Mapping[str, Any]]] = {}
    try:
        for found in _mapping(path)["rules"]:
            rule = str(found["rule"])
            counts.setdefault(rule, Counter())[str(found["action"])] += int(found["rows"])
            examples.setdefault(rule, []).extend(dict(row) for row in found["examples"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FolderError(f"{path} is damaged ({reason(error)}): prepare the set again.") from error
    return Hygiene(counts, {rule: rows[:EXAMPLES] for rule, rows in examples.items()})


def _hygiene(place: Path) -> Hygiene | None:
    if (found := _findings(place)) is not None:
        return found
    notes: list[str] = []
    counts: dict[str, Counter[str]] = {}
    examples: dict[str, list[Mapping[str, Any]]] = {}
    for row in _lines(place / ROWS, notes):
        rule = str(row.get("rule", ""))
        counts.setdefault(rule, Counter())[str(row.get("action", ""))] += 1
        if len(kept := examples.setdefault(rule, [])) < EXAMPLES:
            kept.append(row)
    if notes:
        raise FolderError(notes[0])
    return Hygiene(counts, {rule: _with_texts(place, rows) for rule, rows in examples.items()}) if counts else None


def _with_texts(place: Path, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Rows with the texts that their ids stand for, as far as the set still has them: what was dropped it has not."""
    found: list[dict[str, Any]] = [dict(row) for row in rows]
    for what, table in (("query", "queries"), ("document", "documents")):
        texts = _texts(place / f"{table}.parquet", {str(row.get(f"{what}_id", "")) for row in rows} - {""})
        for row in found:
            if text := texts.get(str(row.get(f"{what}_id", ""))):
                row[what] = text
    return found


def _texts(path: Path, ids: set[str]) -> dict[str, str]:
    """The texts of some ids in a table, which may be larger than memory; nothing of a damaged one."""
    if not ids or not path.is_file():
        return {}
    import pyarrow as pa
    import pyarrow.dataset as ds

    try:
        table = ds.dataset(path).to_table(columns=["id", "text"], filter=ds.field("id").isin(sorted(ids)))
        return {str(row["id"]): str(row["text"]) for row in table.to_pylist()}
    except (OSError, pa.ArrowException, KeyError):
        return {}


def numbers(value: Any) -> dict[str, float]:
    """The finite numbers of a JSON object, by name; nothing of anything else."""
    if not isinstance(value, dict):
        return {}
    return {
        str(name): float(number)
        for name, number in value.items()
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    }
