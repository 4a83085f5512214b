"""A cross-encoder, found and checked before any work without importing torch, and later opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.encoder.base import find_model, read_transformer
from tardif.encoder.config_checks import check_files, read_config
from tardif.encoder.weights import check_weights
from tardif.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


_EXAMPLE = "cross-encoder/ms-marco-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class CrossBase:
    """A checked cross-encoder on this machine's disk.

    Attributes:
        name: the name that the user gave.
        folder: the folder of the whole model.
        transformer: the folder with config, weights and tokenizer.
        task: the task that sentence-transformers loads it for.
    """

    name: str
    folder: Path
    transformer: Path
    task: str

    @property
    def what(self) -> str:
        """The model's name in an error."""
        return f"The teacher {self.name}"


def resolve_cross_encoder(name: str | Path) -> CrossBase:
    """Find a cross-encoder by folder or hub id, and check its files. Code of its own is refused.

    Raises:
        ModelError: it does not exist, or its files are missing, damaged or name something that
            :mod:`tardif.encoder.config_checks` refuses.
    """
    return find_model(f"The teacher {name}", str(name), lambda folder, _: _inspect(str(name), folder), _EXAMPLE)


def _inspect(name: str, folder: Path) -> CrossBase:
    what = f"The teacher {name}"
    check_files(what, folder, trust_remote_code=None)
    modules, transformer, config = read_transformer(folder)
    check_weights(what, transformer)
    return CrossBase(name, folder, transformer, _task(transformer, config, has_modules=bool(modules)))


def _task(transformer: Path, config: dict[str, Any], *, has_modules: bool) -> str:
    """Return the task that sentence-transformers will load it for: the saved one, or one by its architecture."""
    saved = read_config(transformer / "sentence_bert_config.json") if has_modules else None
    if saved and "transformer_task" in saved:
        return str(saved["transformer_task"])
    heads = config.get("architectures") or [""]
    is_language_model = isinstance(heads, list) and str(heads[0]).endswith("ForCausalLM")
    return "text-generation" if is_language_model else "sequence-classification"


def open_cross_encoder(base: CrossBase, device: str) -> CrossEncoder:
    """Load a checked cross-encoder that returns one number for a pair.

    Raises:
        ModelError: weights are missing or cannot be loaded, or the model returns several numbers for a pair.
    """
    import torch
    from sentence_transformers import CrossEncoder

    from tardif.encoder.loading import check_built, check_report, loading

    check_report(base.what, base.transformer, task=base.task)
    with loading(base.what, base.folder):
        # Not from the hub: the files that were checked are those that are loaded.
        model = CrossEncoder(str(base.folder), device=device, local_files_only=True)
        if model.num_labels != 1:
            raise ModelError(
                f"{base.what} gives {model.num_labels} scores for a pair: use a cross-encoder that gives one."
            )
    pairs = [("late", "interaction")]
    check_built(
        base.what,
        base.folder,
        model,
        lambda: model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False),
    )
    return model  # type: ignore[no-any-return]
