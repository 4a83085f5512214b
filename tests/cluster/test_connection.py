"""Addresses of clusters, as users write them."""

from __future__ import annotations

import socket

import pytest

from tardif import extras
from tardif.cluster.connection import Cluster, check_address, connected
from tardif.cluster.pool import check_version
from tardif.errors import ClusterError, MissingExtraError, SettingError
from tardif.evaluation.comparison import compare
from tardif.preparation import prepare

ROWS = [[("how far is the moon?", "The moon is 384,400 km away."), ("who bakes?", "A baker bakes bread.")]]


@pytest.fixture(autouse=True)
def _ray():
    pytest.importorskip("ray")


@pytest.mark.parametrize("address", ["local", "auto", "10.0.0.1:6379", "head.example:6379", "[::1]:6379"])
def test_addresses(address):
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address", ["", "head", "head:", ":6379", "head:port", "head:0", "head:65536", "ray://h:1", 6379]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(SettingError, match=r"^ray="):
        check_address(address)


def test_a_wrong_address_is_refused_before_any_work(tmp_path):
    with pytest.raises(SettingError, match="ray=head: give local, auto or HOST:PORT"):
        compare(["bm25"], ROWS, ray="head")
    with pytest.raises(SettingError, match="ray=head: give local, auto or HOST:PORT"):
        prepare(ROWS, miner="dense", ray="head")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(extras, "_is_there", lambda module: module != "ray")
    with pytest.raises(MissingExtraError, match=r"needs ray, which is not installed: pip install 'tardif\[cluster\]'"):
        check_address("local")


def test_where_nobody_listens_the_error_comes_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        pytest.raises(ClusterError, match=f"No Ray cluster answers at 127.0.0.1:{port}"),
        connected(f"127.0.0.1:{port}"),
    ):
        pass


def test_a_cluster_that_does_not_start_in_time_is_one_readable_error(monkeypatch):
    def late(**given):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", late)
    with (
        pytest.raises(ClusterError, match=r"started on this machine \(The current node .*try again"),
        connected("local"),
    ):
        pass


def test_workers_of_another_version_are_refused():
    with pytest.raises(ClusterError, match="install the same"):
        check_version("0.0.1")


@pytest.mark.parametrize(
    ("cores", "gpus", "actors", "options"),
    [
        (8, 0, 8, {"num_cpus": 1}),
        (0, 0, 1, {"num_cpus": 1}),
        (16, 2, 2, {"num_gpus": 1, "num_cpus": 4}),
        (1, 4, 4, {"num_gpus": 1, "num_cpus": 1}),
    ],
)
def test_every_core_or_gpu_has_an_actor(cores, gpus, actors, options):
    cluster = Cluster("local", cores, gpus)
    assert (cluster.actors, cluster.options()) == (actors, options)
    assert cluster.device == ("cuda" if gpus else "cpu")
