"""The plan of an index: bytes, hours, latency, memory, nodes and engine for a corpus, from the speed of a machine.

Bytes follow from the format (:mod:`tardif.index.size`). Times are slopes that :mod:`tardif.search.speed` has measured,
drawn out to the size of the corpus.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tardif.errors import SettingError
from tardif.index.codebooks import centroid_count
from tardif.index.size import CorpusShape, IndexSize, index_size

# The share of a machine's memory that an index may take: the rest is for the system, the model and the queries.
_MEMORY_SHARE = 0.75
# What a pruned search takes of the time of an exact one: 13.1 of 127.4 ms over 43,001 documents with 2.8 million
# vectors, 5.2 of 30.7 ms over 10,000 (benchmarks/RESULTS.md, "The engine"). Beyond what was measured, the share stays
# as it is at worst; at best it falls on as it did between the two.
_PRUNED_SHARE, _MEASURED_VECTORS, _FALL = 0.1, 2_800_000, 0.37
# The tokens of a usual question.
QUERY_TOKENS = 12
# Seconds for one query on one core above which shards that search side by side are worth their trouble.
_SLOW_SECONDS = 0.2
# Documents of a shard at most: its build is then done in hours, and repeated alone if it fails.
_SHARD_DOCUMENTS = 10_000_000
# More documents than any disk holds.
_MOST_DOCUMENTS = 10**18
# Clusters of this many nodes need what a database brings: replicas, and nodes that come and go.
_MANY_NODES = 8


@dataclass(frozen=True)
class Speed:
    """The speed of a machine, as slopes.

    Attributes:
        encoding: seconds of one token, with everything that the device has.
        assigning: core-seconds to compare one component of a vector with one of a centroid.
        writing: core-seconds to write one vector, without that.
        scanning: core-seconds to score one vector with one query.
        cores: that work side by side.
        memory: bytes.
    """

    encoding: float
    assigning: float
    writing: float
    scanning: float
    cores: int
    memory: int


@dataclass(frozen=True)
class IndexPlan:
    """What a corpus needs.

    Attributes:
        corpus: what the index holds.
        size: its bytes.
        encoding_hours: on one machine like the one that was measured.
        building_hours: the same.
        exact_seconds: of one query that scores every document, on one core.
        pruned_seconds: of one query with the default recall, on one core: at best and at worst.
        answer_seconds: the worst of these where the shards are searched side by side.
        disk: bytes while it is built: segments are merged beside the old ones.
        memory: bytes that keep what a search reads in memory.
        nodes: machines like this one whose memory holds that.
        shards: parts of the index; 1 is one index.
        engine: ``index``, ``shards``, ``ray`` or ``qdrant``.
        why: of the engine.
    """

    corpus: CorpusShape
    size: IndexSize
    encoding_hours: float
    building_hours: float
    exact_seconds: float
    pruned_seconds: tuple[float, float]
    answer_seconds: float
    disk: int
    memory: int
    nodes: int
    shards: int
    engine: str
    why: str

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        size = {**dataclasses.asdict(self.size), "total": self.size.total}
        per_token = self.size.searched / (self.corpus.documents * self.corpus.tokens)
        return {
            "bytes": size,
            "bytes_per_token": round(per_token, 2),
            **{
                name: round(getattr(self, name), 6)
                for name in ("encoding_hours", "building_hours", "exact_seconds", "answer_seconds")
            },
            "pruned_seconds": [round(seconds, 6) for seconds in self.pruned_seconds],
            **{name: getattr(self, name) for name in ("disk", "memory", "nodes", "shards", "engine", "why")},
        }


def plan_index(corpus: CorpusShape, speed: Speed) -> IndexPlan:
    """Return what a corpus needs on machines of this speed.

    >>> speed = Speed(encoding=1e-5, assigning=1e-11, writing=1e-6, scanning=4e-8, cores=16, memory=64 << 30)
    >>> found = plan_index(CorpusShape(documents=50_000_000, tokens=120, dim=128), speed)
    >>> found.nodes, found.engine
    (16, 'qdrant')

    Args:
        corpus: what the index is to hold.
        speed: measured.
    """
    size = index_size(corpus)
    memory = size.searched + size.centroids
    nodes = math.ceil(memory / (_MEMORY_SHARE * speed.memory))
    exact = corpus.vectors * speed.scanning
    pruned = _PRUNED_SHARE * exact
    shards = _shards(corpus, pruned, nodes, speed.cores)
    engine, why = _engine(nodes, shards)
    return IndexPlan(
        corpus,
        size,
        encoding_hours=corpus.documents * corpus.tokens * speed.encoding / 3600,
        building_hours=_building(corpus, speed, shards) / 3600,
        exact_seconds=exact,
        pruned_seconds=(pruned * min((_MEASURED_VECTORS / corpus.vectors) ** _FALL, 1.0), pruned),
        answer_seconds=pruned / shards,
        # The largest segments have 65,536 documents; while two halves are merged, they are there twice.
        disk=size.total + min(size.searched, round(size.searched * 65_536 / corpus.documents)),
        memory=memory,
        nodes=nodes,
        shards=shards,
        engine=engine,
        why=why,
    )


def _building(corpus: CorpusShape, speed: Speed, shards: int) -> float:
    """Seconds to build all shards on one machine."""
    centroids = centroid_count(math.ceil(corpus.vectors / shards))
    each = speed.writing + speed.assigning * centroids * corpus.dim
    return corpus.vectors * each / speed.cores


def _shards(corpus: CorpusShape, pruned: float, nodes: int, cores: int) -> int:
    """How many parts: so many that a query is fast and a part is built in hours, and one for each core at most."""
    wanted = max(math.ceil(pruned / _SLOW_SECONDS), math.ceil(corpus.documents / _SHARD_DOCUMENTS), nodes)
    return min(wanted, nodes * max(cores, 1))


def _engine(nodes: int, shards: int) -> tuple[str, str]:
    if nodes == 1 and shards == 1:
        return "index", "one machine's memory holds it, and one core answers in time"
    if nodes == 1:
        return "shards", "one machine's memory holds it, and its cores search the shards side by side"
    if nodes < _MANY_NODES:
        return "ray", f"it needs the memory of {nodes} machines like this one"
    return "qdrant", f"it needs the memory of {nodes} machines like this one: replicas, and nodes that come and go"


def parse_count(text: str) -> int:
    """Read a number of documents.

    >>> parse_count("50M"), parse_count("1.5B"), parse_count("200_000"), parse_count("20k")
    (50000000, 1500000000, 200000, 20000)

    Raises:
        SettingError: it is no whole number of at least 1.
    """
    word = text.strip().lower().replace("_", "").replace(",", "")
    factor = {"k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}.get(word[-1:], 1)
    try:
        # As written: a float would round 1.1M.
        given = Decimal(word[:-1] if factor > 1 else word) * factor
    except ArithmeticError:
        given = Decimal(0)
    if not (given.is_finite() and 0 < given < _MOST_DOCUMENTS):
        raise SettingError(f"{text!r} is no number of documents: give one such as 200000, 50M or 1.5B.")
    count = int(given)
    if count != given:
        raise SettingError(
            f"{text!r} is no whole number of documents: give one such as 200000 or 1.5M (k, M and B are thousands, "
            "millions and billions)."
        )
    return count
