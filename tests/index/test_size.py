"""The predicted size of an index: its laws, and real indexes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tardif import SettingError
from tardif.index.compaction import MOST_PLAIN
from tardif.index.disk import DiskIndex
from tardif.index.size import CorpusShape, index_size, vector_bytes
from tardif.types import Document


def corpus(**options):
    return CorpusShape(**{"documents": 1_000_000, "tokens": 120, "dim": 128, **options})


def test_twice_the_documents_take_twice_the_bytes():
    one, two = index_size(corpus()), index_size(corpus(documents=2_000_000))
    assert two.vectors == 2 * one.vectors
    assert two.texts == pytest.approx(2 * one.texts)
    assert two.total / one.total == pytest.approx(2, rel=0.01)  # the codebook grows with the root


def test_half_the_bits_take_half_the_bytes():
    wide = {bits: vector_bytes(128, bits) for bits in (16, 8, 4, 2)}
    # 8 bits have a step of four bytes for each vector; 4 and 2 have the number of its centroid, two bytes.
    assert (wide[16], wide[8] - 4, wide[4] - 2, wide[2] - 2) == (256, 128, 64, 32)
    assert index_size(corpus(bits=4)).vectors == 120_000_000 * wide[4]


def test_pooling_divides_the_vectors():
    one, two = index_size(corpus()), index_size(corpus(pool=2))
    assert two.vectors * 2 == one.vectors
    assert two.texts == one.texts


def test_the_measured_bytes_per_token_of_scifact():
    """5,183 documents of 212 tokens: benchmarks/RESULTS.md, "The engine"."""
    for bits, measured in {16: 257.7, 8: 133.7, 4: 67.7, 2: 35.7}.items():
        size = index_size(CorpusShape(5_183, 212, 128, bits))
        assert size.searched / (5_183 * 212) == pytest.approx(measured, rel=0.005)


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_a_real_index_has_the_predicted_size(tmp_path, bits):
    count, tokens, dim = 1_200, 100, 48
    generator, words = np.random.default_rng(0), random.Random(0)
    centres = generator.standard_normal((200, dim))
    # A document has tokens of a few kinds, so that some of them share a centroid.
    kinds = np.concatenate([generator.choice(200, 12)[generator.integers(0, 12, tokens)] for _ in range(count)])
    vectors = (centres[kinds] + 0.3 * generator.standard_normal((count * tokens, dim))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    documents = [Document(f"d{n}", "a text of words " * words.randrange(10, 60)) for n in range(count)]
    with DiskIndex.create(tmp_path / "index", model={}, bits=bits, threads=1) as index:
        index.add(documents, vectors, [tokens] * count)
        index.wait()
    actual = sum(path.stat().st_size for path in (tmp_path / "index").rglob("*") if path.is_file())
    text_bytes = sum(len(document.id) + len(document.text) for document in documents) / count
    size = index_size(CorpusShape(count, tokens, dim, bits, text_bytes=text_bytes))
    assert size.total == pytest.approx(actual, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"documents": 0},
        {"tokens": 0},
        {"bits": 3},
        {"pool": 0.5},
        {"dim": float("inf")},
        {"documents": 10**16},
        {"tokens": 10**400},
        {"documents": 10**9, "tokens": 10**9},
    ],
)
def test_what_cannot_be_is_refused(options):
    with pytest.raises(SettingError):
        corpus(**options)


def test_what_a_compaction_replaced_is_removed_on_request(tmp_path):
    vectors = np.eye(8, dtype=np.float32)
    with DiskIndex.create(tmp_path / "index", model={}, threads=1) as index:
        files = tmp_path / "index" / "segments"
        for number in range(MOST_PLAIN + 1):  # one more, and all are merged
            index.add([Document(str(number), "text")], vectors, [8])
            index.wait()
        assert len(list(files.iterdir())) > len(index.store.segments()) == 1
        index.sweep()
        assert [path.name for path in files.iterdir()] == index.store.segments()
        found = index.search(vectors[:1], [1], 20)
        assert len(found[0]) == MOST_PLAIN + 1
    with DiskIndex(tmp_path / "index") as index:
        assert index.search(vectors[:1], [1], 20) == found
