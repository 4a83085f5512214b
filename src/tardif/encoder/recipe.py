"""The recipe of a fresh ColBERT: the settings that turn a base into one, validated without torch.

It follows ColBERT (Khattab and Zaharia, SIGIR 2020) and ColBERTv2 (Santhanam et al., NAACL 2022): a marker after the
start token, punctuation not scored in documents, a linear projection, unit vectors. One part is off by default: query
expansion, which fills short queries with mask tokens. A base that was not trained with such tokens retrieves worse with
them until it has trained for many steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tardif.checks import check_number
from tardif.encoder.base import Base
from tardif.errors import SettingError

# The widest token vectors that dim="auto" gives.
# 128 dimensions lose .018 before training and .019 after it (scifact, docs/choosing.md); larger bases are cut to this.
WIDEST = 384
# The default lengths in tokens.
QUERY_CAP = 128
# scifact untrained: .677 with 128 tokens of a document, .728 with 256, .741 with 400 (docs/choosing.md).
DOCUMENT_CAP = 512


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that make token vectors out of a base.

    Args:
        dim: the width of the token vectors. ``auto`` keeps the base's own width up to 384 and projects a wider base to
            384. ``None`` keeps the base's own width in any case. ColBERT's 128 makes an index a third of the size and
            retrieves slightly worse.
        query_length: the most tokens of a query, with start, marker and end. The default is 128, because ColBERT's 32
            cuts real questions short.
        document_length: the most tokens of a document in search. Text beyond it cannot be found. The default is 512, or
            what the base's positions allow. Training reads fewer (:class:`tardif.training.settings.TrainingSettings`).
        expansion: the number of tokens that a short query is filled up to with mask tokens, at most ``query_length``;
            32 in ColBERT. The default, 0, does not expand.
        markers: begin queries with the token ``[Q]`` and documents with ``[D]``, so that the encoder can tell them
            apart. Before training a model retrieves slightly worse with them, after training on real queries slightly
            better. So the default is on, but off where most queries are made from the documents.
        skip_punctuation: leave documents' punctuation out of the score and the index.

    ``None`` for a length, the expansion or the markers means the default in a fresh ColBERT, and its own value in an
    existing one.

    >>> Recipe(dim=128, document_length=300).decided(made=True)
    Recipe(dim=128, query_length=None, document_length=300, expansion=None, markers=False, skip_punctuation=True)
    """

    dim: int | Literal["auto"] | None = "auto"
    query_length: int | None = None
    document_length: int | None = None
    expansion: int | None = None
    markers: bool | None = None
    skip_punctuation: bool = True

    def check(self, base: Base) -> None:
        """Check that the recipe fits a base.

        Raises:
            SettingError: a width or length is out of range, or contradicts an existing ColBERT.
        """
        keeps = f"the base {base.name} is a ColBERT and keeps its own; leave this out."
        if self.dim not in ("auto", None):
            check_number("dim", self.dim, 1, 4096, whole=True)
            if base.is_colbert and self.dim != base.dim:
                raise SettingError(f"dim={self.dim}: {keeps} It has {base.dim} dimensions.")
        for what, value in (("query_length", self.query_length), ("document_length", self.document_length)):
            if value is not None:
                check_number(what, value, 4, whole=True)
                if value > base.max_tokens:
                    raise SettingError(f"{what}={value}: the base {base.name} reads at most {base.max_tokens} tokens.")
        if self.markers is not None and not isinstance(self.markers, bool):
            raise SettingError(f"markers={self.markers!r}: give true or false.")
        for what in ("markers", "expansion"):
            if base.is_colbert and getattr(self, what) is not None:
                raise SettingError(f"{what}={getattr(self, what)}: {keeps}")
        if self.expansion is not None:
            check_number("expansion", self.expansion, 0, base.max_tokens, whole=True)

    def decided(self, made: bool) -> Recipe:
        """Return the recipe with the markers decided.

        Args:
            made: whether most queries were made from the documents.
        """
        return replace(self, markers=False) if made and self.markers is None else self

    def width(self, base: Base) -> int:
        """Return the width of the token vectors that this recipe gives on a base."""
        if base.is_colbert and base.dim is not None:
            return base.dim
        if self.dim is None:
            return base.hidden_size
        return min(WIDEST, base.hidden_size) if self.dim == "auto" else int(self.dim)

    def projects(self, base: Base) -> bool:
        """Return whether a fresh ColBERT on a base has a projection."""
        return self.dim is not None and (self.dim != "auto" or base.hidden_size > WIDEST)
