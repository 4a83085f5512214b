"""From a searcher's ranking to hard negatives: a rank window that holds, and no answer in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tardif.data.training_set import TRAIN, TrainingSet
from tardif.display import Short
from tardif.mining.blocks import Blocks, Choice, block_key
from tardif.mining.choosing import Chooser
from tardif.mining.report import MiningReport, Reporter
from tardif.mining.searcher import Searcher
from tardif.mining.selection import Selection
from tardif.mining.teacher import Teacher
from tardif.types import Example


@dataclass(frozen=True, slots=True, repr=False)
class Mined(Short):
    """A training set with its examples, and what was done to find them."""

    data: TrainingSet
    report: MiningReport


def mine(
    data: TrainingSet,
    searcher: Searcher | None,
    selection: Selection | None = None,
    *,
    teacher: Teacher | None = None,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
    resumed: Callable[[int], None] | None = None,
    batch: int = 256,
    work: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Mined:
    """Give every training query's positives their hard negatives.

    Per query: the user's own negatives first (judged 0 and below: somebody looked at them, so no rule
    but that of exact copies drops them), then a seeded draw from the searcher's ranking inside the
    window, by the rules of the selection, then, where those run out, random documents from outside
    the ranking. No known positive of the query (or of a query with the same text), no copy or near-copy
    of one and no empty text is ever taken. A random document that scores as the ratio, the margin or the
    ceiling forbids is not taken either, where the searcher can score it.

    Memory holds the texts, the chosen ids and the scores of what is chosen; rankings are held for one
    block of queries.

    Args:
        data: a training set; only its training queries are mined for.
        searcher: what ranks the corpus, and scores given documents if it is a
            :class:`~tardif.mining.searcher.Scorer`. Else only positives in the ranking have a score; one
            below it scores as much as the last hit at most, and is taken to score that. None mines
            nothing and keeps the user's own negatives.
        selection: the rules of choosing; :class:`Selection`'s defaults.
        teacher: a cross-encoder that drops false negatives and scores what stays. A negative that it
            drops is replaced. Examples that have a teacher's scores already keep theirs, and their negatives.
        seed: of the draws. Same seed, same negatives.
        advance: called with the number of queries done, for progress.
        resumed: called with the number of queries that an earlier run has done.
        batch: queries per call of the searcher. With ``max_uses`` or a teacher the draws depend on it.
        work: a folder in which finished blocks of queries are kept: an interrupted run goes on from them
            if everything is as it was. The caller removes it.
        settings: the searcher's name and options, for the report, and part of the key of the blocks.

    Returns:
        The set with its examples, lines for its report, and the report itself.

    Raises:
        SettingError: an option cannot be used.
    """
    selection = selection or Selection()
    selection.check()
    queries = data.query_ids(TRAIN)
    named = {"miner": "none" if searcher is None else type(searcher).__name__, **(settings or {}), "seed": seed}
    named["teacher"] = None if teacher is None else teacher.name
    chooser = Chooser(data, searcher, selection, teacher, seed)
    reporter = Reporter(queries, seed, selection, None if teacher is None else teacher.scaled)
    blocks = None
    if work is not None:
        judged = None if teacher is None else teacher.identity
        blocks = Blocks(work, block_key(data, {**named, **selection.as_json(), "batch": batch, "judge": judged}))
    # What a teacher scored stays as it is: a mined negative would have no score.
    taught = {(example.query_id, example.positive_id): example for example in data.examples if example.scores}
    examples: list[Example] = []
    for number, begin in enumerate(range(0, len(queries), batch)):
        block = queries[begin : begin + batch]
        choices = None if blocks is None else blocks.read(number, block)
        done = resumed if choices is not None else advance
        if choices is None:
            choices = chooser.choose(block)
            if blocks is not None:
                blocks.write(number, choices)
        chooser.count(choices)
        reporter.add(choices)
        examples += _examples(choices, taught)
        if done is not None:
            done(len(block))
    report = reporter.finish(data.documents, data.queries, named)
    return Mined(replace(data, examples=examples, report=[*data.report, *report.lines()]), report)


def _examples(choices: Sequence[Choice], taught: Mapping[tuple[str, str], Example]) -> list[Example]:
    """One example for each positive; all of a query share its negatives."""
    examples = []
    for choice in choices:
        negatives = tuple(negative.id for negative in choice.negatives)
        scores = [negative.teacher for negative in choice.negatives]
        for positive in choice.positives:
            given = tuple(score for score in (positive.teacher, *scores) if score is not None)
            examples.append(
                taught.get((choice.query, positive.id)) or Example(choice.query, positive.id, negatives, given)
            )
    return examples
