"""The model of a retriever: it encodes queries and documents, and is loaded when it is first needed.

Queries are encoded without PyTorch where the index holds an exported query encoder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tardif.encoder.base import Base, resolve_base
from tardif.encoder.model_tokens import EncodedText, read_texts, with_tokens
from tardif.encoder.spans import ReadText
from tardif.encoder.token_vectors import encode_queries
from tardif.errors import SettingError
from tardif.extras import MODEL, need
from tardif.forks import ForkAware, register
from tardif.index.protocol import Vectors
from tardif.search.indexed_model import IndexedModel

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.encoder.onnx.encoder import LightEncoder

# Batches whose vectors are kept for explanations of their hits, and the most queries of one: some megabytes.
_KEPT, _BATCH = 16, 64


class SearchModel(ForkAware):
    """A late-interaction model, known by its place, by its checkpoint, or opened.

    Args:
        home: the model of an index on disk.
        base: a checkpoint.
        opened: an opened ``MultiVectorEncoder``.
        query_encoder: the folder of an exported query encoder.
        device: torch's name of the device.
        trust_remote_code: let the model run its own code.
    """

    def __init__(
        self,
        *,
        home: IndexedModel | None = None,
        base: Base | None = None,
        opened: MultiVectorEncoder | None = None,
        query_encoder: Path | None = None,
        device: str = "cpu",
        trust_remote_code: bool = False,
    ) -> None:
        self.home, self._base, self._opened = home, base, opened
        self._query_encoder = query_encoder
        self._light: LightEncoder | None = None
        self._device, self._trust = device, trust_remote_code
        # Queries, their packed vectors, and the number of rows of each.
        self._encoded: deque[tuple[list[str], Vectors, list[int]]] = deque(maxlen=_KEPT)
        register(self)

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`.

        The threads that PyTorch computes with exist in the parent only; a child that used more than one would wait for
        the others for ever.
        """
        if in_child and self._opened is not None:
            import torch

            torch.set_num_threads(1)

    def base(self) -> Base:
        """Return the checkpoint whose tokens are counted where documents are cut.

        Raises:
            SettingError: the model was given opened, so no checkpoint is known.
            FolderError: the model is missing, or was trained again since.
        """
        if self._base is None:
            if self.home is None:
                raise SettingError(
                    "Documents are cut by the tokens of a checkpoint, and none is known: give chunk=None, or the "
                    "model as a folder or hub id."
                )
            self._base = resolve_base(self.home.path, trust_remote_code=self._trust)
        return self._base

    def open(self) -> MultiVectorEncoder:
        """Return the model, loaded on first use.

        Raises:
            MissingExtraError: PyTorch is not installed.
            FolderError: the model is missing, or was trained again since.
            ModelError: it cannot be loaded.
        """
        if self._opened is None:
            folder = self.check()
            from tardif.encoder.model import open_model

            self._opened = open_model(str(folder), device=self._device, trust_remote_code=self._trust)
        return self._opened

    def check(self) -> Path:
        """Return the model's folder, if what :meth:`open` needs is there, before PyTorch is imported for seconds.

        Raises:
            MissingExtraError, FolderError: as for :meth:`open`.
        """
        need("train", "Encoding documents", MODEL)
        # home.path verifies the fingerprint: vectors of another model would make every score meaningless.
        return self.home.path if self.home is not None else self.base().folder

    def use(self, opened: MultiVectorEncoder) -> None:
        """Take a model that is open already."""
        self._opened = opened

    def use_exported(self, folder: Path) -> None:
        """Encode queries from now on with an encoder that was exported of this model."""
        self._query_encoder, self._light = folder, None

    def encode_queries(self, queries: Sequence[str]) -> tuple[Vectors, list[int]]:
        """Return packed token vectors ``[tokens, dim]`` of queries, and the number of rows of each."""
        queries = list(queries)
        found = encode_queries(self.lightest(), queries)
        if len(queries) <= _BATCH:
            self._encoded.append((queries, *found))
        return found

    def asked(self, queries: Sequence[str]) -> list[EncodedText]:
        """Return queries with their vectors and tokens. A query that was searched for of late has the vectors that
        scored its hits: in another batch their last bits may be others."""
        known: dict[str, Vectors] = {}
        # The latest last. Copied: another thread may search meanwhile.
        for texts, vectors, lengths in list(self._encoded):
            known |= dict(zip(texts, np.split(vectors, np.cumsum(lengths)[:-1]), strict=True))
        if missing := [query for query in dict.fromkeys(queries) if query not in known]:
            vectors, lengths = self.encode_queries(missing)
            known |= dict(zip(missing, np.split(vectors, np.cumsum(lengths)[:-1]), strict=True))
        return [self.with_tokens(query, known[query]) for query in queries]

    def with_tokens(self, query: str, vectors: Vectors) -> EncodedText:
        """Return a query that was encoded with its tokens.

        Args:
            query: its text.
            vectors: its token vectors ``[tokens, dim]``.

        Raises:
            ModelError: the model pools its tokens itself.
        """
        return with_tokens(self.lightest(), [query], vectors, [len(vectors)], "query")[0]

    def read_document(self, text: str) -> ReadText:
        """Return a document's tokens with a vector, with their places in the text. It is not encoded."""
        return read_texts(self.lightest(), [text], "document")[0]

    def lightest(self) -> MultiVectorEncoder | LightEncoder:
        """Return the exported query encoder, which needs no PyTorch; the model if there is none."""
        if self._query_encoder is None:
            return self.open()
        if self._light is None:
            from tardif.encoder.onnx.encoder import LightEncoder

            self._light = LightEncoder(self._query_encoder)
        return self._light
