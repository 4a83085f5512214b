"""A late-interaction model built from a base and a recipe: sentence-transformers' ``MultiVectorEncoder``.

It has only that library's own module classes. So a saved model opens elsewhere in one line, without remote code.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tardif.encoder.base import Base, resolve_base
from tardif.encoder.config_checks import read_config
from tardif.encoder.exchange_rules import adopt
from tardif.encoder.loading import check_built, check_padding, check_report, loading, quiet_libraries
from tardif.encoder.markers import add_markers, check_saved, punctuation_tokens
from tardif.encoder.recipe import DOCUMENT_CAP, QUERY_CAP, Recipe
from tardif.errors import ModelError
from tardif.libraries import load_libraries

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Transformer


# Where the encoder of a fresh model keeps the prompts of its base, for raw_view. They are not saved.
_PROMPTS = "prompts_of_base"


def build_model(
    base: Base, recipe: Recipe, *, device: str = "cpu", seed: int = 0, trust_remote_code: bool = False
) -> MultiVectorEncoder:
    """Build a model from a base and a recipe, in training mode.

    A fresh ColBERT gets a skiplist, length limits and, if the recipe asks for them, markers, expansion and projection.
    New weights are neutral: the markers' embeddings are that of the token that ends a text, and the projection is
    random orthogonal until :func:`fit_projection` has seen texts. An existing ColBERT (in the Stanford, PyLate or
    sentence-transformers format) keeps its own recipe, except for lengths that this recipe sets.

    Args:
        base: a checked base.
        recipe: the recipe, checked against ``base``.
        device: torch's name of the device.
        seed: the seed of new weights. The same seed gives the same bytes.
        trust_remote_code: allow the base's own code.

    Raises:
        ModelError: weights are missing, unreadable, NaN, infinite or of another shape than the config says; or the
            model cannot read a text.
    """
    what = f"The base {base.name}"
    check_report(what, base.transformer, trust_remote_code=trust_remote_code)
    # A fresh projection is drawn at random.
    torch.manual_seed(seed)
    with loading(what, base.folder):
        make = _open if base.is_colbert else _fresh
        model = make(base, recipe, device, trust_remote_code)
    check_built(what, base.folder, model, lambda: _read(model))
    return model


def check_tokenizer(base: Base, recipe: Recipe, *, trust_remote_code: bool = False) -> None:
    """Check that a base's tokenizer reads texts as a recipe asks for it; no weights are read.

    Raises:
        ModelError: the tokenizer cannot be loaded, pad texts or be saved, or the markers change its tokens.
    """
    what = f"The base {base.name}"
    with loading(what, base.folder):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(base.transformer), trust_remote_code=trust_remote_code)
        config = read_config(base.transformer / "config.json") or {}
        check_padding(what, base.transformer, tokenizer, config.get("pad_token_id"))
        punctuation_tokens(tokenizer)
        if not base.is_colbert and recipe.markers is not False:
            add_markers(tokenizer)
        check_saved(tokenizer)


def _read(model: MultiVectorEncoder) -> list[float]:
    """Return the sums of a text's token vectors, as a query and as a document."""
    texts = ["late interaction"]
    vectors = [encode(texts, show_progress_bar=False)[0] for encode in (model.encode_query, model.encode_document)]
    return [float(vector.sum()) for vector in vectors]


def _open(base: Base, recipe: Recipe, device: str, trust_remote_code: bool) -> MultiVectorEncoder:
    """Open an existing ColBERT with its own recipe, and set the lengths that the recipe asks for."""
    load_libraries()
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(base.folder), device=device, trust_remote_code=trust_remote_code)
    expected = base.dim or (None if base.kind == "stanford" else base.hidden_size)
    if expected not in (None, model.get_embedding_dimension()):
        # The library would fill in a random projection.
        raise ModelError(
            f"The base {base.name} lacks its projection: {base.folder} is damaged; fetch or save it again."
        )
    adopt(model, base)
    transformer = transformer_of(model)
    if recipe.document_length is not None:
        transformer.document_length = recipe.document_length
    if recipe.query_length is not None:
        own = transformer.query_expansion
        transformer.query_expansion = None
        transformer.query_length = recipe.query_length
        if own is not None:
            floor = recipe.query_length if own["strategy"] == "fixed" else own["length"]
            transformer.query_expansion = {**own, "length": min(floor, recipe.query_length)}
    return model


def _fresh(base: Base, recipe: Recipe, device: str, trust_remote_code: bool) -> MultiVectorEncoder:
    load_libraries()
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer

    document_length = recipe.document_length or min(DOCUMENT_CAP, base.max_tokens)
    query_length = recipe.query_length or min(QUERY_CAP, base.max_tokens)
    # One dict for each, because the library changes them.
    names = ("model_kwargs", "processor_kwargs", "config_kwargs")
    options: dict[str, Any] = {name: {"trust_remote_code": trust_remote_code} for name in names}
    transformer = Transformer(
        str(base.transformer), query_length=query_length, document_length=document_length, **options
    )
    setattr(transformer, _PROMPTS, dict(base.prompts))
    tokenizer = transformer.tokenizer
    skiplist = punctuation_tokens(tokenizer) if recipe.skip_punctuation else []
    prompts = {}
    if recipe.markers is not False:
        known = set(tokenizer.get_vocab().values())
        prompts = add_markers(tokenizer)
        _add_embeddings(transformer, sorted(set(tokenizer.get_vocab().values()) - known))
    check_saved(tokenizer)
    if recipe.expansion and (tokenizer.mask_token_id is not None or tokenizer.eos_token_id is not None):
        floor = min(recipe.expansion, query_length)
        transformer.query_expansion = {"strategy": "min", "length": floor, "attend": False}
    modules: list[nn.Module] = [transformer]
    if recipe.projects(base):
        modules.append(_projection(base.hidden_size, recipe.width(base)))
    modules += _scoring(skiplist)
    return MultiVectorEncoder(modules=modules, device=device, prompts=prompts, similarity_fn_name="maxsim")


def _scoring(skiplist: list[str]) -> list[nn.Module]:
    """Return the last modules of a model: which tokens are scored, and unit length."""
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    return [MultiVectorMask(skiplist_words=skiplist), Normalize(module_input_name="token_embeddings")]


def _projection(width_in: int, width_out: int) -> Dense:
    from sentence_transformers.base.modules import Dense

    weight = torch.empty(width_out, width_in)
    # Rows of length 1, at right angles: such a projection keeps lengths and angles as well as a random one can.
    nn.init.orthogonal_(weight)
    return Dense(
        in_features=width_in,
        out_features=width_out,
        bias=False,
        activation_function=nn.Identity(),
        init_weight=weight,
        module_input_name="token_embeddings",
    )


def _add_embeddings(transformer: Transformer, new: Sequence[int]) -> None:
    """Give new tokens the embedding of the token that ends a text.

    Encoders have learnt to read that one as no word. all-MiniLM-L6-v2 with such markers ranks as without them; with the
    mean of the vocabulary, which looks neutral and is not, it loses .01 to .02 (docs/choosing.md).
    """
    encoder: Any = transformer.model  # a PreTrainedModel; the library's annotation is wider
    old = encoder.get_input_embeddings().weight.shape[0]
    if new and new[-1] >= old:
        # The library samples new rows from the old ones' covariance by default: slow, and random.
        encoder.resize_token_embeddings(new[-1] + 1, mean_resizing=False)
    tokenizer: Any = transformer.tokenizer
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    with torch.no_grad():
        weight = encoder.get_input_embeddings().weight
        weight[list(new)] = weight[:old].mean(dim=0) if end is None else weight[end].clone()


def transformer_of(model: MultiVectorEncoder) -> Transformer:
    """Return the model's first module, the encoder."""
    first: Any = model[0]
    return first  # type: ignore[no-any-return]


def projection_of(model: MultiVectorEncoder) -> Dense | None:
    """Return the linear projection, if the model has exactly one."""
    from sentence_transformers.base.modules import Dense

    found = [module for module in model if isinstance(module, Dense)]
    return found[0] if len(found) == 1 and not found[0].use_residual else None


@torch.no_grad()
def fit_projection(model: MultiVectorEncoder, texts: Sequence[str], *, batch_size: int = 32) -> None:
    """Set the projection to the principal directions of the base's own token vectors on ``texts``.

    A random projection throws away what the base knows. The first ``dim`` right singular vectors of the unit token
    vectors keep as much of their inner products as any linear map can (Eckart-Young). So training starts from the
    base's quality instead of noise. The vectors are not centred, because MaxSim needs inner products, not covariances.

    Args:
        model: a fresh model with one :class:`Dense` projection.
        texts: some hundreds of documents and queries; a few thousand tokens are enough.
    """
    dense = projection_of(model)
    if dense is None or not texts:
        return
    width = dense.in_features
    # float64: sums over some 50,000 tokens, and eigenvectors of close eigenvalues depend on the last bits.
    gram = torch.zeros(width, width, dtype=torch.float64)
    raw = raw_view(model, prompted=False)  # as the model reads
    for vectors in raw.encode_document(list(texts), batch_size=batch_size, show_progress_bar=False):
        block = vectors.double().cpu()  # [tokens, width]
        gram += block.T @ block  # [width, width]
    # The eigenvectors of the Gram matrix are the right singular vectors, as columns in ascending order.
    _, directions = torch.linalg.eigh(gram)
    best = directions.flip(1)[:, : dense.out_features].T  # [dim, width]
    # The sign of an eigenvector is arbitrary. Making the largest entry positive gives equal bytes on every machine.
    signs = best.gather(1, best.abs().argmax(dim=1, keepdim=True)).sign()
    weight = dense.linear.weight
    weight[: len(best)] = (best * signs).to(weight)
    # A base has as many directions as it is wide. Further rows start near zero: they change no ranking, and can learn.
    weight[len(best) :] *= 0.01


def raw_view(model: MultiVectorEncoder, *, prompted: bool = True) -> MultiVectorEncoder:
    """Return the base inside a model as an untrained retriever.

    Its token vectors are unit vectors of full width, without projection, markers or expansion; punctuation is skipped.
    A dense base reads texts after its own prompts, as it was trained to, unless ``prompted`` is false. It shares the
    model's weights. So it takes no memory, and it is the untrained base only until training begins.
    """
    from sentence_transformers import MultiVectorEncoder

    bare: Any = copy.copy(transformer_of(model))
    bare.query_expansion = None
    prompts: dict[str, str] = dict(getattr(bare, _PROMPTS, {})) if prompted else {}
    with quiet_libraries():
        return MultiVectorEncoder(
            modules=[bare, *_scoring(punctuation_tokens(bare.tokenizer))],
            device=str(model.device),
            prompts=prompts,
            similarity_fn_name="maxsim",
        )


def set_dropout(model: MultiVectorEncoder, probability: float) -> None:
    """Set every dropout of the encoder during training. The saved config keeps the base's own."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
        for name in ("attention_dropout", "drop_prob"):  # some families store the number instead of a module
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, probability)


def open_model(model: str | Base, *, device: str = "cpu", trust_remote_code: bool = False) -> MultiVectorEncoder:
    """Load a late-interaction checkpoint for encoding.

    Args:
        model: its folder or hub id, or what :func:`tardif.encoder.base.resolve_base` found there.
        device: torch's name of the device.
        trust_remote_code: allow the checkpoint's own code.

    Raises:
        ModelError: the checkpoint does not exist, is damaged, or is not a late-interaction model.
    """
    base = model if isinstance(model, Base) else resolve_base(model, trust_remote_code=trust_remote_code)
    if not base.is_colbert:
        raise ModelError(
            f"{base.name} is not a late-interaction model: train one from it (tardif train --base {base.name}), "
            "or give a ColBERT checkpoint."
        )
    return build_model(base, Recipe(), device=device, trust_remote_code=trust_remote_code)
