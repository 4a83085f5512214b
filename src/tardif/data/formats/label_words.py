"""The words of labels: relevant, not relevant, clicked."""

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
# Words for an event, not a judgement: a pair may have many events, and they may contradict each other.
CLICKS = frozenset(("click", "clicked", "skip", "skipped", "not clicked", "not_clicked"))


def label_word(text: str) -> bool | None:
    """The meaning of a word: True (relevant), False (not relevant), or None if it is no label.

    >>> label_word("Yes"), label_word("skipped"), label_word("perhaps")
    (True, False, None)
    """
    word = normalise(text)
    return True if word in POSITIVE else False if word in NEGATIVE else None
