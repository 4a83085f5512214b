"""Query and document markers, and punctuation, as tokens of any tokenizer.

A marker must be one token, and must not change the tokens of the text after it: ``[start, marker, text's tokens,
end]``. Tokenizers treat the space between them differently: WordPiece drops it, byte-level BPE attaches it to the next
word, SentencePiece writes a mark of its own. So the form of the marker is found by trying, not by the family's name.
"""

from __future__ import annotations

import copy
import string
import tempfile
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
    raise ModelError(
        "The base's tokenizer changes a text's tokens after a marker: leave markers out (--no-markers, in Python "
        "markers=False)."
    )


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


def check_saved(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise a ModelError if a tokenizer reads texts in another way once it has been saved.

    What a fast tokenizer is made of is saved as it is. One that is all Python writes its files anew, and some
    (BERTweet's) forget a part.
    """
    if tokenizer.is_fast:
        return
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        saved = type(tokenizer).from_pretrained(folder)
    texts = [marker + probe for marker in ("", f"{QUERY_MARKER} ", f"{DOCUMENT_MARKER} ") for probe in _PROBES]
    if saved(texts)["input_ids"] != tokenizer(texts)["input_ids"]:
        raise ModelError(
            f"The base's tokenizer ({type(tokenizer).__name__}) reads texts in another way once transformers has saved "
            "it, so a model trained from it could not be opened again: use another base, or one with a tokenizer.json."
        )


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
        # By the ids: only a fast tokenizer gives its tokens, and of an unknown symbol it gives the symbol itself.
        for token in tokenizer.convert_ids_to_tokens(encoded["input_ids"][number])
        if written(token) == symbol
    )
    return list(dict.fromkeys(found))
