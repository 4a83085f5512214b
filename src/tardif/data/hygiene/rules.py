"""The rules of ``--on``: what can be wrong with a collection, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tardif.errors import SettingError

# A text of more characters is counted by the rule "long": models read about a tenth of it.
LONG_CHARACTERS = 20_000

# The rules on judged texts and the documents that contain them.
CONTAINED_POSITIVE, CONTAINED_NEGATIVE, NOT_FOUND = "contained-positive", "contained-negative", "positive-not-found"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        name: its name in ``--on NAME=ACTION``.
        what: the rows it concerns, as a report names them.
        actions: what can be done about them, the default first.
    """

    name: str
    what: str
    actions: tuple[str, ...]

    @property
    def default(self) -> str:
        """The action without ``--on``."""
        return self.actions[0]


RULES = {
    rule.name: rule
    for rule in (
        Rule("id-as-text", "a text that is an id, or looks like one", ("refuse", "join", "keep", "drop")),
        Rule("unknown-id", "an id that no document or query has", ("refuse", "drop")),
        Rule("repeated-click", "a further event of a pair, counted with the others", ("drop", "refuse")),
        Rule("few-clicks", "a pair with fewer clicks than make it relevant", ("drop", "negative", "refuse")),
        Rule(CONTAINED_POSITIVE, "a positive that a given document contains", ("link", "exact", "keep", "refuse")),
        Rule(CONTAINED_NEGATIVE, "a negative that a given document contains", ("link", "keep", "refuse")),
        Rule(NOT_FOUND, "a positive that no given document contains", ("keep", "drop", "refuse")),
        Rule("empty", "a query or document without text", ("refuse", "drop")),
        Rule("no-positive", "a judged query without a relevant document", ("refuse", "drop")),
        Rule("duplicate", "a repeated judgement", ("drop", "refuse")),
        Rule("contradiction", "a pair judged both relevant and not", ("relevant", "drop", "refuse")),
        Rule(
            "positive-as-negative",
            "a negative with the text of one of its query's positives",
            ("drop", "keep", "refuse"),
        ),
        Rule(
            "negative-with-answer",
            "a negative that contains one of its query's positives word for word, is part of one, or is the query",
            ("drop", "keep", "refuse"),
        ),
        Rule("query-is-document", "a query with the same text as its positive", ("drop", "keep", "refuse")),
        Rule("duplicate-document", "documents with the same text under several ids", ("keep", "refuse")),
        Rule(
            "duplicate-query",
            "queries that are the same but for case and spacing, kept on one side",
            ("keep", "refuse"),
        ),
        Rule("near-duplicate", "documents with nearly the same text", ("keep", "refuse")),
        Rule("long", f"over {LONG_CHARACTERS:,} characters, of which only the beginning is read", ("keep", "refuse")),
        Rule("markup", "a text with HTML tags, entities or the like", ("keep", "clean", "refuse")),
        Rule("language", "a text that seems to be in another language than declared", ("keep", "refuse")),
    )
}


def choose(asked: Mapping[str, str], known: Mapping[str, Rule] = RULES) -> dict[str, str]:
    """The action of every rule: the one asked for, or the default.

    Args:
        asked: rule to action.
        known: the rules to choose from.

    Raises:
        SettingError: a rule or action is not known.

    >>> choose({"empty": "drop"})["empty"], choose({})["empty"]
    ('drop', 'refuse')
    """
    for name, action in asked.items():
        if name not in known:
            raise SettingError(f"The rule {name!r} is not known; the rules here are: {', '.join(known)}.")
        if action not in known[name].actions:
            several = " (give --on once for each rule)" if "," in action else ""
            raise SettingError(f"The rule {name} cannot {action!r}: use {', '.join(known[name].actions)}{several}.")
    return {name: asked.get(name, rule.default) for name, rule in known.items()}
