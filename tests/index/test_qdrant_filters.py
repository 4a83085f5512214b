"""Filters mean the same in Qdrant as in every other index, or are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filter_reference import meets
from filter_samples import DOCUMENTS, FILTERS
from qdrant_here import KINDS, QUIET, empty_index
from tardif.errors import DataError, SettingError
from tardif.index.document_columns import as_kept
from tardif.index.filter_nodes import Not
from tardif.index.filters import parse_filter
from tardif.index.pieces import check_pieces
from tardif.types import Document

pytestmark = QUIET

ROWS = np.ones((1, 4), dtype=np.float32)


@pytest.fixture(params=KINDS)
def index(request, tmp_path):
    with empty_index(request.param, tmp_path / "index") as made:
        yield made


def found(index, where):
    (hits,) = index.search(ROWS, [1], 100, where=where)
    return sorted(identity for identity, _ in hits)


def whole(documents):
    """Documents that an index takes: each piece is its document's only one."""
    given = [
        d
        if d.piece is None
        else replace(d, piece=replace(d.piece, document=f"{d.piece.document}!{d.id}", number=1, of=1))
        for d in documents
    ]
    try:
        check_pieces(given)
    except DataError:
        return []
    return given


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS, st.lists(FILTERS, min_size=1, max_size=3))
def test_qdrant_finds_what_a_filter_means_or_refuses_it(index, documents, filters):
    index.delete(index.ids())
    documents = whole(documents)
    index.add(documents, np.repeat(ROWS, len(documents), axis=0), [1] * len(documents))
    assert index.get([d.id for d in documents]) == {d.id: as_kept(d) for d in documents}
    for condition in [*filters, *map(Not, filters)]:
        try:
            names = found(index, condition)
        except SettingError as error:
            assert "Qdrant" in str(error)
        else:
            assert names == sorted(d.id for d in documents if meets(condition, d))


METADATA = [
    {"lang": "en", "year": 2024, "date": "2024-05-01", "tags": ["a", "b"]},
    {"lang": "fr", "year": 2024.0, "date": "2024-05-01T10:30:00", "tags": []},
    {"lang": None, "year": 1999.5, "date": "2023-12-31", "author": {"name": "Ann", "a.b": 1}},
    {"lang": True, "year": "2024", "date": 20240501, "tags": [1, None, {"x": 1}]},
    {"big": 2**70, "date": "2024-05-01T10:30:00.000Z and more", "tags": "a"},
]


@pytest.mark.parametrize(
    "expression",
    [
        "lang = 'en'",
        "lang != 'en'",
        "lang exists",
        "lang = null",
        "lang in ('fr', true)",
        "lang not in ('en', null)",
        "not (lang = 'en')",
        "year = 2024",
        "year != 2024",
        "year > 1999 and year <= 2024",
        "date >= '2024-05-01' and date < '2024-05-02'",
        "date > '2024-05-01T10:30:00.000Z'",
        "tags != 'a'",
        "tags not in ('a', 1)",
        "tags exists",
        "tags contains 'b'",
        "author.name like 'A%'",
        "author.name like '%nn%'",
        'author."a.b" = 1',
        "big = 1180591620717411303424",
        "@id like 'd%' and @title = ''",
        "@id in ('d0', 'd3')",
        "@piece.page exists",
    ],
)
def test_filters_of_every_kind_mean_the_same(index, expression):
    documents = [Document(f"d{n}", "text", metadata=metadata) for n, metadata in enumerate(METADATA)]
    index.add(documents, np.repeat(ROWS, len(documents), axis=0), [1] * len(documents))
    where = parse_filter(expression)
    assert found(index, where) == [d.id for d in documents if meets(where, d)]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("a like '%end'", "'text%' for a beginning"),
        ("a like 'x_'", "like"),
        ("a > 9007199254740993", "2\\^53"),
        ("a < '2024-05-01T10:30:00.000000Z'", "at most 24 bytes"),
    ],
)
def test_what_qdrant_cannot_test_is_refused_before_any_search(index, expression, said):
    where = parse_filter(expression)
    for call in (index.has, index.delete_where, lambda chosen: index.search(ROWS, [1], 1, where=chosen)):
        with pytest.raises(SettingError, match=said):
            call(where)
