"""What every model passes while a library loads it: one message for any failure, and no weight made up.

The libraries fill weights that a checkpoint lacks with random numbers and say so in a log. Here that is an
error, for every entrance.
"""

from __future__ import annotations

import contextlib
import io
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

# Nothing that Tardif computes comes from these, so that a checkpoint may lack them or hold them.
# The pooler of BERT's family reads the first token for classification; MaxSim and mean pooling never do.
_POOLER = re.compile(r"(?:^|\.)pooler\.")
# Buffers that older versions saved as weights: they follow from the config.
_BUFFERS = re.compile(r"(?:^|\.)(?:position_ids|inv_freq|token_type_ids)$")
# Heads that were trained on top of the encoder, by the names that transformers' classes give them: of masked
# language models (cls, lm_head, vocab_*, predictions, head, decoder, generator_*), of replaced tokens
# (discriminator_*), of entities, of classifiers; "linear" is the projection of Stanford's ColBERT, which is read
# beside the encoder.
_HEADS = re.compile(
    r"^(?:[a-z_-]+\.)?(?:cls|lm_head|vocab_transform|vocab_layer_norm|vocab_projector|predictions|lm_predictions"
    r"|mask_predictions|generator_predictions|generator_lm_head|discriminator_predictions|sop_classifier"
    r"|entity_predictions|pre_classifier|classifier|score|sequence_summary|qa_outputs)\.|^(?:head|decoder|dense|linear)\."
)
# Of a message, what fits a line; libraries add pages of advice, some of it to run pickles.
_LONGEST = 200


@contextlib.contextmanager
def loading(what: str, folder: Path) -> Iterator[None]:
    """Turn whatever a library raises while it loads a model into one line; running out of memory stays what it is.

    Args:
        what: the model in the error: "The base NAME".
        folder: where it is.

    Raises:
        ModelError: it cannot be loaded.
    """
    try:
        with quiet_libraries():
            yield
    except (TardifError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise ModelError(
            f"{what} cannot be loaded from {folder} ({_reason(error)}): fetch or save it again."
        ) from error


def _reason(error: BaseException) -> str:
    if any("weights_only" in str(found) for found in (error, error.__cause__, error.__context__) if found):
        return "its pickled weights are damaged, or hold more than weights"
    line = first_line(error)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def check_report(what: str, folder: Path, *, task: str = "feature-extraction", trust_remote_code: bool = False) -> None:
    """Compare a transformer's weights with what its config asks for, as transformers itself matches them.

    Nothing is read but names and shapes: the model is built without memory.

    Args:
        what: the model in the error: "The base NAME".
        folder: with config and weights.
        task: what is loaded, as sentence-transformers calls it: feature-extraction, sequence-classification or
            text-generation.
        trust_remote_code: whether the model's own code will load it.

    Raises:
        ModelError: weights are missing, not known or of another shape; the message names them.
    """
    import transformers

    config = read_config(folder / "config.json")
    if trust_remote_code and isinstance(config, dict) and "auto_map" in config:
        return  # its own code may match weights in a way of its own
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
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    # A classifier may read the pooler: a random one would make its scores random.
    is_encoder = task == "feature-extraction"
    missing = [
        name for name in report["missing_keys"] if not (_BUFFERS.search(name) or (is_encoder and _POOLER.search(name)))
    ]
    unknown = [
        name
        for name in report["unexpected_keys"]
        if not (_BUFFERS.search(name) or _POOLER.search(name) or _HEADS.search(name))
    ]
    shapes = [
        f"{name} {tuple(found)} for {tuple(wanted)}" for name, found, wanted in map(tuple, report["mismatched_keys"])
    ]
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
    """Check a model as it was loaded: its numbers are finite, its tokenizer fits, and it reads a text.

    Args:
        what: the model in the error: "The base NAME".
        folder: where it is.
        model: of sentence-transformers.
        encode: reads a text with it and gives the numbers; whether the model is in training stays as it was.

    Raises:
        ModelError: one of these does not hold.
    """
    check_finite(what, folder, model)
    first: Any = model[0]
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
        raise ModelError(f"{what} gives no numbers for a text: {folder} is damaged; fetch or save it again.")


def check_finite(what: str, folder: Path, model: nn.Module) -> None:
    """Raise a ModelError if a weight is NaN or infinite."""
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(f"{what} has weights that are NaN or infinite ({name}): {folder} is damaged.")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' load-time chatter and progress bars off the user's terminal."""
    import transformers

    library: Any = transformers.utils.logging
    names = ("sentence_transformers", "transformers", "huggingface_hub", "accelerate")
    levels = {name: logging.getLogger(name).level for name in names}
    bars = library.is_progress_bar_enabled()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    library.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if bars:
            library.enable_progress_bar()
