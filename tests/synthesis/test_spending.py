import math

import pytest

from tardif.checks import check_number
from tardif.errors import SettingError
from tardif.synthesis.spending import Cap, Cost, Spending, believed


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, "5", True, [1]])
@pytest.mark.parametrize("name", ["requests", "tokens", "cost", "price_in", "price_out"])
def test_a_cap_that_would_cap_nothing_is_refused(name, value):
    settings = {"requests": 1, "cost": 1.0, "price_in": 1.0, "price_out": 1.0, name: value}
    with pytest.raises(SettingError, match=name):
        Cap(**settings).check()


def test_a_cap_may_be_any_number_from_zero():
    Cap(requests=0).check()
    Cap(tokens=10**400).check()
    Cap(cost=0.0, price_out=2).check()


@pytest.mark.parametrize("value", [0, 11, 2.0, True, None])
def test_numbers_have_a_range(value):
    with pytest.raises(SettingError, match="n="):
        check_number("n", value, 1, 10, whole=True)
    check_number("n", 10, 1, 10, whole=True)


USAGE = {"prompt_tokens": 90, "completion_tokens": 12}


def test_a_count_that_can_be_is_believed():
    assert believed(USAGE, 300, 30, 200) == Cost(90, 12, False)


@pytest.mark.parametrize("value", [0, 1, -1, -(10**20), 10**12, 10**400, True, None, "90", 90.0, math.nan, [90], {}])
@pytest.mark.parametrize("name", USAGE)
def test_a_count_that_cannot_be_is_estimated(name, value):
    cost = believed({**USAGE, name: value}, 300, 300, 200)
    assert cost == Cost(*(100 if key == name else USAGE[key] for key in USAGE), True)


@pytest.mark.parametrize("usage", [None, [], "usage", 5, {}, {"total_tokens": 5}])
def test_no_count_is_estimated(usage):
    assert believed(usage, 300, 31, 200) == Cost(100, 11, True)


def test_spending_adds_up_and_takes_back():
    spent = Spending()
    spent.add(Cost(3, 4, True))
    spent.add(Cost(1, 2, False))
    spent.add(Cost(3, 4, True), -1)
    assert spent == Spending(1, 1, 2, 0)
    assert spent.cost(Cap(cost=1, price_in=1e6, price_out=2e6)) == 5
    assert not spent.exceeds(Cap(requests=1, tokens=3))
    assert spent.exceeds(Cap(requests=0)) and spent.exceeds(Cap(tokens=2))
