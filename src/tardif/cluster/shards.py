"""The shards of an index on a cluster: an actor for each, or several replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tardif._version import __version__
from tardif.cluster.connection import Cluster, is_one_machine
from tardif.cluster.shard_actor import ShardActor
from tardif.cluster.shard_proxy import Replicas, answer, forwarded
from tardif.cluster.shipping import Shipment, place_of, ship
from tardif.errors import FolderError
from tardif.index.disk import DiskIndex
from tardif.index.manifest import read_shards
from tardif.index.sharded_folder import StoredShard

# Calls that an actor answers at once, and moments that it holds; more wait.
_AT_ONCE = 64
# How often a folder is sent again because it was written meanwhile.
_TRIES = 5
# Of a core, what an actor reserves at least; Ray counts in ten-thousandths.
_LEAST = 0.001


def open_shards(cluster: Cluster, folder: Path, replicas: int = 1) -> Callable[[Path, int], StoredShard]:
    """Start the actors of all shards of an index at once, and return what opens the shard in a folder through its.

    Args:
        cluster: where they run, spread over its nodes.
        folder: of the index in shards. A node that does not have it gets a copy, which is not changed by writes.
        replicas: actors for each shard: while one lives, the shard answers.

    Raises:
        FolderError: the folder is no index in shards.
    """
    names: Sequence[str] = read_shards(folder)["shards"]
    # A half of the cores is reserved: where a node dies, the others have room for its actors.
    share = round(max(min(cluster.cores / (2 * len(names) * replicas), 1.0), _LEAST), 3)
    threads = max(cluster.cores // (len(names) * replicas), 1)

    def started(place: Path) -> list[Any]:
        import ray

        shipment, first = _shipment_of(place), names.index(place.name)
        found = []
        for number in range(replicas):
            # A call is not tried again by Ray, but here, of a replica.
            how: dict[str, Any] = {"max_concurrency": _AT_ONCE, "max_restarts": -1, "max_task_retries": 0}
            how |= {"num_cpus": share, "scheduling_strategy": _on_node(first + number)}
            kind: Any = ray.remote(**how)(ShardActor)
            found.append(kind.remote(__version__, shipment, threads))
        return found

    waiting = {name: started(folder / name) for name in names}

    def opened(place: Path, _: int) -> StoredShard:
        actors = waiting.pop(place.name, None) or started(place)  # an index that is opened again starts new ones
        try:
            # Asked of all before any is waited for: they open at the same time.
            are_here = [answer(reference) for reference in [actor.open.remote() for actor in actors]]
        except BaseException:
            Replicas(place.name, actors, are_copies=True).close()
            raise
        return forwarded(Replicas(place.name, actors, are_copies=not all(are_here)))

    return opened


def _on_node(number: int) -> Any:
    """A preference for a node, in turn: replicas of a shard are then on different ones."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    alive = sorted(str(node["NodeID"]) for node in nodes if node["Alive"])
    return NodeAffinitySchedulingStrategy(alive[number % len(alive)], soft=True)


def _shipment_of(place: Path) -> Shipment:
    """An index on its way: its files only if there is another machine to send them to."""
    if is_one_machine():
        return Shipment(str(place.absolute()), place_of(place), ())
    return _still(place)


def _still(place: Path) -> Shipment:
    """Send an index's files, all of one state."""
    for _ in range(_TRIES):
        with DiskIndex(place, threads=1) as index:
            before = index.change
            try:
                files = [path for path in place.rglob("*") if not path.name.startswith(".")]
                shipment = ship(place, files)
            except FolderError:  # a file that was merged into another
                continue
            if index.change == before:
                return shipment
    raise FolderError(f"{place} is written faster than it can be sent to other nodes: open it when that has ended.")
