"""A teacher: a cross-encoder that drops false negatives and gives the scores to learn from.

Denoising mined negatives with a cross-encoder comes from RocketQA (Qu et al., NAACL 2021), learning from the
margins between its scores from Hofstätter et al. (2020).
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_choice
from tardif.encoder.cross_encoder import CrossBase, open_cross_encoder, resolve_cross_encoder
from tardif.encoder.identity import fingerprint
from tardif.errors import DataError, ModelError
from tardif.folders import expanded
from tardif.mining.selection import Reference, check_distance, too_near

Pair: TypeAlias = tuple[str, str]
Rate: TypeAlias = Callable[[list[Pair]], Any]
SCALES = ("auto", "sigmoid", "none")

# Pairs scored and stored at a time: an interruption loses no more. The chunks are the same in every run, so a resumed
# run pads, and therefore scores, as an uninterrupted one does.
_CHUNK = 512


class Teacher:
    """Scores pairs of query and document, each once: scores are kept on disk.

    Args:
        model: a cross-encoder of sentence-transformers by folder or hub id, or a callable that takes a
            list of (query text, document text) and returns a score for each.
        ratio: drop negatives that score this fraction of the positive's score or more, on the scale below.
        margin: drop negatives that score the positive's score less this, or more, on the scale below.
        scale: ``sigmoid``: scores are logits and are compared as probabilities, since a ratio of logits means nothing:
            half of them are below 0. ``none``: scores are compared as they are, and a positive at 0 or below cannot
            judge by ratio. ``auto``: sigmoid for a cross-encoder (its raw logits are used), none for a callable.
            Examples always carry the raw scores, which distillation needs.
        batch: pairs per step of the cross-encoder.
        device: where the cross-encoder computes.
        cache: a file (SQLite) for the scores, by the content of query, document and teacher; None keeps
            them in memory.
        name: the name that a callable's scores are stored under; its module and name by default. Give another one
            if it scores in another way than before.

    Attributes:
        asked: pairs scored by the model, not by the cache.

    Raises:
        SettingError: an option cannot be used.
        ModelError: the cross-encoder is missing, or its files are damaged or refused. Its weights are read
            when it first scores.

    >>> teacher = Teacher(lambda pairs: [float(len(set(q.split()) & set(d.split()))) for q, d in pairs])
    >>> teacher.score([("salt trade", "the salt trade of the coast"), ("salt trade", "a harbour")])
    [2.0, 0.0]
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
        check_choice("scale", scale, SCALES)
        check_distance(ratio, margin)
        self.name = name or teacher_name(model)
        self.ratio, self.margin = ratio, margin
        self.scale = ("none" if callable(model) else "sigmoid") if scale == "auto" else scale
        self._model, self._batch, self._device = model, batch, device
        self._rate: Rate | None = model if callable(model) else None
        self._base = None if callable(model) else resolve_cross_encoder(model)
        self._path = None if cache is None else Path(cache)
        self._database: sqlite3.Connection | None = None
        self.asked = 0

    @property
    def identity(self) -> str:
        """What decides its scores and verdicts, as part of a key under which they are stored."""
        return f"{self._salt.hex()} {self.ratio} {self.margin} {self.scale}"

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
                scored = dict(zip(missing, self._ask(list(missing.values())), strict=True))
                self._keep(scored)
                known.update(scored)
            scores += [known[key] for key in keys]
        return scores

    def scaled(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """Raw scores on the scale on which they are compared."""
        raw = np.asarray(scores, dtype=np.float64)
        # tanh, since the textbook form of the sigmoid overflows for large negative logits.
        return raw if self.scale == "none" else 0.5 * (1 + np.tanh(raw / 2))

    def refuses(self, positives: Sequence[float], negatives: Sequence[float]) -> NDArray[np.bool_]:
        """Which negatives look like answers, compared with the query's lowest positive (raw scores)."""
        reference = Reference.of(self.scaled(positives).tolist())
        by_ratio, by_margin = too_near(self.scaled(negatives), reference, self.ratio, self.margin)
        return by_ratio | by_margin

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
        scores = [float(score) for score in self._rate(pairs)]
        if len(scores) != len(pairs):
            raise ModelError(f"The teacher {self.name} gave {len(scores)} scores for {len(pairs)} pairs.")
        for pair, score in zip(pairs, scores, strict=True):
            if not math.isfinite(score):
                raise ModelError(f"The teacher {self.name} gives {score} for the query {pair[0]!r}: it is no score.")
        return scores

    def _key(self, pair: Pair) -> bytes:
        digest = hashlib.blake2b(self._salt, digest_size=16)
        for text in pair:
            part = text.encode("utf-8", "surrogatepass")
            digest.update(len(part).to_bytes(8, "little"))  # ("ab", "c") is not ("a", "bc")
            digest.update(part)
        return digest.digest()

    @cached_property
    def _salt(self) -> bytes:
        return _identity(self._model, self.name)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The cache, opened when first needed, in one transaction that locks it against other processes."""
        try:
            if self._database is None:
                if self._path is not None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                # With SQLite's default journal a second writer waits. To turn on the write-ahead log fails at once if
                # two processes do so.
                self._database = sqlite3.connect(self._path or ":memory:", timeout=60, isolation_level=None)
            # IMMEDIATE: two that read first and then want to write would wait for each other.
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS checked_scores "
                "(key BLOB PRIMARY KEY, score REAL NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID"
            )
            yield self._database
            self._database.execute("COMMIT")
        except BaseException as error:
            self.close()  # which rolls back
            if not isinstance(error, sqlite3.Error | OSError):
                raise
            what = f"the cache of the teacher's scores cannot be used ({error}): remove it."
            raise DataError(what, self._path) from error

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        marks = ", ".join("?" * len(keys))
        with self._transaction() as database:
            rows = database.execute(
                f"SELECT key, score, checksum FROM checked_scores WHERE key IN ({marks})", list(keys)
            )
            # A damaged score is asked for again, and replaced.
            return {key: score for key, score, checksum in rows if checksum == _checksum(key, score)}

    def _keep(self, scores: dict[bytes, float]) -> None:
        rows = [(key, score, _checksum(key, score)) for key, score in scores.items()]
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO checked_scores VALUES (?, ?, ?)", rows)


def _checksum(key: bytes, score: float) -> bytes:
    """A stored score's checksum: SQLite does not notice a changed number."""
    return hashlib.blake2b(key + struct.pack("<d", score), digest_size=8).digest()


def teacher_name(model: Any) -> str:
    """The name of a teacher: the model's folder or hub id, or a callable's module and name.

    >>> teacher_name("cross-encoder/ms-marco-MiniLM-L6-v2"), teacher_name(len)
    ('cross-encoder/ms-marco-MiniLM-L6-v2', 'builtins.len')
    """
    if not callable(model):
        return str(model)
    named = model if hasattr(model, "__qualname__") else type(model)
    return f"{named.__module__}.{named.__qualname__}"


def _identity(model: Any, name: str) -> bytes:
    """A hash that tells teachers apart: of the name, or of the files' contents if the model is a folder."""
    folder = None if callable(model) else expanded(model)
    known = name if folder is None or not folder.is_dir() else fingerprint(folder)
    return hashlib.blake2b(known.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _cross_encoder(base: CrossBase, batch: int, device: str) -> Rate:
    """A cross-encoder's raw logits as a callable."""
    import torch

    return partial(
        open_cross_encoder(base, device).predict,
        batch_size=batch,
        show_progress_bar=False,
        activation_fn=torch.nn.Identity(),  # the default would be a sigmoid
        convert_to_numpy=True,
    )
