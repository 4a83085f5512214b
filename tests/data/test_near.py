from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.data.near import near_duplicates
from tardif.data.text import normalise

SENTENCE = "the quick brown fox jumps over the lazy dog while the cat looks on from its chair by the window"
TEXTS = st.sampled_from(["", " ", "a", "A", "abc", "abcdef", "abcdefg", "ABCDEFG ", SENTENCE, SENTENCE + "!", "x" * 50])


def test_texts_that_differ_a_little_are_found():
    texts = [("c", SENTENCE), ("a", SENTENCE + " ."), ("b", "something else that has nothing to do with it")]
    assert near_duplicates(texts) == [("a", "c")]


def test_long_texts_are_compared_by_words():
    words = [f"word{n * 7919 % 1000}" for n in range(300)]
    changed = [*words[:150], "another", *words[151:]]
    other = [f"term{n}" for n in range(300)]
    texts = [("one", " ".join(words)), ("two", " ".join(changed)), ("three", " ".join(other))]
    assert near_duplicates(texts) == [("one", "two")]


def test_the_same_text_counts_once_under_the_smallest_id():
    texts = [("b", SENTENCE), ("a", SENTENCE.upper()), ("c", f"  {SENTENCE}"), ("z", SENTENCE + "?")]
    assert near_duplicates(texts) == [("a", "z")]


def test_texts_without_anything_and_short_ones_are_no_duplicates():
    assert near_duplicates([]) == []
    assert near_duplicates([("a", ""), ("b", " "), ("c", "x"), ("d", "y"), ("e", "xy")]) == []


@settings(deadline=None, max_examples=40, database=None)
@given(texts=st.dictionaries(st.sampled_from("abcdefgh"), TEXTS), data=st.data())
def test_the_order_does_not_matter_and_no_pair_is_equal_or_empty(texts, data):
    found = near_duplicates(texts.items())
    assert near_duplicates(data.draw(st.permutations(list(texts.items())))) == found
    assert found == sorted(set(found))
    for one, other in found:
        assert one < other
        assert normalise(texts[one]) != normalise(texts[other])
        assert texts[one].strip()


def test_the_threshold_is_a_similarity():
    texts = [("a", SENTENCE), ("b", SENTENCE.replace("window", "door"))]
    assert near_duplicates(texts, similarity=0.95) == []
    assert near_duplicates(texts, similarity=0.7) == [("a", "b")]


def test_progress_counts_the_texts():
    done = []
    near_duplicates([(str(n), f"text number {n}") for n in range(7)], advance=done.append)
    assert sum(done) == 7
