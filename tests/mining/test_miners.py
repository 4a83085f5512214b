from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tiny
from alive import Stream
from samples import write_jsonl
from tardif.data import spooled
from tardif.errors import DataError, SettingError
from tardif.evaluation.measures import rank
from tardif.mining.miners import MINERS, make_searcher
from tardif.progress import Console
from tardif.text.languages import language
from tardif.types import Document

DOCUMENTS = [Document(f"d{n:02}", text) for n, text in enumerate(tiny.SENTENCES[:12])]
QUERY = "The cat sat on the mat, and the dog slept by the door."


def made(name, base, **options):
    return make_searcher(name, DOCUMENTS, language=language("en"), base=base, **options)


@pytest.mark.parametrize("name", MINERS)
def test_every_miner_searches_and_scores(name, base_folder):
    searcher = made(name, base_folder("bert"))
    [hits] = searcher.search([QUERY], 3)
    assert hits[0][0] == "d02"
    [[same, other]] = searcher.score([QUERY], [["d02", "d09"]])
    assert same > other


@pytest.mark.parametrize("name", ["dense", "hybrid"])
def test_a_base_in_the_model_s_place_is_said(name, base_folder):
    assert "bge-small-en" in made(name, base_folder("bert")).notes[0]
    assert made(name, base_folder("bert"), dense_model=base_folder("roberta")).notes == []


def test_the_hybrid_is_judged_by_the_dense_one(dense_folder):
    scores = [made(name, dense_folder).score([QUERY], [["d02", "d05"]]) for name in ("hybrid", "dense", "lexical")]
    assert scores[0] == scores[1] != scores[2]


def test_late_searches_by_the_base_s_raw_token_vectors(base_folder):
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model, raw_view
    from tardif.encoder.recipe import Recipe

    raw = raw_view(build_model(resolve_base(base_folder("bert")), Recipe()))
    expected = list(rank(raw, {"q": QUERY}, DOCUMENTS, k=5)["q"])
    assert [i for i, _ in made("late", base_folder("bert")).search([QUERY], 5)[0]] == expected


def test_late_searches_by_the_model_given(base_folder, encoder, multi_vector_folder):
    expected = list(rank(encoder, {"q": QUERY}, DOCUMENTS, k=5)["q"])
    for options in ({"model": encoder}, {"model": multi_vector_folder}, {"base": multi_vector_folder}):
        searcher = made("late", **{"base": base_folder("bert"), **options})
        assert [i for i, _ in searcher.search([QUERY], 5)[0]] == expected


def test_vectors_go_into_the_cache(base_folder, tmp_path):
    made("hybrid", base_folder("bert"), cache=tmp_path)
    made("late", base_folder("bert"), cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unknown_miner_is_refused():
    with pytest.raises(SettingError, match="'bm25' is not known: use lexical, dense, late or hybrid"):
        make_searcher("bm25", DOCUMENTS, language=language("en"))
    with pytest.raises(SettingError, match="is not known"):
        make_searcher("none", DOCUMENTS, language=language("en"))


def searched(name, corpus, base, **options):
    searcher = make_searcher(name, corpus, language=language("en"), base=base, **options)
    queries = [QUERY, *tiny.SENTENCES[12:15]]
    ids = [[document.id for document in DOCUMENTS]] * len(queries)
    return searcher.search(queries, 5), searcher.score(queries, ids)


@pytest.mark.parametrize("memory", [spooled.MEMORY, 0])
@pytest.mark.parametrize("name", MINERS)
def test_a_corpus_is_the_same_from_a_list_a_generator_and_a_file(name, memory, base_folder, tmp_path, monkeypatch):
    base = base_folder("bert")
    expected = searched(name, DOCUMENTS, base)
    monkeypatch.setattr(spooled, "MEMORY", memory)
    rows = [{"id": document.id, "text": document.text} for document in DOCUMENTS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "corpus.parquet")
    read = []
    for corpus in (
        (read.append(document.id) or document for document in DOCUMENTS),
        iter(rows),
        {document.id: document for document in DOCUMENTS}.values(),
        spooled.spooled(DOCUMENTS),
        write_jsonl(tmp_path / "corpus.jsonl", rows),
        str(tmp_path / "corpus.parquet"),
    ):
        assert searched(name, corpus, base) == expected
    assert read == [document.id for document in DOCUMENTS]


@pytest.mark.parametrize("name", MINERS)
def test_no_miner_holds_a_corpus_that_is_a_stream(name, base_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(spooled, "MEMORY", 5_000)
    monkeypatch.setattr(spooled, "_ROWS", 8)
    stream = Stream(150, "document {} of the corpus")
    searched(name, chain(DOCUMENTS, stream), base_folder("bert"), cache=tmp_path)
    assert [stream.read, stream.alive] == [150, 0]
    assert stream.most <= (3 if name == "lexical" else 13 + 8 + 3)


@pytest.mark.parametrize("name", MINERS)
def test_a_corpus_that_fails_in_the_middle_is_one_error(name, base_folder, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", [{"id": "a", "text": "one"}, {"id": "b", "text": ["a list"]}])
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 2"):
        make_searcher(name, corpus, language=language("en"), base=base_folder("bert"))
    with pytest.raises(DataError, match="Two documents of the corpus have the same id"):
        make_searcher(name, iter([DOCUMENTS[0]] * 2), language=language("en"), base=base_folder("bert"))


def test_what_a_folder_leaves_out_is_reported(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("salt from the sea")
    (tmp_path / "b.zip").write_bytes(b"PK")
    make_searcher("lexical", tmp_path, language=language("en"))
    assert capsys.readouterr().err == ""
    make_searcher("lexical", tmp_path, language=language("en"), console=Console())
    assert "1 skipped, .zip files: b.zip" in capsys.readouterr().err
