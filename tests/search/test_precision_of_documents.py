"""Documents encoded in bfloat16: the index remembers it, and all that is encoded for it later is encoded alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import tiny
from tardif.encoder import precision
from tardif.errors import SettingError
from tardif.index.stored import stored_blocks
from tardif.search import build
from tardif.search.export_vectors import parts_of
from tardif.search.indexed_model import IndexedModel
from tardif.search.retriever import Retriever
from tardif.types import Document

CORPUS = [Document(f"d{n}", text) for n, text in enumerate(tiny.SENTENCES[:12])]


@pytest.fixture(autouse=True)
def _unexported(monkeypatch):
    """No query encoder is exported, which takes longer than all else."""
    monkeypatch.setattr(build, "export_encoder", lambda *given: None)
    monkeypatch.setattr("tardif.search.build_sharded.export_encoder", lambda *given: None)


def built(model, out, documents=CORPUS, **how):
    return Retriever.build(model, documents, out, bits=16, quiet=True, **how)


def stored(retriever):
    """The stored vectors of each document."""
    found = {}
    with parts_of(retriever.index) as parts:
        for part in parts:
            for block in stored_blocks(part, 10_000):
                rows = np.split(block.vectors, np.cumsum(block.lengths)[:-1])
                found |= {document.id: own for document, own in zip(block.documents, rows, strict=True)}
    return found


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def exact(multi_vector_folder, tmp_path_factory):
    """The vectors in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "export_encoder", lambda *given: None)
        with built(multi_vector_folder, tmp_path_factory.mktemp("exact") / "index") as retriever:
            assert "precision" not in retriever.index.manifest["model"]
            return stored(retriever)


def test_vectors_are_near_those_of_float32_and_have_their_length(multi_vector_folder, tmp_path, exact):
    with built(multi_vector_folder, tmp_path / "index", precision="bf16") as retriever:
        found = stored(retriever)
    assert not equal(found, exact)
    for name, vectors in found.items():
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)  # of 16 bits
        assert (vectors * exact[name]).sum(axis=1).min() > 0.999


def test_what_is_added_and_repaired_is_encoded_alike(multi_vector_folder, tmp_path, exact):
    with built(multi_vector_folder, tmp_path / "all", precision="bf16") as whole:
        expected = stored(whole)
    with built(multi_vector_folder, tmp_path / "index", CORPUS[:5], precision="bf16") as retriever:
        retriever.add(CORPUS[5:], quiet=True)
    with Retriever(tmp_path / "index") as again:
        again.add(CORPUS[:2], quiet=True)
        assert equal(stored(again), expected)


def test_lost_vectors_are_encoded_alike(multi_vector_folder, tmp_path, tardif):
    with built(multi_vector_folder, tmp_path / "index", precision="bf16") as retriever:
        expected = stored(retriever)
    (segment, *_) = (tmp_path / "index" / "segments").glob("*.segment")
    segment.write_bytes(segment.read_bytes()[:2000])
    assert tardif("doctor", tmp_path / "index", "--repair", "--quiet")[0] == 0
    with Retriever(tmp_path / "index") as repaired:
        assert equal(stored(repaired), expected)


def test_shards_are_encoded_alike(multi_vector_folder, tmp_path):
    with (
        built(multi_vector_folder, tmp_path / "one", precision="bf16") as one,
        built(multi_vector_folder, tmp_path / "two", precision="bf16", shards=2) as two,
    ):
        assert equal(stored(two), stored(one))
        assert IndexedModel.of(two.index).precision == "bf16"


def test_an_interrupted_build_of_another_precision_is_not_continued(multi_vector_folder, tmp_path, exact, monkeypatch):
    fill = build.fill
    with monkeypatch.context() as patch:

        def some(index, corpus, encode, **how):
            fill(index, corpus, encode, **how)
            raise KeyboardInterrupt

        patch.setattr(build, "fill", some)
        with pytest.raises(KeyboardInterrupt):
            built(multi_vector_folder, tmp_path / "index", precision="bf16")
    with built(multi_vector_folder, tmp_path / "index") as retriever:
        assert equal(stored(retriever), exact)


@pytest.mark.parametrize(("is_faster", "remembered"), [(True, "bf16"), (False, None)])
def test_auto_is_what_the_processor_computes_fast(is_faster, remembered, multi_vector_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_is_faster", lambda: is_faster)
    monkeypatch.setattr(precision, "_LEAST_WIDTH", 1)
    with built(multi_vector_folder, tmp_path / "index", precision="auto") as retriever:
        assert retriever.index.manifest["model"].get("precision") == remembered


@pytest.mark.parametrize(
    ("many", "given", "is_faster", "is_said"),
    [(12, "fp32", True, True), (13, "fp32", True, False), (12, "fp32", False, False), (12, "bf16", True, False)],
)
def test_a_faster_way_is_named_where_it_saves_minutes(
    many, given, is_faster, is_said, multi_vector_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(precision, "_is_faster", lambda: is_faster)
    monkeypatch.setattr(precision, "_LEAST_WIDTH", 1)
    monkeypatch.setattr(build, "_MANY", many)
    Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", precision=given).close()
    assert ("--precision bf16" in capsys.readouterr().err) == is_said


def test_vectors_that_are_no_unit_vectors_keep_their_lengths(monkeypatch):
    given = np.array([[3.0, 4.0], [0.6, 0.8], [1.005, 0.0], [0.0, 0.0]], dtype=np.float32)
    monkeypatch.setattr(build, "encode_documents", lambda model, texts: (given.copy(), [4]))

    class Model:
        device = torch.device("cpu")

    vectors, _, _ = build.document_vectors(Model, ["text"], 1.0, "bf16")
    assert np.allclose(vectors, [[3, 4], [0.6, 0.8], [1, 0], [0, 0]])
    assert vectors.dtype == np.float32


def test_an_unknown_precision_is_refused_before_any_work(multi_vector_folder, tmp_path, fails):
    words = "precision='fp16' is not known: use fp32, bf16 or auto"
    with pytest.raises(SettingError, match=words):
        built(multi_vector_folder, tmp_path / "index", precision="fp16")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "a", "text": "a text"}) + "\n", encoding="utf-8")
    assert words in fails("index", multi_vector_folder, corpus, "--out", tmp_path / "index", "--precision", "fp16")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus.jsonl"}
