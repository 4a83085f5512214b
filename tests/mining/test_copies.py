"""Near-copies: rewrites of a text are found, other texts on the same matter are not."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.mining.copies import NearCopies, words
from tardif.mining.selection import NEAR_COPY
from tardif.types import Document

COMMON = [f"c{n}" for n in range(30)]


def text(draw, subject, sentences=6):
    """Sentences of common words and a subject's own."""
    own = [f"{subject}{n}" for n in range(25)]
    return [" ".join(draw.choices(own, k=5) + draw.choices(COMMON, k=5)) for _ in range(sentences)]


def corpus(seed, count=20):
    draw = random.Random(seed)
    return {f"d{n}": Document(f"d{n}", ". ".join(text(draw, f"s{n}x"))) for n in range(count)}


def drop_words(content, draw, share):
    return " ".join(word for word in content.split() if draw.random() >= share)


def reorder(content, draw, _):
    sentences = content.split(". ")
    return ". ".join(draw.sample(sentences, len(sentences)))


def swap(content, draw, share):
    return " ".join(f"syn{word}" if draw.random() < share else word for word in content.split())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.2), rewrite=st.sampled_from([drop_words, reorder, swap]))
def test_rewrites_are_found_and_other_texts_are_not(seed, share, rewrite):
    documents = corpus(seed)
    documents["copy"] = Document("copy", rewrite(documents["d0"].text, random.Random(seed), share))
    found = NearCopies(documents, NEAR_COPY).compare(["d0"], [*documents]).near
    assert [d for d, near in zip(documents, found, strict=True) if near] == ["d0", "copy"]


def test_texts_of_a_template_are_told_apart():
    template = "Harbour {0} was built by sailors from island {0}, who traded in salt and lived on fish."
    documents = {f"d{n}": Document(f"d{n}", template.format(n)) for n in range(30)}
    assert NearCopies(documents, NEAR_COPY).compare(["d0"], [*documents]).near.tolist() == [True] + [False] * 29


def test_an_excerpt_is_found_and_a_word_of_the_text_is_not():
    documents = corpus(1)
    sentences = documents["d0"].text.split(". ")
    documents["half"] = Document("half", ". ".join(sentences[:3]))
    documents["word"] = Document("word", sentences[0].split()[0])
    assert NearCopies(documents, NEAR_COPY).compare(["d0"], ["half", "word"]).near.tolist() == [True, False]


def test_any_of_the_originals_counts():
    documents = corpus(2)
    near = NearCopies(documents, NEAR_COPY)
    assert near.compare(["d3", "d4"], ["d5", "d4", "d3"]).near.tolist() == [False, True, True]
    assert near.compare([], ["d5"]).near.tolist() == [False]
    assert near.compare(["d3"], []).near.tolist() == []


def test_texts_without_words_are_no_copies():
    documents = {"a": Document("a", "..."), "b": Document("b", "!!!"), "c": Document("c", "word")}
    assert not NearCopies(documents, NEAR_COPY).compare(["a", "c"], ["a", "b"]).near.any()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Ab, ab! C-3", {"ab", "c", "3"}),
        ("東京都", {"東京", "京都"}),
        ("ABC東", {"abc", "東"}),
        ("Straße Ünder", {"strasse", "ünder"}),
    ],
)
def test_words_of_any_script(content, found):
    assert words(content) == found


def test_a_rewrite_in_a_script_without_spaces_is_found():
    draw = random.Random(0)
    characters = [chr(code) for code in range(0x4E00, 0x4F00)]
    documents = {f"d{n}": Document(f"d{n}", "".join(draw.choices(characters, k=200))) for n in range(9)}
    whole = documents["d0"].text
    documents["copy"] = Document("copy", whole[100:] + "。" + whole[:90])
    found = NearCopies(documents, NEAR_COPY).compare(["d0"], [*documents]).near
    assert np.flatnonzero(found).tolist() == [0, 9]
