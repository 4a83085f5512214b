"""The call that exports a checkpoint: one format, one folder, written whole or not at all, and read back first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.checksums import checksum
from tardif.display import Short
from tardif.encoder.base import Base, resolve_base
from tardif.encoder.published import write_checksums
from tardif.errors import ModelError, SettingError
from tardif.extras import need
from tardif.folders import check_output, expanded, mark, staged
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The formats that Tardif reads again as a base.
_BASES = ("stanford", "pylate", "sentence-transformers")
# stanford is colbert-ai's and RAGatouille's; sentence-transformers is what training publishes; onnx has graphs in fp32
# and int8 with a recipe by which any program can encode; vespa is an application with a schema and a feed.
FORMATS = (*_BASES, "onnx", "vespa")
# Texts on which a recipe shows: short, long, with punctuation, in other scripts.
_PROBES = (
    "how do I reset my password?",
    "a",
    "Été à Zürich: (two) items, 3.5%!",
    "晚期交互 モデル",
    # 60 times: longer than any document length, so that truncation is compared too.
    "late interaction keeps one vector per token " * 60,
)
# The largest difference of a token vector's number after reading back: the rounding of merged projections.
_CLOSE = 1e-5
# Documents that measure the loss of int8.
_MEASURED = 200


@dataclass(frozen=True, slots=True, repr=False)
class CheckpointExport(Short):
    """A written checkpoint.

    Attributes:
        folder: the folder.
        format: its format.
        notes: what the other tool will do differently from Tardif, a sentence each.
    """

    folder: Path
    format: str
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Lines for a reader."""
        return [f"{self.folder}: a checkpoint in the format {self.format}", *self.notes]


def export_checkpoint(
    checkpoint: str | Path,
    out: str | Path,
    format: str,  # noqa: A002  the word of the command line
    overwrite: bool = False,
    *,
    name: str | None = None,
    documents: str | Path | Iterable[Any] | None = None,
) -> CheckpointExport:
    """Write a trained checkpoint in another tool's format.

    The written folder is opened again, and its token vectors are compared with the checkpoint's, before it takes its
    name. Tardif reads its exact rules from the folder, also those that the other tool has no place for.

    Args:
        checkpoint: the folder or hub id of a late-interaction model, in any format that is a base.
        out: the folder to write.
        format: one of :data:`FORMATS`.
        overwrite: replace a folder that exists.
        name: the hub id that the model card shows how to open; the checkpoint's own name by default.
        documents: for ``vespa`` and ``onnx``: an index folder, a file or folder of documents, or documents. They become
            the feed, and the first ones measure the loss of int8. Without them a sample does.

    Returns:
        The folder, and what the other tool will do differently.

    Raises:
        SettingError: the format is not known, or takes no documents.
        DataError: the documents cannot be read.
        ModelError: the checkpoint cannot be opened, or the format has no place for it.
        FolderError: the folder exists (and ``overwrite`` is false) or cannot be written.

    >>> from tardif.integrations.checkpoints import export_checkpoint
    >>> written = export_checkpoint("models/support", "support-pylate", "pylate")
    >>> sorted(path.name for path in written.folder.glob("*.json"))[:3]
    ['checksums.json', 'config.json', 'config_sentence_transformers.json']
    """
    need("train", "Exporting a checkpoint")
    if format not in FORMATS:
        raise SettingError(f"format={format!r}: a checkpoint is exported to one of {', '.join(FORMATS)}.")
    if documents is not None and format in _BASES:
        raise SettingError(f"documents: the format {format} holds a model alone; leave them out.")
    path = expanded(out).absolute()
    check_output(path, overwrite=overwrite, read=[checkpoint, documents])
    from tardif.encoder.model import open_model
    from tardif.integrations.checkpoints.card import export_card
    from tardif.training.model_card import write_card

    given = None if documents is None else _read(documents)
    base = resolve_base(checkpoint)
    model = open_model(base)
    with staged(path, overwrite=overwrite) as aside:
        notes = _writer(format, base, given)(model, aside, f"The checkpoint {checkpoint}")
        if format in _BASES:
            # Into the folder aside: a checkpoint that reads back differently never appears at `out`.
            _check(model, aside, format)
            files = sorted(found for found in aside.rglob("*") if found.is_file())
            write_checksums(aside, {found.relative_to(aside).as_posix(): checksum(found) for found in files})
        else:
            mark(aside, format)
        # After the checksums: a changed card is no damage.
        write_card(aside, export_card(base.folder, model, format, name or base.hub_id or base.folder.name))
    return CheckpointExport(path, format, tuple(notes))


def _read(documents: Any) -> list[Document]:
    """Read documents from an index, a file, a folder or values."""
    from tardif.data.documents import read_documents
    from tardif.index.manifest import is_index

    folder = expanded(documents) if isinstance(documents, str | Path) else None
    if folder is None or not (is_index(folder) or (folder / "index.sqlite").is_file()):
        return read_documents(documents)
    from tardif.index.sharded_folder import open_index

    with open_index(folder) as opened:
        return list(opened.get(opened.ids()).values())


def _writer(
    form: str, base: Base, documents: Sequence[Document] | None
) -> Callable[[MultiVectorEncoder, Path, str], list[str]]:
    from tardif.encoder.samples import SENTENCES
    from tardif.integrations.checkpoints import onnx, pylate, sentence_transformers, stanford, vespa
    from tardif.integrations.checkpoints.parts import take_apart

    texts = [document.content for document in (documents or ())[:_MEASURED]] or list(SENTENCES.values())
    return {
        "onnx": lambda model, aside, what: onnx.write(model, aside, texts),
        "vespa": lambda model, aside, what: vespa.write(model, aside, texts, documents or vespa.SAMPLE),
        "stanford": lambda model, aside, what: stanford.write(take_apart(model, what, form), aside),
        "pylate": lambda model, aside, what: pylate.write(take_apart(model, what, form), aside),
        "sentence-transformers": lambda model, aside, what: sentence_transformers.write(model, aside, base),
    }[form]


def _check(model: MultiVectorEncoder, folder: Path, form: str) -> None:
    """Raise a ModelError unless the written folder gives the model's token vectors."""
    from tardif.encoder.model import open_model

    again = open_model(str(folder))
    for task in ("query", "document"):
        encoders = (getattr(each, f"encode_{task}") for each in (model, again))
        found = (encode(list(_PROBES), show_progress_bar=False) for encode in encoders)
        for text, *vectors in zip(_PROBES, *found, strict=True):
            one, other = (each.float() for each in vectors)  # [tokens, dim]
            if one.shape != other.shape or bool((one - other).abs().max() > _CLOSE):
                raise ModelError(
                    f"The checkpoint cannot be exported to the format {form}: the folder, read again, gives other "
                    f"vectors for the {task} {text[:40]!r}. Export to another format."
                )
