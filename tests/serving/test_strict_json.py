"""Strict reading of JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.serving.strict_json import MAX_LEVELS, StrictJsonError, read_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.booleans())
def test_what_json_can_write_reads_back(value, ascii_only):
    assert read_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b'{"a": 1} 2', "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b"nul", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        ('"ä"'.encode("latin-1"), "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'{"k": NaN}', "NaN"),
        (b'{"k": -Infinity}', "Infinity"),
        (b'{"k": 1e999}', "double"),
        (b'{"k": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"k": 1, "k": 1}', "twice"),
        (b'[{"a": {"b": 1, "b": 2}}]', "twice"),
        (b'"\\ud800"', "half a character"),
        (b'{"\\udc00": 1}', "half a character"),
        (b'["a", ["\\ud83d\\u0020"]]', "half a character"),
        (b"[" * 100_000, "nested"),
        (b"[" * 500 + b"]" * 500, "nested"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested"),
    ],
)
def test_what_has_no_single_meaning_is_refused(body, why):
    with pytest.raises(StrictJsonError, match=why):
        read_json(body)


def test_whole_characters_and_deep_values_pass():
    assert read_json(b'\xef\xbb\xbf"\\ud83d\\ude00"') == "\U0001f600"
    deep = b"[" * MAX_LEVELS + b"1" + b"]" * MAX_LEVELS
    assert json.dumps(read_json(deep)).encode() == deep
    with pytest.raises(StrictJsonError):
        read_json(b"[" + deep + b"]")
