from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.data.split import MAX_VALIDATION, split_queries
from tardif.data.text import normalise
from tardif.data.training_set import TRAIN, VALIDATION

query_texts = st.dictionaries(
    st.integers(0, 99).map(str), st.sampled_from(["a", "A ", "ａ", "b", " b", "c d", "C  D", "e", "f", "g"]), min_size=1
)
fractions = st.floats(0, 0.99)


def texts(queries, sides, side):
    return {normalise(text) for query, text in queries.items() if sides[query] == side}


@settings(deadline=None, max_examples=50)
@given(queries=query_texts, fraction=fractions, seed=st.integers())
def test_no_text_is_on_both_sides_and_something_is_left_to_train_on(queries, fraction, seed):
    sides = split_queries(queries, fraction=fraction, seed=seed)
    assert set(sides) == set(queries)
    assert texts(queries, sides, TRAIN)
    assert not texts(queries, sides, TRAIN) & texts(queries, sides, VALIDATION)


@settings(deadline=None, max_examples=50)
@given(queries=query_texts, fraction=fractions, seed=st.integers(), data=st.data())
def test_the_order_of_the_input_does_not_matter(queries, fraction, seed, data):
    shuffled = dict(data.draw(st.permutations(list(queries.items()))))
    assert split_queries(queries, fraction=fraction, seed=seed) == split_queries(shuffled, fraction=fraction, seed=seed)


@settings(deadline=None, max_examples=50)
@given(queries=query_texts, data=st.data())
def test_what_is_held_out_takes_its_texts_along_and_nothing_else(queries, data):
    held_out = data.draw(st.sets(st.sampled_from(sorted(queries)), min_size=1))
    sides = split_queries(queries, fraction=0.5, held_out=held_out)
    assert texts(queries, sides, VALIDATION) == {normalise(queries[query]) for query in held_out}


def test_the_share_is_of_distinct_texts():
    queries = {str(n): f"query {n // 2}" for n in range(100)}
    assert len(texts(queries, split_queries(queries, fraction=0.2), VALIDATION)) == 10
    assert VALIDATION not in split_queries(queries, fraction=0).values()


def test_no_more_are_held_out_than_evaluation_needs():
    sides = split_queries({str(n): str(n) for n in range(3 * MAX_VALIDATION)}, fraction=0.9)
    assert list(sides.values()).count(VALIDATION) == MAX_VALIDATION


def test_another_seed_is_another_split():
    queries = {str(n): str(n) for n in range(100)}
    assert split_queries(queries, seed=1) == split_queries(queries, seed=1) != split_queries(queries, seed=2)
