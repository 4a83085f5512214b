"""Random filters and documents with values at every edge, for hypothesis."""

from __future__ import annotations

from functools import partial

from hypothesis import strategies as st

from tardif.index import filter_rules
from tardif.index.filter_nodes import OPERATORS, ORDERS, OWN_FIELDS, And, Compare, Exists, Field, In, Or, Value
from tardif.types import Document, Piece

KEYS = st.sampled_from(["a", "b", "a.b", 'q"t', "x[0]", "back\\s", "é", "", "\n", "N\0L", "N\ufffdL", "and", "$"])
TEXTS = st.sampled_from(
    ["", "a", "A", "ab", "abc", "b%", "a_", "é", "😀", "\uffff", "\ufffe", "\0", "a\0", "*", "[a]", "\\", "1"]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**23, 10**400]),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e23, 2.0**53, 2.0**63, 5e-324, float("nan"), float("inf")]),
    st.floats(),
    st.integers(),
    TEXTS,
    st.text(max_size=3),
)
METADATA = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.tuples(inner), st.dictionaries(KEYS | st.integers(0, 2), inner, max_size=3)
        ),
        max_leaves=4,
    ),
    max_size=4,
)
VALUES = st.one_of(
    st.sampled_from([Value("null"), Value("true"), Value("false")]),
    st.builds(Value, st.just("text"), TEXTS | st.text(max_size=3)),
    st.builds(
        filter_rules.number,
        st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(10**30), 10**30)
        | st.sampled_from([0, 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**23, 0.5, 1e23]),
    ),
)
FIELDS = st.one_of(
    st.builds(Field, st.lists(KEYS, min_size=1, max_size=2).map(tuple)),
    st.sampled_from(OWN_FIELDS).map(Field.own),
)
PATTERNS = st.lists(
    st.sampled_from(["%", "_", "a", "b", "*", "[a]", "\\%", "\\\\", "é", "\uffff", "\0", "'"]), max_size=5
)


@st.composite
def one_test(draw):
    field, operator = draw(FIELDS), draw(st.sampled_from([*OPERATORS, "in", "exists"]))
    if operator == "exists":
        return Exists(field)
    if operator == "in":
        return In(field, tuple(draw(st.lists(VALUES, max_size=4))), draw(st.booleans()))
    if operator == "like":
        return Compare(field, operator, Value("text", "".join(draw(PATTERNS))))
    value = draw(VALUES)
    if (operator in ORDERS and value.kind not in ("text", "number")) or (
        operator == "contains" and value.kind != "text"
    ):
        value = Value("text", "a")
    return Compare(field, operator, value)


def joined(inner):
    parts = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        *(parts.map(partial(filter_rules.joined, kind)) for kind in (And, Or)), inner.map(filter_rules.negation)
    )


FILTERS = st.recursive(one_test(), joined, max_leaves=4)
PIECES = st.builds(
    Piece,
    TEXTS.filter(bool),
    *[st.integers(0, 3)] * 4,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.none() | st.integers(0, 3),
)
DOCUMENTS = st.lists(
    st.builds(Document, (st.text(max_size=3) | TEXTS).filter(bool), st.just(""), TEXTS, METADATA, st.none() | PIECES),
    max_size=4,
    unique_by=lambda document: document.id,
)
