"""The words that people label with: what is relevant, what is not, what was clicked."""

from __future__ import annotations

from tardif.text.normal import normalise

POSITIVE = frozenset(
    ("1", "true", "yes", "y", "positive", "pos", "relevant", "correct", "entailment", "click", "clicked")
)
NEGATIVE = frozenset(
    (
        *("0", "false", "no", "n", "negative", "neg", "irrelevant", "not relevant", "not_relevant", "non-relevant"),
        *("incorrect", "contradiction", "neutral", "skip", "skipped", "not clicked", "not_clicked"),
    )
)
CLICKS = frozenset(("click", "clicked", "skip", "skipped", "not clicked", "not_clicked"))
"""Words that label an event, not a judgement: a pair may have many, and they may contradict each other."""


def label_word(text: str) -> bool | None:
    """What a word says: relevant, not relevant, or None where it is no label's word."""
    word = normalise(text)
    return True if word in POSITIVE else False if word in NEGATIVE else None
