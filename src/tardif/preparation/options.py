"""The options of ``prepare``, checked before any work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tardif.checks import check_mapping, shown
from tardif.data.chunking import Chunk
from tardif.data.reading import LabelledReading, check_columns
from tardif.data.split import AUTO, Split
from tardif.encoder import MINILM
from tardif.errors import SettingError
from tardif.mining.mining_plan import MiningPlan
from tardif.mining.selection import NEAR_COPY, RATIO, Selection
from tardif.mining.teacher import teacher_name
from tardif.text.languages import language as find_language

if TYPE_CHECKING:
    from tardif.synthesis.endpoint import EndpointWriter

# The limits on what an endpoint may cost. One of them is required.
CAPS = ("max_requests", "max_tokens", "max_cost")
# Options that the miner's selection takes under the same names.
_SELECTION = ("negatives", "sampling", "margin", "floor", "ceiling", "near_copy", "random_share", "max_uses")


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class Preparation(LabelledReading):
    """The options of ``prepare``.

    Args:
        columns, separator, encoding, sheet, on: as for :class:`tardif.data.reading.Reading`.
        language: ISO 639 code of the texts. It chooses the stemmer and the stopwords.
        miner: ``lexical`` (BM25), ``dense``, ``late``, ``hybrid`` or ``none``.
        negatives: hard negatives per query. Mining 8 costs no more than mining 1, and training draws from them.
        window: the first and last rank that they are drawn from, counted from 1.
        ratio: drop negatives above this fraction of the positive's score. None keeps any score; ``auto`` lets the
            number of queries decide (:func:`tardif.mining.selection.ratio_for`).
        sampling, margin, floor, ceiling, near_copy, random_share, max_uses: as for
            :class:`tardif.mining.selection.Selection`.
        teacher: a cross-encoder's folder or hub id, or a callable that scores a list of (query, document). It drops
            false negatives, and the examples carry its scores.
        teacher_ratio: the teacher drops negatives above this fraction of the positive's score.
        miner_model: the model of the dense or late miner. None takes the language's.
        miner_size: the size of the language's model: ``small``, ``base`` or ``large``.
        device: where the models of miner and teacher compute.
        validation: the share of queries to hold out, at most 500. ``auto`` holds out a tenth; with fewer than 500
            queries 50 of them, or a third where that is less (:func:`tardif.data.split.enough`).
        validation_columns: role to column of held-out rows of your own, where they differ from ``columns``.
        test: the share of queries for a test that training never sees.
        documents_apart: keep queries that share a relevant document on one side of the split.
        group_by: a column or metadata field. Rows with the same value stay on one side of the split.
        split: the split to read of a source that has several.
        positive_label: the label that means relevant, where labels are words.
        scores: how to read numbers beside pairs that are no grades. ``teacher``: a teacher's scores; the best scored
            document of each query is its positive, the others are scored negatives. A number: the score from which
            a document is relevant. None refuses them: read as grades, they would turn positives into negatives.
        clicks: when a clicked document is relevant: a number of clicks (2), a share of the times it was shown
            (0.3, "30%"), or both ("2,30%"). None means 2 clicks, in a tenth of the times it was shown if known.
        near: look for near-duplicates, in collections of up to 50,000 texts.
        chunk: cut documents that are longer than this number of the base's tokens. ``auto`` cuts files of text,
            Markdown, HTML and PDF at 256 and keeps rows whole; None keeps all documents whole.
        base: the base that counts tokens for ``chunk``.
        synthesize: make training queries from the documents themselves.
        synthesize_limit: the most queries to make from the documents; None sets no limit.
        endpoint: let an OpenAI-compatible endpoint write queries for the documents: the arguments of
            :class:`tardif.synthesis.endpoint.EndpointWriter` (at least ``url``, ``model``, ``cache`` and a cap).
            Without it nothing is sent anywhere.
        seed: of the split and of the draws.
        ray: the Ray cluster that encodes the documents of a dense, late or hybrid miner (docs/cluster.md): ``local``,
            ``auto`` or ``HOST:PORT``. It decides no result.

    >>> how = Preparation(negatives=4, window=(5, 30))
    >>> how.check()
    >>> how.as_json()["window"]
    [5, 30]
    """

    language: str = "en"
    miner: str = "lexical"
    negatives: int = 8
    window: tuple[int, int] = (1, 50)
    sampling: str = "uniform"
    ratio: float | str | None = "auto"
    margin: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    near_copy: float | None = NEAR_COPY
    random_share: float = 0.0
    max_uses: int | None = None
    teacher: Any = None
    teacher_ratio: float | None = 0.95
    miner_model: str | None = None
    miner_size: str = "small"
    device: str = "auto"
    validation: float | str = AUTO
    validation_columns: Mapping[str, Any] | None = None
    test: float = 0.0
    documents_apart: bool = False
    group_by: str | None = None
    split: str = "train"
    near: bool = True
    chunk: Chunk = "auto"
    base: str = MINILM
    synthesize: bool = False
    synthesize_limit: int | None = 4000
    endpoint: Mapping[str, Any] | None = None
    seed: int = 0
    ray: str | None = None

    def check(self) -> None:
        """Raise if an option cannot be used.

        Raises:
            SettingError: names the option.
        """
        if not isinstance(self.window, tuple | list) or len(self.window) != 2:
            raise SettingError(f"window={shown(self.window)}: give two ranks, such as (1, 50).")
        super().check()
        check_columns("validation_columns", self.validation_columns)
        self.mining.check()
        self.sides.check()
        limit = self.synthesize_limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise SettingError(f"synthesize_limit={shown(limit)}: give 1 or more, or None for all.")
        if self.endpoint is not None:
            check_mapping(self.endpoint, "endpoint", '{"url": ..., "model": ...}')
            # A wrong cap or address is an error before the documents are read, not after.
            self.writer()

    @property
    def mining(self) -> MiningPlan:
        """The miner, its rules and its models."""
        # With auto the plan replaces this ratio once it knows the number of queries.
        ratio: Any = RATIO if self.ratio == AUTO else self.ratio
        first, last = self.window
        return MiningPlan(
            self.miner,
            find_language(self.language),
            self.base,
            model=self.miner_model,
            size=self.miner_size,
            selection=Selection(
                first=first, last=last, ratio=ratio, **{name: getattr(self, name) for name in _SELECTION}
            ),
            decides_ratio=self.ratio == AUTO,
            teacher=self.teacher,
            teacher_ratio=self.teacher_ratio,
            device=self.device,
            seed=self.seed,
            ray=self.ray,
        )

    @property
    def sides(self) -> Split:
        """How to hold out queries."""
        return Split(self.validation, self.test, self.seed, self.documents_apart)

    def writer(self) -> EndpointWriter:
        """The client of the endpoint.

        Raises:
            SettingError: an argument is missing, unknown or out of range, or there is no cap.
        """
        from tardif.synthesis.endpoint import EndpointWriter

        given = {name: value for name, value in (self.endpoint or {}).items() if value is not None}
        if not any(name in given for name in CAPS):
            raise SettingError(f"The endpoint has no spending cap: set {', '.join(CAPS[:-1])} or {CAPS[-1]}.")
        try:
            return EndpointWriter(**given)
        except TypeError as error:
            # The message of Python's TypeError names the unknown argument after the call: "__init__() got ...".
            raise SettingError(f"The endpoint: {str(error).partition('() ')[2]}.") from error

    def as_json(self) -> dict[str, Any]:
        """The options that decide what is made, as the manifest holds them: without the place of work and the cache."""
        # The same options give the same set on any device and cluster, so they are no part of them.
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("device", "ray")}
        if self.endpoint is not None:
            # Where answers are cached changes no answer, and the path is of this machine.
            options["endpoint"] = {name: value for name, value in self.endpoint.items() if name != "cache"}
        options["teacher"] = None if self.teacher is None else teacher_name(self.teacher)
        options["on"] = dict(self.on or {})
        # A set in memory and one that is read back have the same settings: JSON turns tuples into lists.
        found: dict[str, Any] = json.loads(json.dumps(options))
        return found
