from __future__ import annotations

import pytest
import torch

import tiny
from tardif.data.training_set import TrainingSet
from tardif.encoder.tokens import tokens_for
from tardif.training.batches import Collator
from tardif.training.objective import Objective
from tardif.training.settings import TrainingSettings
from tardif.types import Document, Example

TEXTS = [
    "Rivers carry sand, and stones.",
    "the moon",
    "Bake the bread!",
    "Bees dance to tell where the flowers are. " * 3,
]
DATA = TrainingSet(
    documents={str(n): Document(str(n), text) for n, text in enumerate(TEXTS)},
    queries={"a": "what pulls the sea", "b": "bread"},
    qrels={"a": {"0": 1, "1": 1}, "b": {"2": 1}},
    split={"a": "train", "b": "train"},
    # One query twice, one negative for all, one document that is both a positive and a negative.
    examples=[Example("a", "0", ("2", "3")), Example("a", "1", ("3",)), Example("b", "2", ("3", "1"))],
)
ROWS = [{"example": n} for n in range(3)]


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def model(request, base_folder):
    return tiny.exact_model(base_folder(request.param))


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return tiny.gradients(model)


def collate(model, tokens=2048, **options):
    return Collator(DATA, tokens_for(model, tokens), TrainingSettings(negatives_per_example=2, **options))


def plain_loss(model, masked, temperature):
    """The same loss by its definition: each column encoded by itself, MaxSim by loops."""

    def encode(text, task):
        out = model(model.preprocess([text], prompt=model.prompts[task], task=task), task=task)
        return out["token_embeddings"][0][out["attention_mask"][0].bool()]

    drawn = collate(model)
    columns = [e.positive_id for e in DATA.examples]
    for n in range(len(DATA.examples)):
        columns += drawn.negatives(n)
    losses = []
    for n, example in enumerate(DATA.examples):
        scores = []
        for column, identity in enumerate(columns):
            if masked and column != n and DATA.qrels[example.query_id].get(identity):
                continue
            query, document = (
                encode(DATA.queries[example.query_id], "query"),
                encode(DATA.documents[identity].content, "document"),
            )
            scores.append((query @ document.T).max(dim=1).values.sum() / temperature)
            if column == n:
                own = scores[-1]
        losses.append(torch.logsumexp(torch.stack(scores), 0) - own)
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("masked", "temperature"), [(True, 1.0), (False, 0.5)])
def test_sub_batches_and_shared_encodings_change_no_gradient(model, masked, temperature):
    objective = Objective(model, TrainingSettings(temperature=temperature))
    expected_loss = plain_loss(model, masked, temperature)
    expected = gradients(model, expected_loss)
    for tokens in (1, 40, 10_000):
        batch = collate(model, tokens=tokens, mask_known_positives=masked)(ROWS)
        assert tokens == 40 or len(batch["documents"]) == {1: 4, 10_000: 1}[tokens]
        loss = objective(batch)
        torch.testing.assert_close(loss, expected_loss, rtol=1e-10, atol=0)
        assert objective.last == loss.item()
        found = gradients(model, loss)
        assert found.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-8, atol=1e-10, msg=name)


def test_every_weight_that_encoding_uses_gets_a_gradient(model):
    found = gradients(model, Objective(model)(collate(model)(ROWS)))
    missing = {name for name, _ in model.named_parameters() if "pooler" not in name} - found.keys()
    assert not missing


BLANK = TrainingSet(
    documents={**DATA.documents, "dots": Document("dots", "...")},
    queries={**DATA.queries, "c": "?"},
    qrels={**DATA.qrels, "c": {"1": 1}},
    split={**DATA.split, "c": "train"},
    examples=[
        Example("a", "dots", ("2",), (1.0, 0.5)),
        Example("b", "2", ("dots",), (1.0, 0.5)),
        Example("c", "1", ()),
    ],
)


@pytest.mark.parametrize("pool_factor", [1, 2])
@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.01}, {"scoring": "mean"}, {"scoring": "xtr"}, {"loss": "distillation"}, {"loss": "margin"}],
    ids=str,
)
def test_blank_texts_in_a_batch_leave_loss_and_gradients_finite(model, options, pool_factor):
    settings = TrainingSettings(**options, pool_factor=pool_factor, grad_cache=pool_factor == 2)
    collate = Collator(BLANK, tokens_for(model, 40), TrainingSettings(negatives_per_example=1))
    for rows in ([0, 1, 2], [0], [2]):
        loss = Objective(model, settings)(collate([{"example": n} for n in rows]))
        assert loss.abs() < 1e4
        assert all(gradient.isfinite().all() for gradient in gradients(model, loss).values())
