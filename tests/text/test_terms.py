import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardif.text.languages import language
from tardif.text.terms import Terms, pieces


def cut(text, document=False):
    return pieces(text, document=document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The X-ray of 2 cats", ["the", "ray", "of", "cats"]),
        ("Été à Zürich", ["été", "zürich"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("東京の天気", ["東京", "京の", "の天", "天気"]),
        ("猫", ["猫"]),
        ("ＡＩ技术 GPT4模型", ["ai", "技术", "gpt4", "模型"]),
        ("책을 읽다", ["책을", "읽다"]),
        ("서울특별시", ["서울", "울특", "특별", "별시"]),
        ("เด็กน้อย", ["เด็ก", "กน้", "น้อ", "อย"]),  # a leading vowel, a consonant and its signs are one cluster
        ("ភាសាខ្មែរ", ["ភាសា", "សាខ្មែ", "ខ្មែរ"]),  # the stacked consonant stays with the one above it
        ("", []),
        ("!?", []),
    ],
)
def test_a_text_is_cut_into_words_and_pairs(text, expected):
    assert cut(text) == expected


def test_documents_give_single_characters_too():
    assert cut("黑猫", document=True) == ["黑猫", "黑", "猫"]
    assert cut("ねこ", document=True) == ["ねこ"]
    assert cut("猫", document=True) == ["猫"]


def test_stopwords_have_no_term_and_words_their_stem():
    terms = Terms(language("en"))
    assert [terms.term(piece) for piece in ("the", "running", "cats")] == ["", "run", "cat"]


@given(st.text(max_size=40))
def test_any_text_can_be_cut_and_a_query_asks_for_nothing_its_document_lacks(text):
    assert set(cut(text)) <= set(cut(text, document=True))
    assert all(cut(text, document=True))


@given(st.text(alphabet="猫犬東京ソウル서울กินน้ำabc 12", max_size=20))
def test_no_character_of_a_joined_script_is_lost(text):
    import unicodedata

    joined = "".join(c for c in unicodedata.normalize("NFKC", text) if c in "猫犬東京ソウル서울กน")
    assert set(joined) <= set("".join(cut(text)))
