"""Packed, a text's vectors are what they are alone."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch.nn.functional import pad

from tardif.encoder import packing
from tardif.encoder.base import resolve_base
from tardif.encoder.encoding import Block, encode, encode_texts
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe

TEXTS = [
    "Rivers carry sand, and stones, down to the sea.",
    "the moon",
    "Bees dance to tell each other where the flowers are: " * 6,
    "Snow falls in winter.",
    "Snow falls in summer.",
    "one",
]
PACKS = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "modernbert")


def model_of(folder):
    return build_model(resolve_base(folder), Recipe(dim=8)).double().train(False)


def packed(model, texts):
    found = model.preprocess(texts, prompt=model.prompts["document"], task="document")
    masks = found["attention_mask"].bool()
    ids = [row[mask] for row, mask in zip(found["input_ids"], masks, strict=True)]
    return packing.pack(ids, packing.first_position(model))


def alone(model, text):
    out = model(model.preprocess([text], prompt=model.prompts["document"], task="document"), task="document")
    return out["token_embeddings"][0][out["attention_mask"][0].bool()]


def assert_as_alone(model, expected, texts):
    found = encode(model, Block(packed(model, texts), "document"))
    for vectors, text in zip(found.vectors.split(found.lengths), texts, strict=True):
        torch.testing.assert_close(vectors, expected[text], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", PACKS)
def test_neighbours_change_nothing(base_folder, family):
    model = model_of(base_folder(family))
    expected = {text: alone(model, text) for text in TEXTS}
    assert packing.enable(model)
    assert_as_alone(model, expected, TEXTS)
    assert_as_alone(model, expected, TEXTS[::-1])
    for text in TEXTS:  # not packed, as at encoding
        torch.testing.assert_close(alone(model, text), expected[text], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", PACKS)
def test_what_is_saved_does_not_know_of_it(base_folder, family, tmp_path):
    model = build_model(resolve_base(base_folder(family)), Recipe(dim=8))
    packing.enable(model)
    model.save_pretrained(str(tmp_path))
    assert packing.ATTENTION not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))


def test_a_family_with_an_attention_of_its_own_is_left_alone(base_folder):
    model = model_of(base_folder("deberta-v2"))
    before = model[0].model.config._attn_implementation
    assert not packing.enable(model)
    assert model[0].model.config._attn_implementation == before


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_what_packing_does_not_know_is_measured_as_it_is_published(base_folder, tmp_path, family):
    from sentence_transformers import MultiVectorEncoder

    shutil.copytree(base_folder(family), tmp_path / "base")
    config = tmp_path / "base" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "is_decoder": True}))
    model = build_model(resolve_base(tmp_path / "base"), Recipe(dim=8))
    vectors, lengths = encode_texts(model, TEXTS, "document")
    assert not packing.enable(model)
    assert model[0].model.config._attn_implementation == "sdpa"
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    elsewhere = MultiVectorEncoder(str(tmp_path / "model"), device="cpu").encode_document(TEXTS)
    for mine, theirs in zip(torch.tensor(vectors).split(lengths), elsewhere, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_an_encoder_that_computes_something_else_when_packed_is_left_alone(base_folder, monkeypatch):
    model, odd = model_of(base_folder("bert")), packing._attention
    # Such as a bias by distance, or a cap on scores.
    monkeypatch.setattr(packing, "_attention", lambda *a, scaling, **k: odd(*a, scaling=1e4 * scaling, **k))
    assert not packing.enable(model)
    assert model[0].model.config._attn_implementation == "sdpa"
    monkeypatch.undo()
    assert not packing.enable(model)  # asked once
    assert packing.enable(model_of(base_folder("bert")))


def test_asking_changes_neither_the_mode_nor_the_random_numbers(base_folder):
    model = build_model(resolve_base(base_folder("bert")), Recipe(dim=8)).train()
    model[0].model.embeddings.eval()
    modes, random = [module.training for module in model.modules()], torch.get_rng_state()
    assert packing.enable(model)
    assert packing.enable(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


def test_an_implementation_that_the_user_chose_is_left_alone(base_folder):
    model = model_of(base_folder("bert"))
    model[0].model.set_attn_implementation("eager")
    assert not packing.enable(model)


@pytest.mark.parametrize("window", [None, 1, 2, 4, 50])
def test_attention_is_that_of_its_formula(window):
    lengths, heads, width = [3, 5, 5, 1, 7], 2, 4
    q, k, v = torch.randn(3, 1, heads, sum(lengths), width, dtype=torch.float64)
    found, _ = packing._attention(
        torch.nn.Module(), q, k, v, None, scaling=0.3, sliding_window=window, packed_lengths=lengths
    )
    start = 0
    for length in lengths:
        here = slice(start, start + length)
        scores = 0.3 * q[0, :, here] @ k[0, :, here].transpose(1, 2)  # [heads, tokens, tokens]
        for one in range(length):
            for other in range(length):
                if window is not None and abs(one - other) >= window:
                    scores[:, one, other] = -torch.inf
        expected = scores.softmax(-1) @ v[0, :, here]
        torch.testing.assert_close(found[0, here].transpose(0, 1), expected)
        start += length


def test_attention_in_16_bits_by_products_is_that_of_the_library(monkeypatch):
    """Training on a CPU computes it another way than encoding does: values and gradients agree as far as 16 bits go."""
    lengths, shapes, by_products = [3, 5, 5, 1, 40], [], packing._by_products

    def watched(q, k, v, scaling):
        shapes.append(tuple(q.shape))
        return by_products(q, k, v, scaling)

    monkeypatch.setattr(packing, "_by_products", watched)
    states = torch.randn(3, 1, 2, sum(lengths), 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = []
    for training in (False, True):
        leaves = states.clone().requires_grad_()
        module = torch.nn.Module().train(training)
        out, _ = packing._attention(module, *leaves, None, scaling=0.3, packed_lengths=lengths)
        (gradient,) = torch.autograd.grad(out.float().square().sum(), leaves)
        found.append((out.detach(), gradient))
        assert len(shapes) == (4 if training else 0)  # neighbours of one length go together
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine.float(), other.float(), rtol=0.05, atol=0.05)


def test_how_many_tokens_of_each_text_a_mask_keeps():
    mask = torch.tensor([[True, False, True, True, False, False, True]])
    assert packing.lengths_of(mask, [2, 1, 3, 1]) == [1, 1, 1, 1]
    assert packing.lengths_of(pad(mask, (0, 1)), [3, 2, 3]) == [2, 1, 1]
