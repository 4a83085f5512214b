"""Is the text in the language it is declared to be? (py3langid, a port of langid: Lui and Baldwin 2012)"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import Any

# Shorter texts are guessed wrong too often to be worth a warning.
MIN_CHARACTERS = 80
SAMPLE = 1000
_CONFIDENT = 0.95


@functools.cache
def identifier() -> Any:
    """What tells a text's language, loaded once: it takes a part of a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def foreign_texts(
    texts: Iterable[tuple[str, str]], language: str, *, sample: int = SAMPLE
) -> tuple[int, list[tuple[str, str]]]:
    """Texts of a sample that are surely in another language than declared.

    Args:
        texts: ids and texts; the sample is drawn by a hash of the id, so it does not depend on their
            order.
        language: ISO 639-1 code of the declared language.
        sample: how many texts of at least :data:`MIN_CHARACTERS` characters to look at.

    Returns:
        How many were looked at, and the (id, found language) of the foreign ones, by id.
    """
    drawn = sorted(
        (hashlib.md5(identity.encode(), usedforsecurity=False).digest(), identity, text[:2000])
        for identity, text in texts
        if len(text) >= MIN_CHARACTERS
    )[:sample]
    if not drawn:
        return 0, []
    if language not in identifier().labels:
        return 0, []
    foreign = []
    for _, identity, text in drawn:
        found, probability = identifier().classify(text)
        if found != language and probability >= _CONFIDENT:
            foreign.append((identity, str(found)))
    return len(drawn), sorted(foreign)
