"""A late-interaction model that orders texts for a query: what every framework's reranker calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.client import Client
from tardif.encoder.base import resolve_base
from tardif.encoder.onnx.folder import exported_encoder
from tardif.encoder.opening import ready_encoder
from tardif.errors import ModelError, SettingError
from tardif.integrations.folder_or_service import is_address
from tardif.search.rerank import rerank

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.encoder.onnx.encoder import LightEncoder


class Reranker:
    """Orders texts for a query. The model is checked at once and loaded on first use; any thread may call it.

    Args:
        model: a checkpoint's folder or hub id; or an exported encoder, or an index that has one; or the address of a
            search service's index, whose model then scores.
        device: torch's name of the device.
        trust_remote_code: let the model bring its own code.
        token: the service's token.

    Raises:
        ModelError: the model does not exist, or is no late-interaction model.
        SettingError: a token is given where there is no service.

    >>> Reranker("models/support").order("what makes the tides?", ["Bread.", "The moon does."], k=1)[0][0] < 2
    True
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        trust_remote_code: bool = False,
        token: str | None = None,
    ) -> None:
        self._given, self._token = model, token
        self._device, self._trust = device, trust_remote_code
        # Not loaded here: a framework makes components long before it uses them, and some are never used.
        self._model: MultiVectorEncoder | LightEncoder | None = None
        self._loading = threading.Lock()
        self._service = Client(str(model), token) if is_address(model) else None
        if self._service is not None:
            return
        if token is not None:
            raise SettingError(f"token: only a search service takes one, and {model} is none: leave it out.")
        if exported_encoder(model) is None and not resolve_base(model, trust_remote_code=trust_remote_code).is_colbert:
            raise ModelError(f"{model} is no late-interaction model: train one with tardif train --base {model}.")

    def order(self, query: str, texts: Sequence[str], k: int | None = None) -> list[tuple[int, float]]:
        """The places of the ``k`` best texts with their MaxSim, best first; all of them by default.

        A text without a token that can be matched is left out, as is an empty one.
        """
        places = [place for place, text in enumerate(texts) if text.strip()]
        if not places:
            return []
        given = [texts[place] for place in places]
        count = len(given) if k is None else k
        if self._service is not None:
            hits = self._service.rerank(query, given, count)
        else:
            hits = rerank(self.model, query, given, count, quiet=True)
        return [(places[hit.position or 0], hit.score) for hit in hits]

    def __reduce__(self) -> Any:
        """Pickle and copy as the arguments: the other process, or the copy, loads the model itself."""
        how: dict[str, Any] = {"device": self._device, "trust_remote_code": self._trust, "token": self._token}
        return partial(Reranker, **how), (self._given,)

    def warm_up(self) -> None:
        """Load the model now. A service keeps its own loaded."""
        if self._service is None:
            _ = self.model

    @property
    def model(self) -> MultiVectorEncoder | LightEncoder:
        """The model, loaded once."""
        # Servers call it from several threads: one of them loads, the others wait.
        with self._loading:
            if self._model is None:
                self._model = ready_encoder(self._given, device=self._device, trust_remote_code=self._trust)()
            return self._model
