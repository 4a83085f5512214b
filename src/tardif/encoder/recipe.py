"""What a fresh ColBERT is made of, as one value, validated without torch.

The recipe of Khattab and Zaharia, ColBERT (SIGIR 2020) and ColBERTv2 (NAACL 2022): a marker after the start
token, punctuation not scored in documents, a linear projection, unit vectors. One part of it is only made when asked
for: short queries filled with mask tokens, which are scored though nothing attends to them. A base that was not
trained with such tokens finds worse with them until many steps have taught it what they are for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeGuard

from tardif.encoder.base import Base
from tardif.errors import SettingError

WIDEST = 384
QUERY_CAP = 128
DOCUMENT_CAP = 512


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that make token vectors out of a base.

    Args:
        dim: width of the token vectors. ``auto``: the base's own width, without a projection, up to 384; a
            wider base is projected to 384. ``None``: the base's own width, however wide. ColBERT's 128 makes an index
            of a third of the size, and finds a little less.
        query_length: tokens of a query that are read, start, marker and end among them. The classic
            cap of 32 cuts real questions short, so the default is 128.
        document_length: tokens of a document that are read when it is searched. What is not read cannot be
            found: the default is 512, or what the base's positions allow. Training reads fewer,
            :class:`tardif.training.settings.TrainingSettings` says how many.
        expansion: up to how many tokens a short query is filled with mask tokens (up to ``query_length``, when that
            is lower); 32 in the classic recipe. 0, the default: none.
        markers: begin queries with the token ``[Q]`` and documents with ``[D]``, so that the encoder can tell them
            apart. Until it has learnt to, it finds a little less with them; after training on people's queries a
            little more. So by default there are some, but none where most queries are made from the documents.
        skip_punctuation: leave documents' punctuation out of the score, and out of the index.

    ``None`` for a length, the expansion or the markers keeps the default for a fresh ColBERT, and an existing
    ColBERT's own.
    """

    dim: int | Literal["auto"] | None = "auto"
    query_length: int | None = None
    document_length: int | None = None
    expansion: int | None = None
    markers: bool | None = None
    skip_punctuation: bool = True

    def check(self, base: Base) -> None:
        """Raise if the base cannot be made into what is asked.

        Raises:
            SettingError: a width or length is out of range, or contradicts an existing ColBERT.
        """
        if self.dim not in ("auto", None) and (not _whole(self.dim) or not 1 <= self.dim <= 4096):
            raise SettingError(f"dim={self.dim!r}: give a whole number from 1 to 4096, or none.")
        if base.is_colbert and self.dim not in ("auto", None, base.dim):
            raise SettingError(
                f"dim={self.dim}: the base {base.name} is a ColBERT of {base.dim} dimensions and keeps them; "
                "leave dim out."
            )
        for what, value in (("query_length", self.query_length), ("document_length", self.document_length)):
            if value is None:
                continue
            if not _whole(value) or value < 4:
                raise SettingError(f"{what}={value!r}: give a whole number of tokens, 4 or more.")
            if value > base.max_tokens:
                raise SettingError(f"{what}={value}: the base {base.name} reads at most {base.max_tokens} tokens.")
        if self.markers is not None and not isinstance(self.markers, bool):
            raise SettingError(f"markers={self.markers!r}: give true or false.")
        if self.markers is not None and base.is_colbert:
            raise SettingError(f"markers={self.markers}: the base {base.name} is a ColBERT and keeps its own.")
        if self.expansion is None:
            return
        if base.is_colbert:
            raise SettingError(f"expansion={self.expansion}: the base {base.name} is a ColBERT and keeps its own.")
        if not _whole(self.expansion) or not 0 <= self.expansion <= base.max_tokens:
            raise SettingError(
                f"expansion={self.expansion!r}: give a whole number of tokens up to {base.max_tokens}, 0 for none."
            )

    def decided(self, made: bool) -> Recipe:
        """With what depends on the queries decided.

        Args:
            made: whether most of them were made from the documents.
        """
        return replace(self, markers=False) if made and self.markers is None else self

    def width(self, base: Base) -> int:
        """The width of the token vectors that this recipe gives on ``base``."""
        if base.is_colbert and base.dim is not None:
            return base.dim
        if self.dim is None:
            return base.hidden_size
        return min(WIDEST, base.hidden_size) if self.dim == "auto" else int(self.dim)

    def projects(self, base: Base) -> bool:
        """Whether a fresh ColBERT on ``base`` has a projection."""
        return self.dim is not None and (self.dim != "auto" or base.hidden_size > WIDEST)


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
