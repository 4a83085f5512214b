"""Query and document markers, and punctuation, as tokens of any tokenizer.

A marker must be one token, and must not change the tokens of the text after it: ``[start, marker, text's tokens,
end]``. Tokenizers treat the space between them differently: WordPiece drops it, byte-level BPE attaches it to the next
word, SentencePiece writes a mark of its own. So the form of the marker is found by trying, not by the family's name.
"""

from __future__ import annotations

import copy
import string
from functools import cache
from typing import TYPE_CHECKING

from tardif.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUERY_MARKER = "[Q]"
DOCUMENT_MARKER = "[D]"

# Texts on which tokenizers differ: letters, digits, symbols, accents, no spaces, a capital, a newline.
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
    """Add both markers to a tokenizer, and return the prompts that put them in front of a text, by task.

    The token includes its trailing space (``"[Q] "``, as in PyLate) or not, whichever leaves the text's own tokens
    unchanged.

    Raises:
        ModelError: both forms change the text's tokens.
    """
    for space in (" ", ""):
        names = [QUERY_MARKER + space, DOCUMENT_MARKER + space]
        trial = copy.deepcopy(tokenizer)  # an added token cannot be removed
        _add(trial, names)
        if all(keeps(trial, f"{name.rstrip()} ", name) for name in names):
            _add(tokenizer, names)
            return {"query": f"{QUERY_MARKER} ", "document": f"{DOCUMENT_MARKER} "}
    raise ModelError("This base's tokenizer changes a text's tokens after a marker: leave markers out (markers=false).")


def _add(tokenizer: PreTrainedTokenizerBase, names: list[str]) -> None:
    from tokenizers import AddedToken

    tokens = [AddedToken(name, normalized=False, special=True) for name in names]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens}, replace_extra_special_tokens=False)


def keeps(tokenizer: PreTrainedTokenizerBase, prompt: str, marker: str) -> bool:
    """Return whether a prompt adds exactly the marker's token, after the start, and changes no other token."""
    marker_id = tokenizer.convert_tokens_to_ids(marker)
    alone = tokenizer(list(_PROBES))["input_ids"]
    marked = tokenizer([prompt + probe for probe in _PROBES])["input_ids"]
    return bool(marked == [[ids[0], marker_id, *ids[1:]] for ids in alone])


def name_of(tokenizer: PreTrainedTokenizerBase, number: int) -> str:
    """Return the token of an id by the name that finds the id again.

    An added token that was registered twice, first with normalisation, is listed in lower case.
    """
    added = tokenizer.added_tokens_decoder.get(number)
    return str(tokenizer.convert_ids_to_tokens(number)) if added is None else added.content


def punctuation_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the vocabulary's tokens that are a single punctuation symbol.

    Stanford's code takes one token per symbol. Byte-level and SentencePiece vocabularies have two, with and without the
    mark of a preceding space. So each symbol is tokenised in every position.
    """
    # A byte-level tokenizer gives "." another token at the beginning, after a space and after a letter.
    places = ("{}", " {}", "a{}", "a {}", "{}a")
    texts = [(symbol, place.format(symbol)) for symbol in string.punctuation for place in places]
    # In one call: 160 single ones take as long as loading a small model.
    encoded = tokenizer([text for _, text in texts], add_special_tokens=False)
    written = cache(lambda token: tokenizer.convert_tokens_to_string([token]).strip())
    found = (
        token
        for number, (symbol, _) in enumerate(texts)
        for token in encoded.tokens(number)
        if written(token) == symbol
    )
    return list(dict.fromkeys(found))
