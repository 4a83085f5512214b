"""Work over a real Ray cluster of two nodes: the same results as without, also where a node is killed meanwhile."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

import ray_works
import tiny
from tardif.cluster import shipping
from tardif.cluster.connection import Cluster, connected
from tardif.cluster.pool import Pool
from tardif.errors import ClusterError, DataError, FolderError
from tardif.evaluation.comparison import compare
from tardif.index.disk import DiskIndex
from tardif.mining.miners import make_searcher
from tardif.search.retriever import Retriever
from tardif.text.languages import language
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

DOCUMENTS = [Document(f"d{n}", f"{tiny.SENTENCES[n % 30]} Number {n} of them.") for n in range(1200)]


@pytest.fixture(scope="module")
def cluster(nodes):
    with connected(nodes.address) as found:
        yield found


def test_the_cluster_has_the_cores_of_both_nodes(cluster, nodes):
    assert replace(cluster, address="") == Cluster("", cores=2, gpus=0)
    with connected(nodes.address) as same:
        assert same == cluster
    with pytest.raises(ClusterError, match="is connected to"), connected("127.0.0.1:1"):
        pass


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """A folder that no worker has, and so gets as a copy."""
    (tmp_path / "text.txt").write_text("what was sent")
    (tmp_path / "large.bin").write_bytes(os.urandom(shipping.PIECE + 1))
    with monkeypatch.context() as patch:
        patch.setattr(shipping, "place_of", lambda folder: "another machine")
        return shipping.ship(tmp_path)


def test_workers_do_items_in_order_and_with_one_thread_each(cluster, sent):
    with Pool(cluster, ray_works.any_work, [sent]) as pool:
        found = list(pool.map([("square", number) for number in range(40)]))
        assert [square for square, *_ in found] == [number * number for number in range(40)]
        assert {threads for _, _, threads, _ in found} == {"1"}
        assert {tuple(texts) for *_, texts in found} == {("what was sent",)}
        assert os.getpid() not in {process for _, process, *_ in found}
        # An error of ours arrives as it was raised, and the workers go on.
        with pytest.raises(DataError, match=r"numbers.txt, line 7: 7 is no good\."):
            list(pool.map([("square", 6), ("refuse", 7)]))
        assert next(pool.map([("square", 3)]))[0] == 9
        with pytest.raises(ClusterError, match="died at the same work"):
            list(pool.map([("die", 1)]))


def test_a_copy_is_what_was_sent_and_is_removed_when_nobody_uses_it(cluster, sent, tmp_path):
    with shipping.received(sent) as copy:
        assert copy != tmp_path
        assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
            path.name: path.read_bytes() for path in tmp_path.iterdir()
        }
        other = replace(sent, files=sent.files[:1])
        with shipping.received(other) as second:
            assert copy.exists()
    damaged = replace(sent, files=tuple(replace(file, checksum="0" * 64) for file in sent.files))
    with pytest.raises(FolderError, match="damaged on its way"), shipping.received(damaged):
        pass
    assert not copy.exists()
    assert not second.exists()
    with shipping.received(shipping.ship(tmp_path)) as folder:
        assert folder == tmp_path


def test_what_a_killed_worker_had_is_done_again(cluster, tmp_path):
    with Pool(cluster, ray_works.death_once, [shipping.ship(tmp_path)]) as pool:
        assert list(pool.map(range(8))) == list(range(8))
    assert len(list(tmp_path.glob("died-*"))) == 2


def searcher(kind, cluster, folder, cache):
    model = {"model": str(folder)} if kind == "late" else {"dense_model": str(folder)}
    return make_searcher(kind, DOCUMENTS, language=language("en"), cluster=cluster, cache=cache, **model)


def cached(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["late", "dense"])
def test_miners_get_the_same_bytes(kind, cluster, multi_vector_folder, dense_folder, tmp_path):
    folder = multi_vector_folder if kind == "late" else dense_folder
    over = searcher(kind, cluster, folder, tmp_path / "cluster")
    here = searcher(kind, None, folder, tmp_path / "here")
    assert cached(tmp_path / "cluster") == cached(tmp_path / "here")
    assert over.search(tiny.SENTENCES[:3], 5) == here.search(tiny.SENTENCES[:3], 5)


def test_a_killed_node_changes_no_result(nodes, cluster, multi_vector_folder, tmp_path, capfd):
    rows = [(text, document.text) for text, document in zip(tiny.SENTENCES[:20], DOCUMENTS, strict=False)]
    judged = {"documents": DOCUMENTS, "measures": ["RR@10", "R@100"]}
    here = compare([str(multi_vector_folder)], [rows], run_file=tmp_path / "here.trec", **judged)
    kill = threading.Timer(1, nodes.kill_second)
    kill.start()
    try:
        over = compare([str(multi_vector_folder)], [rows], run_file=tmp_path / "over.trec", ray=nodes.address, **judged)
    finally:
        kill.join()
        nodes.add()
    assert over == here
    assert (tmp_path / "over.trec").read_bytes() == (tmp_path / "here.trec").read_bytes()
    assert capfd.readouterr().out == ""


def stored(folder):
    """What an index holds: the documents, and every stored vector with its scale."""
    with DiskIndex(folder, threads=1) as index:
        view = index.view()
        numbers = view.numbers().tolist()
        ids = index.store.ids(numbers)
        vectors = {ids[number]: view.stored(number) for number in numbers}
        return index.get(index.ids()), {name: (rows.tobytes(), scale) for name, (rows, scale) in vectors.items()}


def test_a_killed_node_changes_no_index(nodes, cluster, multi_vector_folder, tmp_path, capfd):
    how = {"pool": 2, "quiet": True}
    Retriever.build(multi_vector_folder, DOCUMENTS, tmp_path / "here", **how).close()
    kill = threading.Timer(1, nodes.kill_second)
    kill.start()
    try:
        Retriever.build(multi_vector_folder, DOCUMENTS, tmp_path / "over", ray=nodes.address, **how).close()
    finally:
        kill.join()
        nodes.add()
    assert stored(tmp_path / "over") == stored(tmp_path / "here")
    assert capfd.readouterr().out == ""
