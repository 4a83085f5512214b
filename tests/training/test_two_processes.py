"""Two processes give the gradients of one on the same global batch."""

from __future__ import annotations

import json

import pytest
import torch

import forked
import one_of_two
import tiny
from tardif.data.training_set import TrainingSet
from tardif.types import Document, Example

TEXTS = [
    "Rivers carry sand, and stones.",
    "the moon",
    "Bake the bread!",
    "Bees dance to tell where the flowers are. " * 3,
    "Snow falls in winter; in spring it melts.",
    "The  moon",  # a copy
]
DATA = TrainingSet(
    documents={str(n): Document(str(n), text) for n, text in enumerate(TEXTS)},
    queries={"a": "what pulls the sea", "b": "bread", "c": "when does it snow"},
    qrels={"a": {"0": 1, "1": 1}, "b": {"2": 1}, "c": {"4": 1, "5": 1}},
    split={"a": "train", "b": "train", "c": "train"},
    examples=[
        Example("a", "0", ("2", "3"), (3.0, -1.0, 2.0)),
        Example("a", "1", ("3",), (1.0, 4.0)),
        Example("b", "2", ("3", "1", "4"), (2.0, 0.5, -3.0, 1.0)),
        Example("c", "4", ("1", "3"), (5.0, 1.0, 2.0)),
        Example("c", "5", (), (1.0,)),
    ],
)
OBJECTIVES = {
    "contrastive": {"negatives_per_example": 2},
    "own negatives": {"other_negatives": False, "mask_known_positives": False},
    "pulled": {"base_pull": 0.5, "temperature": 0.5},
    "pulled at many lengths": {"base_pull": 0.5, "length_pull": 0.5},
    "xtr": {"scoring": "xtr", "xtr_k": 5},
    "distillation": {"loss": "distillation"},
    "all": {
        "loss": {"contrastive": 1.0, "distillation": 0.5, "margin": 0.5},
        "scoring": "xtr",
        "xtr_k": 7,
        "matryoshka": [16, 4],
        "pool_factor": 1.5,
    },
}
SHARES = {  # of the two processes: for each step of accumulation, example numbers
    "even": [[[0, 1]], [[3, 4]]],
    "3 and 2": [[[0, 1, 2]], [[3, 4]]],
    "4 and 0": [[[3, 1, 2, 0]], [[]]],
    "0 and 4": [[[]], [[3, 1, 2, 0]]],
    "accumulated": [[[0, 1], [2]], [[3, 4], []]],
}
# Every objective with every share, half of them cached: every objective is, and every share, and is not.
CASES = {
    f"{objective}, {share}, {'cached' if cached else 'plain'}": {
        "options": {**OBJECTIVES[objective], "grad_cache": cached},
        "batches": SHARES[share],
    }
    for row, objective in enumerate(OBJECTIVES)
    for column, share in enumerate(SHARES)
    for cached in ((row + column) % 2 == 1,)
}


@pytest.fixture(scope="module")
def found(base_folder, tmp_path_factory):
    """What both processes found, by case. This process is the first of them."""
    folder = tmp_path_factory.mktemp("two")
    DATA.save(folder / "data")
    (folder / "cases.json").write_text(json.dumps({"base": str(base_folder("bert")), "cases": list(CASES.values())}))
    with forked.children(one_of_two.main, [1], folder):
        one_of_two.main(0, folder)
    by_rank = [torch.load(folder / f"found{rank}.pt", weights_only=True) for rank in range(2)]
    return {name: [by_rank[rank][number] for rank in range(2)] for number, name in enumerate(CASES)}


@pytest.fixture(scope="module")
def model(base_folder):
    return tiny.exact_model(base_folder("bert"))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_gradients_of_one(name, found, model):
    case = CASES[name]
    together = [first + second for first, second in zip(*case["batches"], strict=True)]
    objective, batches = one_of_two.objective_and_batches(model, DATA, case["options"], together)
    model.zero_grad()
    for batch in batches:
        (objective(batch) / len(batches)).backward()
    expected = tiny.gradients(model)
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    assert largest > 0
    for process in found[name]:
        assert process["loss"] == pytest.approx(objective.last, rel=1e-9)
        assert process["gradients"].keys() == expected.keys()
        for weight in expected:
            torch.testing.assert_close(
                process["gradients"][weight], expected[weight], rtol=1e-9, atol=1e-9 * largest, msg=weight
            )
