import pytest

import tiny
from tardif.errors import SettingError
from tardif.evaluation.measures import rank
from tardif.mining.miners import MINERS, make_searcher
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
