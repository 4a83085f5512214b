import pytest

import tiny
from tardif.errors import DataError
from tardif.evaluation.measures import rank
from tardif.mining import late
from tardif.mining.late import LateSearcher
from tardif.types import Document

DOCUMENTS = [Document(f"d{n:02}", text) for n, text in enumerate(tiny.SENTENCES[:12])]
QUERIES = ["the cat and the dog", "vectors per token", "Paris"]


class Candidates:
    """Proposes the same documents to every query."""

    notes = ("said by the candidates",)

    def __init__(self, *ids):
        self.ids = ids
        self.asked = []

    def search(self, queries, k):
        self.asked.append(k)
        return [[(identity, 1.0) for identity in self.ids[:k]] for _ in queries]


def means(encoder, queries=QUERIES):
    """MaxSim by evaluation's own ranking, over the query's token count: {query: {document: score}}."""
    run = rank(encoder, dict(zip(queries, queries, strict=True)), DOCUMENTS, k=len(DOCUMENTS))
    counts = [len(vectors) for vectors in encoder.encode_query(list(queries))]
    return [{d: s / count for d, s in run[query].items()} for query, count in zip(queries, counts, strict=True)]


def same(hits, expected):
    assert [identity for identity, _ in hits] == [identity for identity, _ in expected]
    assert [score for _, score in hits] == pytest.approx([score for _, score in expected], abs=2e-3)  # half precision


def ordered(scores, k):
    return sorted(scores.items(), key=lambda hit: (hit[1], hit[0]), reverse=True)[:k]


def test_the_whole_corpus_is_ranked_by_maxsim(encoder):
    found = LateSearcher(encoder, DOCUMENTS).search(QUERIES, 4)
    for hits, expected in zip(found, means(encoder), strict=True):
        same(hits, ordered(expected, 4))


def test_scores_of_given_documents_are_those_of_the_search(encoder):
    searcher = LateSearcher(encoder, DOCUMENTS)
    hits = [dict(found) for found in searcher.search(QUERIES, 12)]
    wanted = [["d03", "d11"], [], ["d03"]]
    scores = searcher.score(QUERIES, wanted)
    for ids, found, row in zip(wanted, hits, scores, strict=True):
        assert row == pytest.approx([found[identity] for identity in ids], abs=1e-5)
    assert all(score <= 1.001 for found in hits for score in found.values())
    with pytest.raises(DataError, match="'dx'"):
        searcher.score(["a"], [["dx"]])


def test_candidates_alone_are_ranked_where_the_corpus_is_large(encoder):
    candidates = Candidates("d07", "d02", "d05")
    searcher = LateSearcher(encoder, DOCUMENTS, candidates, depth=3, whole=0)
    expected = [{d: scores[d] for d in candidates.ids} for scores in means(encoder)]
    for hits, scores in zip(searcher.search(QUERIES, 2), expected, strict=True):
        same(hits, ordered(scores, 2))
    assert candidates.asked == [3]
    assert searcher.notes == ["said by the candidates"]


def test_candidates_are_not_made_for_a_small_corpus(encoder):
    def never():
        raise AssertionError

    searcher = LateSearcher(encoder, DOCUMENTS, never)
    assert searcher.scores_all
    assert searcher.notes == []
    assert searcher.search(QUERIES, 4) == LateSearcher(encoder, DOCUMENTS).search(QUERIES, 4)


def test_candidates_are_made_once(encoder):
    made = []

    def make():
        made.append(Candidates("d00"))
        return made[-1]

    searcher = LateSearcher(encoder, DOCUMENTS, make, whole=0)
    searcher.search(QUERIES, 1)
    searcher.search(QUERIES, 1)
    assert len(made) == 1


def test_blocks_change_nothing(encoder, monkeypatch):
    whole = LateSearcher(encoder, DOCUMENTS).search(QUERIES, 5)
    monkeypatch.setattr(late, "_QUERIES", 2)
    monkeypatch.setattr(late, "_BLOCK", 5)
    for hits, expected in zip(LateSearcher(encoder, DOCUMENTS).search(QUERIES, 5), whole, strict=True):
        same(hits, expected)


def test_a_cache_is_used_again(encoder, tmp_path, monkeypatch):
    first = LateSearcher(encoder, DOCUMENTS, cache=tmp_path).search(QUERIES, 3)
    assert first == LateSearcher(encoder, DOCUMENTS).search(QUERIES, 3)
    whole = LateSearcher._encode

    def queries_only(self, texts, task):
        assert task == "query"
        return whole(self, texts, task)

    monkeypatch.setattr(LateSearcher, "_encode", queries_only)
    assert LateSearcher(encoder, DOCUMENTS, cache=tmp_path).search(QUERIES, 3) == first


def test_documents_without_a_token_score_nothing(encoder, monkeypatch):
    whole = LateSearcher._encode

    def without_the_last(self, texts, task):
        vectors, lengths = whole(self, texts, task)
        return (vectors, lengths) if task == "query" else (vectors[: -lengths[-1]], [*lengths[:-1], 0])

    monkeypatch.setattr(LateSearcher, "_encode", without_the_last)
    searcher = LateSearcher(encoder, DOCUMENTS)
    assert "d11" not in dict(searcher.search(["Paris"], 20)[0])
    assert searcher.score(["Paris"], [["d11"]]) == [[0.0]]
    assert LateSearcher(encoder, DOCUMENTS, Candidates("d11", "d01"), whole=0).search(["Paris"], 5)[0][0][0] == "d01"


def test_no_query_and_no_document_are_no_error(encoder):
    assert LateSearcher(encoder, DOCUMENTS).search([], 3) == []
    assert LateSearcher(encoder, []).search(["cat"], 3) == [[]]


@pytest.mark.parametrize("whole", [0, late.WHOLE])
def test_blank_documents_are_never_hits_and_blank_queries_have_none(encoder, whole):
    documents = [*DOCUMENTS, Document("dots", "...")]
    searcher = LateSearcher(encoder, documents, Candidates("d01", "dots"), whole=whole)
    blank, found = searcher.search(["...", QUERIES[0]], 20)
    assert blank == []
    assert "d01" in dict(found)
    assert "dots" not in dict(found)
    assert searcher.score(["...", QUERIES[0]], [["d01"], ["dots"]]) == [[0.0], [0.0]]
