"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv`` (Thakur et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tardif.data.formats.corpora import find_file
from tardif.data.formats.trec import VALIDATION_SPLITS, CollectionSource, read_beir_qrels
from tardif.data.records import Judgement
from tardif.errors import DataError


def is_beir(folder: Path) -> bool:
    """Whether a folder has the layout of BEIR."""
    return _corpus(folder) is not None and _queries(folder) is not None and (folder / "qrels").is_dir()


def splits(folder: Path) -> list[str]:
    """The names of the splits that have judgements."""
    return sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))


def open_beir(folder: Path, split: str, group_by: str | None = None, *, held_out: bool = False) -> CollectionSource:
    """Open one split of a BEIR folder.

    Args:
        folder: the folder.
        split: the name of one of its splits.
        group_by: a field of its queries or documents.
        held_out: read the judgements alone; another source has the corpus and the queries.

    Raises:
        DataError: the folder has no such split.
    """
    qrels, queries, corpus = folder / "qrels" / f"{split}.tsv", _queries(folder), _corpus(folder)
    if queries is None or corpus is None:
        raise DataError("has no corpus.jsonl or queries.jsonl: a BEIR folder has both, and qrels/.", folder)
    if not qrels.exists():
        have = ", ".join(splits(folder)) or "none"
        raise DataError(f"has no qrels/{split}.tsv (it has: {have}): name one of its splits.", folder)

    def judged() -> Iterator[Judgement]:
        for line, query, document, relevance in read_beir_qrels(qrels):
            yield Judgement(None, None, "labelled", line, query, document, relevance)

    return CollectionSource(
        str(qrels if held_out else folder),
        f"BEIR folder: documents from {corpus.name}, queries from {queries.name}, labels from qrels/{qrels.name}",
        judged,
        queries=None if held_out else queries,
        corpus=None if held_out else corpus,
        group_by=group_by,
        groups_in=(queries, corpus),
        judged_in=qrels,
    )


def open_beir_held_out(folder: Path, split: str, group_by: str | None = None) -> list[CollectionSource]:
    """Open the folder's validation splits, except the one for training."""
    return [
        open_beir(folder, name, group_by, held_out=True)
        for name in splits(folder)
        if name in VALIDATION_SPLITS and name != split
    ]


def _corpus(folder: Path) -> Path | None:
    return find_file(folder, "corpus.jsonl")


def _queries(folder: Path) -> Path | None:
    return find_file(folder, "queries.jsonl")
