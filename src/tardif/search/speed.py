"""The speed of this machine, measured for some seconds: encoding texts, building a small index, scanning it.

Every measure is taken several times; its spread is the largest difference from the median, as a share of it. Core time
is processor time, so that other work on the machine changes it little.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tardif.devices import core_count
from tardif.index.codebooks import centroid_count
from tardif.index.codes import assign, to_fixed
from tardif.index.disk import DiskIndex
from tardif.index.protocol import Vectors
from tardif.search.index_plan import QUERY_TOKENS, Speed
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

_TURNS = 5
# Texts of one turn: enough for the sub-batches of a model.
_TEXTS = 32
# Words of the first texts: few, so that the model reads them to their end.
_SAMPLE_WORDS = 12
# The index that is built: above the number of vectors from which a segment has centroids.
_DOCUMENTS, _TOKENS = 1_000, 120
_CENTROIDS = 1_024


@dataclass(frozen=True)
class MeasuredWork:
    """The median of some turns.

    Attributes:
        seconds: of the clock.
        core_seconds: of all cores together.
        spread: the largest difference from the median, as a share of it.
    """

    seconds: float
    core_seconds: float
    spread: float

    @classmethod
    def of(cls, work: Callable[[], object], turns: int = _TURNS) -> MeasuredWork:
        """Measure a work; it is done once before, to warm up."""
        work()
        taken = []
        for _ in range(turns):
            clock, core = time.perf_counter(), time.process_time()
            work()
            taken.append((time.perf_counter() - clock, time.process_time() - core))
        clocks, cores = zip(*taken, strict=True)
        median = statistics.median(clocks)
        return cls(median, statistics.median(cores), max(abs(one - median) for one in clocks) / median)


@dataclass(frozen=True)
class MachineSpeed:
    """What was measured.

    Attributes:
        speed: the slopes.
        dim: width of the model's token vectors.
        tokens: of the texts that were encoded, on average.
        text_bytes_per_token: of these texts.
        reach: the most tokens that the model reads of a document.
        encoding, assigning, building, scanning: each measure.
    """

    speed: Speed
    dim: int
    tokens: float
    text_bytes_per_token: float
    reach: int
    encoding: MeasuredWork
    assigning: MeasuredWork
    building: MeasuredWork
    scanning: MeasuredWork

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "encoding": {
                "documents_per_second": round(_TEXTS / self.encoding.seconds, 1),
                "tokens_per_second": round(1 / self.speed.encoding),
                "core_seconds_per_1000_documents": round(1000 * self.encoding.core_seconds / _TEXTS, 2),
                "tokens": round(self.tokens, 1),
                "spread": round(self.encoding.spread, 3),
            },
            "building": {
                "core_seconds_per_1000_documents": round(1000 * self.building.core_seconds / _DOCUMENTS, 3),
                "tokens": _TOKENS,
                "spread": round(self.building.spread, 3),
            },
            "scanning": {
                "core_seconds_per_million_vectors": round(1e6 * self.speed.scanning, 4),
                "query_tokens": QUERY_TOKENS,
                "spread": round(self.scanning.spread, 3),
            },
            "machine": {"cores": self.speed.cores, "memory": self.speed.memory},
        }


def measure_speed(model: MultiVectorEncoder, texts: Sequence[str], tokens: int, bits: int) -> MachineSpeed:
    """Measure the speed of this machine, with the device that the model is on.

    Args:
        model: encodes the texts.
        texts: usual ones; they are cut to, or joined up to, ``tokens`` tokens.
        tokens: of a document.
        bits: of each stored component.

    Raises:
        FolderError: the temporary folder cannot be written.
    """
    import psutil

    from tardif.encoder.token_vectors import encode_documents
    from tardif.encoder.truncation import document_reach

    reach = document_reach(model)
    documents = _of_length(model, texts, min(tokens, reach))
    vectors, lengths = encode_documents(model, documents)
    encoding = MeasuredWork.of(lambda: encode_documents(model, documents))
    dim = vectors.shape[1]
    made = _clustered(_DOCUMENTS * _TOKENS, dim)
    fixed = to_fixed(made[:4096])
    centroids = to_fixed(_clustered(_CENTROIDS, dim))
    assigning = MeasuredWork.of(lambda: assign(fixed, centroids))
    per_component = assigning.core_seconds / (len(fixed) * _CENTROIDS * dim)
    building, scanning, chosen = _index(made, bits)
    # What is left of a build is writing; assigning grows with the number of centroids.
    writing = max(building.core_seconds / len(made) - per_component * chosen * dim, 0.0)
    speed = Speed(
        encoding=encoding.seconds / sum(lengths),
        assigning=per_component,
        writing=writing,
        scanning=scanning.core_seconds / len(made),
        cores=core_count(),
        memory=psutil.virtual_memory().total,
    )
    size = sum(len(text.encode()) for text in documents) / sum(lengths)
    return MachineSpeed(speed, dim, sum(lengths) / len(lengths), size, reach, encoding, assigning, building, scanning)


def _of_length(model: MultiVectorEncoder, texts: Sequence[str], tokens: int) -> list[str]:
    """Texts of about so many tokens: words joined as needed, counted by the model itself."""
    from tardif.encoder.token_vectors import encode_documents

    words = " ".join(texts).split()

    def made(count: int) -> list[str]:
        return [" ".join(words[(n * count + i) % len(words)] for i in range(count)) for n in range(_TEXTS)]

    count = _SAMPLE_WORDS
    for _ in range(2):  # the second time near the length that is wanted, where the tokens of the markers weigh less
        count = max(round(count * tokens / (sum(encode_documents(model, made(count))[1]) / _TEXTS)), 1)
    return made(count)


def _clustered(count: int, dim: int) -> Vectors:
    """Unit vectors ``[count, dim]`` around some centres, as token vectors are. The same ones in every call."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((512, dim), dtype=np.float32)
    made = centres[generator.integers(0, len(centres), count)]
    made += 0.6 * generator.standard_normal((count, dim), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def _index(vectors: Vectors, bits: int) -> tuple[MeasuredWork, MeasuredWork, int]:
    """Build an index of vectors on disk, and scan it; return also its number of centroids."""
    lengths = [_TOKENS] * _DOCUMENTS
    documents = [Document(str(number), "a text of some length " * 20) for number in range(_DOCUMENTS)]
    query = vectors[:QUERY_TOKENS]
    with (
        tempfile.TemporaryDirectory(prefix="tardif-", ignore_cleanup_errors=True) as folder,
        DiskIndex.create(Path(folder) / "index", model={}, bits=bits, threads=1) as index,
    ):

        def build() -> None:
            index.add(documents, vectors, lengths)
            index.wait()

        # Later turns replace the documents: the codebook is learnt once, in the first.
        building = MeasuredWork.of(build, turns=3)
        scanning = MeasuredWork.of(lambda: index.search(query, [QUERY_TOKENS], 10, exact=True))
        return building, scanning, centroid_count(len(vectors))
