"""Collections by their ids in ir-datasets, without a network."""

import os
import subprocess
import sys
from collections import namedtuple

import pytest

from tardif.data.documents import read_documents
from tardif.data.formats import open_source
from tardif.data.judged import Judging, read_judged
from tardif.errors import DataError, MissingExtraError
from tardif.evaluation.comparison import compare
from tardif.preparation import prepare_folder
from tardif.types import Document, Query


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The package with some collections of ours, its folder for downloads in a temporary one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IR_DATASETS_HOME", str(tmp_path_factory.mktemp("home")))
        irds = pytest.importorskip("ir_datasets")
        own = irds.util.Registry()
        patch.setattr(irds, "registry", own)
        yield irds


Field = namedtuple("Field", "doc_id title body url")
Plain = namedtuple("Plain", "doc_id headline content year")
Bare = namedtuple("Bare", "doc_id title text")


class Titled(Bare):
    def default_text(self):
        return f"{self.title} {self.text}"


class Topic(namedtuple("Topic", "query_id title description")):
    def default_text(self):
        return self.title


DOCS = [
    Field("d1", "Cats", "cats chase mice at night", "https://cats"),
    Plain("d2", "Dogs", "dogs bark at strangers", 1999),
    Titled("d3", "Birds", "birds sing in the morning"),
    Titled("d4", None, "fish swim"),
    Titled("d5", "Owls", ""),
]
QUERIES = [Topic("q1", "what do cats chase", "Animals."), Topic("q2", "when do birds sing", ""), Topic("q3", "x", "")]
QRELS = [("q1", "d1", 2), ("q1", "d2", -2), ("q2", "d3", 1), ("q2", "d1", 0), ("q2", "d4", 3)]


def register(irds, name, docs=DOCS, queries=QUERIES, qrels=QRELS):
    base = irds.formats
    kinds = {"docs": base.BaseDocs, "queries": base.BaseQueries, "qrels": base.BaseQrels}
    made = {"docs": docs, "queries": queries}
    made["qrels"] = None if qrels is None else [base.GenericQrel(*found) for found in qrels]

    def items(found):
        print(f"{name} is read")  # noqa: T201 - ir_datasets' own code may print, and stdout is data
        yield from found() if callable(found) else found

    parts = [
        type("Part", (kinds[part],), {f"{part}_iter": lambda self, part=part: items(made[part])})()
        for part in kinds
        if made[part] is not None
    ]
    irds.registry.register(name, irds.Dataset(*parts))


def test_a_collection_by_its_id(library, capsys):
    register(library, "animals/test")
    for prefix in ("irds", "ir-datasets", "ir_datasets"):
        source = open_source(f"{prefix}:animals/test")
        assert [found for _, found in source.documents()] == [
            Document("d1", "cats chase mice at night", "Cats"),
            Document("d2", "Dogs\n\ndogs bark at strangers"),
            Document("d3", "birds sing in the morning", "Birds"),
            Document("d4", "fish swim"),
            Document("d5", "Owls"),
        ]
        assert list(source.queries()) == [(n, Query(q.query_id, q.title)) for n, q in enumerate(QUERIES, start=1)]
        assert [(j.query_id, j.document_id, j.label) for j in source.judgements()] == QRELS
    assert source.shape == "ir-datasets: documents, queries and judgements of animals/test (5 judgements)"
    shown = capsys.readouterr()
    assert "animals/test is read" in shown.err and not shown.out


def test_it_is_measured_prepared_and_read_as_a_corpus(library, tmp_path):
    register(library, "measured/test")
    judged = read_judged("irds:measured/test")
    assert judged.name == "measured/test"
    assert judged.qrels == {"q1": {"d1": 2, "d2": -2}, "q2": {"d1": 0, "d3": 1, "d4": 3}}
    assert set(judged.queries) == {"q1", "q2"} and len(judged.documents) == 5
    (figures,) = compare(["bm25"], ["irds:measured/test"], measures=["RR@10"])
    assert (figures.data, figures.measures) == ("measured/test", {"RR@10": 1.0})
    assert len(read_documents("irds:measured/test")) == 5
    made = prepare_folder(["irds:measured/test"], None, tmp_path / "set", miner="none", validation=0, near=False)
    assert '"name": "measured/test"' in (made / "manifest.json").read_text()


def test_parts_that_a_collection_lacks(library):
    register(library, "base", queries=None, qrels=None)
    register(library, "base/dev")
    with pytest.raises(DataError, match=r"irds:base: has no queries and no qrels: give a part .*: irds:base/dev\.$"):
        open_source("irds:base")
    assert len(read_documents("irds:base")) == 5
    with pytest.raises(DataError, match=r"no collection of this id \(nearest: irds:base/dev"):
        open_source("irds:base/devv")
    with pytest.raises(DataError, match="columns choose columns of rows, and this is a collection of ir-datasets"):
        read_judged("irds:base/dev", how=Judging(columns={"query": "title"}))
    with pytest.raises(DataError, match="has no field title to group by"):
        open_source("irds:base/dev", group_by="title")


def test_faults_in_a_collection_have_a_place(library):
    register(library, "faulty/empty", qrels=[])
    register(library, "faulty/half", qrels=[("q1", "d1", 0.5)])
    register(library, "faulty/text", docs=[DOCS[0], Titled("d9", "", "half \ud800")])
    with pytest.raises(DataError, match="irds:faulty/empty: holds no judgement"):
        read_judged("irds:faulty/empty")
    with pytest.raises(DataError, match="irds:faulty/half, line 1: the relevance 0.5 is no whole number"):
        read_judged("irds:faulty/half")
    with pytest.raises(DataError, match="irds:faulty/text, line 2: "):
        read_judged("irds:faulty/text")


def failing(error):
    def items():
        yield DOCS[0]
        raise error

    return items


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("no route"), r"cannot be read or downloaded \(no route\): try again with a network"),
        (KeyError("id"), "cannot be read or downloaded"),
        (ImportError("No module named warc"), "needs a package that is not installed"),
        (FileNotFoundError(2, "No such file", "/x/disk4"), "has no file at /x/disk4: it must be put there by hand"),
        (PermissionError(13, "Permission denied"), "set IR_DATASETS_HOME"),
    ],
)
def test_a_collection_that_cannot_be_read(library, error, said):
    name = f"broken/{type(error).__name__}"
    register(library, name, docs=failing(error))
    with pytest.raises(DataError, match=said) as found:
        read_judged(f"irds:{name}")
    assert "\n" not in str(found.value)


def test_without_a_network_one_line_says_so(tmp_path):
    home, nowhere = tmp_path / "home", "http://127.0.0.1:9"
    env = {**os.environ, "IR_DATASETS_HOME": str(home), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "NO_PROXY": ""}
    given = ["evaluate", "bm25", "--data", "irds:vaswani", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "tardif", *given], check=False, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and "irds:vaswani: cannot be read or downloaded" in lines[0], done.stderr
    assert not (tmp_path / "out").exists()
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtraError, match=r"irds:vaswani needs ir-datasets, .*: pip install 'tardif\[coll"):
        open_source("irds:vaswani")
