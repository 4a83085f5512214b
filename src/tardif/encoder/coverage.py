"""How well a base's vocabulary covers a language: a text of unknown tokens, or of single letters, cannot be matched.

A base that was made for English cuts Japanese into tokens that it does not know, all of them the same, and Russian into
letters, which say nothing of the words. Training teaches neither. So it is said before any work, by a sentence of the
declared language, and again of the texts themselves.
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

UNKNOWN = 0.05
"""The share of unknown tokens from which a vocabulary does not cover a text. One that does has hardly any."""

LETTERS = 1.15
"""Letters of a token, below which a text is read letter by letter. A vocabulary made for English has 1.6 to 2.4 of
other European languages in the Latin script, and 1.0 of Russian, Greek or Arabic."""

SYLLABLES = 0.75
"""The same of characters that are a syllable or a word themselves, as in Japanese and Korean."""

SAMPLE = 200
"""So many texts are looked at."""

_FEWEST = 200  # tokens, for a share of them to say anything of the texts
_LONGEST = 2_000  # characters of a text that are looked at
_UNKNOWN_NAMES = ("[UNK]", "<unk>", "<UNK>", "UNK")
_WHOLE = re.compile(f"[{UNSPACED}{HANGUL}]")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a vocabulary makes of some texts.

    Attributes:
        unknown: share of the tokens that are unknown.
        letters: letters and digits for each token.
        least: of these a vocabulary that covers the texts has at least.
    """

    unknown: float
    letters: float
    least: float

    @property
    def is_poor(self) -> bool:
        """Whether the texts cannot be told apart well."""
        return self.unknown >= UNKNOWN or self.letters < self.least


def coverage(
    texts: Iterable[str], ids_of: Callable[[str], Sequence[int]], unknowns: Collection[int], fewest: int = _FEWEST
) -> Coverage | None:
    """What a vocabulary makes of some texts; None where they hold too few tokens to say so.

    Args:
        texts: to be looked at, each at its beginning.
        ids_of: gives the token ids of a text.
        unknowns: ids of the token that stands for what is unknown.
        fewest: tokens that there must be.
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
    """What a person is told of a base that reads a language badly, in a second and without torch; empty if it does not,
    or if its files do not say."""
    sentence, path = SENTENCES.get(language.code), base.transformer / "tokenizer.json"
    if sentence is None or not path.is_file():
        return ""
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        found = _coverage_of(tokenizer, [sentence], 1)
    except BaseException as error:  # a damaged file is told of when it is loaded; the library panics on some
        if not is_failure(error):
            raise
        return ""
    return _warning(f"The base {base.name}", f"{language.name} sentences", found, language.name)


def texts_warning(who: str, tokenizer: Any, texts: Iterable[str], what: str) -> str:
    """What a person is told of a model that reads these texts badly; empty if it does not.

    Args:
        who: reads.
        tokenizer: its own, of ``tokenizers`` or of ``transformers``.
        texts: a sample.
        what: they are, such as ``these documents``.
    """
    return _warning(who, what, _coverage_of(tokenizer, texts))


def _coverage_of(tokenizer: Any, texts: Iterable[str], fewest: int = _FEWEST) -> Coverage | None:
    if hasattr(tokenizer, "token_to_id"):
        known = {tokenizer.token_to_id(name) for name in _UNKNOWN_NAMES} - {None}
        return coverage(texts, lambda text: tokenizer.encode(text, add_special_tokens=False).ids, known, fewest)

    def ids_of(text: str) -> Sequence[int]:
        # verbose: the library would say of each that it is too long for the model.
        found: Sequence[int] = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return found

    return coverage(texts, ids_of, {tokenizer.unk_token_id}, fewest)


def _warning(who: str, what: str, found: Coverage | None, language: str = "their language") -> str:
    """The warning of a coverage that is poor; empty if it is not.

    Args:
        who: reads.
        what: is read.
        found: by :func:`coverage`.
        language: that a better base is made for.
    """
    if found is None or not found.is_poor:
        return ""
    reasons = []
    if found.unknown >= UNKNOWN:
        reasons.append(f"{found.unknown:.0%} of the tokens are unknown to its vocabulary, and all alike")
    if found.letters < found.least:
        reasons.append(f"a token has {found.letters:.1f} letters, which say little of the words")
    return (
        f"{who} reads {what} badly: {'; '.join(reasons)}. What cannot be read cannot be learnt or found: take a "
        "multilingual base, such as intfloat/multilingual-e5-small or FacebookAI/xlm-roberta-base, or one made for "
        f"{language}."
    )
