"""Detection of texts in another language than declared, by py3langid, a port of langid (Lui and Baldwin 2012)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import Any

# Characters of a text. Shorter texts are misjudged too often to be worth a warning.
MIN_CHARACTERS = 80
# Characters of a text that are read.
READ_CHARACTERS = 2_000
# The number of texts that are judged.
SAMPLE = 1000
# The probability from which a text counts as foreign.
_CONFIDENT = 0.95


@functools.cache
def identifier() -> Any:
    """Return the language identifier. It is loaded once, which takes a part of a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def foreign_texts(
    texts: Iterable[tuple[str, str]], language: str, *, sample: int = SAMPLE
) -> tuple[int, list[tuple[str, str]]]:
    """Find the texts of a sample that are almost certainly in another language than declared.

    Args:
        texts: ids and texts. The sample is drawn by a hash of the id, so their order does not matter.
        language: the ISO 639-1 code of the declared language.
        sample: the number of texts of at least :data:`MIN_CHARACTERS` characters to judge.

    Returns:
        The number of judged texts, and (id, detected language) of the foreign ones, by id. A declared language that
        the identifier does not know gives (0, []).

    >>> text = "Der Akku lädt nicht mehr, und das Gerät schaltet sich nach einer Minute wieder ab."
    >>> foreign_texts([("a", text)], "en")
    (1, [('a', 'de')])
    """
    drawn = sorted(
        (hashlib.md5(identity.encode(), usedforsecurity=False).digest(), identity, text[:READ_CHARACTERS])
        for identity, text in texts
        if len(text) >= MIN_CHARACTERS
    )[:sample]
    if not drawn or language not in identifier().labels:
        return 0, []
    foreign = []
    for _, identity, text in drawn:
        found, probability = identifier().classify(text)
        if found != language and probability >= _CONFIDENT:
            foreign.append((identity, str(found)))
    return len(drawn), sorted(foreign)
