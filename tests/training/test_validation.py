from __future__ import annotations

import itertools
import random
from typing import Any, ClassVar

import pytest

from tardif.data.judged import searchable
from tardif.data.training_set import TrainingSet
from tardif.evaluation import exhaustive
from tardif.progress import Silent
from tardif.text.languages import language
from tardif.training.distributed import ProcessGroup
from tardif.training.validation import validation_task
from tardif.types import Document

_draw = random.Random(5)
WORDS = [f"word{n}" for n in range(60)]
DOCUMENTS = {f"d{n}": Document(f"d{n}", " ".join(_draw.choices(WORDS, k=12))) for n in range(400)}
QUERIES = {f"q{n}": " ".join(_draw.choices(WORDS, k=4)) for n in range(130)}
DATA = TrainingSet(
    documents=DOCUMENTS,
    queries=QUERIES,
    qrels={f"q{n}": {f"d{n}": 1, f"d{n + 130}": n % 2, f"d{n + 260}": 0} for n in range(130)},
    split={query: "validation" if n < 120 else "train" for n, query in enumerate(QUERIES)},
)


def task(limit, seed=0):
    return validation_task(DATA, limit=limit, language=language("en"), seed=seed)


LIMITS = [1, 60, 75, 76, 77, 120, 179, 180, 181, 200, 300, 399, 400, 1000]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_task_keeps_its_limit_and_holds_all_that_is_relevant_to_its_queries(limit):
    found = task(limit)
    ids = {document.id for document in found.documents}
    assert all({d for d, relevance in found.qrels[q].items() if relevance} <= ids for q in found.queries)
    assert len(found.queries) >= 50
    assert len(ids) <= limit or len(found.queries) == 50
    assert len(found.queries) == 120 or limit < 2 * 180
    assert len(ids) == min(limit, 400) or (limit - 2 <= len(ids) if len(found.queries) > 50 else len(ids) >= limit)


def test_a_smaller_task_is_part_of_a_larger_one():
    tasks = [task(limit) for limit in LIMITS]
    for smaller, larger in itertools.pairwise(tasks):
        assert smaller.queries.items() <= larger.queries.items()
        assert {d.id for d in smaller.documents} <= {d.id for d in larger.documents}


def test_the_seed_chooses():
    assert task(100).queries.keys() != task(100, seed=1).queries.keys()


def test_nothing_held_out_is_no_task():
    bare = TrainingSet(DOCUMENTS, QUERIES, DATA.qrels, dict.fromkeys(QUERIES, "train"))
    assert validation_task(bare, limit=100, language=language("en"), seed=0) is None
    assert searchable(bare) == []


def test_a_querys_own_document_is_no_hit_of_it():
    documents = {f"d{n}": Document(f"d{n}", f"argument {n} says this") for n in range(4)}
    queries = {"d0": documents["d0"].text, "d2": documents["d2"].text}
    data = TrainingSet(documents, queries, {"d0": {"d1": 1}, "d2": {"d3": 1}}, dict.fromkeys(queries, "validation"))
    task = validation_task(data, limit=100, language=language("en"), seed=0)
    assert task is not None and task.left_out.keys() == {"d0", "d2"}
    run = task.bm25_run(language("en"))
    assert all(query not in hits and len(hits) == 3 for query, hits in run.items())


class Shared(ProcessGroup):
    """A group whose ranks run one after the other, rank 0 last."""

    made: ClassVar[list[Any]] = []

    def gather_made(self, make):
        self.made.insert(0, make())
        return self.made if self.is_main else []


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_the_blocks_and_find_what_one_finds(encoder, monkeypatch, size):
    monkeypatch.setattr(exhaustive, "BLOCK", 70)
    encoded = []
    encode = exhaustive.encode_documents
    monkeypatch.setattr(exhaustive, "encode_documents", lambda m, texts: encoded.append(len(texts)) or encode(m, texts))
    whole = task(400)
    alone = whole.outcome(encoder, Silent(), "").values
    every, blocks = sorted(encoded), {}
    Shared.made = []
    for rank in reversed(range(size)):
        encoded.clear()
        values = whole.outcome(encoder, Silent(), "", Shared(rank, size)).values
        blocks[rank] = list(encoded)
        assert rank == 0 or values == {}
    assert values == alone
    assert all(len(own) in (6 // size, 6 // size + 1) for own in blocks.values())
    assert sorted(itertools.chain(*blocks.values())) == every


def test_a_process_without_a_block_encodes_nothing(encoder, monkeypatch):
    monkeypatch.setattr(exhaustive, "encode_query_parts", None)
    Shared.made = []
    assert task(100).outcome(encoder, Silent(), "", Shared(7, 8)).values == {}
    assert not Shared.made[0].keys.any()
