import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.text import near
from tardif.text.near import Near, near_duplicates
from tardif.text.normal import normalise

SENTENCE = "the quick brown fox jumps over the lazy dog while the cat looks on from its chair by the window"
TEXTS = st.sampled_from(["", " ", "a", "A", "abc", "abcdef", "abcdefg", "ABCDEFG ", SENTENCE, SENTENCE + "!", "x" * 50])
PRICE = "What is the current retail price, taxes included, of the item with the number {}?"


def links(texts, **options):
    return near_duplicates(texts, **options).links


def jaccard(one, other, length=5):
    a, b = ({text[n : n + length] for n in range(len(text) - length + 1)} for text in (one, other))
    return len(a & b) / len(a | b)


def test_texts_that_differ_a_little_are_found():
    texts = [("c", SENTENCE), ("a", SENTENCE + " ."), ("b", "something else that has nothing to do with it")]
    assert links(texts) == [("a", "c")]


def test_long_texts_are_compared_by_words():
    words = [f"word{n * 7919 % 1000}" for n in range(300)]
    changed = [*words[:150], "another", *words[151:]]
    other = [f"term{n}" for n in range(300)]
    texts = [("one", " ".join(words)), ("two", " ".join(changed)), ("three", " ".join(other))]
    assert links(texts) == [("one", "two")]


@pytest.mark.parametrize(("changed", "found"), [(60, True), (600, False)])
def test_texts_of_more_words_than_are_kept_are_compared_too(changed, found):
    words = [f"word{n}" for n in range(6_000)]
    assert len(words) > near._KEPT
    other = [f"other{n}" if n % (6_000 // changed) == 0 else word for n, word in enumerate(words)]
    assert bool(links([("one", " ".join(words)), ("two", " ".join(other))])) is found


def test_the_same_text_counts_once_under_the_smallest_id():
    texts = [("b", SENTENCE), ("a", SENTENCE.upper()), ("c", f"  {SENTENCE}"), ("z", SENTENCE + "?")]
    assert links(texts) == [("a", "z")]


def test_texts_without_anything_and_short_ones_are_no_duplicates():
    assert near_duplicates([]) == Near()
    assert links([("a", ""), ("b", " "), ("c", "x"), ("d", "y"), ("e", "xy")]) == []


@settings(deadline=None, max_examples=40, database=None)
@given(texts=st.dictionaries(st.sampled_from("abcdefgh"), TEXTS), data=st.data())
def test_the_order_does_not_matter_and_no_pair_is_equal_or_empty(texts, data):
    found = links(texts.items())
    assert links(data.draw(st.permutations(list(texts.items())))) == found
    assert found == sorted(set(found))
    for one, other in found:
        assert one < other
        assert normalise(texts[one]) != normalise(texts[other])
        assert texts[one].strip()


def test_the_threshold_is_a_similarity():
    texts = [("a", SENTENCE), ("b", SENTENCE.replace("window", "door"))]
    assert links(texts, similarity=0.95) == []
    assert links(texts, similarity=0.7) == [("a", "b")]


def test_progress_counts_the_texts():
    done = []
    near_duplicates([(str(n), f"text number {n}") for n in range(7)], advance=done.append)
    assert sum(done) == 7


def test_a_template_is_one_group_with_fewer_links_than_texts_each_of_two_that_are_nearly_the_same():
    texts = {f"q{n}": PRICE.format(n) for n in range(300)}
    found = near_duplicates(texts.items())
    assert (found.groups, len(found.links), found.unsure) == (1, 299, 0)
    assert list(found.partners) == sorted(texts)
    for identity, partner in found.partners.items():
        assert jaccard(normalise(texts[identity]), normalise(texts[partner])) >= 0.9
    shuffled = list(texts.items())
    random.Random(0).shuffle(shuffled)
    assert near_duplicates(shuffled) == found


def test_what_hangs_together_is_what_comparing_all_pairs_says():
    draw = random.Random(1)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "ne", "pu") for b in ("bel", "dor", "fin", "gar", "hul")]
    texts = {}
    for group in range(12):
        stem = " ".join(draw.choices(words, k=24))
        for copy in range(draw.randrange(1, 6)):
            place = draw.randrange(len(stem))
            texts[f"{group}-{copy}"] = stem[:place] + draw.choice("xyz") + stem[place:]
    groups = {identity: {identity} for identity in texts}
    for one, other in itertools.combinations(texts, 2):
        if jaccard(texts[one], texts[other]) >= 0.9:
            joined = groups[one] | groups[other]
            groups.update(dict.fromkeys(joined, joined))
    found = near_duplicates(texts.items())
    assert found.unsure == 0
    reached = {identity: {identity} for identity in texts}
    for one, other in found.links:
        joined = reached[one] | reached[other]
        reached.update(dict.fromkeys(joined, joined))
    assert reached == groups


def test_the_work_is_bounded_and_texts_that_were_not_compared_with_all_are_counted(monkeypatch):
    compared = []
    are_near = near._Search._are_near
    monkeypatch.setattr(near._Search, "_are_near", lambda *pair: compared.append(0) or are_near(*pair))
    texts = [(f"q{n}", f"What is the price of item {n:05}?") for n in range(400)]
    found = near_duplicates(texts)
    assert not found.links
    assert 300 < found.unsure <= 400
    assert len(compared) <= 400 * near._IN_VAIN
    assert near_duplicates(texts[: near.NEIGHBOURS // 2]).unsure == 0
