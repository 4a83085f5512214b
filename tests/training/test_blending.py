from __future__ import annotations

import pytest
import torch
from torch import nn

from tardif.training.blending import blended, weights_of


def changed(share):
    """A small model after a change to its weights, what it began with, and what it has become."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    start = weights_of(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    return model, start, weights_of(model)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_weights_are_part_of_the_way_back(share):
    model, start, end = changed(share)
    with blended(model, start, share):
        for name, weight in model.named_parameters():
            torch.testing.assert_close(weight.detach(), share * start[name] + (1 - share) * end[name])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_afterwards_the_weights_are_their_own_bit_by_bit_also_after_an_error(share):
    model, start, end = changed(share)
    with pytest.raises(KeyError), blended(model, start, share):
        raise KeyError
    assert all(torch.equal(weight, end[name]) for name, weight in model.named_parameters())


def test_no_share_changes_nothing():
    model, start, end = changed(0.0)
    with blended(model, start, 0.0):
        assert all(torch.equal(weight, end[name]) for name, weight in model.named_parameters())


def test_the_copy_does_not_follow_the_training():
    model = nn.Linear(3, 2)
    start = weights_of(model)
    before = start["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    assert torch.equal(start["weight"], before)


def test_frozen_weights_are_not_copied():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert list(weights_of(model)) == ["weight"]


def test_an_adapter_is_halved_by_halving_the_matrix_that_began_at_zero():
    model = nn.ModuleDict({"lora_A": nn.Linear(4, 2, bias=False), "lora_B": nn.Linear(2, 3, bias=False)})
    nn.init.zeros_(model["lora_B"].weight)
    start = weights_of(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    product = model["lora_B"].weight @ model["lora_A"].weight
    with blended(model, start, 0.5):
        torch.testing.assert_close(model["lora_B"].weight @ model["lora_A"].weight, 0.5 * product)
