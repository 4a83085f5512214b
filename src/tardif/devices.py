"""The choice of devices to compute on, checked before any work and without importing torch."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from typing import Literal

from tardif.errors import SettingError


@dataclass(frozen=True, slots=True)
class Allocation:
    """A kind of device and their number, as :func:`allocate` resolves them."""

    kind: Literal["cpu", "mps", "cuda"]
    count: int = 1


def allocate(request: str | int = "auto") -> Allocation:
    """Resolve ``cpu``, ``mps``, ``cuda``, ``auto`` or a number of GPUs.

    ``auto`` takes all CUDA GPUs if there are any, else Apple's GPU, else the CPU. ``cuda`` takes one GPU.

    Raises:
        SettingError: this machine lacks the device, or the word is unknown.

    >>> allocate("cpu")
    Allocation(kind='cpu', count=1)
    """
    gpus = cuda_count()
    if isinstance(request, bool) or not isinstance(request, int | str):
        raise SettingError(f"devices={request!r}: give cpu, mps, cuda, auto, or a number of GPUs.")
    word = str(request).strip().lower()
    if word in ("-1", "auto"):
        return Allocation("cuda", gpus) if gpus else Allocation("mps" if has_mps() else "cpu")
    if word == "cpu":
        return Allocation("cpu")
    if word == "mps":
        if not has_mps():
            raise SettingError("devices='mps': this machine has no Apple GPU; give cpu or auto.")
        return Allocation("mps")
    if word == "cuda":
        word = "1"
    if not word.isdecimal() or word == "0":
        raise SettingError(f"devices={request!r}: give cpu, mps, cuda, auto, or a number of GPUs from 1.")
    count = int(word)
    if count > gpus:
        have = "none" if gpus == 0 else str(gpus)
        raise SettingError(f"devices={request!r} asks for {count} GPU(s) and this machine has {have}.")
    return Allocation("cuda", count)


def allocate_processes(device: str | int = "auto", processes: int | None = None) -> tuple[str, int]:
    """Resolve a device and the number of processes that share a work: torch's name of the device, and the number.

    Each GPU has one process. On a CPU there is one, unless more are asked for: it uses all cores.

    Raises:
        SettingError: this machine lacks the device, or there cannot be that many processes.

    >>> allocate_processes("cpu"), allocate_processes("cpu", 2)
    (('cpu', 1), ('cpu', 2))
    """
    found = allocate(device)
    if processes is None:
        return found.kind, found.count
    if not isinstance(processes, int) or isinstance(processes, bool) or processes < 1:
        raise SettingError(f"processes={processes!r}: give a whole number, 1 or more.")
    if processes > 1 and found.kind == "mps":
        raise SettingError(f"processes={processes}: there is one Apple GPU; give 1, or device='cpu'.")
    if found.kind == "cuda" and processes > (gpus := cuda_count()):
        raise SettingError(f"processes={processes}: this machine has {gpus} GPU(s), and each takes one.")
    return found.kind, processes


def world_size() -> int:
    """Return the number of processes that train together: WORLD_SIZE, as torchrun and accelerate set it, or 1."""
    return max(_number("WORLD_SIZE", 1), 1)


def own_rank() -> int:
    """Return the rank of this process among them, from 0."""
    return max(_number("RANK", 0), 0)


def core_count() -> int:
    """Return the number of cores that this process may use."""
    import psutil

    try:
        return len(psutil.Process().cpu_affinity())
    except (AttributeError, psutil.Error):  # macOS has no affinity
        return os.cpu_count() or 1


def _number(variable: str, default: int) -> int:
    try:
        return int(os.environ.get(variable, default))
    except ValueError:
        return default


def cuda_count() -> int:
    """Return the number of CUDA GPUs that this process may use, 0 without a driver.

    The driver is asked directly, because importing torch takes seconds. It honours CUDA_VISIBLE_DEVICES.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def has_mps() -> bool:
    """Return whether this is a Mac with Apple's own GPU."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"
