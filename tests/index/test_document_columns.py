"""Metadata as an index stores it."""

import datetime
import json
import math
from decimal import Decimal

import numpy as np
import pytest

from tardif.data.json_metadata import MAX_NESTING, as_stored
from tardif.errors import DataError
from tardif.index.document_columns import metadata_json


def test_what_json_can_hold_comes_back_as_it_was():
    metadata = {
        "text": "é\n\"'😀",
        "int": 2**70,
        "float": 0.1,
        "no": None,
        "yes": True,
        "list": [1, ["x"]],
        "o": {"": {}},
    }
    assert json.loads(metadata_json(metadata)) == metadata == as_stored(metadata)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        (math.nan, None),
        (-math.inf, None),
        (10**400, None),
        (Decimal("0.5"), 0.5),
        (Decimal("sNaN"), None),
        ((1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ({1: {None: {True: 0.5}}}, {"1": {"null": {"true": 0.5}}}),
        (datetime.date(2024, 2, 1), "2024-02-01"),
        (datetime.datetime(2024, 2, 1, 10), "2024-02-01T10:00:00"),
        (np.int64(5), 5),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        (b"x", "b'x'"),
    ],
)
def test_what_json_cannot_hold_is_put_in_its_words(value, stored):
    assert as_stored({"k": value}) == {"k": stored}
    assert json.loads(metadata_json({"k": value})) == {"k": stored}
    assert type(as_stored({"k": value})["k"]) is type(stored)


def test_keys_that_become_one_keep_the_last_value():
    assert metadata_json({1: "a", "1": "b", "x\0": "c", "x\ufffd": "d"}) == '{"1":"b","x\ufffd":"d"}'


def test_the_same_set_is_stored_in_the_same_order():
    assert metadata_json({"s": {"c", "a", "b"}}) == '{"s":["a","b","c"]}'


def test_nesting_ends_in_a_data_error():
    inner = []
    for _ in range(MAX_NESTING - 2):
        inner = [inner]
    metadata_json({"k": inner})
    endless = []
    endless.append(endless)
    with pytest.raises(DataError, match="deeper than 100 levels"):
        metadata_json({"k": endless})
