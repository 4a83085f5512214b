"""A shard that lives in actors: every method of the protocol is forwarded to one of its replicas.

A replica that has died, or whose node has, is left out until Ray has started it again; the next one answers. If none
does, the error names the shard. Replicas that read the folder itself see every change at once. Copies on other nodes do
not, so an index with copies refuses changes.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tardif.cluster.pool import Failure
from tardif.cluster.shard_actor import Call, State
from tardif.errors import ClusterError, FolderError, SettingError
from tardif.index.sharded_folder import StoredShard

WRITES = ("add", "delete", "delete_where", "adopt")


@dataclass
class _Moment(threading.local):
    """The moment that a thread is within: the replica that reads it, its number there, and the state."""

    depth: int = 0
    replica: int | None = None
    number: int = 0
    state: State | None = None


@dataclass
class Replicas:
    """The actors of a shard.

    Attributes:
        name: of the shard, for errors.
        actors: Ray's handles of :class:`tardif.cluster.shard_actor.ShardActor`.
        are_copies: whether one of them reads a copy.
    """

    name: str
    actors: Sequence[Any]
    are_copies: bool
    _turn: Iterator[int] = field(default_factory=itertools.count, init=False)
    _moment: _Moment = field(default_factory=_Moment, init=False)

    def ask(self, call: Call) -> Any:
        """Return what a replica answers.

        Raises:
            TardifError: what it raised.
            ClusterError: no replica answers.
        """
        moment = self._moment
        if not moment.depth:
            return self._first(lambda actor: actor.call.remote(call))[1]
        if moment.replica is not None:
            within = Call(call.name, call.given, call.named, moment.number)
            with contextlib.suppress(SilentError):
                return answer(self.actors[moment.replica].call.remote(within))
        self._begin(moment)
        assert moment.replica is not None
        within = Call(call.name, call.given, call.named, moment.number)
        try:
            return answer(self.actors[moment.replica].call.remote(within))
        except SilentError as error:
            raise self._silent(error) from error

    def _begin(self, moment: _Moment) -> None:
        """Begin a moment at a replica: the first one, or where another one has died in it, one in the same state."""
        before, moment.replica = moment.state, None
        moment.replica, (moment.number, moment.state) = self._first(lambda actor: actor.begin.remote())
        if before not in (None, moment.state):
            raise FolderError(f"{self.name} changed, and the worker that read its old state died: search again.")

    def _first(self, ask: Callable[[Any], Any]) -> tuple[int, Any]:
        """The first replica that answers, in turn, and its answer."""
        begin = next(self._turn)
        last: SilentError | None = None
        for step in range(len(self.actors)):
            number = (begin + step) % len(self.actors)
            try:
                return number, answer(ask(self.actors[number]))
            except SilentError as error:
                last = error
        assert last is not None
        raise self._silent(last) from last

    def _silent(self, error: SilentError) -> ClusterError:
        return ClusterError(
            f"{self.name} does not answer: its worker on the cluster died ({error}). Ray starts it again where it has "
            "a free core: ask again, or open the index with more replicas."
        )

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """As :meth:`tardif.index.protocol.Index.moment`."""
        moment = self._moment
        moment.depth += 1
        try:
            if moment.depth == 1:
                self._begin(moment)
            yield
        finally:
            moment.depth -= 1
            if not moment.depth:
                if moment.replica is not None:
                    with contextlib.suppress(SilentError):
                        answer(self.actors[moment.replica].end.remote(moment.number))
                moment.replica = moment.state = None

    def close(self) -> None:
        """End the actors."""
        import ray

        for actor in self.actors:
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.kill(actor)


class SilentError(Exception):
    """An actor has died, or cannot be reached."""


def answer(reference: Any) -> Any:
    """What an actor returns.

    Raises:
        TardifError: what it raised.
        SilentError: it has died.
    """
    import ray
    from ray.exceptions import ObjectLostError, RayActorError

    try:
        found = ray.get(reference)
    except (RayActorError, ObjectLostError) as error:
        raise SilentError(type(error).__name__) from error
    if isinstance(found, Failure):
        raise found.error()
    return found


class _Forwarding:
    """The protocol of a shard, forwarded: :func:`_forward` gives it the protocol's methods."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas

    def __len__(self) -> int:
        return int(self.replicas.ask(Call("__len__", None, {})))

    def moment(self) -> contextlib.AbstractContextManager[None]:
        return self.replicas.moment()

    def close(self) -> None:
        self.replicas.close()


def _method(name: str) -> Callable[..., Any]:
    def forwarded(self: _Forwarding, *given: Any, **named: Any) -> Any:
        if name in WRITES and self.replicas.are_copies:
            raise SettingError(
                f"{self.replicas.name} is read from copies on other machines: change the index without Ray on the "
                "machine that has its folder, then open it again."
            )
        return self.replicas.ask(Call(name, given, named))

    forwarded.__name__ = name
    return forwarded


def _getter(name: str) -> Callable[[_Forwarding], Any]:
    def forwarded(self: _Forwarding) -> Any:
        return self.replicas.ask(Call(name, None, {}))

    return forwarded


def _forward(protocol: type) -> None:
    """Give :class:`_Forwarding` every method and property of a protocol that it has not."""
    for kind in reversed(protocol.__mro__):
        if kind.__module__.startswith("tardif."):
            for name, value in vars(kind).items():
                if name.startswith("_") or name in vars(_Forwarding):
                    continue
                if isinstance(value, property):
                    setattr(_Forwarding, name, property(_getter(name)))
                elif callable(value):
                    setattr(_Forwarding, name, _method(name))


_forward(StoredShard)


def forwarded(replicas: Replicas) -> StoredShard:
    """Return a shard that is asked through its replicas."""
    return cast(StoredShard, _Forwarding(replicas))
