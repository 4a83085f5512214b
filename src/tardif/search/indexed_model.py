"""The model that an index was built with: remembered in the manifest, found again after a move, and verified."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from tardif.checks import is_number
from tardif.display import Short
from tardif.encoder.base import cached_revision, is_hub_id, resolve_base
from tardif.encoder.identity import fingerprint
from tardif.errors import FolderError, ModelError
from tardif.folders import expanded
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.index.sharded_folder import FolderIndex
from tardif.ranking import WORD_SHARE

T = TypeVar("T")

_MOVED = "model place"  # the index's note that holds the place a user gave
_WAY_OUT = "give its folder (--model of tardif search, add, sync and doctor; in Python model=); the index remembers it."


@dataclass(frozen=True, repr=False)
class IndexedModel(Short):
    """The model that encoded an index's documents.

    Attributes:
        index: the index's folder; the address of a collection in Qdrant.
        remembered: the manifest's entry, made by :meth:`remember`.
        given: the model's folder or hub id according to the user, if it was moved.
        note: reads the note where a moved model was found, or writes it (:meth:`tardif.index.disk.DiskIndex.note`).
    """

    index: Path | str
    remembered: Mapping[str, Any]
    given: str | Path | None
    note: Callable[[str, str | None], str | None]

    @classmethod
    def of(cls, index: FolderIndex | QdrantIndex, given: str | Path | None = None) -> IndexedModel:
        """Return the model of an opened index.

        Args:
            index: the index.
            given: the model's folder according to the user, if it was moved.
        """
        return cls(index.folder, index.manifest["model"], given, index.note)

    @staticmethod
    def remember(folder: Path, index: Path | str, precision: str = "fp32") -> dict[str, Any]:
        """Return the manifest's entry for the model in a folder: its place, its :func:`fingerprint`, BM25's share of
        hybrid searches if its training learnt one, and the precision of encoding documents if it is not ``fp32``."""
        share = _learnt_word_share(folder)
        learnt = {} if share is None else {"word_share": share}
        encoded = {} if precision == "fp32" else {"precision": precision}
        return {**_place(folder, index), "fingerprint": fingerprint(folder), **learnt, **encoded}

    def placed(self, index: Path | str) -> dict[str, Any]:
        """Return the entry for the same model in an index at another place."""
        places = self._places()
        return {**self.remembered, **_place(next((place for place in places if place.is_dir()), places[-1]), index)}

    @property
    def word_share(self) -> float:
        """BM25's share of a hybrid search: what training learnt on its held-out queries, or the default."""
        return _share(self.remembered.get("word_share"), WORD_SHARE)

    @property
    def precision(self) -> str:
        """The precision that documents were encoded in, and those that are added are."""
        return precision_of(self.remembered)

    @cached_property
    def path(self) -> Path:
        """The model's folder, verified to hold the model that encoded the documents.

        A folder that the user gives is noted in the index for the next time, if the index can be written.

        Raises:
            FolderError: the model is missing, or was trained again since.
            ModelError: the user gave a hub id, and it cannot be found.
        """
        places = self._places()
        there = [place for place in places if place.is_dir()]
        for place in there:
            if fingerprint(place) == self.remembered["fingerprint"]:
                self._keep(place)
                return place
        if there:
            raise FolderError(
                f"The model in {there[0]} is not the one that {self.index} was built with: build the index again, "
                f"or, if that model was moved, {_WAY_OUT}"
            )
        if fetched := self._fetched(places):
            return fetched
        raise FolderError(f"The model of {self.index} is not in {places[-1]} any more: {_WAY_OUT}")

    def _places(self) -> list[Path]:
        """The user's folder; else where the model was found last, then where it was when the index was built."""
        if self.given is not None:
            # On Windows a Path has turned the slash of a hub id.
            return [_folder_of(self.given.as_posix() if isinstance(self.given, Path) else self.given)]
        found = []
        for place in (self._kept(), self.remembered):
            # The relative path first: index and model may have been moved or copied together.
            if place.get("relative") and isinstance(self.index, Path):
                found.append(Path(os.path.normpath(self.index.absolute() / place["relative"])))
            if place.get("path"):
                found.append(Path(place["path"]))
        return list(dict.fromkeys(found))

    def _fetched(self, places: Sequence[Path]) -> Path | None:
        """The model from the hub, if a place was in the hub's cache, which may have been emptied since."""
        for place in places:
            if name := cached_revision(place):
                with suppress(ModelError):
                    folder = resolve_base(name).folder
                    if fingerprint(folder) == self.remembered["fingerprint"]:
                        return folder
        return None

    def _kept(self) -> Mapping[str, Any]:
        noted = self.note(_MOVED, None)
        try:
            kept = json.loads(noted) if noted else {}
        except ValueError:  # a user's own note of that name
            kept = {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self, folder: Path) -> None:
        """Note the folder that the user gave, unless the index knows it already."""
        if self.given is None:
            return
        place = _place(folder, self.index)
        if place == (self._kept() or {name: self.remembered.get(name) for name in place}):
            return
        # A user without write permission can still search.
        with suppress(FolderError):
            self.note(_MOVED, json.dumps(place))


def precision_of(remembered: Mapping[str, Any]) -> str:
    """Return the precision of encoding documents according to the manifest's entry for the model."""
    return "bf16" if remembered.get("precision") == "bf16" else "fp32"


def _learnt_word_share(model: Path) -> float | None:
    """What the training of the model in a folder learnt; None where it learnt nothing, or left no results."""
    try:
        return _share(json.loads((model / "results.json").read_text("utf-8"))["settings"]["word_share"], None)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # another tool's file of that name
        return None


def _share(value: Any, default: T) -> float | T:
    return float(value) if is_number(value) and 0 <= value <= 1 else default


def _folder_of(given: str) -> Path:
    """The folder that a user gave, or that of a hub id."""
    folder = expanded(given)
    if folder.exists() or not is_hub_id(given):
        return folder
    return resolve_base(given).folder


def _place(folder: Path, index: Path | str) -> dict[str, Any]:
    """A folder as an absolute path and as one relative to the index; Windows has none between two drives, and nobody
    to an address."""
    # Not resolve(): a link to the model stays a link.
    folder = folder.absolute()
    if isinstance(index, str):
        return {"path": str(folder), "relative": None}
    index = index.absolute()
    return {"path": str(folder), "relative": os.path.relpath(folder, index) if folder.drive == index.drive else None}
