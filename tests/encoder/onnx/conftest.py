from functools import cache

import pytest


@pytest.fixture(scope="session")
def plain(base_folder):
    """As ``fresh``, without query expansion. Shared: not to be changed."""
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe

    return cache(lambda family: build_model(resolve_base(base_folder(family)), Recipe(expansion=0, query_length=24)))


@pytest.fixture(scope="session")
def pair(fresh, plain, tmp_path_factory):
    """A family's model and its light encoder: ``pair("bert", expands=True)``."""
    from tardif.encoder.onnx.convert import export_query_encoder
    from tardif.encoder.onnx.encoder import LightEncoder

    @cache
    def make(family, *, expands=True):
        model = fresh(family) if expands else plain(family)
        folder = tmp_path_factory.mktemp("light") / family
        export_query_encoder(model, folder)
        return model, LightEncoder(folder, threads=1)

    return make
