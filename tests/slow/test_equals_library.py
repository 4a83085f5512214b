"""The same mathematics as sentence-transformers: gradients of the first step, and the first losses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional

from tardif.data.training_set import TrainingSet
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model, set_dropout
from tardif.encoder.recipe import Recipe
from tardif.encoder.tokens import tokens_for
from tardif.preparation import prepare
from tardif.training.batches import Collator
from tardif.training.objective import Objective
from tardif.training.settings import TrainingSettings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("library")]  # on one worker: what they share is dear
SIZE, LOSSES = 4, 20


@pytest.fixture(scope="module")
def data(collection) -> TrainingSet:
    found = prepare([collection("medquad")], negatives=1, near=False)
    # Short documents: what is compared does not depend on their length, and the time does.
    chosen = [
        example
        for example in found.examples
        if all(len(found.documents[d].content) < 600 for d in (example.positive_id, *example.negative_ids))
    ]
    return dataclasses.replace(found, examples=chosen[: SIZE * LOSSES])


def fresh(dtype: torch.dtype) -> Any:
    recipe = Recipe(query_length=32, document_length=256, expansion=32)
    model = build_model(resolve_base(MINILM), recipe).to(dtype).train()
    set_dropout(model, 0.0)
    return model


def ours(model: Any, data: TrainingSet) -> Any:
    collate = Collator(
        data, tokens_for(model, 1024), TrainingSettings(negatives_per_example=1, mask_known_positives=False)
    )
    objective = Objective(model)
    return lambda rows: objective(collate([{"example": n} for n in rows]))


def in_float64(model: Any) -> Any:
    """The library's loss by its definition: its own takes the scores in float32 whatever the model."""

    def loss(columns: list[dict[str, Any]]) -> torch.Tensor:
        (queries, asked), *documents = (
            (out["token_embeddings"], out["attention_mask"].bool())
            for out in (model({k: v for k, v in c.items() if k != "task"}, task=c["task"]) for c in columns)
        )
        scores = []
        for vectors, mask in documents:
            similarities = torch.einsum("qtd,nsd->qnts", queries, vectors)
            best = similarities.masked_fill(~mask[None, :, None], -torch.inf).max(dim=-1).values  # [Q, N, tokens]
            scores.append((best * asked[:, None]).sum(dim=-1))
        return functional.cross_entropy(torch.cat(scores, dim=1), torch.arange(len(queries)))

    return loss


def theirs(model: Any, data: TrainingSet) -> Any:
    """The library's loss on its own tokenisation: a column of queries, of positives, of negatives."""
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss

    double = next(model.parameters()).dtype == torch.float64
    loss = in_float64(model) if double else MultiVectorMultipleNegativesRankingLoss(model)

    def column(texts: list[str], task: str) -> dict[str, Any]:
        return {**model.preprocess(texts, prompt=model.prompts[task], task=task), "task": task}

    def step(rows: range) -> torch.Tensor:
        examples = [data.examples[n] for n in rows]
        columns = [[e.positive_id for e in examples], [e.negative_ids[0] for e in examples]]
        found: torch.Tensor = loss(
            [
                column([data.queries[e.query_id] for e in examples], "query"),
                *(column([data.documents[d].content for d in ids], "document") for ids in columns),
            ]
        )
        return found

    return step


def gradients(model: Any, step: Any) -> torch.Tensor:
    step(range(SIZE)).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_gradients_of_the_first_step_are_equal(data, dtype, tolerance):
    one, other = fresh(dtype), fresh(dtype)
    mine, expected = gradients(one, ours(one, data)), gradients(other, theirs(other, data))
    assert ((mine - expected).norm() / expected.norm()).item() < tolerance


def test_the_first_losses_are_equal(data):
    found = []
    for make in (ours, theirs):
        model = fresh(torch.float32)
        step, optimizer = make(model, data), torch.optim.AdamW(model.parameters(), lr=3e-5)
        losses = []
        for number in range(LOSSES):
            loss = step(range(number * SIZE, (number + 1) * SIZE))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        found.append(losses)
    assert found[0] == pytest.approx(found[1], rel=1e-3)
