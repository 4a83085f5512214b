"""A cross-encoder that reads query and document together: it drops false negatives and teaches by its scores.

Denoising mined negatives with a cross-encoder is RocketQA's (Qu et al., NAACL 2021); learning from the
margins between its scores is Hofstätter et al.'s (2020).
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tardif.encoder.cross_encoder import CrossBase, open_cross_encoder, resolve_cross_encoder
from tardif.errors import DataError, ModelError, SettingError
from tardif.folders import expanded
from tardif.mining.selection import Reference, check_distance, too_near

Pair: TypeAlias = tuple[str, str]
Rate: TypeAlias = Callable[[list[Pair]], Any]
SCALES = ("auto", "sigmoid", "none")

# Pairs scored and written down at a time: what an interruption loses at most. Always the same pairs go
# together, so that a resumed run pads, and scores, as an unbroken one does.
_CHUNK = 512


class Teacher:
    """Scores pairs of query and document, each once: what it has said is kept on disk.

    Args:
        model: a cross-encoder of sentence-transformers by folder or hub id, or a callable that gives a
            list of (query text, document text) a score each.
        ratio: a negative is dropped that scores so much of the positive's score, on the scale below, or
            more.
        margin: a negative is dropped that scores more than the positive's score less so much, on the
            scale below.
        scale: ``sigmoid``: scores are logits, and are compared as probabilities. ``none``: they are
            compared as they are, and a positive at 0 or below cannot judge by ratio. ``auto``: sigmoid for a
            cross-encoder (its raw logits are asked for), none for a callable. A ratio of logits means
            nothing: they are below 0 as often as above. What examples carry are always the raw scores,
            which distillation wants.
        batch: pairs per step of the cross-encoder.
        device: where the cross-encoder computes.
        cache: a file (SQLite) of the scores, by the content of query, document and teacher; None keeps
            them in memory.
        name: what a callable's scores are kept under; its module and name by default. Give another one
            when it scores in another way than before.

    Raises:
        SettingError: an option cannot be used.
        ModelError: the cross-encoder is not there, or its files are damaged or refused. Its weights are read
            when it first scores.
    """

    def __init__(
        self,
        model: str | Path | Rate,
        *,
        ratio: float | None = 0.95,
        margin: float | None = None,
        scale: str = "auto",
        batch: int = 32,
        device: str = "cpu",
        cache: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        if scale not in SCALES:
            raise SettingError(f"The teacher's scale {scale!r} is not known: use {', '.join(SCALES)}.")
        check_distance(ratio, margin)
        self.name = name or teacher_name(model)
        self.ratio, self.margin = ratio, margin
        self.scale = ("none" if callable(model) else "sigmoid") if scale == "auto" else scale
        self._model, self._batch, self._device = model, batch, device
        self._rate: Rate | None = model if callable(model) else None
        self._base = None if callable(model) else resolve_cross_encoder(model)
        self._salt: bytes | None = None
        self._path = None if cache is None else Path(cache)
        self._database: sqlite3.Connection | None = None
        self.asked = 0

    @property
    def identity(self) -> str:
        """What makes its scores and its verdicts: for what is kept by them."""
        return f"{self._own_salt().hex()} {self.ratio} {self.margin} {self.scale}"

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """The raw score of each pair (query text, document text).

        Raises:
            ModelError: the cross-encoder cannot be loaded, or gives no number for a pair.
            DataError: the cache cannot be used.
        """
        scores: list[float] = []
        for begin in range(0, len(pairs), _CHUNK):
            chunk = pairs[begin : begin + _CHUNK]
            keys = [self._key(pair) for pair in chunk]
            known = self._look_up(keys)
            missing = {key: pair for key, pair in zip(keys, chunk, strict=True) if key not in known}
            if missing:
                said = dict(zip(missing, self._ask(list(missing.values())), strict=True))
                self._keep(said)
                known.update(said)
            scores += [known[key] for key in keys]
        return scores

    def scaled(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """Raw scores as they are compared."""
        raw = np.asarray(scores, dtype=np.float64)
        return raw if self.scale == "none" else 0.5 * (1 + np.tanh(raw / 2))

    def refuses(self, positives: Sequence[float], negatives: Sequence[float]) -> NDArray[np.bool_]:
        """Which negatives look like answers, beside the lowest of a query's positives (raw scores)."""
        reference = Reference.of(self.scaled(positives).tolist())
        by_ratio, by_margin = too_near(self.scaled(negatives), reference, self.ratio, self.margin)
        refused: NDArray[np.bool_] = by_ratio | by_margin
        return refused

    def close(self) -> None:
        """Close the cache."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _ask(self, pairs: list[Pair]) -> list[float]:
        if self._rate is None:
            assert self._base is not None
            self._rate = _cross_encoder(self._base, self._batch, self._device)
        self.asked += len(pairs)
        said = [float(score) for score in self._rate(pairs)]
        if len(said) != len(pairs):
            raise ModelError(f"The teacher {self.name} gave {len(said)} scores for {len(pairs)} pairs.")
        for pair, score in zip(pairs, said, strict=True):
            if not math.isfinite(score):
                raise ModelError(f"The teacher {self.name} gives {score} for the query {pair[0]!r}: it is no score.")
        return said

    def _key(self, pair: Pair) -> bytes:
        digest = hashlib.blake2b(self._own_salt(), digest_size=16)
        for text in pair:
            part = text.encode("utf-8", "surrogatepass")
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()

    def _own_salt(self) -> bytes:
        if self._salt is None:
            self._salt = _fingerprint(self._model, self.name)
        return self._salt

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            place = ":memory:" if self._path is None else str(self._path)
            try:
                if self._path is not None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                # SQLite's first kind of journal, and each writer asks for the lock before it reads: whoever
                # comes second waits. The write-ahead log is refused, not waited for, where two turn it on.
                self._database = sqlite3.connect(place, timeout=60, isolation_level=None)
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS checked_scores "
                    "(key BLOB PRIMARY KEY, score REAL NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID"
                )
                self._database.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                self.close()
                raise self._unusable(error) from error
        return self._database

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        marks = ", ".join("?" * len(keys))
        try:
            rows = self._open().execute(
                f"SELECT key, score, checksum FROM checked_scores WHERE key IN ({marks})", list(keys)
            )
            # What is not as it was kept is asked for again, and replaced.
            return {key: score for key, score, checksum in rows if checksum == _checksum(key, score)}
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _keep(self, said: dict[bytes, float]) -> None:
        database = self._open()
        try:
            database.execute("BEGIN IMMEDIATE")
            rows = [(key, score, _checksum(key, score)) for key, score in said.items()]
            database.executemany("INSERT OR REPLACE INTO checked_scores VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> DataError:
        return DataError(f"the cache of the teacher's scores cannot be used ({error}): remove it.", self._path)


def _checksum(key: bytes, score: float) -> bytes:
    """Of a score that is kept: SQLite would not notice another number."""
    return hashlib.blake2b(key + struct.pack("<d", score), digest_size=8).digest()


def teacher_name(model: Any) -> str:
    """What a teacher is called: the model's folder or hub id, or a callable's module and name."""
    if not callable(model):
        return str(model)
    named = model if hasattr(model, "__qualname__") else type(model)
    return f"{named.__module__}.{named.__qualname__}"


def _fingerprint(model: Any, name: str) -> bytes:
    """What tells teachers apart: the name; of a folder the content of its files."""
    digest = hashlib.blake2b(digest_size=16)
    folder = None if callable(model) else expanded(model)
    if folder is None or not folder.is_dir():
        digest.update(name.encode("utf-8", "surrogatepass"))
        return digest.digest()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"):
            with path.open("rb") as file:
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.digest()


def _cross_encoder(base: CrossBase, batch: int, device: str) -> Rate:
    """A cross-encoder's raw logits as a callable."""
    import torch

    model = open_cross_encoder(base, device)

    def rate(pairs: list[Pair]) -> Any:
        return model.predict(
            pairs, batch_size=batch, show_progress_bar=False, activation_fn=torch.nn.Identity(), convert_to_numpy=True
        )

    return rate
