from functools import cache

import pytest
import xxhash


@pytest.fixture(scope="session")
def plain(base_folder):
    """As ``fresh``, without query expansion. Shared: not to be changed."""
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe

    return cache(lambda family: build_model(resolve_base(base_folder(family)), Recipe(expansion=0, query_length=24)))


@pytest.fixture(scope="session")
def exported():
    """Export a model to a folder and open it: ``exported(model, folder)``.

    Tracing is most of an export. The same encoder with the same weights is traced once, however its queries are read.
    """
    from tardif.encoder.onnx import convert
    from tardif.encoder.onnx.encoder import LightEncoder

    trace, made = convert._save_graph, {}

    def once(graph, path):
        key = _everything_in(graph)
        if key not in made:
            trace(graph, path)
            made[key] = path.read_bytes()
        path.write_bytes(made[key])

    def export(model, folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convert, "_save_graph", once)
            convert.export_query_encoder(model, folder)
        return LightEncoder(folder, threads=1)

    return export


def _everything_in(graph):
    """A number for all that a trace sees."""
    config = graph.encoder.config
    found = xxhash.xxh3_128(f"{graph} {config} {config._attn_implementation} {graph.has_types}".encode())
    for name, weight in graph.state_dict().items():
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        found.update(weight.numpy().tobytes())
    return found.digest()


@pytest.fixture(scope="session")
def pair(fresh, plain, exported, tmp_path_factory):
    """A family's model and its light encoder: ``pair("bert", expands=True)``."""

    @cache
    def make(family, *, expands=True):
        model = fresh(family) if expands else plain(family)
        return model, exported(model, tmp_path_factory.mktemp("light") / family)

    return make
