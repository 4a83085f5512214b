"""Hard negatives for each training query, chosen from a searcher's ranking.

>>> from tardif.text.bm25 import LexicalSearcher
>>> from tardif.text.languages import language
>>> from tardif.types import Document
>>> documents = [Document("a", "salt is made from sea water"), Document("b", "how birds fly"), Document("c", "stone")]
>>> by_id = {document.id: document for document in documents}
>>> data = TrainingSet(by_id, {"q": "how is sea salt made"}, {"q": {"a": 1}}, {"q": TRAIN})
>>> mined = mine(data, LexicalSearcher(documents, language("en")), Selection(negatives=1))
>>> [(example.positive_id, example.negative_ids) for example in mined.data.examples]
[('a', ('b',))]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """A training set with its examples, and the report on how they were found."""

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
    """Give the positives of every training query their hard negatives.

    A query gets the user's own negatives first (judged 0 or below), then a draw from the window of the ranking by the
    selection's rules, then random documents. Never taken: its positives and those of queries with the same text, their
    copies and near-copies, and empty texts. Of the user's own, only exact copies and empty texts are dropped.

    Args:
        data: a training set; only its training queries are mined for.
        searcher: ranks the corpus; None keeps the user's own negatives alone. If it is no
            :class:`~tardif.mining.searcher.Scorer`, a positive below the ranking counts as its last hit does.
        selection: the rules; by default :class:`Selection`'s.
        teacher: a cross-encoder that replaces false negatives and scores the rest; scored examples stay as they are.
        seed: of the draws. The same seed gives the same negatives.
        advance: called with the number of queries done, for progress.
        resumed: called with the number that an earlier run did.
        batch: queries per call of the searcher. With ``max_uses`` or a teacher the draws depend on it.
        work: a folder for finished blocks, from which an interrupted run resumes. The caller removes it.
        settings: the searcher's name and options, for the report and the key of the blocks.

    Raises:
        SettingError: an option cannot be used.

    >>> from tardif.preparation import prepare
    >>> from tardif.text.bm25 import LexicalSearcher
    >>> from tardif.text.languages import language
    >>> data = prepare(["pairs.jsonl"], miner="none", validation=0)
    >>> searcher = LexicalSearcher(list(data.documents.values()), language("en"))
    >>> len(mine(data, searcher).data.examples[0].negative_ids)
    8
    """
    selection, queries = selection or Selection(), data.query_ids(TRAIN)
    selection.check()
    named = {"miner": "none" if searcher is None else type(searcher).__name__, **(settings or {}), "seed": seed}
    named |= {"teacher": None if teacher is None else teacher.name}
    reporter = Reporter(queries, seed, selection, None if teacher is None else teacher.scaled)
    chooser = Chooser(data, searcher, selection, teacher, seed)
    key = {**named, **selection.as_json(), "batch": batch, "judge": None if teacher is None else teacher.identity}
    blocks = None if work is None else Blocks(work, block_key(data, key))
    taught = {(example.query_id, example.positive_id): example for example in data.examples if example.scores}
    examples: list[Example] = []
    for choices, is_new in _choices(queries, batch, chooser, blocks):
        reporter.add(choices)
        examples += _examples(choices, taught)
        if (done := advance if is_new else resumed) is not None:
            done(len(choices))
    report = reporter.finish(data.documents, data.queries, named)
    return Mined(replace(data, examples=examples, report=[*data.report, *report.lines()]), report)


def _choices(
    queries: Sequence[str], batch: int, chooser: Chooser, blocks: Blocks | None
) -> Iterator[tuple[list[Choice], bool]]:
    """The choices of each block of queries, and whether they were made now; rankings are held for one block."""
    for number, begin in enumerate(range(0, len(queries), batch)):
        block = queries[begin : begin + batch]
        kept = None if blocks is None else blocks.read(number, block)
        choices = kept if kept is not None else chooser.choose(block)
        if blocks is not None and kept is None:
            blocks.write(number, choices)
        # Uses count in the order of the blocks, also those of blocks read: so a resumed run draws the same.
        chooser.count(choices)
        yield choices, kept is None


def _examples(choices: Sequence[Choice], taught: Mapping[tuple[str, str], Example]) -> Iterator[Example]:
    """One example for each positive; all positives of a query share its negatives."""
    for choice in choices:
        negatives = tuple(negative.id for negative in choice.negatives)
        scores = [negative.teacher for negative in choice.negatives]
        for positive in choice.positives:
            given = tuple(score for score in (positive.teacher, *scores) if score is not None)
            # An example with a teacher's scores stays as it is: a mined negative would have no score.
            yield taught.get((choice.query, positive.id)) or Example(choice.query, positive.id, negatives, given)
