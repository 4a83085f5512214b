"""What stands on the last line of a notebook's cell is shown shortly, and as text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
from tardif import Trainer, TrainingResult, TrainingSet
from tardif.data.documents import read_documents
from tardif.data.judged import JudgedSet
from tardif.data.records import Judgement
from tardif.data.training_set import TRAIN
from tardif.display import MOST, Hits, ShortDict, ShortList, short, table
from tardif.evaluation.comparison import Figures
from tardif.index.checking import Examination
from tardif.preparation import Preparation
from tardif.search.repair import examine
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever
from tardif.types import Document, Example, Hit, Query

LONG = "<script>alert('x')</script>\u202e\x1b[31m " * 1000
DOCUMENTS = [Document(f"d{n}", LONG, LONG, {LONG[:50]: LONG, "list": [LONG] * 50}) for n in range(84)]
MANY = {f"q{n}": LONG for n in range(500)}
FIGURES = {f"measure {n} {LONG}": 0.5 for n in range(100)}
SET = TrainingSet(
    {document.id: document for document in DOCUMENTS},
    MANY,
    {query: {"d1": 1} for query in MANY},
    dict.fromkeys(MANY, TRAIN),
    [Example("q1", "d1", tuple(f"d{n}" for n in range(84)))] * 500,
    settings=MANY,
    report=[LONG] * 100,
)
HIT = Hit(1, LONG, 1.5, LONG, LONG, {"a": LONG}, 3)
PUBLIC = {
    "Document": DOCUMENTS[0],
    "Query": Query("q", LONG),
    "Example": SET.examples[0],
    "Hit": HIT,
    "Hits": Hits([HIT] * 100),
    "one hit": Hits([HIT]),
    "documents": ShortList(DOCUMENTS),
    "texts": ShortList([LONG] * 3),
    "queries": ShortDict(MANY),
    "a run": ShortDict({query: ShortDict(dict.fromkeys(MANY, 0.5)) for query in MANY}),
    "a list of runs": ShortList([ShortDict(MANY)] * 50),
    "TrainingSet": SET,
    "documents of a set": SET.documents,
    "queries of a set": SET.queries,
    "judgements of a set": SET.qrels,
    "examples of a set": SET.examples,
    "a corpus": read_documents([{"id": n, "text": LONG} for n in range(84)]),
    "TrainingResult": TrainingResult(Path("x" * 3000), FIGURES, FIGURES, {"bm25": FIGURES}, MANY),
    "Examination": Examination(1, 2, 3, [LONG] * 100, [(1, LONG)] * 100, [LONG] * 100, [LONG] * 100),
    "Figures": Figures(LONG, LONG, FIGURES, dict.fromkeys(FIGURES, MANY), FIGURES),
    "JudgedSet": JudgedSet("name", DOCUMENTS, MANY, {}),
    "Judgement": Judgement(LONG, LONG, "positive", 1),
    "Preparation": Preparation(columns=MANY),
}


@pytest.mark.parametrize("value", PUBLIC.values(), ids=PUBLIC)
def test_the_repr_of_every_public_value_is_short(value):
    text = repr(value)
    assert 10 < len(text) <= MOST + 50
    assert "\n" not in text
    assert "\x1b" not in text


HTML = {name: value for name, value in PUBLIC.items() if hasattr(value, "_repr_html_")}


@pytest.mark.parametrize("value", HTML.values(), ids=HTML)
def test_html_is_escaped_and_bounded(value):
    found = value._repr_html_()
    assert found.startswith("<table>")
    assert "<script" not in found
    assert not set("\x1b\u202e") & set(found)
    assert len(found) < 120_000
    assert len(HTML) >= 5


def test_values_that_are_shown_shortly_are_what_they_were():
    assert ShortList([1, 2, 3]) == [1, 2, 3]
    assert repr(ShortList([1, 2, 3])) == "[1, 2, 3]"
    assert repr(ShortList(range(9))) == "[0, 1, 2, ...] (9 in all)"
    assert ShortDict({"a": 1}) == {"a": 1}
    assert repr(ShortDict({"a": 1})) == "{'a': 1}"
    assert repr(Document("a", "text")) == "Document(id='a', text='text', title='', metadata={}, piece=None)"
    assert repr(Hits()) == "[]"
    assert SET.__repr__() == "TrainingSet(84 documents, 500 train queries, 500 examples, 42000 hard negatives)"
    assert ">&lt;b&gt;</td>" in table(("a",), [("<b>",)])


def test_a_value_that_cannot_be_shown_is_named():
    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    assert "Broken" in short(Broken())
    assert "Broken" in repr(Document("a", "text", metadata={"b": Broken()}))


def test_retrievers_trainers_and_what_they_give(base_folder, multi_vector_folder, encoder, tmp_path):
    corpus = tiny.SENTENCES * 3
    with Retriever.build(multi_vector_folder, tiny.SENTENCES, tmp_path / "index", quiet=True) as opened:
        count = len(opened)
        assert f"{count} documents" in repr(opened)
        assert f"{count} documents" in opened._repr_html_()
        given = [opened.search("sea", 50), opened.search_many(["sea"] * 9, 50), opened.run({"q": "sea"}, 50)]
    given += [opened, examine(tmp_path / "index"), rerank(encoder, "sea", corpus, 100)]
    trainer = Trainer("mine", base_folder("bert"), devices="cpu", out=tmp_path, quiet=True)
    assert "nothing prepared" in repr(trainer)
    trainer.prepare(SET)
    given += [
        trainer,
        trainer.collection,
        trainer.queries,
        trainer.triplets,
        trainer.data,
        trainer.base,
        trainer.recipe,
    ]
    for value in given:
        assert len(repr(value)) <= MOST + 50, type(value)
    assert "<td" in trainer._repr_html_()
    assert "in memory, 1 documents" in repr(Retriever.encode(encoder, ["a text"], quiet=True))
