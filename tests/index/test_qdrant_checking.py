"""The examination of an index in Qdrant: what was stored is well, and what another program has done is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import token_vectors as plain
from qdrant_here import KINDS, QUIET, empty_index
from tardif.index.qdrant.conditions import all_of
from tardif.index.qdrant.payload import Point, payload_of, point_id
from tardif.index.qdrant.qdrant_checking import examine_qdrant
from tardif.types import Document, Piece

pytestmark = QUIET

PIECES = [Document(f"long#{n}", f"part {n}", piece=Piece("long", n, 2, 0, 6)) for n in (1, 2)]
SAMPLES = [
    Document("dots", "x", metadata={"a.b": [1, "x", True], "é": {"in": None, "deep": {"er": [0.5, -0.0]}}}),
    Document("marks", "x", "N\0L", {'q"t': "N\0L", "x[0]": "2024-01-01T10:00:00.123456789", "": [], "huge": 1e300}),
    Document("ints", "x", metadata={"most": 2**63, "least": -(2**63), "beyond": 10**400, "float": 1.0, "nan": "NaN"}),
]
DOCUMENTS = [Document("a", "first", "Title", {"year": 2024, "huge": 2**70, "some": [1, "x", None, 0.5]}), *PIECES]


@pytest.fixture(params=KINDS)
def index(request, tmp_path):
    made = empty_index(request.param, tmp_path / "docs")
    pooled = [None, np.array([0, 1, 0]), None]
    groups = [np.arange(2) if group is None else group for group in pooled]
    made.add(DOCUMENTS, plain.vectors_of(1, 6), [2, 2, 2], groups, source="here")
    made.add([Document("bare", "!!")], np.zeros((0, plain.DIM), np.float32), [0])
    yield made
    made.close()


def test_what_was_stored_is_well_and_what_cannot_be_told_is_said(index):
    index.add(SAMPLES, plain.vectors_of(2, len(SAMPLES)), [1] * len(SAMPLES))
    found = examine_qdrant(index)
    assert found.problems == []
    assert found.documents == 3 + len({document.whole_id for document in SAMPLES})
    assert found.tokens == 6 + len(SAMPLES)
    assert "checksums" in found.as_json()["unchecked"][0]


def changed(index):
    index.engine.assign({"title": "Another"}, all_of({"has_id": [point_id("a")]}))


def without_a_fact(index):
    (record,) = index.engine.vectors([point_id("a")], ("tardif",))
    index.engine.assign({"tardif": {**record.payload["tardif"], "facts": []}}, all_of({"has_id": [record.id]}))


def without_a_piece(index):
    index.engine.delete(all_of({"has_id": [point_id("long#2")]}))


def with_a_stranger(index):
    index.engine.upsert([Point(point_id("elsewhere"), {"text": "not ours"}, plain.vectors_of(3, 1))])


def under_another_id(index):
    payload = payload_of(Document("copy", "text"), None, "", 9)
    index.engine.upsert([Point(point_id("elsewhere"), payload, plain.vectors_of(3, 1))])


def with_fewer_vectors(index):
    payload = payload_of(replace(DOCUMENTS[0]), np.array([0, 4]), "here", 0)
    index.engine.upsert([Point(point_id("a"), payload, plain.vectors_of(3, 1))])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed, "'a' was changed"),
        (without_a_fact, "'a' was changed"),
        (without_a_piece, "'long' has 1 of its 2 pieces"),
        (with_a_stranger, f"{point_id('elsewhere')} is none that Tardif wrote"),
        (under_another_id, f"{point_id('elsewhere')} is none that Tardif wrote"),
        (with_fewer_vectors, "'a' has fewer vectors"),
    ],
)
def test_what_another_program_did_is_named(index, damage, said):
    damage(index)
    (problem,) = examine_qdrant(index).problems
    assert said in problem
