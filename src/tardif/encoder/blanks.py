"""Which texts are blank: those of which nothing can be matched.

Start, marker and end tokens have vectors too, and lie near those of any short text: a document of nothing else would be
a hit for every query, above documents about other things. They are scored where they stand around something, and a
blank text has no vector at all. Neither torch nor a library that opens models is imported.
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
# Behind a prompt, texts that share no token.
_PROBES = ("a", "the", "7", "?", "é")


@dataclass(frozen=True, slots=True)
class Blanks:
    """Tells a model's blank texts, queries and documents alike.

    Args:
        ids: tokens that say nothing of a text: special ones, the one for what the vocabulary lacks, white space, and
            those that the model does not score in documents.
        prompts: by task, how many tokens stand before a text's own.
        punctuation: whether a text of punctuation says something: where the model scores it in documents.
    """

    ids: frozenset[int]
    prompts: Mapping[str, int]
    punctuation: bool

    def holds(self, text: str, ids: Iterable[int], task: str) -> bool:
        """Whether a text is blank.

        Args:
            text: without the prompt.
            ids: its tokens as the model reads them, with the prompt's, and cut at the cap.
            task: ``query`` or ``document``.
        """
        if not any(self._counts(character) for character in text):
            return True
        own = list(ids)[self.prompts.get(task, 0) :]
        return all(number in self.ids for number in own)

    def _counts(self, character: str) -> bool:
        """Whether a character is more than white space, control and, where it does not count, punctuation."""
        if character.isalnum():
            return True
        kind = unicodedata.category(character)[0]
        if kind == "P" or character in string.punctuation:
            return self.punctuation
        return kind not in "CZ"


def blanks_of(model: MultiVectorEncoder) -> Blanks:
    """What tells the blank texts of ``model``."""
    transformer: Any = model[0]
    tokenizer = transformer.tokenizer
    modules: list[Any] = list(model)
    skipped = {
        int(number)
        for module in modules
        if "document" in getattr(module, "skiplist_tasks", ()) and module._skiplist_ids is not None
        for number in module._skiplist_ids
    }
    spaces = {number for space in _SPACES for number in tokenizer(space)["input_ids"]}
    return Blanks(
        ids=frozenset({*tokenizer.all_special_ids, *spaces, *skipped}),
        prompts={task: _before(tokenizer, model.prompts.get(task) or "") for task in ("query", "document")},
        punctuation=not skipped,
    )


def _before(tokenizer: Any, prompt: str) -> int:
    """How many tokens of a prompt stand before those of any text."""
    read = [tokenizer(prompt + probe)["input_ids"] for probe in _PROBES]
    return sum(1 for _ in itertools.takewhile(lambda ids: len(set(ids)) == 1, zip(*read, strict=False)))
