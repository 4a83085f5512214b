"""The model card of an export: the checkpoint's own card, with the part that depends on format and place made new.

What a user has written into the card stays: licence, description, everything but the section on the model's use.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.errors import ModelError, first_line, reason
from tardif.file_reading import read_bounded
from tardif.folders import read_json
from tardif.training.model_card import CARD, LIBRARY, USE, ModelFacts, model_card, use_section
from tardif.training.result import TrainingResult

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

_LARGEST = 1 << 22  # bytes of a card
# The library that a format is of, where it is not sentence-transformers.
_LIBRARIES = {"pylate": "PyLate", "onnx": "onnx", "vespa": "vespa"}
_STANFORD = """In Stanford's ColBERT and RAGatouille:

```python
from colbert.infra import ColBERTConfig
from colbert.modeling.checkpoint import Checkpoint
print(Checkpoint({name}, ColBERTConfig()).queryFromText(["a question"]).shape)
```"""
_PYLATE = """In PyLate:

```python
from pylate import models
model = models.ColBERT({name})
print(model.encode(["a question"], is_query=True)[0].shape, model.encode(["a text"], is_query=False)[0].shape)
```"""
_MORE = {"stanford": _STANFORD, "pylate": _PYLATE}
# What a folder is that other programs run, and no library opens.
_GRAPHS = {
    "onnx": "The folder holds ONNX graphs, which onnxruntime runs without PyTorch.",
    "vespa": "The folder holds ONNX graphs and a schema for Vespa's ColBERT embedder.",
}


def export_card(source: Path, model: MultiVectorEncoder, form: str, name: str) -> str:
    """Return the text of the card for an exported checkpoint.

    Args:
        source: the checkpoint's folder. Its ``README.md`` is used; else one is made of its ``results.json``.
        model: the checkpoint, opened.
        form: the format of the export.
        name: the hub id or the folder's name that the card shows how to open.

    Raises:
        ModelError: the checkpoint's card or results cannot be read.
    """
    from huggingface_hub import ModelCard

    text = _own_card(source) or _new_card(source, model, name)
    try:
        card: Any = ModelCard(text)
        tags = card.data.to_dict().get("tags") or []
    except Exception as error:  # of the hub's library, or of the reader of YAML
        raise ModelError(
            f"{source / CARD} cannot be used ({first_line(error)}): correct the YAML at its beginning, or remove the "
            "file, and a new card is made."
        ) from error
    library = _LIBRARIES.get(form, LIBRARY)
    card.data["tags"] = list(dict.fromkeys([*tags, *([library] if form in _LIBRARIES else []), "tardif"]))
    card.data["library_name"] = library
    card.text = _with_use(card.text, form, name)
    return str(card)


def _own_card(source: Path) -> str:
    try:
        return read_bounded(source / CARD, _LARGEST).decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise ModelError(f"{source / CARD} cannot be read ({reason(error)}): correct or remove it.") from error


def _new_card(source: Path, model: MultiVectorEncoder, name: str) -> str:
    """A card of a checkpoint that has none: older ones of Tardif, and those of other tools."""
    path = source / "results.json"
    if not path.is_file():
        return model_card(name, ModelFacts.of(model))
    try:
        result = TrainingResult.from_json(source, read_json(path, what="the results of a training"))
        return model_card(name, ModelFacts.of(model), result)
    except (TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"{path} is not what a training writes ({first_line(error)}): remove it.") from error


def _with_use(text: str, form: str, name: str) -> str:
    """The Markdown with the section on the model's use made new, at its place or at the end."""
    section = _use(form, name)
    begin = re.search(rf"^{re.escape(USE)}[ \t]*$", text, re.MULTILINE)
    if begin is None:
        return f"{text.rstrip()}\n\n{section}\n"
    end = re.compile(r"^#{1,2} ", re.MULTILINE).search(_without_code(text), begin.end())
    rest = text[end.start() :] if end else ""
    return f"{text[: begin.start()]}{section}\n\n{rest}".rstrip() + "\n"


def _without_code(text: str) -> str:
    """The text with blocks of code blanked out, in which a line may begin with "# "."""
    return re.sub(r"^```.*?^```[ \t]*$", lambda found: " " * len(found[0]), text, flags=re.MULTILINE | re.DOTALL)


def _use(form: str, name: str) -> str:
    if form in _GRAPHS:
        return f"{USE}\n\n{_GRAPHS[form]}"
    section = use_section(name)
    more = _MORE.get(form)
    return f"{section}\n\n{more.format(name=json.dumps(name, ensure_ascii=False))}" if more else section
