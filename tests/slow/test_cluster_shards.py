"""Shards on the actors of a real Ray cluster: the answers of the same index here, also where actors and a node die."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import psutil
import pytest

import ray_nodes
from tardif.cluster import shipping
from tardif.cluster.connection import connected
from tardif.cluster.shards import open_shards
from tardif.errors import DataError, SettingError, ShardError
from tardif.index.filters import parse_filter
from tardif.index.sharded_folder import ShardedFolder
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

DIM = 16
WORDS = ("harbour", "bread", "moon", "violin", "copper")


@pytest.fixture(scope="module")
def cluster(nodes):
    for _ in range(10 * ray_nodes.PATIENCE):  # of another file's shards
        if not actors(nodes):
            break
        time.sleep(0.1)
    with connected(nodes.address) as found:
        yield found


def given(numbers, seed=0):
    """Documents with vectors, as an index takes them."""
    rng = np.random.default_rng(seed)
    documents = [Document(f"d{n}", f"The {WORDS[n % 5]} of number {n}.", metadata={"n": n}) for n in numbers]
    lengths = [int(length) for length in rng.integers(2, 6, len(documents))]
    vectors = rng.standard_normal((sum(lengths), DIM)).astype(np.float32)
    return documents, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), lengths


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sharded") / "index"
    with ShardedFolder.create(place, 2, model={}, words="en", threads=1) as index:
        index.add(*given(range(300)), source="here")
    return place


@contextlib.contextmanager
def opened(cluster, folder, replicas=1):
    with ShardedFolder(folder, threads=1, open_shard=open_shards(cluster, folder, replicas)) as index:
        yield index


def asked():
    """Some queries: packed vectors and lengths."""
    _, vectors, lengths = given(range(4), seed=1)
    return vectors, lengths


def answers(index):
    """What an index answers to every kind of question."""
    vectors, lengths = asked()
    some, where = ["d3", "d150", "d299"], parse_filter("n >= 100 and n < 200")
    with index.moment():
        moment = index.search(vectors, lengths, 5, exact=True)
    return {
        "length": len(index),
        "search": index.search(vectors, lengths, 20),
        "exact": index.search(vectors, lengths, 20, exact=True),
        "moment": moment,
        "filtered": index.search(vectors, lengths, 20, where=where),
        "words": index.search_words("the moon of number 7", 10),
        "documents": index.get([*some, "unknown"]),
        "wholes": index.wholes(some),
        "score": index.score(vectors[: lengths[0]], some),
        "matches": [match.similarities.tolist() for match in index.matches(vectors[: lengths[0]], some)],
        "keys": index.keys(),
        "has": [index.has(where), index.has(parse_filter("n > 1000"))],
        "sources": index.sources(),
        "prunes": index.prunes,
        "change": index.change,
        "tokens": index.tokens,
    }


def actors(nodes):
    """The processes of shard actors."""
    found = []
    for process in nodes.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ShardActor" in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill(processes):
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=ray_nodes.PATIENCE)


def test_shards_on_actors_answer_as_shards_here(cluster, folder, nodes):
    with ShardedFolder(folder, threads=1) as here, opened(cluster, folder) as there:
        assert answers(there) == answers(here)
        assert len(actors(nodes)) == 2
        with pytest.raises(DataError, match="'unknown' is not in the index"):
            there.score(asked()[0], ["unknown"])
        # Changes go to the right shard, and whoever else reads the folder sees them at once.
        there.add(*given([*range(290, 310)], seed=2), source="there")
        assert there.delete(["d0", "d1", "unknown"]) == 2
        assert there.delete_where(parse_filter("n = 7")) == 1
        assert answers(there) == answers(here)
        assert len(there) == 307
        before = there.search(*asked(), 5)
        with there.moment():
            here.delete(["d2"])
            assert there.search(*asked(), 5) == before
            assert "d2" in there.get(["d2"])
        assert "d2" not in there.get(["d2"])


def test_a_dead_actor_is_an_error_that_names_its_shard_until_it_is_back(cluster, folder, nodes):
    with ShardedFolder(folder, threads=1) as here, opened(cluster, folder) as there:
        expected = here.search(*asked(), 5, exact=True)
        assert there.search(*asked(), 5, exact=True) == expected
        kill(actors(nodes)[:1])
        with pytest.raises(ShardError, match=r"shard-000[01].*worker on the cluster died"):
            there.search(*asked(), 5, exact=True)
        with there.partial() as missing:
            there.search(*asked(), 5, exact=True)
        assert len(missing) <= 1
        for _ in range(ray_nodes.PATIENCE):
            with contextlib.suppress(ShardError):
                if there.search(*asked(), 5, exact=True) == expected:
                    break
        else:
            pytest.fail("Ray has not started the actor again")


def test_a_replica_answers_where_a_node_dies(cluster, folder, nodes):
    with ShardedFolder(folder, threads=1) as here, opened(cluster, folder, replicas=2) as there:
        expected = here.search(*asked(), 5, exact=True)
        assert len(actors(nodes)) == 4
        with there.moment():
            for number in range(20):
                if number == 5:
                    nodes.kill_second()
                assert there.search(*asked(), 5, exact=True) == expected
        assert there.search(*asked(), 5, exact=True) == expected
    nodes.add()


def test_a_node_without_the_folder_gets_a_copy_that_is_not_changed(cluster, folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shipping, "place_of", lambda place: "another machine")
        patch.setattr("socket.gethostname", lambda: "another-machine")
        opening = open_shards(cluster, folder)
    with ShardedFolder(folder, threads=1) as here, ShardedFolder(folder, threads=1, open_shard=opening) as there:
        assert answers(there) == answers(here)
        with pytest.raises(SettingError, match="is read from copies on other machines"):
            there.delete(["d5"])
        assert len(there) == len(here)
