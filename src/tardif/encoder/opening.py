"""A late-interaction model by its place: a checkpoint, or an exported encoder, which needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tardif.encoder.base import resolve_base
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.encoder.onnx.folder import exported_encoder
from tardif.extras import MODEL, need

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    Encoder: TypeAlias = MultiVectorEncoder | LightEncoder


def ready_encoder(place: str | Path, *, device: str = "cpu", trust_remote_code: bool = False) -> Callable[[], Encoder]:
    """Check before any work that a model can be opened, and return the function that opens it.

    >>> type(ready_encoder("support.index")()).__name__
    'LightEncoder'

    Args:
        place: a checkpoint's folder or hub id; a folder that ``tardif export --format onnx`` wrote; or an index, whose
            own exported encoder is taken. An exported encoder computes on the CPU, whatever the device.
        device: torch's name of the device.
        trust_remote_code: let the model run its own code.

    Raises:
        MissingExtraError: it is a checkpoint, and PyTorch is not installed.
        ModelError: there is no model, or it is damaged.
        FolderError: the exported encoder is damaged.
    """
    if (folder := exported_encoder(place)) is not None:
        light = LightEncoder(folder)
        return lambda: light
    way_out = "give an index, or a folder of tardif export --format onnx, in place of the model"
    need("train", f"Opening {place}", MODEL, way_out)
    base = resolve_base(place, trust_remote_code=trust_remote_code)

    def opened() -> MultiVectorEncoder:
        from tardif.encoder.model import open_model

        return open_model(base, device=device, trust_remote_code=trust_remote_code)

    return opened
