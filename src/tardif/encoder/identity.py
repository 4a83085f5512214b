"""The identity of a model, as a hash: of the files in its folder, or of its weights in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tardif.encoder.published import CHECKSUMS, REPORT


def fingerprint(folder: Path) -> str:
    """Return a checksum (SHA-256) of what determines a model's vectors: configuration, tokenizer and weights.

    It does not depend on the folder's place; notes such as ``README.md`` do not change it.
    """
    # Changing this function, or the suffixes below, makes every existing index reject its model.
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix not in (".json", ".safetensors", ".txt", ".model", ".bin"):
            continue
        if path.name in ("results.json", CHECKSUMS):  # records of a training run, and checksums of the other files
            continue
        if path.relative_to(folder).parts[0] == REPORT:
            continue
        # Name and content: a file that is renamed, such as a swapped vocabulary, changes the checksum too.
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def add_weights(digest: Any, model: Any) -> None:
    """Add the name, type, shape and bytes of each weight of a model in memory to a hash (an object of hashlib's)."""
    import torch

    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
