"""Checkpoints to resume from and models to publish, written as complete folders or not at all.

A folder is written aside, flushed to the disk, marked complete with the checksum of every file, and only then renamed.
So what a killed process leaves has no mark or another name. The state of a checkpoint is read with ``weights_only``: no
pickle is executed.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from tardif.encoder.loading import quiet_libraries
from tardif.encoder.published import write_checksums
from tardif.errors import FolderError, reason
from tardif.folders import remove, share, sync
from tardif.training.parameters import without_adapters
from tardif.training.whole import MARK, START_AGAIN, checksums, damage, mark_whole

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch import nn

WEIGHTS, STATE = "weights.safetensors", "state.pt"
_PARTIAL = ".partial"


def write_whole(folder: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a folder aside; rename it to ``folder`` when it is whole and on the disk.

    Raises:
        FolderError: it could not be written, mostly for lack of space; what was written is removed.
    """
    aside = folder.with_name(f".{folder.name}{_PARTIAL}")
    remove(aside)
    try:
        aside.mkdir(parents=True)
        fill(aside)
        for path in aside.rglob("*"):
            if path.is_file():
                sync(path)
        # The mark is written after every file is on the disk: with a mark, the folder is whole even after a power cut.
        sync(mark_whole(aside))
        share(aside)
        # An old folder of this name is not whole, or of an earlier attempt at the same step.
        remove(folder)
        aside.rename(folder)
        # Until the parent folder is on the disk too, a power cut may undo the rename.
        sync(folder.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        remove(aside)
        if not _is_of_the_disk(error):
            raise
        raise FolderError(
            f"{folder} could not be written ({reason(error)}; {_free(folder.parent)}): make room, then continue "
            "from the checkpoint before it with --resume (in Python resume=True)."
        ) from error
    except BaseException:
        remove(aside)
        raise


def _is_of_the_disk(error: BaseException) -> bool:
    """Whether a file could not be written. A full disk is a RuntimeError in torch, and safetensors' own error."""
    told = str(error)
    return (
        isinstance(error, OSError)
        or isinstance(error.__context__, OSError)
        or (isinstance(error, SafetensorError) and ("I/O error" in told or "os error" in told))
        or (isinstance(error, RuntimeError) and ("write failed" in told or "inline_container" in told))
    )


def keep_model(model: MultiVectorEncoder, folder: Path) -> None:
    """Save a model at ``folder``, whole or not at all."""

    def fill(aside: Path) -> None:
        with quiet_libraries():
            without_adapters(model).save_pretrained(str(aside), create_model_card=False)

    write_whole(folder, fill)


def copy_model(folder: Path, into: Path) -> None:
    """Copy what :func:`keep_model` saved into an empty folder.

    The published model gets the checksums from the time of saving, not new ones: damage since then must show.

    Raises:
        FolderError: the saved model is damaged.
    """
    if problem := damage(folder):
        raise FolderError(f"The best model, {folder}, is damaged ({problem}): {START_AGAIN}.")
    # The mark lists files of the work folder; a published model has its own list of checksums.
    shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MARK))
    write_checksums(into, checksums(folder))


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write every parameter and buffer, as they are."""
    # safetensors' own function: it writes weights that are shared (tied embeddings) once.
    save_model(model, str(folder / WEIGHTS))


def load_weights(model: nn.Module, folder: Path) -> None:
    """Read what :func:`save_weights` wrote into the same model."""
    load_model(model, folder / WEIGHTS)


def save_state(state: dict[str, Any], folder: Path) -> None:
    """Write tensors and plain values: the state of an optimizer, a schedule, the random numbers."""
    with (folder / STATE).open("wb") as file:
        torch.save(state, file)


def load_state(folder: Path, *, device: Any = "cpu") -> dict[str, Any]:
    """Read what :func:`save_state` wrote; nothing in it is executed."""
    loaded: dict[str, Any] = torch.load(folder / STATE, map_location=device, weights_only=True)
    return loaded


def random_state() -> dict[str, Any]:
    """Return the state of every random number generator, as tensors and plain values."""
    # Tensors in place of NumPy's array and of Python's many numbers: weights_only reads no arrays, and torch writes
    # numbers one by one, which takes longer than the weights of a small model.
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, numbers, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": (version, torch.tensor(numbers), gauss),
        "numpy": (
            str(name),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        # This process's GPU alone: a query to another one allocates memory there.
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Set every generator to what :func:`random_state` returned."""
    # Earlier versions wrote tuples and lists of numbers in place of tensors.
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(torch.as_tensor(numbers).tolist()), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, torch.as_tensor(keys).cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB are free"
    except OSError:
        return "the disk cannot be read"
