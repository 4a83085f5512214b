"""What one of two training processes does."""

from __future__ import annotations

import copy
import json
import time
from datetime import timedelta
from itertools import count

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tardif.data.training_set import TrainingSet
from tardif.encoder.tokens import tokens_for
from tardif.errors import FolderError
from tardif.training.base_pull import EVERY, FrozenBase
from tardif.training.batches import Collator
from tardif.training.distributed import join
from tardif.training.length_pull import LengthPull, reads_lengths
from tardif.training.objective import Objective
from tardif.training.settings import settings_from
from tiny import exact_model, gradients


def objective_and_batches(model, data, options, batches):
    """The objective of ``options``, and the batches of example numbers."""
    settings = settings_from(options)
    collate = Collator(data, tokens_for(model, 40), settings)
    base = FrozenBase(moved(model)) if settings.base_pull else None
    lengths = LengthPull(model, data, 40) if settings.length_pull else None
    objective = Objective(model, settings, base, lengths)
    objective.begin_step(next(filter(reads_lengths, count())) if lengths else EVERY - 1)
    return objective, [collate([{"example": n} for n in rows]) for rows in batches]


def moved(model):
    """A copy whose weights are a little different, by the same rule in every process."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for number, weight in enumerate(other.parameters()):
            weight.mul_(1 + 0.1 * (number % 3))
    return other


def main(rank, folder):
    """Find the gradients of each case in ``FOLDER/cases.json``, of this process's share of the batches, averaged as
    training does it."""
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


def take_part(rank, folder):
    """Ask all of a process group, and write what came of it to ``FOLDER/foundRANK.json``."""
    group = join("cpu", (folder / "meeting").as_uri())
    found = {"rank": group.rank, "size": group.size, "share": group.shard([5, 6, 7])}
    found["heard"] = group.on_main(lambda: ["from", group.rank])
    found["gathered"] = group.gather(group.rank)
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(3.0 + group.rank)
    model.weight.grad = torch.full((1, 1), 1.0 + group.rank)
    group.average_gradients(model)
    group.broadcast_weights(model)
    found["weight"], found["gradient"] = model.weight.item(), model.weight.grad.item()

    def fail():
        raise FolderError(f"The disk of {group.rank} is full.")

    try:
        group.on_main(fail)
    except FolderError as error:
        found["error"] = str(error)
    found["made"] = group.gather_made(lambda: 10 + group.rank)

    def fail_on_1():
        if group.rank == 1:
            fail()

    try:
        group.gather_made(fail_on_1)
    except FolderError as error:
        found["shared error"] = str(error)
    if group.is_main:
        time.sleep(0.5)  # it publishes
        told = time.time()
    group.wait(failed=True)
    found["ended"] = time.time() if group.rank else told
    (folder / f"found{rank}.json").write_text(json.dumps(found))
