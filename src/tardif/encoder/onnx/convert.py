"""Export of a model's query encoder to ONNX, for :class:`tardif.encoder.onnx.encoder.LightEncoder`.

Transformer, projection and normalisation become one ONNX graph in float32. The tokenizer is copied. The export is
then read again and compared with the model. A model family that the exporter gets wrong is refused, and must be
searched with PyTorch.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from tardif.encoder.blanks import blanks_of, skipped_ids
from tardif.encoder.encoding import SUB_BATCH_TOKENS, Block, encode, encode_texts, to_device
from tardif.encoder.loading import quiet_libraries
from tardif.encoder.model import transformer_of
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.encoder.onnx.folder import (
    GRAPH,
    INPUTS,
    LONGEST,
    OUTPUT,
    TOKENIZER,
    DocumentForm,
    Expansion,
    QueryForm,
    write_form,
)
from tardif.encoder.packing import ATTENTION
from tardif.encoder.tokens import BLANK, tokens_for
from tardif.encoder.truncation import document_reach
from tardif.errors import ModelError, TardifError, first_line
from tardif.folders import staged

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Version 17 has LayerNormalization, and every onnxruntime since 2022 reads it.
_OPSET = 17
# A file in the protobuf format cannot be larger than 2 GiB.
_LARGEST = 2_000_000_000
# transformers writes 10 ** 30 for "no limit".
_NO_CAP = 1_000_000
# Words of a document that is longer than most models read.
_LONG = 20_000
# The largest error of a query's MaxSim score. For a model in half precision its own rounding is the limit.
_FAR, _FAR_HALF = 1e-3, 2e-2
# Queries of different length, script and tokens.
_PROBES = (
    "how do I reset my password?",
    "a",
    "",
    "Été à Zürich: (two) items, 3.5%!",
    "晚期交互 モデル\n[MASK] <mask>  spaces ",
    "late interaction keeps one vector per token " * 3,
)


@torch.no_grad()
def export_query_encoder(model: MultiVectorEncoder, folder: Path) -> None:
    """Write the query encoder of a model to a folder, completely or not at all.

    The model does not change, whatever its device and mode. The graph shares its weights, unless they must first be
    converted to float32 on the CPU.

    Args:
        model: a late-interaction model.
        folder: a new folder.

    Raises:
        ModelError: the model cannot be exported; the message says why. Search it with PyTorch.
        FolderError: the folder cannot be written.
    """
    try:
        graph, form = _Graph(model), query_form(model)
        with staged(folder) as aside, quiet_libraries(), warnings.catch_warnings(action="ignore"):
            _save_tokenizer(model, aside / TOKENIZER)
            _save_graph(graph, aside / GRAPH)
            write_form(aside, form)
            light = LightEncoder(aside)
            _compare(model, light)
            _compare_documents(model, light)
    except TardifError:
        raise
    except Exception as error:  # the errors of exporter, tokenizer and runtime have no common parent
        _refuse(first_line(error), error)


def query_form(model: MultiVectorEncoder) -> QueryForm:
    """Return the rules by which a model turns a query into token ids and chooses the tokens that it scores.

    Raises:
        ModelError: the model does something that these rules cannot express.
    """
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    transformer: Any = transformer_of(model)
    tokenizer = transformer.tokenizer
    if not getattr(tokenizer, "is_fast", False) or not type(tokenizer).__module__.startswith("transformers."):
        _refuse("its tokenizer is not a fast one of the tokenizers library")
    # LightEncoder pads on the right, where padding moves no token to another position.
    if tokenizer.padding_side != "right":
        _refuse("its tokenizer pads on the left")
    if any(transformer.processing_kwargs.values()) or "message" in transformer.modality_config:
        _refuse("it has its own tokenizer options or chat messages")
    expansion = _expansion(transformer, scored=any(isinstance(module, MultiVectorMask) for module in model))
    return QueryForm(
        prompt=model.prompts.get("query") or "",
        max_tokens=_cap(transformer),
        truncation_side=tokenizer.truncation_side,
        split_special_tokens=bool(tokenizer.split_special_tokens),
        pad_id=tokenizer.pad_token_id or 0,
        expansion=expansion,
        skipped_ids=tuple(sorted(skipped_ids(model, "query"))),
        dim=int(model.get_embedding_dimension() or 0),
        document=DocumentForm(
            prompt=model.prompts.get("document") or "",
            max_tokens=min(document_reach(model), LONGEST),
            skipped_ids=tuple(sorted(skipped_ids(model, "document"))),
        ),
        blanks=blanks_of(model),
    )


def _expansion(transformer: Any, *, scored: bool) -> Expansion | None:
    own, tokenizer = transformer.query_expansion, transformer.tokenizer
    if own is None:
        return None
    if own["token"] is not None:
        token = tokenizer.convert_tokens_to_ids(own["token"])
    else:
        token = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.eos_token_id
    if token is None:
        _refuse("it fills queries up with a token that its tokenizer lacks")
    attend = bool(own["attend"])
    return Expansion(int(own["length"]), int(token), attend=attend, scored=scored or attend)


def _cap(transformer: Any) -> int:
    """Return the number of tokens of a query that are read."""
    own, length = transformer.query_expansion, transformer.query_length
    if own is not None and own["strategy"] == "fixed":
        return int(own["length"])
    if length is None:
        length = transformer.tokenizer.model_max_length
    elif own is not None:
        length = max(length, own["length"])
    if length > _NO_CAP:
        _refuse("it does not say how many tokens of a query it reads (query_length)")
    return int(length)


class _Graph(nn.Module):
    """The exported graph: token ids to unit token vectors. Its modules are copies that share the model's weights."""

    def __init__(self, model: MultiVectorEncoder) -> None:
        super().__init__()
        transformer: Any = transformer_of(model)
        _check_chain(model)
        encoder: Any = _shared(transformer.model)
        if encoder.config._attn_implementation == ATTENTION or "flash" in encoder.config._attn_implementation:
            encoder.set_attn_implementation("sdpa")
        self.encoder = encoder
        self.heads = nn.ModuleList(_shared(module) for module in _heads(model))
        self.has_types = "token_type_ids" in transformer.preprocess(["a"], task="query")
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``[n, tokens]``, ``[n, tokens]`` -> ``[n, tokens, dim]``."""
        # A query is not part of a pair, so all its token types are 0.
        types = {"token_type_ids": torch.zeros_like(input_ids)} if self.has_types else {}
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **types)
        features: dict[str, Tensor] = {OUTPUT: hidden["last_hidden_state"]}
        for head in self.heads:
            features = head(features)
        return features[OUTPUT]


def _heads(model: MultiVectorEncoder) -> list[nn.Module]:
    from sentence_transformers.base.modules import Dense, Normalize

    return [module for module in model if type(module) in (Dense, Normalize)]


def _check_chain(model: MultiVectorEncoder) -> None:
    """Raise unless the modules are a Transformer, any number of Dense and a Normalize, with the mask anywhere."""
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    transformer: Any = transformer_of(model)
    chain = [type(module) for module in model]
    heads: list[Any] = _heads(model)
    wanted = [Transformer, *[Dense] * (len(heads) - 1), Normalize]
    if [kind for kind in chain if kind is not MultiVectorMask] != wanted or chain[0] is not Transformer:
        _refuse(f"its modules are {', '.join(kind.__name__ for kind in chain)}")
    if any({head.module_input_name, head.module_output_name} != {OUTPUT} for head in heads):
        _refuse("its modules pass on other features than token vectors")
    activations = [head.activation_function for head in heads[:-1]]
    own = [transformer.model, *activations]
    if not all(type(module).__module__.startswith(("transformers.", "torch.")) for module in own):
        _refuse("it contains custom code")
    reading = transformer.modality_config.get("text", {})
    output = reading.get("method_output_name")
    if reading.get("method") != "forward" or output not in ("last_hidden_state", ["last_hidden_state"]):
        _refuse("its token vectors are not the encoder's last hidden state")
    size = sum(weight.numel() for weight in transformer.model.parameters()) * 4
    if size > _LARGEST:
        _refuse(f"its {size / 1e9:.1f} GB of weights are more than one file may hold")


def _shared(module: nn.Module) -> nn.Module:
    """Copy a module, but share its weights if they are float32 on the CPU; other weights are converted."""
    own: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().float().cpu(), requires_grad=False) for weight in module.parameters()
    }
    # deepcopy uses an object from its memo instead of copying it.
    return copy.deepcopy(module, own).float().cpu()


def _save_tokenizer(model: MultiVectorEncoder, path: Path) -> None:
    from tokenizers import Tokenizer

    transformer: Any = transformer_of(model)
    tokenizer = Tokenizer.from_str(transformer.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()  # the last call left its settings; the cap is in encoder.json
    tokenizer.no_truncation()
    tokenizer.save(str(path))


def _save_graph(graph: _Graph, path: Path) -> None:
    # dynamo=False: PyTorch's newer exporter takes 20 times as long here, and gets a query wrong if a window of local
    # attention has only expansion tokens. Both measured with version 2.13.
    ids = torch.ones((2, 16), dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0  # a trace without padding would hard-code attention without a mask
    axes = {0: "queries", 1: "tokens"}
    torch.onnx.export(
        graph,
        (ids, mask),
        str(path),
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        dynamic_axes=dict.fromkeys((*INPUTS, OUTPUT), axes),
        opset_version=_OPSET,
        dynamo=False,
    )


def _compare(model: MultiVectorEncoder, light: LightEncoder) -> None:
    """Raise unless the exported encoder gives the model's ids and vectors, for one query and for a batch."""
    blanks, long = blanks_of(model), "interaction " * (2 * light.form.max_tokens)
    for texts in ([_PROBES[0]], [*_PROBES, long]):
        features = model.preprocess(list(texts), prompt=model.prompts.get("query"), task="query")
        ids = light.token_ids(texts)
        rows = light.rows(ids)
        if not all(
            np.array_equal(features[name].numpy(), ours)
            for name, ours in zip(INPUTS, (rows.ids, rows.attended), strict=True)
        ):
            _refuse("its tokenizer gives other token ids outside of transformers")
        features[BLANK] = [blanks.holds(text, own, "query") for text, own in zip(texts, ids, strict=True)]
        training = model.training
        model.eval()
        try:
            expected = encode(model, Block(to_device(features, model.device), "query"))
        finally:
            model.train(training)
        vectors, lengths = light.encode_queries(texts)
        if lengths != expected.lengths:
            _refuse("the exported encoder scores other tokens")
        theirs = expected.vectors.float().cpu().numpy()  # [tokens, dim]
        far = np.linalg.norm(vectors - theirs, axis=1)  # [tokens], a bound on the error of each token's similarity
        filled = [length for length in lengths if length]
        begins = np.cumsum([0, *filled[:-1]])
        allowed = _FAR if expected.vectors.dtype == torch.float32 else _FAR_HALF * np.array(filled)
        if not np.all(np.add.reduceat(far, begins) <= allowed):
            _refuse(f"its scores would be off by {np.add.reduceat(far, begins).max():.2g}")


def _compare_documents(model: MultiVectorEncoder, light: LightEncoder) -> None:
    """Raise unless the exported tokenizer reads documents as the model does."""
    tokens, long = (
        tokens_for(model, SUB_BATCH_TOKENS["cpu"]),
        "interaction " * min(2 * light.form.document.max_tokens, _LONG),
    )
    for text, ids in zip((*_PROBES, long), tokens.ids([*_PROBES, long], "document"), strict=True):
        if light.document_encoding(text).ids != ids.tolist():
            _refuse("its tokenizer gives a document's other token ids outside of transformers")
    lengths = [len(light.read(text, "document").tokens) for text in _PROBES]
    if lengths != encode_texts(model, _PROBES, "document")[1]:
        _refuse("it scores other tokens of a document")


def _refuse(why: str, error: BaseException | None = None) -> NoReturn:
    raise ModelError(f"The query encoder cannot be exported to ONNX: {why}.") from error
