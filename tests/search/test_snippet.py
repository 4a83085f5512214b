from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explained import explained
from tardif.explanation import Explanation, Token
from tardif.search.snippet import marks, passage
from tardif.search.word_matches import word_matches, words_of
from tardif.text.clusters import is_boundary
from tardif.types import Mark

TIDES = "The bread rises in the oven for an hour. Twice a day the moon pulls the sea, and tides come in. Bees dance."


def marked(explanation):
    return [explanation.document[mark.start : mark.end] for mark in marks(explanation)]


def shown(found):
    return [found.text[mark.start : mark.end] for mark in found.marks]


def test_the_words_that_stand_out_are_marked_and_weighted():
    found = explained("moon tides", TIDES, {("moon", "moon"): 0.9, ("tides", "tides"): 0.6, ("tides", "sea"): 0.45})
    assert marked(found) == ["moon", "sea", "tides"]
    moon, sea, tides = (mark.weight for mark in marks(found))
    assert 1 >= moon > tides > sea > 0


def test_what_matches_its_like_in_any_text_is_not_marked():
    # The function words are alike, and so are the query's punctuation, its expansion and the markers.
    alike = {("the", word): 0.9 for word in ("the", "and", "in", "for", "an")}
    found = explained("why the moon?", TIDES, {**alike, ("moon", "moon"): 0.7, ("?", "bees"): 0.9})
    assert marked(found) == ["moon"]
    query = [*found.query_tokens, Token("[MASK]"), Token("[CLS]")]
    column = [token.text for token in found.document_tokens].index("dance")
    more = np.full((2, found.similarities.shape[1]), 0.1, dtype=np.float32)
    more[:, column] = 0.95
    expanded = Explanation(
        found.query, TIDES, query, found.document_tokens, [], 0, np.concatenate([found.similarities, more])
    )
    assert marked(expanded) == ["moon"]


def test_a_query_of_function_words_alone_is_matched_by_them():
    assert marked(explained("who", "The band The Who and what they played", {("who", "Who"): 0.9})) == ["Who"]


def test_a_match_no_better_than_the_other_words_is_not_marked():
    everything = {("moon", word.strip(".,")): 0.8 for word in TIDES.split()}
    assert marked(explained("moon", TIDES, everything)) == []
    # Forms of one word are no rivals, whatever their number.
    forms = "pregnant pregnancy pregnancies pregnantly. Cows eat grass on green hills while birds sing"
    likes = {("pregnancy", word): 0.8 for word in ("pregnant", "pregnancy", "pregnancies", "pregnantly")}
    assert len(marked(explained("pregnancy", forms, likes))) == 4


def test_pieces_are_one_word_and_a_chance_piece_is_none():
    query = [Token("car", 0, 3), Token("cino", 3, 7), Token("genesis", 7, 14)]
    text = "Carcinogenesis after genesis with a car on long roads and hills"
    places = [(0, 3), (3, 7), (7, 14), (21, 28), (36, 39), (43, 47), (48, 53), (58, 63)]
    similarities = np.full((3, len(places)), 0.1, dtype=np.float32)
    similarities[[0, 1, 2], [0, 1, 2]] = 0.9
    similarities[[0, 2], [4, 3]] = 0.85  # "car" and "genesis" alone
    document = [Token(text[a:b], a, b) for a, b in places]
    found = Explanation("carcinogenesis", text, query, document, [], 2.7, similarities)
    assert marks(found)[0] == Mark(0, 14, pytest.approx(0.85, abs=0.03))
    assert len(marks(found)) == 1


def test_a_tokenizer_without_places_marks_nothing():
    tokens = [Token("moon")]
    found = Explanation("moon", TIDES, tokens, tokens, [], 1, np.ones((1, 1), dtype=np.float32))
    assert marks(found) == ()
    assert passage(found, 30).text.startswith("The bread rises")


def test_the_passage_is_where_the_words_are_and_not_the_beginning():
    found = passage(explained("moon tides", TIDES, {("moon", "moon"): 0.9, ("tides", "tides"): 0.9}), 58)
    assert found.text == "... Twice a day the moon pulls the sea, and tides come in. ..."
    assert shown(found) == ["moon", "tides"]
    assert TIDES[found.start : found.end] == found.text[4:-4]


def test_a_passage_with_more_of_the_querys_words_beats_one_word_repeated():
    text = "Moon, moon, moon. " + "Grass grows on hills where cows eat. " * 5 + "The moon makes tides. Cows eat."
    found = passage(explained("moon tides", text, {("moon", "moon"): 0.9, ("tides", "tides"): 0.9}), 30)
    assert shown(found) == ["moon", "tides"]


def test_a_passage_of_a_long_sentence_is_cut_between_words():
    text = "grass " * 40 + "(self-propelled moon) " + "hills " * 40
    found = passage(explained("moon", text, {("moon", "moon"): 0.9}), 40)
    assert shown(found) == ["moon"]
    assert set(found.text.split()) <= {"...", "grass", "hills", "(self-propelled", "moon)"}


def test_a_passage_begins_after_the_title_and_has_no_line_ends():
    text = "Moon and tides. Grass\n\n grows.\tCows   eat."
    found = passage(explained("moon cows", text, {("moon", "moon"): 0.9, ("cows", "Cows"): 0.9}), 100, start=15)
    assert (found.text, shown(found)) == ("Grass grows. Cows eat.", ["Cows"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("今天天气很好。" * 9 + "月球引起潮汐。" + "面包需要烤四十分钟。" * 9, "潮汐"),
        ("ขนมปังต้องอบ " * 9 + "ดวงจันทร์ทำให้เกิดน้ำขึ้นน้ำลง" + " ผึ้งเต้นรำ" * 9, "น้ำขึ้นน้ำลง"),
        ("الخبز في الفرن. " * 9 + "القمر يسبب المد والجزر. " + "النحل يرقص. " * 9, "المد"),
        ("रोटी ओवन में पकती है। " * 9 + "चंद्रमा ज्वार लाता है। " + "मक्खियाँ नाचती हैं। " * 9, "ज्वार"),
        ("bread 🍞👩‍🚀 " * 9 + "moon 👨‍👩‍👧‍👦 tides🇫🇷" + " bees 🐝" * 9, "tides"),
    ],
)
def test_every_script_is_cut_between_characters(text, word):
    start = text.index(word)
    # One token for a word, one for each other character, as pieces may be.
    spans = [(start, start + len(word)), *((n, n + 1) for n in range(len(text)) if not start <= n < start + len(word))]
    tokens = [Token(text[a:b], a, b) for a, b in sorted(spans)]
    similarities = np.array([[0.9 if token.text == word else 0.1 for token in tokens]], dtype=np.float32)
    explanation = Explanation(word, text, [Token(word, 0, len(word))], tokens, [], 0.9, similarities)
    assert marked(explanation) == [word]
    for characters in (8, 20, 33, 60, len(text)):
        found = passage(explanation, characters)
        assert is_boundary(text, found.start), found
        assert is_boundary(text, found.end), found
        if characters > 20:
            assert shown(found) == [word]


STRANGE = st.text(alphabet="ab .\n«月球น้ำเक्षिé\u0301\u0308👩\u200d🚀🏽🇫🇷\u202eא\u0000\ufe0f한ᄒ'1,", max_size=80)


@settings(max_examples=60, deadline=None)
@given(STRANGE, st.integers(1, 60), st.data())
def test_marks_and_passages_of_any_text(text, characters, data):
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=12))})
    tokens = [Token("[D]"), *(Token(text[a:b], a, b) for a, b in zip(cuts, cuts[1:], strict=False))]
    best = data.draw(st.integers(0, len(tokens) - 1))
    similarities = np.array([[0.9 if place == best else 0.1 for place in range(len(tokens))]], dtype=np.float32)
    explanation = Explanation("a", text, [Token("a", 0, 1)], tokens, [], 1, similarities)
    places = [place for mark in marks(explanation) for place in (mark.start, mark.end)]
    assert places == sorted(places)
    found = passage(explanation, characters)
    assert len(found.text) <= characters + 8 + 64  # the longest character
    for place in (*places, found.start, found.end):
        assert is_boundary(text, place)
    for mark in found.marks:
        assert 0 < mark.weight <= 1
        assert found.text[mark.start : mark.end].strip()
    assert "\n" not in found.text


def test_hostile_texts_are_cut_somewhere_and_in_time():
    for text in ("x" * 500_000, "e" + "\u0301" * 100_000, "🇫" * 50_000, "月" * 50_000, " " * 500_000 + "x"):
        tokens = [Token("x", 0, len(text))]
        found = passage(
            Explanation("x", text, [Token("x", 0, 1)], tokens, [], 1, np.ones((1, 1), dtype=np.float32)), 100
        )
        assert len(found.text) <= 108


def test_words_have_their_tokens_in_any_script():
    text = "Ångström月球is"
    tokens = [Token("Å", 0, 2), Token("ngström", 2, 8), Token("月", 8, 9), Token("球", 9, 10), Token("is", 10, 12)]
    assert [(text[word.start : word.end], word.tokens) for word in words_of(text, tokens)] == [
        ("Ångström", (0, 1)),
        ("月", (2,)),
        ("球", (3,)),
        ("is", (4,)),
    ]
    assert unicodedata.is_normalized("NFC", text)
    assert word_matches(Explanation("", "", [], [], [], 0, np.zeros((0, 0), dtype=np.float32))).words == []
