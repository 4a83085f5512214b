"""The environment of a run: versions, processor, memory and devices, as a report records them."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tardif._version import __version__
from tardif.devices import core_count

# The libraries that may change a figure.
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "numpy", "bm25s", "ir-measures")


def environment(device: str = "cpu", processes: int = 1) -> dict[str, Any]:
    """Return what a run was made with. It fits into JSON, and names no user, host or path.

    >>> environment()["device"]
    'cpu'

    Args:
        device: torch's name of the device that was used.
        processes: how many computed together.
    """
    return {
        "tardif": __version__,
        "python": platform.python_version(),
        **{name: found for name in _LIBRARIES if (found := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}".strip(),
        "processor": _processor(),
        "cores": core_count(),
        "memory": _memory(),
        "device": ", ".join(_devices(device, processes)),
        **({"processes": processes} if processes > 1 else {}),
    }


@cache  # the files of a package's metadata are long, and do not change while it runs
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """The name of the processor, or of its family where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model\t")))
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def _memory() -> str:
    import psutil

    return f"{psutil.virtual_memory().total / (1 << 30):.1f} GiB"


def _devices(device: str, processes: int) -> Sequence[str]:
    """The device, by its name where torch knows it: several processes have a GPU each."""
    # Not imported for this: a search without torch computes on the CPU.
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_available():
        return [device]
    count = min(processes, torch.cuda.device_count()) if processes > 1 else 1
    first = torch.cuda.current_device() if processes == 1 else 0
    return [torch.cuda.get_device_name(number) for number in range(first, first + count)]
