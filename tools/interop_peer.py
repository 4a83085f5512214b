"""PyLate or colbert-ai at work, in an environment of its own: loads, encodes, scores, saves. Tardif is not imported.

    python tools/interop_peer.py pylate|colbert JOB.json

A job has texts and steps. A step loads a folder (``load``), or builds a checkpoint from a base (``base``, ``settings``)
and saves it (``save``); its vectors and scores go to the file ``out``, or its error does. Called by tools/interop.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Loads or builds a model; gives the token vectors of queries, of documents, and the scores of all pairs.
Peer = Callable[[dict[str, Any], list[str], list[str]], tuple[list[Any], list[Any], list[list[float]]]]


def pylate(step: dict[str, Any], queries: list[str], documents: list[str]) -> Any:
    """Work with PyLate, one text at a time: its batches pad documents, and its scores do not mask the padding."""
    import torch
    from pylate import models, scores

    torch.manual_seed(0)
    model = models.ColBERT(step.get("load") or step["base"], device="cpu", **step.get("settings", {}))
    if "save" in step:
        model.save(step["save"], create_model_card=False)
    one = [model.encode([text], is_query=True, show_progress_bar=False)[0] for text in queries]
    other = [model.encode([text], is_query=False, show_progress_bar=False)[0] for text in documents]
    pairs = [[scores.colbert_scores([mine], [yours]).item() for yours in other] for mine in one]
    return one, other, pairs


def colbert(step: dict[str, Any], queries: list[str], documents: list[str]) -> Any:
    """Work with colbert-ai."""
    import torch
    from colbert.infra import ColBERTConfig
    from colbert.modeling.base_colbert import BaseColBERT
    from colbert.modeling.checkpoint import Checkpoint
    from colbert.modeling.colbert import colbert_score

    torch.manual_seed(0)
    folder = step.get("load")
    if folder is None:
        folder = step["save"]
        # checkpoint: what training sets before it saves.
        fresh = BaseColBERT(step["base"], ColBERTConfig(checkpoint=step["base"], **step["settings"]))
        # Some families of transformers 4 leave a new projection as the memory was.
        torch.nn.init.normal_(fresh.linear.weight, std=0.1)
        fresh.save(folder)
    model = Checkpoint(folder, ColBERTConfig(), verbose=0)
    one = [model.queryFromText([text])[0] for text in queries]
    other = [model.docFromText([text], keep_dims=False)[0] for text in documents]
    pairs = []
    for mine in one:
        masks = [torch.ones(1, len(yours), 1, dtype=torch.bool) for yours in other]
        found = [colbert_score(mine[None], yours[None], mask) for yours, mask in zip(other, masks, strict=True)]
        pairs.append([score.item() for score in found])
    return one, other, pairs


def main() -> None:
    """Do the steps of a job."""
    peer: Peer = {"pylate": pylate, "colbert": colbert}[sys.argv[1]]
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    for step in job["steps"]:
        try:
            queries, documents, pairs = peer(step, job["queries"], job["documents"])
        except Exception as error:  # the report says what the peer cannot do
            Path(step["out"]).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            continue
        arrays = {f"q{number}": np.asarray(vectors) for number, vectors in enumerate(queries)}
        arrays |= {f"d{number}": np.asarray(vectors) for number, vectors in enumerate(documents)}
        with Path(step["out"]).open("wb") as file:
            np.savez(file, scores=np.asarray(pairs), **arrays)


if __name__ == "__main__":
    main()
