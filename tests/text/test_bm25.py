import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.errors import DataError
from tardif.text import languages
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import language
from tardif.types import Document

CODES = sorted({found.code for found in languages._BY_CODE.values()})


def searcher(*texts, code="en"):
    return LexicalSearcher([Document(f"d{n}", text) for n, text in enumerate(texts)], language(code))


def found(hits):
    return [[identity for identity, _ in ranking] for ranking in hits]


def test_documents_that_share_no_word_are_not_listed():
    hits = searcher("cats chase mice", "dogs bark", "birds sing").search(["cats", "mice or birds", "fish"], 10)
    assert [set(ranking) for ranking in found(hits)] == [{"d0"}, {"d0", "d2"}, set()]


def test_the_best_come_first_and_ties_go_by_id():
    hits = searcher("red apple", "red green", "red apple", "blue sky").search(["red apple"], 2)
    assert found(hits) == [["d2", "d0"]]
    assert hits[0][0][1] == hits[0][1][1] > 0


def test_words_are_stemmed_in_their_language():
    assert found(searcher("she was running", "he sat down").search(["runs"], 5)) == [["d0"]]
    assert found(searcher("viele Häuser", "ein Baum", code="de").search(["Haus häuser"], 5)) == [["d0"]]


def test_the_title_is_searched():
    corpus = [Document("a", "body", title="Zebra"), Document("b", "body")]
    assert found(LexicalSearcher(corpus, language("en")).search(["zebra"], 5)) == [["a"]]


@pytest.mark.parametrize("texts", [(), ("",), ("the of and",)])
def test_a_corpus_without_words_finds_nothing(texts):
    assert searcher(*texts).search(["the", "cat", ""], 5) == [[], [], []]


def test_no_query_no_hits():
    assert searcher("cats").search([], 5) == []


@pytest.mark.parametrize("code", CODES)
def test_every_language_can_be_searched(code):
    assert found(searcher("alpha beta", "gamma delta", code=code).search(["gamma"], 5)) == [["d1"]]


words = st.lists(st.sampled_from(["red", "green", "blue", "the", "sky", "x"]), max_size=5).map(" ".join)


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(words, max_size=6), queries=st.lists(words, max_size=3), k=st.integers(0, 8))
def test_every_ranking_is_ordered_and_cut(texts, queries, k):
    rankings = searcher(*texts).search(queries, k)
    assert len(rankings) == len(queries)
    for ranking in rankings:
        assert len(ranking) <= k
        assert ranking == sorted(ranking, key=lambda hit: (hit[1], hit[0]), reverse=True)
        assert all(score > 0 for _, score in ranking)


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(words, min_size=1, max_size=6), query=words, others=st.lists(words, max_size=3))
def test_a_query_is_answered_the_same_in_any_company(texts, query, others):
    index = searcher(*texts)
    assert index.search([*others, query], 5)[-1] == index.search([query], 5)[0]


TEXTS = {
    "zh": [
        ("北京是中华人民共和国的首都，有三千多年的历史。", "中国的首都是哪里"),
        ("糖尿病患者应该控制饮食并按时服药。", "得了糖尿病要怎么控制饮食？"),
        ("大熊猫主要以竹子为食，生活在四川的山区。", "熊猫吃什么竹子"),
        ("这家公司发布了新的AI芯片，性能提高了一倍。", "ai 芯片 性能"),
    ],
    "ja": [
        ("東京スカイツリーは高さ六百三十四メートルの電波塔です。", "スカイツリーの高さは？"),
        ("富士山は静岡県と山梨県にまたがる活火山である。", "富士山はどこにありますか"),
        ("糖尿病の治療には食事療法と運動が大切です。", "糖尿病の食事療法について"),
        ("新幹線は一九六四年に東京と新大阪の間で開業した。", "新幹線が開業したのはいつ"),
    ],
    "ko": [
        ("서울은 대한민국의 수도이며 한강이 흐른다.", "대한민국 수도는 어디인가요"),
        ("당뇨병 환자는 식단을 조절하고 운동을 해야 한다.", "당뇨병에 좋은 식단"),
        ("김치는 배추를 소금에 절여 발효시킨 음식이다.", "배추김치를 발효하는 방법"),
        ("그는 어제 책을 샀다.", "책"),
    ],
    "th": [
        ("กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "เมืองหลวงของไทยคือที่ไหน"),
        ("ผู้ป่วยโรคเบาหวานควรควบคุมอาหารและออกกำลังกาย", "โรคเบาหวานกินอาหารอะไรได้"),
        ("ช้างเป็นสัตว์บกที่ใหญ่ที่สุดในโลก", "สัตว์ที่ใหญ่ที่สุดคือช้างใช่ไหม"),
        ("ต้มยำกุ้งเป็นอาหารไทยที่มีรสเปรี้ยวและเผ็ด", "วิธีทำต้มยำกุ้ง"),
    ],
    "km": [
        ("ភ្នំពេញគឺជារាជធានីនៃប្រទេសកម្ពុជា", "រាជធានីកម្ពុជា"),
        ("អង្គរវត្តជាប្រាសាទធំជាងគេ", "ប្រាសាទអង្គរ"),
    ],
}


@pytest.mark.parametrize("code", TEXTS)
def test_sentences_of_scripts_without_spaces_are_found(code):
    """Under the code itself and under another: the scripts are known by their characters."""
    pairs = TEXTS[code]
    for asked in (code, "en"):
        rankings = found(searcher(*(text for text, _ in pairs), code=asked).search([q for _, q in pairs], 1))
        assert rankings == [[f"d{n}"] for n in range(len(pairs))]


def test_one_character_finds_the_documents_that_hold_it():
    assert found(searcher("我家的猫很可爱", "狗在院子里", code="zh").search(["猫"], 5)) == [["d0"]]


def test_scores_of_given_documents_are_those_of_the_search():
    index = searcher("red apple", "green apple pie", "blue sky", "")
    [hits] = index.search(["apple pie apple"], 5)
    assert hits[0][0] == "d1"
    assert index.score(["apple pie apple", "nothing"], [["d2", "d0", "d1", "d3"], ["d0"]]) == [
        [0.0, dict(hits)["d0"], dict(hits)["d1"], 0.0],
        [0.0],
    ]


def test_no_scores_of_a_document_that_is_not_there():
    with pytest.raises(DataError, match="'dx' is not in the corpus"):
        searcher("red").score(["red"], [["dx"]])


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(words, min_size=1, max_size=6), queries=st.lists(words, max_size=3))
def test_scores_are_those_of_bm25s(texts, queries):
    """The sparse product gives what the library itself gives, query by query."""
    import bm25s

    index = searcher(*texts)
    scores = index.score(queries, [[f"d{n}" for n in range(len(texts))]] * len(queries))
    split = [[w for w in text.split() if w not in ("the", "x")] for text in texts]
    known = {w for row in split for w in row}
    if not known:
        assert not any(any(row) for row in scores)
        return
    reference = bm25s.BM25()
    reference.index(split, show_progress=False)
    for query, row in zip(queries, scores, strict=True):
        asked = [w for w in query.split() if w in known]
        expected = reference.get_scores(asked).tolist() if asked else [0.0] * len(texts)
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-7)


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(words, min_size=1, max_size=12), terms=st.integers(1, 9), documents=st.integers(1, 5))
def test_the_weight_of_a_word_is_bm25s_to_the_last_bit_whatever_is_counted_at_a_time(texts, terms, documents):
    import bm25s

    from tardif.text import bm25

    split = [[w for w in text.split() if w not in ("the", "x")] for text in texts]
    reference = bm25s.BM25()
    if any(split):
        reference.index(split, show_progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25, "_TERMS", terms)
        patch.setattr(bm25, "_DOCUMENTS", documents)
        index = searcher(*texts)
    for word in sorted({w for row in split for w in row}):
        [scores] = index.score([word], [[f"d{n}" for n in range(len(texts))]])
        assert scores == reference.get_scores([word]).tolist()


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(words, min_size=1, max_size=6), queries=st.lists(words, max_size=4), height=st.integers(1, 3))
def test_blocks_of_queries_change_nothing(texts, queries, height):
    from tardif.text import bm25

    index = searcher(*texts)
    whole = index.search(queries, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25, "_SCORES", height * len(texts))
        assert index.search(queries, 4) == whole
