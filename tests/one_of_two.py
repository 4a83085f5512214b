"""One of two training processes. What it does is in ``FOLDER/cases.json``."""

from __future__ import annotations

import copy
import json
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tardif.data.training_set import TrainingSet
from tardif.encoder.tokens import tokens_for
from tardif.training.base_pull import EVERY, FrozenBase
from tardif.training.batches import Collator
from tardif.training.objective import Objective
from tardif.training.settings import settings_from
from tiny import exact_model, gradients


def objective_and_batches(model, data, options, batches):
    """The objective of ``options``, and the batches of example numbers."""
    settings = settings_from(options)
    collate = Collator(data, tokens_for(model, 40), settings)
    objective = Objective(model, settings, FrozenBase(moved(model)) if settings.base_pull else None)
    objective.begin_step(EVERY - 1)
    return objective, [collate([{"example": n} for n in rows]) for rows in batches]


def moved(model):
    """A copy whose weights are a little different, by the same rule in every process."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for number, weight in enumerate(other.parameters()):
            weight.mul_(1 + 0.1 * (number % 3))
    return other


def main(rank, folder):
    """Gradients of each case's own share of the batches, averaged as training does it."""
    cases = json.loads((folder / "cases.json").read_text())
    meeting, patience = f"file://{folder}/meeting", timedelta(seconds=240)
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=patience)
    model, data = exact_model(cases["base"]), TrainingSet.load(folder / "data")
    wrapped = DistributedDataParallel(model, find_unused_parameters=True)
    found = []
    for case in cases["cases"]:
        objective, batches = objective_and_batches(model, data, case["options"], case["batches"][rank])
        objective.model = wrapped
        model.zero_grad()
        for batch in batches[:-1]:  # gradient accumulation
            with wrapped.no_sync():
                (objective(batch) / len(batches)).backward()
        (objective(batches[-1]) / len(batches)).backward()
        found.append({"loss": objective.last, "gradients": gradients(model)})
    torch.save(found, folder / f"found{rank}.pt")
    distributed.destroy_process_group()
