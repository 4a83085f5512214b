"""``prepare``: read, validate, split, mine; the way from what the user has to a training set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tardif.data.gather import gather
from tardif.data.split import split_queries
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet, is_training_set
from tardif.errors import DataError, SettingError
from tardif.languages import language as find_language
from tardif.lexical import LexicalSearcher
from tardif.mining.mine import Window, mine
from tardif.talk import Talk

MINERS = ("lexical", "none")


def prepare(
    sources: Iterable[Any],
    documents: Any = None,
    *,
    validation: Any = 0.1,
    language: str = "en",
    miner: str = "lexical",
    negatives: int = 8,
    window: tuple[int, int] = (5, 100),
    split: str = "train",
    seed: int = 0,
    talk: Talk | None = None,
) -> TrainingSet:
    """Make a training set of what the user has.

    Args:
        sources: each a ``.jsonl``/``.csv``/``.tsv`` file, a BEIR folder, a folder that
            ``TrainingSet.save`` wrote, or an iterable of rows.
        documents: the corpus, if it is not in the sources: a file, a folder of text, or an iterable.
        validation: the share of queries to hold out (at most 500), or held-out rows of their own.
        language: chooses the lexical miner's stemmer and stopwords.
        miner: ``lexical`` (BM25) or ``none``.
        negatives: hard negatives per query. 8 cost nothing to mine, and training draws from them.
        window: the ranks they are drawn from, counted from 1.
        split: which split of a BEIR folder to train on.
        seed: of the split and the draws.
        talk: where to show progress.

    Raises:
        DataError: the input cannot be read or makes no sense.
        SettingError: an option cannot be used.
    """
    talk = talk or Talk(quiet=True)
    if miner not in MINERS:
        raise SettingError(f"miner={miner!r} is not known: use {' or '.join(MINERS)}.")
    found_language = find_language(language)
    ranks = Window(*window)
    ranks.check()
    sources = list(sources)
    if len(sources) == 1 and isinstance(sources[0], str | Path) and is_training_set(sources[0]):
        raise DataError("is prepared already: train on it.", sources[0])
    is_share = isinstance(validation, int | float)
    if is_share and not 0 <= validation < 1:
        raise SettingError(f"validation={validation!r}: give a share from 0 up to (not with) 1.")
    gathered = gather(sources, documents, validation=None if is_share else validation, split=split)
    sides = split_queries(
        gathered.queries,
        fraction=float(validation) if is_share else 0.0,
        seed=seed,
        held_out=gathered.held_out or None,
    )
    if TRAIN not in sides.values():
        raise DataError("No query is left to train on: the held-out data covers them all.")
    data = TrainingSet(
        documents=gathered.documents,
        queries=gathered.queries,
        qrels=gathered.qrels,
        split=sides,
        settings={
            "language": found_language.code,
            "miner": miner,
            "negatives": negatives,
            "window": list(window),
            "seed": seed,
        },
        report=gathered.report,
    )
    searcher = None if miner == "none" else LexicalSearcher(list(data.documents.values()), found_language)
    with talk.progress("Mining hard negatives", len(data.query_ids(TRAIN)), "queries") as bar:
        data = mine(data, searcher, negatives=negatives, window=ranks, seed=seed, advance=bar.advance)
    held = len(data.query_ids(VALIDATION))
    for line in data.report:
        talk.say(f"  {line}")
    talk.say(
        f"Prepared {len(data.documents)} documents, {len(data.examples)} examples; "
        f"{held} queries held out for validation."
    )
    return data
