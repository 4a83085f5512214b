"""onnxruntime, imported without the reports of its use that it would send to its makers."""

from __future__ import annotations

import os
from typing import Any


def runtime() -> Any:
    """Import onnxruntime. Since 1.32 it reports its use from its import on, unless the environment forbids it.

    ``ORT_DISABLE_TELEMETRY=0`` in the environment keeps the reports.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
