from __future__ import annotations

import math
import random

import pytest

from tardif.training.run_state import EXPLODING_STEPS, Divergence


def calm(watch, steps=50, norm=1.0):
    draw = random.Random(1)
    for _ in range(steps):
        assert watch.check(2.0, norm * draw.uniform(0.1, 9)) == ""


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number(loss):
    assert str(loss) in Divergence().check(loss, 1.0)


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_gradient_that_is_no_number(norm):
    assert str(norm) in Divergence().check(1.0, norm)


def test_mixed_precision_may_search_its_scale():
    watch = Divergence(infinite_norms=3)
    for _ in range(4):
        assert [watch.check(1.0, math.inf) for _ in range(3)] == ["", "", ""]
        assert watch.check(1.0, 1.0) == ""
    assert [bool(watch.check(1.0, math.inf)) for _ in range(4)] == [False, False, False, True]


def test_an_explosion_is_told_after_some_steps_and_a_single_leap_is_not():
    watch = Divergence()
    calm(watch)
    for _ in range(3):
        assert [watch.check(2.0, 1e6) for _ in range(EXPLODING_STEPS - 1)] == [""] * (EXPLODING_STEPS - 1)
        calm(watch, steps=1)
    found = [watch.check(2.0, 1e6) for _ in range(EXPLODING_STEPS)]
    assert found[-1].startswith("the gradient's norm is 1e+06 after")
    assert not any(found[:-1])


def test_leaps_from_next_to_nothing_are_no_explosion():
    watch = Divergence()
    calm(watch, norm=1e-6)
    for _ in range(20):
        assert watch.check(0.01, 5.0) == ""


def test_it_goes_on_from_its_state():
    first = Divergence()
    calm(first, steps=30)
    first.check(2.0, 1e6)
    second = Divergence()
    second.restore(first.state())
    for norm in (1e6, 1e6, 1e6, 1e6):
        assert first.check(2.0, norm) == second.check(2.0, norm)
    assert first.state() == second.state()
