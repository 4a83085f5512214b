from pathlib import Path

import pytest

from tardif.encoder.base import Base
from tardif.encoder.recipe import Recipe
from tardif.errors import SettingError


def base(kind="encoder", hidden_size=384, max_tokens=512, dim=None):
    return Base("base", Path(), Path(), kind, "bert", hidden_size, max_tokens, dim)


COLBERT = base("pylate", dim=96)


@pytest.mark.parametrize(
    ("recipe", "on", "width"),
    [
        (Recipe(), base(), 384),
        (Recipe(), base(hidden_size=768), 384),
        (Recipe(), base(hidden_size=64), 64),
        (Recipe(dim=48), base(), 48),
        (Recipe(dim=1000), base(), 1000),
        (Recipe(dim=None), base(), 384),
        (Recipe(), COLBERT, 96),
        (Recipe(dim=None), COLBERT, 96),
        (Recipe(dim=96), COLBERT, 96),
    ],
)
def test_the_width_of_the_token_vectors(recipe, on, width):
    recipe.check(on)
    assert recipe.width(on) == width


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(query_length=4, document_length=512, expansion=0),
        Recipe(query_length=512, expansion=512),
        Recipe(dim=1),
        Recipe(dim=4096),
    ],
)
def test_the_ends_of_what_is_allowed(recipe):
    recipe.check(base())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim=0: give 1 to 4096"),
        ({"dim": 4097}, "dim=4097"),
        ({"dim": 1.5}, "dim=1.5"),
        ({"dim": True}, "dim=True"),
        ({"dim": "wide"}, "dim='wide'"),
        ({"query_length": 3}, "query_length=3: .* 4 or more"),
        ({"query_length": 32.0}, "query_length=32.0"),
        ({"document_length": True}, "document_length=True"),
        ({"query_length": 513}, "query_length=513: the base base reads at most 512"),
        ({"document_length": 513}, "document_length=513: the base base reads at most 512"),
        ({"expansion": -1}, "expansion=-1"),
        ({"expansion": 513}, "expansion=513"),
        ({"expansion": 1.0}, "expansion=1.0"),
        ({"markers": 1}, "markers=1: give true or false"),
    ],
)
def test_what_the_base_cannot_do_is_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        Recipe(**settings).check(base())


@pytest.mark.parametrize("settings", [{"dim": 128}, {"expansion": 16}, {"markers": True}, {"markers": False}])
def test_an_existing_colbert_keeps_its_own(settings):
    with pytest.raises(SettingError, match="is a ColBERT"):
        Recipe(**settings).check(COLBERT)


def test_made_queries_go_without_markers_unless_they_are_asked_for():
    assert Recipe(dim=8).decided(made=False) == Recipe(dim=8)
    assert Recipe(dim=8).decided(made=True) == Recipe(dim=8, markers=False)
    assert Recipe(markers=True).decided(made=True) == Recipe(markers=True)
