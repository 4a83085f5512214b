from __future__ import annotations

import pytest
import torch
from torch import nn

from tardif.training.averaging import averaged, save_start, share_of_start


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "start"


@pytest.fixture
def changed(folder):
    """A small model after a change to its weights, what it began with, and what it has become."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    start = weights_of(model)
    save_start(model, folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    return model, start, weights_of(model)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_weights_are_part_of_the_way_back(changed, folder, share):
    model, start, end = changed
    with averaged(model, folder, share):
        for name, weight in model.named_parameters():
            torch.testing.assert_close(weight.detach(), share * start[name] + (1 - share) * end[name])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_afterwards_the_weights_are_their_own_bit_by_bit_also_after_an_error(changed, folder, share):
    model, _, end = changed
    with pytest.raises(KeyError), averaged(model, folder, share):
        raise KeyError
    assert all(torch.equal(weight, end[name]) for name, weight in model.named_parameters())


def test_without_a_share_nothing_is_read(changed, tmp_path):
    model, _, end = changed
    with averaged(model, tmp_path / "missing", 0.0):
        assert all(torch.equal(weight, end[name]) for name, weight in model.named_parameters())


def test_frozen_weights_stay_what_they_are(folder):
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    save_start(model, folder)
    with torch.no_grad():
        model.bias.add_(1.0)
    bias = model.bias.clone()
    with averaged(model, folder, 0.5):
        assert torch.equal(model.bias, bias)


def test_an_adapter_is_halved_by_halving_the_matrix_that_began_at_zero(folder):
    model = nn.ModuleDict({"lora_A": nn.Linear(4, 2, bias=False), "lora_B": nn.Linear(2, 3, bias=False)})
    nn.init.zeros_(model["lora_B"].weight)
    save_start(model, folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    product = model["lora_B"].weight @ model["lora_A"].weight
    with averaged(model, folder, 0.5):
        torch.testing.assert_close(model["lora_B"].weight @ model["lora_A"].weight, 0.5 * product)


def test_more_of_the_start_is_kept_where_queries_were_made_and_what_is_asked_for_where_it_is():
    assert 0 < share_of_start(None, made=False) < share_of_start(None, made=True) < 1
    assert share_of_start(0.0, made=True) == 0.0
    assert share_of_start(0.2, made=False) == 0.2
