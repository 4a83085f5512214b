"""Checks of a model during and after loading.

The libraries fill weights that a checkpoint lacks with random numbers, and only log it. Here that is an error, wherever
a model is opened. Any failure of a library becomes one readable message.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tardif.encoder.config_checks import read_config
from tardif.errors import ModelError, TardifError, first_line, is_failure
from tardif.libraries import set_levels

# Weights that Tardif never computes with, so a checkpoint may have or lack them.
# BERT's pooler reads the first token for classification. MaxSim and mean pooling do not use it.
_POOLER = re.compile(r"(?:^|\.)pooler\.")
# Buffers that older versions saved with the weights. They follow from the config.
_BUFFERS = re.compile(r"(?:^|\.)(?:position_ids|inv_freq|token_type_ids)$")
# Heads on top of the encoder, by their names in transformers: masked language models (cls, lm_head, vocab_*,
# predictions, head, decoder, generator_*), replaced-token detection (discriminator_*), entities, classifiers. "linear"
# is the projection of Stanford's ColBERT, which is read separately.
_HEADS = re.compile(
    r"^(?:[a-z_-]+\.)?(?:cls|lm_head|vocab_transform|vocab_layer_norm|vocab_projector|predictions|lm_predictions"
    r"|mask_predictions|generator_predictions|generator_lm_head|discriminator_predictions|sop_classifier"
    r"|entity_predictions|pre_classifier|classifier|score|sequence_summary|qa_outputs)\.|^(?:head|decoder|dense|linear)\."
)
# Characters of a library's message. Libraries add pages of advice, some of it to run pickles.
_LONGEST = 200


@contextlib.contextmanager
def loading(what: str, folder: Path) -> Iterator[None]:
    """Turn any error of a library that loads a model into one readable line. Out of memory stays as it is.

    Args:
        what: the model in the error, such as "The base NAME".
        folder: the model's folder.

    Raises:
        ModelError: the model cannot be loaded.
    """
    try:
        with quiet_libraries():
            yield
    except (TardifError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        if missing := _missing_package(error, folder):
            raise ModelError(f"{what} needs a package that is not installed ({missing}): install it.") from error
        raise ModelError(
            f"{what} cannot be loaded from {folder} ({_reason(error)}): fetch or save it again."
        ) from error


def _missing_package(error: BaseException, folder: Path) -> str:
    """What a library says of a package that it misses; empty if it misses none."""
    if isinstance(error, ImportError):
        return _reason(error)
    from transformers import AutoTokenizer

    try:
        # sentence-transformers says only that there is no tokenizer, if that of a language needs a package of its own.
        AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except ImportError as missing:
        return _reason(missing)
    except BaseException as another:
        if not is_failure(another):
            raise
    return ""


def _reason(error: BaseException) -> str:
    if any("weights_only" in str(found) for found in (error, error.__cause__, error.__context__) if found):
        return "its pickled weights are damaged, or hold more than weights"
    line = first_line(error)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def check_report(what: str, folder: Path, *, task: str = "feature-extraction", trust_remote_code: bool = False) -> None:
    """Compare a transformer's weights with its config, as transformers matches them.

    Only names and shapes are read: the model is built on the meta device, without memory.

    Args:
        what: the model in the error, such as "The base NAME".
        folder: the folder with config and weights.
        task: the kind of model, in sentence-transformers' words: feature-extraction, sequence-classification or
            text-generation.
        trust_remote_code: whether the model's own code will load it.

    Raises:
        ModelError: weights are missing, unknown or of another shape; the message names them.
    """
    import transformers

    config = read_config(folder / "config.json")
    if trust_remote_code and isinstance(config, dict) and "auto_map" in config:
        return  # its own code may match weights differently
    loaders: dict[str, Any] = {
        "feature-extraction": transformers.AutoModel,
        "sequence-classification": transformers.AutoModelForSequenceClassification,
        "text-generation": transformers.AutoModelForCausalLM,
    }
    if task not in loaders:
        raise ModelError(f"{what} is made for {task}, which is not used here: give another model.")
    with loading(what, folder):
        _, report = loaders[task].from_pretrained(
            str(folder),
            trust_remote_code=trust_remote_code,
            # The meta device has shapes and no numbers: this takes milliseconds, and no memory.
            device_map="meta",
            output_loading_info=True,
            # Else the library raises at the first shape that differs; here all are named.
            ignore_mismatched_sizes=True,
        )
    # A classifier may read the pooler: a random one would make its scores random.
    is_encoder = task == "feature-extraction"
    optional = (_BUFFERS, _POOLER) if is_encoder else (_BUFFERS,)
    missing = [name for name in report["missing_keys"] if not any(rule.search(name) for rule in optional)]
    unused = (_BUFFERS, _POOLER, _HEADS)
    unknown = [name for name in report["unexpected_keys"] if not any(rule.search(name) for rule in unused)]
    shapes = [f"{name} {tuple(found)} for {tuple(wanted)}" for name, found, wanted in report["mismatched_keys"]]
    _refuse(what, folder, "lacks weights that its config asks for", missing)
    _refuse(what, folder, "holds weights that its config has no place for", unknown)
    _refuse(what, folder, "holds weights of another shape than its config says", shapes)


def _refuse(what: str, folder: Path, how: str, names: Iterable[str]) -> None:
    found = sorted(names)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ModelError(
            f"{what} {how} ({', '.join(found[:3])}{more}): {folder} is damaged or mixed from two models; "
            "fetch or save it again."
        )


def check_built(what: str, folder: Path, model: Any, encode: Callable[[], Any]) -> None:
    """Check a loaded model: its weights are finite, its tokenizer fits, and it can read a text.

    Args:
        what: the model in the error, such as "The base NAME".
        folder: the model's folder.
        model: a sentence-transformers model. Its training mode does not change.
        encode: reads a text with the model and returns the numbers.

    Raises:
        ModelError: a check fails.
    """
    check_finite(what, folder, model)
    first: Any = model[0]
    check_padding(what, folder, first.tokenizer, first.model.config.pad_token_id)
    known, rows = len(first.tokenizer), first.model.get_input_embeddings().weight.shape[0]
    if known > rows:
        raise ModelError(
            f"{what} has a tokenizer of {known} tokens and vectors for {rows} of them: {folder} is damaged or mixed "
            "from two models; fetch or save it again."
        )
    was_training = model.training
    with loading(what, folder), torch.no_grad():
        total = float(sum(encode()))
    model.train(was_training)
    if not math.isfinite(total):
        raise ModelError(
            f"{what} gives NaN or infinite numbers for a text: {folder} is damaged; fetch or save it again."
        )


def check_padding(what: str, folder: Path, tokenizer: Any, number: Any) -> None:
    """Raise a ModelError if a tokenizer has no padding token.

    Args:
        what: the model in the error, such as "The base NAME".
        folder: the model's folder.
        tokenizer: of transformers.
        number: what the model's config gives as the padding token's id, if anything.
    """
    if tokenizer.pad_token_id is not None:
        return
    known = {place: name for name, place in tokenizer.get_vocab().items()}
    # Any token will do, as nothing attends to padding. The config's own keeps what the weights were trained with.
    named = known.get(number) or tokenizer.sep_token or tokenizer.eos_token or tokenizer.unk_token or known.get(0)
    raise ModelError(
        f"{what} has a tokenizer without a padding token: put {json.dumps({'pad_token': named})[1:-1]} into "
        f"tokenizer_config.json, in {folder} or in a copy of it, and give that folder."
    )


def check_finite(what: str, folder: Path, model: nn.Module) -> None:
    """Raise a ModelError if a weight is NaN or infinite."""
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(f"{what} has weights that are NaN or infinite ({name}): {folder} is damaged.")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' messages and progress bars off the user's terminal."""
    import transformers

    library: Any = transformers.utils.logging
    names = ("sentence_transformers", "transformers", "huggingface_hub", "accelerate", "torch.onnx")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    bars = library.is_progress_bar_enabled()
    set_levels(loggers, [logging.ERROR] * len(loggers))
    library.disable_progress_bar()
    try:
        # Some libraries print; a verb's stdout holds data alone.
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        set_levels(loggers, levels)
        if bars:
            library.enable_progress_bar()
