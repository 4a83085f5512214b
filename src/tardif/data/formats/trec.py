"""TREC qrels with queries and a corpus, and a run whose hits that are not relevant are negatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tardif.data.formats.collection import VALIDATION_SPLITS, CollectionSource
from tardif.data.formats.corpora import SUFFIXES, find_file
from tardif.data.formats.files import check_file
from tardif.data.formats.qrels import read_run, read_trec_qrels
from tardif.data.records import Judgement
from tardif.data.regular import user_path
from tardif.errors import DataError

PARTS = ("qrels", "queries", "corpus", "run")


@dataclass(frozen=True, slots=True)
class TrecFiles:
    """Where the parts are."""

    name: str
    qrels: Path
    queries: Path
    corpus: Path
    run: Path | None = None


def named_files(parts: Mapping[str, Any]) -> TrecFiles:
    """The parts as a user names them.

    Raises:
        DataError: a part is not known, is missing, or is no file.
    """
    for part, path in parts.items():
        if part not in PARTS or not isinstance(path, str | Path):
            raise DataError(
                f"a dict names the files of a TREC collection ({', '.join(PARTS)}), and {part!r} is not one of them: "
                "give rows as a list of dicts."
            )
    for part in PARTS[:3]:
        if part not in parts:
            raise DataError(f"the TREC collection has no {part}: name the files of {', '.join(PARTS[:3])}.")
    found = {part: user_path(path) for part, path in parts.items()}
    for path in found.values():
        check_file(path)
    return TrecFiles(str(found["qrels"]), **found)


def find_files(folder: Path, split: str) -> TrecFiles | None:
    """The parts in a folder, where it has them: files of the split before those of none."""
    qrels = find_file(folder, *(f"{stem}{end}" for stem in (f"qrels.{split}", "qrels") for end in (".txt", ".tsv", "")))
    queries = find_file(folder, *_tables(f"queries.{split}", "queries"))
    corpus = find_file(folder, *_tables("corpus", "collection"))
    if qrels is None or queries is None or corpus is None:
        return None
    ends = (".txt", ".trec", ".run", ".tsv", "")
    run = find_file(folder, *(f"{stem}{end}" for stem in (f"run.{split}", "run") for end in ends))
    return TrecFiles(str(folder), qrels, queries, corpus, run)


def open_trec(
    files: TrecFiles,
    group_by: str | None = None,
    *,
    held_out: bool = False,
    runs: bool = True,
    id_maps: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
) -> CollectionSource:
    """Read a TREC collection.

    Args:
        files: its parts.
        group_by: a field of its queries or documents.
        held_out: the corpus is given by another source.
        runs: whether hits of its run are negatives.
        id_maps: other ids for those of queries and documents.
    """
    files = files if runs else replace(files, run=None)
    from_run = "" if files.run is None else f", negatives from {files.run.name} (hits that are not judged)"
    passed: Counter[str] = Counter()
    return CollectionSource(
        files.name,
        f"TREC collection: documents from {files.corpus.name}, queries from {files.queries.name}, "
        f"labels from {files.qrels.name}{from_run}",
        lambda: _judged(files, passed),
        queries=files.queries,
        corpus=None if held_out else files.corpus,
        group_by=group_by,
        groups_in=(files.queries, files.corpus),
        judged_in=files.qrels,
        id_maps=id_maps,
        passed=passed,
    )


def find_held_out(folder: Path, corpus: Path, split: str) -> list[TrecFiles]:
    """The parts of a folder's validation splits: ``qrels.dev.tsv`` with ``queries.dev.tsv``, and the like."""
    found = []
    for name in VALIDATION_SPLITS:
        qrels = find_file(folder, *(f"qrels.{name}{end}" for end in (".txt", ".tsv")))
        queries = find_file(folder, *_tables(f"queries.{name}"))
        if name != split and qrels and queries:
            found.append(TrecFiles(str(qrels), qrels, queries, corpus))
    return found


def _judged(files: TrecFiles, passed: Counter[str]) -> Iterator[Judgement]:
    """The judgements of the qrels, then the run's hits for their queries; hits judged already are not repeated."""
    judged: dict[str, set[str]] = {}
    for line, query, document, relevance in read_trec_qrels(files.qrels):
        if files.run is not None:
            judged.setdefault(query, set()).add(document)
        yield Judgement(None, None, "labelled", line, query, document, relevance)
    if files.run is None:
        return
    for line, query, document, _ in read_run(files.run):
        if query not in judged:
            passed["hits of queries without judgement"] += 1
        elif document in judged[query]:
            passed["hits that are judged"] += 1
        else:
            yield Judgement(None, None, "negative", line, query, document)


def _tables(*stems: str) -> list[str]:
    return [f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
