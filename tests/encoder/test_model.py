from __future__ import annotations

import json
import re
import shutil
import sys
from functools import cache

import pytest
import torch

import tiny
from tardif.encoder.base import resolve_base
from tardif.encoder.model import (
    build_model,
    check_tokenizer,
    fit_projection,
    open_model,
    projection_of,
    raw_view,
    set_dropout,
    transformer_of,
)
from tardif.encoder.recipe import Recipe
from tardif.errors import ModelError, SettingError

families = pytest.mark.parametrize("family", tiny.FAMILIES)
formats = pytest.mark.parametrize("checkpoint", ["multi_vector_folder", "stanford_folder", "pylate_folder"])
TEXTS = ["Rivers carry sand down to the sea.", "the moon", "Bake the bread, then wait."]


def vectors(model, texts=TEXTS):
    return [*model.encode_query(texts), *model.encode_document(texts)]


def assert_equal_vectors(one, other, **tolerance):
    for mine, yours in zip(vectors(one), vectors(other), strict=True):
        torch.testing.assert_close(mine, yours, **(tolerance or {"rtol": 0, "atol": 0}))


def assert_opens_elsewhere(model, folder):
    """Saved, it opens in one line with equal vectors, and holds neither pickles nor foreign classes."""
    from sentence_transformers import MultiVectorEncoder

    model.save_pretrained(str(folder), create_model_card=False)
    reopened = MultiVectorEncoder(str(folder), device="cpu")
    assert_equal_vectors(model, reopened)
    types = [module["type"] for module in json.loads((folder / "modules.json").read_text())]
    assert all(name.startswith("sentence_transformers.") for name in types), types
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".txt", ".model", ".md"}, suffixes


@pytest.fixture(scope="module")
def base(base_folder):
    return resolve_base(base_folder("bert"))


@families
def test_a_saved_model_opens_in_one_line(fresh, family, tmp_path):
    assert_opens_elsewhere(fresh(family), tmp_path / "model")


@pytest.fixture(scope="module")
def slow_base(base_folder, tmp_path_factory):
    """A base of each tokenizer that is all Python, made when first asked for."""

    def made(tokenizer):
        family = "bert" if tokenizer.startswith("BertJ") else "roberta"
        return tiny.save_slow(tokenizer, base_folder(family), tmp_path_factory.mktemp("slow") / "base")

    return cache(made)


@pytest.mark.parametrize("markers", [None, False])
@pytest.mark.parametrize("tokenizer", tiny.SLOW)
def test_a_base_with_a_tokenizer_that_is_all_python_gives_a_model(slow_base, tmp_path, tokenizer, markers):
    base, recipe = resolve_base(slow_base(tokenizer)), Recipe(markers=markers)
    check_tokenizer(base, recipe)
    model = build_model(base, recipe)
    assert type(model.tokenizer).__name__ == tokenizer
    assert {".", "!", "?"} <= set(model[1].skiplist_words)
    assert len(model.encode_document("cat.")) == len(model.encode_document("cat"))
    marked = len(model.encode_query("cat")) - len(raw_view(model).encode_query("cat"))
    assert marked == (markers is None)
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    assert_equal_vectors(model, open_model(str(tmp_path / "model")))


def test_a_tokenizer_that_is_lost_when_it_is_saved_is_refused(base_folder, tmp_path):
    # transformers writes BERTweet's merges without their counts, and reads them with counts.
    folder = tiny.save_slow("BertweetTokenizer", base_folder("roberta"), tmp_path / "base", "e t 2\nt e 1\n")
    for opened in (build_model, check_tokenizer):
        with pytest.raises(ModelError, match="BertweetTokenizer.* once transformers has saved it"):
            opened(resolve_base(folder), Recipe())


def without_padding(folder, family):
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("pad_token", None)
    # The classes of a family have a default.
    return edit(folder / "tokenizer_config.json", {**config, "tokenizer_class": "PreTrainedTokenizerFast"})


def edit(path, value):
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_a_tokenizer_that_cannot_pad_is_refused_with_a_way_out(base_folder, tmp_path, family):
    folder = tmp_path / "base"
    shutil.copytree(base_folder(family), folder)
    path = without_padding(folder, family)
    for opened in (build_model, check_tokenizer):
        with pytest.raises(ModelError, match="without a padding token") as error:
            opened(resolve_base(folder), Recipe())
    advised = json.loads("{" + re.search(r"put (.*?) into", str(error.value))[1] + "}")
    edit(path, {**json.loads(path.read_text()), **advised})
    check_tokenizer(resolve_base(folder), Recipe())
    whole = build_model(resolve_base(base_folder(family)), Recipe())
    assert_equal_vectors(build_model(resolve_base(folder), Recipe()), whole)


def test_a_tokenizer_that_needs_a_package_is_refused_by_its_name(slow_base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fugashi", None)
    folder = tmp_path / "base"
    shutil.copytree(slow_base("BertJapaneseTokenizer"), folder)
    path = folder / "tokenizer_config.json"
    edit(path, {**json.loads(path.read_text()), "word_tokenizer_type": "mecab"})
    for opened in (build_model, check_tokenizer):
        with pytest.raises(ModelError, match="needs a package that is not installed .*fugashi"):
            opened(resolve_base(folder), Recipe())


def test_markers_that_change_the_tokens_are_refused_and_can_be_left_out(base_folder, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(base_folder("bert"), folder)
    # Without a token that begins a text, nothing stands before the marker.
    edit(folder / "tokenizer.json", {**json.loads((folder / "tokenizer.json").read_text()), "post_processor": None})
    config = json.loads((folder / "tokenizer_config.json").read_text())
    edit(folder / "tokenizer_config.json", {**config, "tokenizer_class": "PreTrainedTokenizerFast"})
    for opened in (build_model, check_tokenizer):
        with pytest.raises(ModelError, match="markers=False"):
            opened(resolve_base(folder), Recipe())
        opened(resolve_base(folder), Recipe(markers=False))


@families
def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(fresh, family):
    model = fresh(family)
    for together, text in zip(model.encode_document(TEXTS), TEXTS, strict=True):
        torch.testing.assert_close(together.norm(dim=1), torch.ones(len(together)))
        torch.testing.assert_close(together, model.encode_document(text), rtol=1e-4, atol=1e-5)


@families
def test_without_dropout_training_mode_computes_what_encoding_does(base_folder, family):
    model = build_model(resolve_base(base_folder(family)), Recipe())
    set_dropout(model, 0.0)
    model.train()
    features = model.preprocess(TEXTS, prompt=model.prompts["document"], task="document")
    training = model(dict(features), task="document")["token_embeddings"]
    model.eval()
    torch.testing.assert_close(model(dict(features), task="document")["token_embeddings"], training)


@pytest.mark.parametrize(("dim", "width"), [("auto", 32), (16, 16), (None, 32), (48, 48)])
def test_the_width_is_as_asked(base, dim, width):
    recipe = Recipe(dim=dim)
    model = build_model(base, recipe)
    assert recipe.width(base) == model.get_embedding_dimension() == width
    assert {tokens.shape[1] for tokens in vectors(model)} == {width}
    assert (projection_of(model) is None) == (dim in (None, "auto"))


def test_a_wide_base_is_projected(base, monkeypatch):
    monkeypatch.setattr("tardif.encoder.recipe.WIDEST", 24)
    model = build_model(base, Recipe())
    assert projection_of(model) is not None
    assert Recipe().width(base) == model.get_embedding_dimension() == 24


def test_a_dense_model_is_a_base(dense_folder, tmp_path):
    base = resolve_base(dense_folder)
    assert not base.is_colbert
    assert_opens_elsewhere(build_model(base, Recipe(dim=16)), tmp_path / "model")


@formats
def test_an_existing_colbert_is_what_it_was(checkpoint, request, tmp_path):
    from sentence_transformers import MultiVectorEncoder

    folder = request.getfixturevalue(checkpoint)
    model = build_model(resolve_base(folder), Recipe())
    assert_equal_vectors(model, MultiVectorEncoder(str(folder), device="cpu"))
    assert_opens_elsewhere(model, tmp_path / "again")


@pytest.mark.parametrize(
    ("checkpoint", "dim", "query", "document", "prompts"),
    [
        ("multi_vector_folder", 16, ("min", 32), 48, {"query": "[Q] ", "document": "[D] "}),
        ("stanford_folder", 24, ("fixed", 20), 60, {"query": "[unused0] ", "document": "[unused1] "}),
        ("pylate_folder", 24, ("fixed", 32), 60, {"query": "[Q] ", "document": "[D] "}),
    ],
)
def test_an_existing_colbert_keeps_its_recipe(checkpoint, dim, query, document, prompts, request):
    base = resolve_base(request.getfixturevalue(checkpoint))
    assert base.is_colbert
    assert base.dim == dim == Recipe().width(base)
    model = build_model(base, Recipe())
    transformer = transformer_of(model)
    assert model.get_embedding_dimension() == dim
    assert model.prompts == prompts
    assert (transformer.query_expansion["strategy"], transformer.query_expansion["length"]) == query
    assert not transformer.query_expansion["attend"]
    assert transformer.document_length == document
    for task, prompt in prompts.items():
        (marker,) = model.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        text = "the moon and the sea"
        start, *tokens = model.tokenizer(text)["input_ids"]
        features = model.preprocess([text], prompt=prompt, task=task)
        assert features["input_ids"][0].tolist()[: len(tokens) + 2] == [start, marker, *tokens]
    with_mark, without = (len(model.encode_document(text)) for text in ("a . b", "a b"))
    assert with_mark == without
    with pytest.raises(SettingError, match=f"{dim} dimensions"):
        Recipe(dim=dim + 1).check(base)
    with pytest.raises(SettingError, match="expansion"):
        Recipe(expansion=8).check(base)


@formats
def test_lengths_asked_for_replace_an_existing_colberts_own(checkpoint, request):
    recipe = Recipe(query_length=12, document_length=10)
    model = build_model(resolve_base(request.getfixturevalue(checkpoint)), recipe)
    long = "word " * 100
    assert len(model.encode_query(long)) == 12
    assert len(model.encode_query("a")) == 12  # filled with mask tokens, as before
    assert len(model.encode_document(long)) == 10


def test_lengths_and_expansion_of_a_fresh_colbert(base):
    model = build_model(base, Recipe(query_length=12, document_length=10, expansion=32))
    assert [len(tokens) for tokens in model.encode_query(["a", "word " * 100])] == [12, 12]
    assert len(model.encode_document("word " * 100)) == 10
    for recipe in (Recipe(), Recipe(expansion=0)):
        assert len(build_model(base, recipe).encode_query("a")) == 4  # start, marker, a, end
    filled = build_model(base, Recipe(expansion=8))
    assert len(filled.encode_query("a")) == 8


@families
def test_a_length_beyond_the_bases_positions_is_refused_and_all_within_work(base_folder, family):
    base = resolve_base(base_folder(family))
    assert base.max_tokens == tiny.POSITIONS
    for name in ("document_length", "query_length"):
        with pytest.raises(SettingError, match=name):
            Recipe(**{name: tiny.POSITIONS + 1}).check(base)
    recipe = Recipe(query_length=tiny.POSITIONS, document_length=tiny.POSITIONS)
    recipe.check(base)
    model, long = build_model(base, recipe), "word " * 200
    assert len(model.encode_query(long)) == len(model.encode_document(long)) == tiny.POSITIONS


def test_a_seed_determines_the_weights(base):
    def weights(seed):
        return build_model(base, Recipe(dim=16), seed=seed).state_dict()

    one, same, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@families
def test_a_fresh_colbert_of_full_width_finds_as_the_base_itself_does(base_folder, family):
    base = resolve_base(base_folder(family))
    model = build_model(base, Recipe(dim=None, markers=False))
    assert not any(model.prompts.values())
    assert_equal_vectors(model, raw_view(model))


def test_new_markers_say_nothing_yet(base):
    model = build_model(base, Recipe())
    table = transformer_of(model).model.get_input_embeddings().weight
    tokenizer = model.tokenizer
    end = table[tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id]
    torch.testing.assert_close(table[-2:], end.expand(2, -1), rtol=0, atol=0)


def test_a_fitted_projection_is_deterministic(base):
    fitted = [build_model(base, Recipe(dim=16), seed=seed) for seed in (1, 2)]
    for model in fitted:
        fit_projection(model, tiny.SENTENCES[:20])
    one, other = (projection_of(model).linear.weight for model in fitted)
    assert torch.equal(one, other)


def test_a_fitted_projection_does_not_depend_on_the_solvers_signs(base, monkeypatch):
    eigh, weights = torch.linalg.eigh, []
    for sign in (1, -1):
        monkeypatch.setattr(torch.linalg, "eigh", lambda gram, sign=sign: (eigh(gram)[0], sign * eigh(gram)[1]))
        model = build_model(base, Recipe(dim=16))
        fit_projection(model, tiny.SENTENCES[:20])
        weights.append(projection_of(model).linear.weight)
    assert torch.equal(*weights)


def test_a_fitted_projection_of_full_width_keeps_all_inner_products(base):
    plain, fitted = build_model(base, Recipe(dim=None)), build_model(base, Recipe(dim=32))
    fit_projection(fitted, tiny.SENTENCES[:20])
    for before, after in zip(vectors(plain), vectors(fitted), strict=True):
        torch.testing.assert_close(after @ after.T, before @ before.T, rtol=1e-4, atol=1e-5)


def test_a_fitted_projection_keeps_more_of_the_vectors_than_a_random_one(base):
    model = build_model(base, Recipe(dim=8))
    tokens = torch.cat(raw_view(model).encode_document(tiny.SENTENCES[:20]))  # [tokens, 32]

    def kept():
        weight = projection_of(model).linear.weight.detach()
        torch.testing.assert_close(weight @ weight.T, torch.eye(8), rtol=1e-4, atol=1e-5)
        return (tokens @ weight.T).square().sum().item()

    random = kept()
    fit_projection(model, tiny.SENTENCES[:20])
    best = torch.linalg.svdvals(tokens)[:8].square().sum().item()
    assert kept() > random
    assert kept() == pytest.approx(best, rel=1e-3)


@families
def test_the_raw_view_is_the_base_alone_and_leaves_the_model_as_it_was(base_folder, family):
    from transformers import AutoModel, AutoTokenizer

    folder = base_folder(family)
    model = build_model(resolve_base(folder), Recipe(dim=16, expansion=32))
    before, expansion = vectors(model), transformer_of(model).query_expansion
    raw = raw_view(model)
    own = {name: tensor.data_ptr() for name, tensor in transformer_of(model).named_parameters()}
    assert {name: tensor.data_ptr() for name, tensor in raw[0].named_parameters()} == own

    text = "the moon pulls the sea"
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(
            **AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        )[0][0]
    unit = torch.nn.functional.normalize(hidden, dim=1)
    for found in (raw.encode_query(text), raw.encode_document(text)):
        torch.testing.assert_close(found, unit, rtol=1e-4, atol=1e-5)

    assert transformer_of(model).query_expansion == expansion is not None
    for old, new in zip(before, vectors(model), strict=True):
        assert torch.equal(old, new)


E5 = {"query": "query: ", "document": "passage: "}


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({"prompts": E5}, E5),
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, E5),
        ({"prompts": {"query": "ask: "}}, {"query": "ask: ", "document": ""}),
        ({"prompts": {"all": "text: "}, "default_prompt_name": "all"}, {"query": "text: ", "document": "text: "}),
        ({"prompts": {"sts": "text: "}}, {}),
        ({"prompts": {"query": "", "document": ""}}, {}),
        ({"prompts": None}, {}),
    ],
)
def test_an_untrained_dense_base_reads_after_its_prompts_and_a_new_model_says_that_it_does_not(
    dense_folder, tmp_path, saved, expected
):
    folder = tmp_path / "base"
    shutil.copytree(dense_folder, folder)
    path = folder / "config_sentence_transformers.json"
    edit(path, {**json.loads(path.read_text()), "default_prompt_name": None, **saved})
    base, plain = resolve_base(folder), resolve_base(dense_folder)
    assert base.prompts == expected
    assert all(repr(prompt) in base.note for prompt in expected.values())
    assert bool(base.note) == bool(expected)
    model, usual = build_model(base, Recipe(dim=16)), build_model(plain, Recipe(dim=16))
    for each in (model, usual):
        fit_projection(each, TEXTS)
    assert_equal_vectors(model, usual)
    raw, bare = raw_view(model), raw_view(usual)
    assert_equal_vectors(raw_view(model, prompted=False), bare)
    for task, encode in (("query", "encode_query"), ("document", "encode_document")):
        written = [expected.get(task, "") + text for text in TEXTS]
        for mine, theirs in zip(getattr(raw, encode)(TEXTS), getattr(bare, encode)(written), strict=True):
            assert torch.equal(mine, theirs)
    assert_opens_elsewhere(model, tmp_path / "model")


def test_only_late_interaction_models_are_opened(base_folder, dense_folder, multi_vector_folder, tmp_path):
    assert open_model(str(multi_vector_folder)).get_embedding_dimension() == 16
    for folder in (base_folder("bert"), dense_folder):
        with pytest.raises(ModelError, match="not a late-interaction model"):
            open_model(str(folder))
    with pytest.raises(ModelError, match="does not exist"):
        open_model(str(tmp_path / "nothing"))


def test_weights_that_do_not_fit_the_config_are_a_model_error(base_folder, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(base_folder("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 17}))
    with pytest.raises(ModelError, match=r"another shape than its config says \(embeddings.word_embeddings.weight"):
        build_model(resolve_base(folder), Recipe())


def test_a_projection_wider_than_the_base_ranks_as_the_base_does(base_folder):
    model = build_model(resolve_base(base_folder("bert")), Recipe(dim=2 * tiny.HIDDEN))
    fit_projection(model, tiny.SENTENCES[:20])
    norms = projection_of(model).linear.weight.norm(dim=1)
    assert norms[: tiny.HIDDEN].allclose(torch.ones(tiny.HIDDEN), atol=1e-4)
    assert 0 < norms[tiny.HIDDEN :].min() <= norms[tiny.HIDDEN :].max() < 0.05
