"""The folder of an exported encoder: its files and its settings.

model.onnx       ids and attention mask [queries, tokens] to unit token vectors [queries, tokens, dim], float32
tokenizer.json   in the format of the ``tokenizers`` library; lowercasing and normalisation are in it
encoder.json     format and version; how a text becomes ids; checksums of the two others

One graph reads queries and documents: the settings say how each becomes ids, and which ids have vectors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tardif.checks import is_int
from tardif.checksums import checksum, fault
from tardif.encoder.blanks import Blanks
from tardif.errors import FolderError
from tardif.folders import expanded, read_json, write_json

FORMAT = "tardif-query-encoder"
VERSION = 2
GRAPH, TOKENIZER, SETTINGS = "model.onnx", "tokenizer.json", "encoder.json"
# Its folder inside an index.
INSIDE = "encoder"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "token_embeddings"
_WHAT = "a light query encoder"
# Of tokens: above the positions of any encoder and the tokens of any vocabulary, and below what fills a memory.
LONGEST = 1 << 24


@dataclass(frozen=True, slots=True)
class Expansion:
    """The expansion tokens that fill up a short query.

    Attributes:
        length: the number of tokens to fill up to.
        token_id: the expansion token.
        attend: whether the other tokens attend to it.
        scored: whether it has vectors in the query.
    """

    length: int
    token_id: int
    attend: bool
    scored: bool


@dataclass(frozen=True, slots=True)
class DocumentForm:
    """The rules by which a document becomes token ids, and by which ids get vectors.

    Args:
        prompt: the text in front of every document (the document marker).
        max_tokens: the most tokens, with start, marker and end. Longer documents are cut at the queries' side.
        skipped_ids: tokens that are read but have no vector.
    """

    prompt: str
    max_tokens: int
    skipped_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class QueryForm:
    """The rules by which a query becomes token ids, and by which ids get vectors.

    Args:
        prompt: the text in front of every query (the query marker).
        max_tokens: the most tokens, with start, marker and end. Longer queries are cut.
        truncation_side: the side at which they are cut.
        split_special_tokens: whether ``[MASK]`` in a text is read as plain text.
        pad_id: the padding token, neither attended to nor scored.
        expansion: the expansion of short queries, or None.
        skipped_ids: tokens that are read but have no vector.
        dim: the width of the token vectors.
        document: the rules for documents.
        blanks: finds the queries and documents without any vector; None if there are none.
    """

    prompt: str
    max_tokens: int
    truncation_side: Literal["left", "right"]
    split_special_tokens: bool
    pad_id: int
    expansion: Expansion | None
    skipped_ids: tuple[int, ...]
    dim: int
    document: DocumentForm
    blanks: Blanks | None = None


def exported_encoder(place: str | Path) -> Path | None:
    """Return the folder of an exported encoder: the place itself, or the encoder in an index; None if there is none.

    >>> exported_encoder("support.index").name, exported_encoder("models/support")
    ('encoder', None)
    """
    folders = (expanded(place), expanded(place) / INSIDE)
    return next((folder for folder in folders if (folder / SETTINGS).is_file()), None)


def write_form(folder: Path, form: QueryForm) -> None:
    """Write the settings into a folder that has the graph and the tokenizer already."""
    sums = {name: checksum(folder / name) for name in (GRAPH, TOKENIZER)}
    settings = {**asdict(replace(form, blanks=None)), "blanks": _blanks_as_json(form.blanks)}
    write_json(folder / SETTINGS, {"format": FORMAT, "version": VERSION, **settings, "checksums": sums})


def read_form(folder: Path) -> QueryForm:
    """Read the settings, and check the graph and the tokenizer against their checksums.

    Raises:
        FolderError: a file is missing, damaged, of another kind, or written by a newer version.
    """
    found = read_json(folder / SETTINGS, what=_WHAT)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FolderError(f"{folder / SETTINGS} does not describe {_WHAT}: give a folder that Tardif exported.")
    version = found.get("version")
    if is_int(version) and 0 < version < VERSION:
        raise FolderError(f"{folder} was written by an older Tardif: export the query encoder again.")
    # A newer format may hold rules that this version would not follow.
    if not isinstance(version, int) or version > VERSION:
        raise FolderError(
            f"{folder} was written by a newer version of Tardif (format {version}, this one reads {VERSION}): "
            "update Tardif, or export the query encoder again."
        )
    try:
        form = _form(found)
        sums = {name: str(found["checksums"][name]) for name in (GRAPH, TOKENIZER)}
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(f"{folder / SETTINGS} is damaged ({error!r}): export the query encoder again.") from error
    for name, expected in sums.items():
        if problem := fault(folder / name, expected):
            raise FolderError(f"{folder / name} {problem}: export the query encoder again.")
    return form


def _form(found: dict[str, Any]) -> QueryForm:
    expansion = found["expansion"]
    if expansion is not None:
        length, token = _count(expansion["length"]), _count(expansion["token_id"])
        expansion = Expansion(length, token, attend=_flag(expansion["attend"]), scored=_flag(expansion["scored"]))
    side = found["truncation_side"]
    if side not in ("left", "right") or not isinstance(found["prompt"], str):
        raise ValueError("truncation_side or prompt")
    return QueryForm(
        prompt=found["prompt"],
        max_tokens=_count(found["max_tokens"]),
        truncation_side=side,
        split_special_tokens=_flag(found["split_special_tokens"]),
        pad_id=_count(found["pad_id"]),
        expansion=expansion,
        skipped_ids=tuple(_count(number) for number in found["skipped_ids"]),
        dim=_count(found["dim"]),
        document=_document(found["document"]),
        blanks=_blanks(found.get("blanks")),
    )


def _document(found: dict[str, Any]) -> DocumentForm:
    if not isinstance(found["prompt"], str):
        raise TypeError("the documents' prompt")
    skipped = tuple(_count(number) for number in found["skipped_ids"])
    return DocumentForm(found["prompt"], _count(found["max_tokens"]), skipped)


def _blanks(found: dict[str, Any] | None) -> Blanks | None:
    if found is None:
        return None
    return Blanks(
        ids=frozenset(_count(number) for number in found["ids"]),
        prompts={task: _count(found["prompts"][task]) for task in ("query", "document")},
        punctuation=_flag(found["punctuation"]),
    )


def _blanks_as_json(blanks: Blanks | None) -> dict[str, Any] | None:
    if blanks is None:
        return None
    return {"ids": sorted(blanks.ids), "prompts": dict(blanks.prompts), "punctuation": blanks.punctuation}


def _count(value: object) -> int:
    if not is_int(value) or not 0 <= value <= LONGEST:
        raise ValueError(f"{value!r} is not a count")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value
