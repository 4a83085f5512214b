"""How a ColBERT of another format reads texts: rules that its tool has in code, and Tardif's own rules beside them.

Stanford's and PyLate's folders say less than their tools do: a marker is inserted by its id, punctuation is skipped by
its first token, an unknown skipped word is the unknown token. :func:`adopt` makes a loaded model do the same.

What Tardif writes in these formats (:mod:`tardif.integrations.checkpoints`) has its exact rules under the key
``tardif``, which no other tool reads: lengths, expansion, prompts and skipped tokens that the format cannot express.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tardif.checks import is_int
from tardif.encoder.base import Base
from tardif.encoder.config_checks import read_config
from tardif.encoder.markers import keeps
from tardif.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

# The key of Tardif's rules in artifact.metadata and in config_sentence_transformers.json.
KEY = "tardif"
METADATA, SETTINGS = "artifact.metadata", "config_sentence_transformers.json"
_VERSION = 1
# The markers of a Stanford checkpoint that names none (colbert-ai's TokenizerSettings).
_STANFORD_MARKERS = {"query": "[unused0]", "document": "[unused1]"}


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How a model turns texts into token ids, and which of them it scores.

    Attributes:
        prompts: the text in front of each text, by task.
        query_length: the most tokens of a query; None for no limit of its own.
        document_length: the same for a document.
        expansion: the expansion of queries, as sentence-transformers has it, or None.
        skipped: the tokens without a vector.
        skipped_in: the tasks in which they have none.
    """

    prompts: Mapping[str, str]
    query_length: int | None
    document_length: int | None
    expansion: Mapping[str, Any] | None
    skipped: tuple[str, ...]
    skipped_in: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the rules as they are written."""
        return {
            "version": _VERSION,
            "prompts": dict(self.prompts),
            "query_length": self.query_length,
            "document_length": self.document_length,
            "query_expansion": None if self.expansion is None else dict(self.expansion),
            "skipped_tokens": list(self.skipped),
            "skipped_in": list(self.skipped_in),
        }

    @classmethod
    def from_json(cls, found: Any) -> ReadingRules:
        """Read the rules.

        Raises:
            KeyError, TypeError, ValueError: they are damaged, or from a newer version.
        """
        if found["version"] != _VERSION:
            raise ValueError(f"version {found['version']}")
        prompts, expansion = found["prompts"], found["query_expansion"]
        texts = [*prompts.values(), *prompts, *found["skipped_tokens"], *found["skipped_in"]]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a text is no text")
        lengths = [found["query_length"], found["document_length"]]
        lengths += [] if expansion is None else [expansion["length"]]
        if not all(length is None or (is_int(length) and length > 0) for length in lengths):
            raise ValueError(f"lengths {lengths}")
        return cls(
            prompts=dict(prompts),
            query_length=found["query_length"],
            document_length=found["document_length"],
            expansion=None if expansion is None else dict(expansion),
            skipped=tuple(found["skipped_tokens"]),
            skipped_in=tuple(found["skipped_in"]),
        )


def rules_of(model: MultiVectorEncoder) -> ReadingRules:
    """Return the rules by which a model reads texts."""
    transformer: Any = model[0]
    mask = mask_of(model)
    return ReadingRules(
        prompts={task: prompt for task, prompt in model.prompts.items() if prompt is not None},
        query_length=transformer.query_length,
        document_length=transformer.document_length,
        expansion=transformer.query_expansion,
        skipped=() if mask is None else tuple(mask.skiplist_words),
        skipped_in=() if mask is None else tuple(mask.skiplist_tasks),
    )


def mask_of(model: MultiVectorEncoder) -> MultiVectorMask | None:
    """Return the model's module that chooses the tokens with vectors."""
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    return next((module for module in model if isinstance(module, MultiVectorMask)), None)


def adopt(model: MultiVectorEncoder, base: Base) -> None:
    """Make a model that was loaded from Stanford's or PyLate's format read texts as it was saved.

    A folder that Tardif wrote has exact rules. Any other is read as colbert-ai 0.2.22 or PyLate 1.6.0 would.

    Raises:
        ModelError: Tardif's rules in the folder are damaged, or from a newer version.
    """
    if base.kind not in ("stanford", "pylate"):
        return
    settings = read_config(base.folder / (METADATA if base.kind == "stanford" else SETTINGS)) or {}
    if KEY in settings:
        _apply(model, base, settings[KEY])
    elif base.kind == "stanford":
        markers = {task: settings.get(f"{name}_token_id") for task, name in (("query", "query"), ("document", "doc"))}
        _insert(model, {task: marker or _STANFORD_MARKERS[task] for task, marker in markers.items()})
        if settings.get("mask_punctuation", True):
            skip(model, first_tokens(model.tokenizer))
    else:
        _insert(model, {task: settings.get(f"{task}_prefix") for task in ("query", "document")})
        mask, unknown = mask_of(model), model.tokenizer.unk_token
        known = model.tokenizer.get_vocab()
        if mask is not None and unknown and any(word not in known for word in mask.skiplist_words):
            skip(model, [*mask.skiplist_words, unknown])


def _apply(model: MultiVectorEncoder, base: Base, found: Any) -> None:
    try:
        rules = ReadingRules.from_json(found)
        transformer: Any = model[0]
        expansion = rules.expansion
        if any(length and length > base.max_tokens for length in (rules.query_length, rules.document_length)):
            raise ValueError(f"lengths beyond the encoder's {base.max_tokens} positions")
        if expansion and expansion["length"] > base.max_tokens:
            raise ValueError(f"an expansion beyond the encoder's {base.max_tokens} positions")
        transformer.query_expansion = None
        transformer.query_length, transformer.document_length = rules.query_length, rules.document_length
        transformer.query_expansion = None if expansion is None else dict(expansion)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The base {base.name} has damaged rules of Tardif's ({KEY}: {error}), or rules of a newer version: export "
            "it again, or update Tardif."
        ) from error
    model.prompts = dict(rules.prompts)
    skip(model, rules.skipped, rules.skipped_in)


def skip(model: MultiVectorEncoder, tokens: Any, tasks: Any = ("document",)) -> None:
    """Set the tokens without a vector."""
    mask = mask_of(model)
    if mask is not None:
        mask.skiplist_words, mask.skiplist_tasks = list(dict.fromkeys(tokens)), list(tasks)
        mask.resolve_with_tokenizer(model.tokenizer)


def first_tokens(tokenizer: Any) -> list[str]:
    """Return the tokens that colbert-ai skips: the first one of each punctuation symbol, whatever it is."""
    ids = [tokenizer.encode(symbol, add_special_tokens=False)[0] for symbol in string.punctuation]
    return list(dict.fromkeys(tokenizer.convert_ids_to_tokens(ids)))


def _insert(model: MultiVectorEncoder, markers: Mapping[str, str | None]) -> None:
    """Set the prompts that add exactly the marker, as inserting its id does.

    The library puts the marker in front of the text, with a space after Stanford's. A byte-level tokenizer then reads
    the text's first word as one inside a sentence, which is another token.
    """
    tokenizer: Any = model.tokenizer
    for task, marker in markers.items():
        if not marker or tokenizer.convert_tokens_to_ids(marker) in (None, tokenizer.unk_token_id):
            continue
        tried = (model.prompts.get(task) or "", marker, f"{marker} ")
        found = next((prompt for prompt in tried if keeps(tokenizer, prompt, marker)), None)
        if found is not None:
            model.prompts[task] = found
