"""Blank texts: texts in which nothing can be matched, such as white space. They get no token vectors.

Start, marker and end tokens have vectors too, and these resemble those of any short text. A document with no others
would be a hit for every query, above documents on other topics. So these tokens are scored around a text, and not where
there is none. Neither torch nor a library that opens models is imported.
"""

from __future__ import annotations

import itertools
import string
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

_SPACES = (" ", "  ", "\n", "\t")
# Texts that share no token, so that what they share behind a prompt is the prompt's.
_PROBES = ("a", "the", "7", "?", "é")


@dataclass(frozen=True, slots=True)
class Blanks:
    """Finds a model's blank queries and documents.

    Args:
        ids: the tokens without meaning: special tokens, the unknown token, white space, and those that the model does
            not score in documents.
        prompts: by task, the number of tokens in front of a text's own.
        punctuation: whether a text of punctuation has meaning, because the model scores punctuation in documents.

    >>> blanks = Blanks(ids=frozenset({0, 1, 2}), prompts={"query": 1}, punctuation=False)
    >>> blanks.holds(" ?! ", [1, 9, 2], "query"), blanks.holds("red", [1, 9, 2], "query")
    (True, False)
    """

    ids: frozenset[int]
    prompts: Mapping[str, int]
    punctuation: bool

    def holds(self, text: str, ids: Iterable[int], task: str) -> bool:
        """Return whether a text is blank.

        Args:
            text: the text without the prompt.
            ids: its tokens as the model reads them: with the prompt's, and cut at the model's length.
            task: ``query`` or ``document``.
        """
        if not any(self._counts(character) for character in text):
            return True
        own = list(ids)[self.prompts.get(task, 0) :]
        return all(number in self.ids for number in own)

    def _counts(self, character: str) -> bool:
        """Return whether a character has meaning: no white space, no control and, unless scored, no punctuation."""
        if character.isalnum():
            return True
        kind = unicodedata.category(character)[0]
        if kind == "P" or character in string.punctuation:
            return self.punctuation
        # Categories C and Z of Unicode: controls and formats, separators.
        return kind not in "CZ"


def skipped_ids(model: MultiVectorEncoder, task: str) -> set[int]:
    """Return the tokens that a model reads but does not score in ``query`` or ``document``, such as punctuation."""
    masks: list[Any] = [module for module in model if task in getattr(module, "skiplist_tasks", ())]
    return {int(number) for mask in masks if mask._skiplist_ids is not None for number in mask._skiplist_ids}


def blanks_of(model: MultiVectorEncoder) -> Blanks:
    """Return the :class:`Blanks` of a model."""
    transformer: Any = model[0]
    tokenizer, skipped = transformer.tokenizer, skipped_ids(model, "document")
    spaces = {number for ids in tokenizer(list(_SPACES))["input_ids"] for number in ids}
    return Blanks(
        ids=frozenset({*tokenizer.all_special_ids, *spaces, *skipped}),
        prompts={task: _before(tokenizer, model.prompts.get(task) or "") for task in ("query", "document")},
        punctuation=not skipped,
    )


def _before(tokenizer: Any, prompt: str) -> int:
    """Return the number of tokens in front of any text with this prompt."""
    read = tokenizer([prompt + probe for probe in _PROBES])["input_ids"]
    # Tokens in front of a text are the same for every probe.
    return sum(1 for _ in itertools.takewhile(lambda ids: len(set(ids)) == 1, zip(*read, strict=False)))
