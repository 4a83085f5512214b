"""Markers and skipped symbols as real tokens, for every family of tokenizers.

A marker must be one token, and must leave the tokens of the text behind it as they are alone:
``[start, marker, tokens of the text, end]``. Tokenizers differ in what they do with the space
between: WordPiece drops it, byte-level BPE glues it to the next word, SentencePiece writes it as a
mark of its own. So the form of the marker is found by trying, not by the family's name.
"""

from __future__ import annotations

import copy
import string
from typing import TYPE_CHECKING

from tardif.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUERY_MARKER = "[Q]"
DOCUMENT_MARKER = "[D]"

# Texts that tell tokenizers apart: letters, digits, symbols, accents, no spaces, a capital, a newline.
_PROBES = (
    "a",
    "Retrieval of late interaction",
    "3 items, (two) of them!",
    ".dot first",
    "été à Zürich",
    "晚期交互",
    "two\nlines",
    "  spaces before",
)


def add_markers(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Add both markers to ``tokenizer``; return the prompts that put them in front of a text.

    The token is written with its trailing space (``"[Q] "``, as PyLate does) or without it,
    whichever leaves the text's own tokens unchanged.

    Raises:
        ModelError: with neither form does this tokenizer keep the text's tokens.
    """
    for space in (" ", ""):
        names = [QUERY_MARKER + space, DOCUMENT_MARKER + space]
        trial = copy.deepcopy(tokenizer)  # a token once added cannot be taken out again
        _add(trial, names)
        if all(_keeps(trial, f"{name.rstrip()} ", name) for name in names):
            _add(tokenizer, names)
            return {"query": f"{QUERY_MARKER} ", "document": f"{DOCUMENT_MARKER} "}
    raise ModelError("This base's tokenizer changes a text's tokens when a marker stands before them.")


def _add(tokenizer: PreTrainedTokenizerBase, names: list[str]) -> None:
    from tokenizers import AddedToken

    tokens = [AddedToken(name, normalized=False, special=True) for name in names]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens}, replace_extra_special_tokens=False)


def _keeps(tokenizer: PreTrainedTokenizerBase, prompt: str, marker: str) -> bool:
    """Whether ``prompt`` adds exactly the marker's token, and nothing else changes."""
    marker_id = tokenizer.convert_tokens_to_ids(marker)
    for probe in _PROBES:
        alone = tokenizer(probe)["input_ids"]
        marked = tokenizer(prompt + probe)["input_ids"]
        if marked != [alone[0], marker_id, *alone[1:]]:
            return False
    return True


def punctuation_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The vocabulary's tokens that are one punctuation symbol and nothing else.

    Stanford's rule takes one token per symbol; byte-level and SentencePiece vocabularies hold two
    (with and without the mark of a space before it), so each symbol is tokenised in every place it
    can stand in.
    """
    found: dict[str, None] = {}
    for symbol in string.punctuation:
        for text in (symbol, f" {symbol}", f"a{symbol}", f"a {symbol}", f"{symbol}a"):
            for token in tokenizer.tokenize(text):
                if tokenizer.convert_tokens_to_string([token]).strip() == symbol:
                    found.setdefault(token)
    return list(found)
