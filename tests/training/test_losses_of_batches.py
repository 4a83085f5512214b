"""Every objective against its definition: each column encoded by itself, scores and losses by loops, float64."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

import tiny
from tardif.data.training_set import TrainingSet
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model, set_dropout
from tardif.encoder.recipe import Recipe
from tardif.encoder.tokens import tokens_for
from tardif.training import gradcache
from tardif.training.batches import Collator
from tardif.training.objective import Objective
from tardif.training.settings import settings_from
from tardif.types import Document, Example

TEXTS = [
    "Rivers carry sand, and stones.",
    "the moon",
    "Bake the bread!",
    "Bees dance to tell where the flowers are. " * 3,
    "Snow falls in winter; in spring it melts.",
]
DATA = TrainingSet(
    documents={str(n): Document(str(n), text) for n, text in enumerate(TEXTS)},
    queries={"a": "what pulls the sea", "b": "bread"},
    qrels={"a": {"0": 1, "1": 1}, "b": {"2": 1}},
    split={"a": "train", "b": "train"},
    examples=[
        Example("a", "0", ("2", "3"), (3.0, -1.0, 2.0)),
        Example("a", "1", ("3",), (1.0, 4.0)),
        Example("b", "2", ("3", "1", "4"), (2.0, 0.5, -3.0, 1.0)),
    ],
)
ROWS = [{"example": n} for n in range(3)]
OBJECTIVES = {
    "contrastive": {"temperature": 0.5},
    "own negatives": {"other_negatives": False, "mask_known_positives": False},
    "mean": {"scoring": "mean"},
    "xtr": {"scoring": "xtr", "xtr_k": 5},
    "distillation": {"loss": "distillation", "distillation_temperature": 0.7},
    "raw distillation": {"loss": "distillation", "normalise_scores": False},
    "xtr distillation": {"loss": "distillation", "scoring": "xtr", "xtr_k": 9},
    "margin": {"loss": "margin", "negatives_per_example": 3},
    "sum": {"loss": {"contrastive": 1.0, "distillation": 0.5, "margin": 0.25}},
    "matryoshka": {"matryoshka": {"16": 1.0, "8": 0.5, "4": 2}, "temperature": 0.5},
    "pooled": {"pool_factor": 2},
    "all": {
        "loss": {"contrastive": 1.0, "distillation": 0.5},
        "scoring": "xtr",
        "xtr_k": 7,
        "matryoshka": [16, 4],
        "pool_factor": 1.5,
    },
}
objectives = pytest.mark.parametrize("options", OBJECTIVES.values(), ids=OBJECTIVES.keys())


@pytest.fixture(scope="module")
def model(base_folder):
    return tiny.exact_model(base_folder("bert"))


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return tiny.gradients(model)


def assert_same(found, expected, tolerance=1e-10):
    """Equal up to ``tolerance`` of the largest gradient: small ones are sums of large ones that cancel."""
    assert found.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=tolerance, atol=tolerance * largest, msg=name)


def collate(model, settings, data=DATA, tokens=2048, **options):
    return Collator(data, tokens_for(model, tokens), replace(settings, **options))


def cut(vectors, width):
    return vectors if width == 16 else normalize(vectors[:, :width], dim=-1)


def pooled(vectors, factor):
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    return HierarchicalTokenPooling(pool_factor=factor).pool_one(vectors) if factor > 1 else vectors


def score(query, document, pool, settings):
    """One query's score of one document; ``pool``: the documents of all columns."""
    if settings.scoring != "xtr":
        total = sum((x @ document.T).max() for x in query)
        return total / len(query) if settings.scoring == "mean" else total
    found = []
    for x in query:
        everything = torch.cat([x @ other.T for other in pool])
        least = everything.sort(descending=True).values[: settings.xtr_k][-1]
        best = (x @ document.T).max()
        found += [best] if best.item() >= least.item() - 1e-5 else []
    return sum(found) / len(found) if found else 0.0 * query.sum()


def plain_loss(model, settings, rows=ROWS, data=DATA):
    """The loss by its definition."""

    def encode(text, task):
        out = model(model.preprocess([text], prompt=model.prompts[task], task=task), task=task)
        return out["token_embeddings"][0][out["attention_mask"][0].bool()]

    examples = [data.examples[row["example"]] for row in rows]
    drawn = [collate(model, settings, data).negatives(row["example"]) for row in rows]
    columns = [(n, example.positive_id) for n, example in enumerate(examples)]
    columns += [(n, negative) for n, negatives in enumerate(drawn) for negative in negatives]
    queries = [encode(data.queries[example.query_id], "query") for example in examples]
    full = [encode(data.documents[identity].content, "document") for _, identity in columns]
    total = 0.0
    for width, weight in (settings.widths or {16: 1.0}).items():
        documents = [pooled(cut(document, width), settings.pool_factor) for document in full]
        losses = []
        for n, example in enumerate(examples):
            scores = [score(cut(queries[n], width), document, documents, settings) for document in documents]
            own = [n, *(j for j, (owner, _) in enumerate(columns) if owner == n and j >= len(examples))]
            known = {data.documents[d].content for d in data.positives(example.query_id)}
            denominator = [
                j
                for j, (owner, identity) in enumerate(columns)
                if j == n
                or not (
                    (settings.mask_known_positives and data.documents[identity].content in known)
                    or (not settings.other_negatives and j >= len(examples) and owner != n)
                )
            ]
            teacher = dict(zip([example.positive_id, *example.negative_ids], example.scores, strict=True))
            ours, theirs = [scores[j] for j in own], [teacher[columns[j][1]] for j in own]
            each = {
                "contrastive": lambda s=scores, n=n, d=denominator: naive_contrastive(s, n, d, settings.temperature),
                "distillation": lambda o=ours, t=theirs: naive_distillation(o, t, settings),
                "margin": lambda o=ours, t=theirs: naive_margin(o, t),
            }
            losses.append(sum(part * each[name]() for name, part in settings.terms.items()))
        total = total + weight * sum(losses) / len(losses)
    return total


def naive_contrastive(scores, positive, denominator, temperature):
    terms = {j: torch.exp(scores[j] / temperature) for j in denominator}
    return -torch.log(terms[positive] / sum(terms.values()))


def naive_distillation(ours, theirs, settings):
    if settings.normalise_scores:
        # Scores closer than a thousandth are not stretched to the whole width: they would be rounding.
        ours = [(x - min(ours)) / max(max(ours) - min(ours), 1e-3) for x in ours]
        theirs = [(x - min(theirs)) / (max(theirs) - min(theirs)) for x in theirs]
    t = settings.distillation_temperature
    p = [math.exp(x / t) / sum(math.exp(y / t) for y in theirs) for x in theirs]
    q = [torch.exp(x / t) / sum(torch.exp(y / t) for y in ours) for x in ours]
    return t**2 * sum(a * (math.log(a) - torch.log(b)) for a, b in zip(p, q, strict=True))


def naive_margin(ours, theirs):
    squares = [((ours[0] - a) - (theirs[0] - b)) ** 2 for a, b in zip(ours[1:], theirs[1:], strict=True)]
    return sum(squares) / len(squares)


@objectives
def test_the_loss_and_its_gradients_are_those_of_the_definition(model, options):
    settings = settings_from({"negatives_per_example": 2, **options})
    expected_loss = plain_loss(model, settings)
    expected = gradients(model, expected_loss)
    for tokens, grad_cache in ((40, False), (10_000, False), (40, True)):
        objective = Objective(model, replace(settings, grad_cache=grad_cache))
        loss = objective(collate(model, settings, tokens=tokens)(ROWS))
        torch.testing.assert_close(loss.detach(), expected_loss.detach(), rtol=1e-6, atol=0)  # teachers: float32
        assert objective.last == loss.item()
        assert_same(gradients(model, loss), expected, 1e-6 if "loss" in options else 1e-10)


@objectives
def test_grad_cache_changes_no_gradient_with_dropout_neither(base_folder, options):
    model = build_model(resolve_base(base_folder("bert")), Recipe(dim=16)).double().train()
    set_dropout(model, 0.3)
    found = []
    for grad_cache in (False, True):
        settings = settings_from({"negatives_per_example": 2, "grad_cache": grad_cache, **options})
        torch.manual_seed(5)
        batch = collate(model, settings, tokens=40)(ROWS)
        assert len(batch["documents"]) > 1
        loss = Objective(model, settings)(batch)
        if grad_cache:
            torch.rand(3)  # what is drawn between the passes does not matter
        state = torch.get_rng_state()
        found.append((loss.item(), gradients(model, loss / 4)))
        assert torch.equal(torch.get_rng_state(), state)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert_same(found[1][1], found[0][1])
    torch.manual_seed(6)
    assert Objective(model, settings)(batch).item() != pytest.approx(found[0][0], rel=1e-6), "no dropout was drawn"


def test_grad_cache_keeps_one_graph_at_a_time(model, monkeypatch):
    alive, most = [], 0
    encode = gradcache.encode

    def watched(*args):
        nonlocal most
        out = encode(*args)
        if out.vectors.requires_grad:
            alive.append(weakref.ref(out.vectors))
        most = max(most, sum(ref() is not None for ref in alive))
        return out

    monkeypatch.setattr(gradcache, "encode", watched)
    settings = settings_from({"negatives_per_example": 3, "grad_cache": True})
    batch = collate(model, settings, tokens=1)(ROWS)
    Objective(model, settings)(batch).backward()
    assert len(alive) == len(batch["queries"]) + len(batch["documents"])
    assert most == 1


@pytest.mark.parametrize("around_backward", [False, True])
def test_grad_cache_in_mixed_precision_is_the_plain_way(base_folder, around_backward):
    model = build_model(resolve_base(base_folder("bert")), Recipe(dim=16)).train()
    set_dropout(model, 0.0)
    found = []
    for grad_cache in (False, True):
        settings = settings_from({"negatives_per_example": 2, "grad_cache": grad_cache})
        batch = collate(model, settings, tokens=40)(ROWS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = Objective(model, settings)(batch)
            assert loss.dtype == torch.float32
            if around_backward:
                found.append((loss.item(), gradients(model, loss)))
        if not around_backward:
            found.append((loss.item(), gradients(model, loss)))
    assert found[0][0] == found[1][0]
    assert_same(found[1][1], found[0][1], 1e-2)  # bfloat16's own sums are in another order


def test_without_gradients_the_loss_is_the_same(model):
    settings = settings_from({"negatives_per_example": 2, "grad_cache": True})
    objective, batch = Objective(model, settings), collate(model, settings)(ROWS)
    loss = objective(batch)
    with torch.no_grad():
        assert objective(batch).item() == loss.item()


def test_an_example_without_scores_teaches_nothing(model):
    settings = settings_from({"loss": "distillation"})
    examples = [*DATA.examples[:2], replace(DATA.examples[2], scores=())]
    batch = collate(model, settings, replace(DATA, examples=examples))(ROWS)
    expected = plain_loss(model, settings, ROWS[:2]) * 2 / 3
    torch.testing.assert_close(Objective(model, settings)(batch).detach(), expected.detach(), rtol=1e-6, atol=0)
