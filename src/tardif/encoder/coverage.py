"""Warnings about a base whose vocabulary does not cover a language.

A base made for English turns Japanese into unknown tokens, which are all the same, and Russian into letters, which tell
nothing about words. Training cannot repair that. So a sentence of the declared language is tokenised before any work,
and later the texts themselves.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tardif.encoder.base import Base
from tardif.encoder.samples import SENTENCES
from tardif.errors import is_failure
from tardif.text.languages import Language
from tardif.text.scripts import HANGUL, UNSPACED

# The share of unknown tokens above which a vocabulary does not cover a text. A vocabulary that does has almost none.
UNKNOWN = 0.05
# Letters per token, below which a text is read letter by letter. A vocabulary made for English gives 1.6 to 2.4 letters
# in other European languages in the Latin script, and 1.0 in Russian, Greek or Arabic.
LETTERS = 1.15
# The same for characters that are a syllable or a word, as in Japanese and Korean.
SYLLABLES = 0.75
# The number of texts that are tokenised.
SAMPLE = 200
_FEWEST = 200  # tokens from which a share of them is meaningful
_LONGEST = 2_000  # characters of a text that are tokenised
_UNKNOWN_NAMES = ("[UNK]", "<unk>", "<UNK>", "UNK")
_WHOLE = re.compile(f"[{UNSPACED}{HANGUL}]")


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a vocabulary tokenises some texts.

    Attributes:
        unknown: the share of unknown tokens.
        letters: letters and digits per token.
        least: the letters per token that a vocabulary which covers the texts reaches.
    """

    unknown: float
    letters: float
    least: float

    @property
    def is_poor(self) -> bool:
        """Whether the vocabulary does not cover the texts."""
        return self.unknown >= UNKNOWN or self.letters < self.least


def coverage(
    texts: Iterable[str], ids_of: Callable[[str], Sequence[int]], unknowns: Collection[int], fewest: int = _FEWEST
) -> Coverage | None:
    """Measure how a vocabulary tokenises some texts; None if they have too few tokens.

    Args:
        texts: the texts, of which the beginnings are tokenised.
        ids_of: returns the token ids of a text.
        unknowns: the ids of the unknown token.
        fewest: the least number of tokens.

    >>> coverage(["late interaction"], lambda text: [5, 6, 0], unknowns={0}, fewest=1)
    Coverage(unknown=0.3333333333333333, letters=5.0, least=1.15)
    """
    tokens = unknown = letters = whole = 0
    for text in texts:
        beginning = text[:_LONGEST]
        found = ids_of(beginning)
        tokens += len(found)
        unknown += sum(token in unknowns for token in found)
        letters += sum(unicodedata.category(character)[0] in "LN" for character in beginning)
        whole += len(_WHOLE.findall(beginning))
    if tokens < fewest:
        return None
    return Coverage(unknown / tokens, letters / tokens, SYLLABLES if whole > letters / 2 else LETTERS)


def language_warning(base: Base, language: Language) -> str:
    """Return the warning that a base does not cover a language; empty if it does, or if its files do not tell.

    It takes a second and does not import torch.
    """
    sentence, path = SENTENCES.get(language.code), base.transformer / "tokenizer.json"
    if sentence is None or not path.is_file():
        return ""
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        found = _coverage_of(tokenizer, [sentence], 1)
    except BaseException as error:  # loading reports a damaged file; the library panics on some
        if not is_failure(error):
            raise
        return ""
    return _warning(f"The base {base.name}", f"{language.name} sentences", found, language.name)


def texts_warning(who: str, tokenizer: Any, texts: Iterable[str], what: str) -> str:
    """Return the warning that a model does not cover these texts; empty if it does.

    Args:
        who: the model, as the subject of the warning.
        tokenizer: its tokenizer, of the library ``tokenizers`` or ``transformers``.
        texts: a sample of the texts.
        what: the texts' name in the warning, such as ``these documents``.
    """
    return _warning(who, what, _coverage_of(tokenizer, texts))


def _coverage_of(tokenizer: Any, texts: Iterable[str], fewest: int = _FEWEST) -> Coverage | None:
    if hasattr(tokenizer, "token_to_id"):
        known = {tokenizer.token_to_id(name) for name in _UNKNOWN_NAMES} - {None}
        return coverage(texts, lambda text: tokenizer.encode(text, add_special_tokens=False).ids, known, fewest)

    def ids_of(text: str) -> Sequence[int]:
        # verbose=False: the library would warn of every text that is longer than the model reads.
        found: Sequence[int] = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return found

    return coverage(texts, ids_of, {tokenizer.unk_token_id}, fewest)


def _warning(who: str, what: str, found: Coverage | None, language: str = "their language") -> str:
    """Return the warning of a poor coverage; empty if it is not poor. ``language`` is what a better base covers."""
    if found is None or not found.is_poor:
        return ""
    reasons = []
    if found.unknown >= UNKNOWN:
        reasons.append(f"{found.unknown:.0%} of the tokens are unknown to its vocabulary, and all alike")
    if found.letters < found.least:
        reasons.append(f"a token has {found.letters:.1f} letters, too few to tell words apart")
    return (
        f"{who} reads {what} badly: {'; '.join(reasons)}. What cannot be read cannot be learnt or found: take a "
        "multilingual base, such as intfloat/multilingual-e5-small or FacebookAI/xlm-roberta-base, or one made for "
        f"{language}."
    )
