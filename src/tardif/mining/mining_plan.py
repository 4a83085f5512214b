"""Mining as a step of ``prepare``: a miner by name, the rules, a teacher; an interrupted run resumes."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tardif.checks import check_choice
from tardif.cluster.connection import check_address, connected
from tardif.data.synthetic import without_variants
from tardif.data.training_set import MINING, TRAIN, TrainingSet
from tardif.devices import allocate
from tardif.encoder.base import resolve_base
from tardif.errors import SettingError
from tardif.folders import expanded
from tardif.mining.dense import SIZES
from tardif.mining.mine import mine
from tardif.mining.miners import MINERS, make_searcher
from tardif.mining.searcher import Searcher
from tardif.mining.selection import MANY, RATIO, Selection, ratio_for
from tardif.mining.teacher import Teacher
from tardif.progress import Console
from tardif.text.languages import Language


@dataclass(frozen=True)
class MiningPlan:
    """The miner of a prepared set and its options.

    Attributes:
        miner: one of :data:`tardif.mining.miners.MINERS`, or ``none``.
        language: chooses stemmer, stopwords and the dense miner's model.
        base: the base that is trained; it searches if there is no other model.
        model: the model of the ``late`` miner, or else of the dense one; None: the language's.
        size: of the language's dense model.
        selection: the rules.
        decides_ratio: whether :func:`tardif.mining.selection.ratio_for` replaces their ratio.
        teacher: a cross-encoder's folder or hub id, or a callable.
        teacher_ratio: the teacher's ``ratio``.
        device: where models compute.
        seed: of the draws.
        ray: the Ray cluster that encodes the documents of a dense or late miner; None: this process does.
    """

    miner: str
    language: Language
    base: str
    model: str | None = None
    size: str = "small"
    selection: Selection = field(default_factory=Selection)
    decides_ratio: bool = False
    teacher: Any = None
    teacher_ratio: float | None = 0.95
    device: str = "auto"
    seed: int = 0
    ray: str | None = None

    def check(self) -> None:
        """Raise if an option cannot be used, before any work.

        Raises:
            SettingError: names the option.
            ModelError: a model that is named is not there, or its files are damaged or refused.
        """
        check_choice("miner", self.miner, (*MINERS, "none"))
        check_choice("miner_size", self.size, SIZES)
        if self.teacher is not None and not (callable(self.teacher) or isinstance(self.teacher, str | Path)):
            raise SettingError(f"teacher={self.teacher!r}: give a cross-encoder's folder or hub id, or a callable.")
        self.selection.check()
        allocate(self.device)
        if self.ray is not None:
            check_address(self.ray)
        if self.teacher is not None:
            self._teacher(None)  # it checks its options and its model's files
        if self.model is not None and self.miner in ("dense", "late", "hybrid"):
            resolve_base(self.model)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return self.miner != "none" or self.teacher is not None

    def run(self, data: TrainingSet, console: Console, *, work: Path | None = None) -> tuple[TrainingSet, list[str]]:
        """Mine hard negatives for a training set.

        Args:
            data: the set, with its own negatives in the examples.
            console: where to show progress.
            work: where to keep what is done until the set is whole; None keeps nothing.

        Returns:
            The set with the mined examples and the evidence of the mining, and lines for its report.
        """
        queries, selection = len(data.query_ids(TRAIN)), self.selection
        if self.decides_ratio:
            selection = replace(selection, ratio=ratio_for(queries, data.is_mostly_made))
        searcher = self._searcher(data, work, console)
        teacher = None if self.teacher is None else self._teacher(work)
        named = {"miner": self.miner, "model": self.model, "size": self.size, "language": self.language.code}
        try:
            with console.progress("Mining hard negatives", queries, "queries") as bar:
                done = mine(
                    data,
                    searcher,
                    selection,
                    teacher=teacher,
                    seed=self.seed,
                    advance=bar.advance,
                    resumed=lambda count: bar.resume(bar.done + count),
                    work=None if work is None else work / "blocks",
                    settings={**named, "base": self.base},
                )
        finally:
            if teacher is not None:
                teacher.close()
        lines = done.report.lines()
        if self.decides_ratio and self.miner != "none" and selection.ratio is None:
            lines.append(f"no filter by ratio: there are over {MANY:,} queries (to have one, set ratio to {RATIO})")
        made = replace(done.data, evidence={**done.data.evidence, MINING: done.report.as_json()})
        return made, [*getattr(searcher, "notes", []), *lines]

    def _searcher(self, data: TrainingSet, work: Path | None, console: Console) -> Searcher | None:
        if self.miner == "none":
            return None
        with connected(self.ray) if self.ray and self.miner != "lexical" else nullcontext() as cluster:
            return make_searcher(
                self.miner,
                without_variants(data.documents),
                language=self.language,
                base=self.base,
                model=self.model if self.miner == "late" else None,
                dense_model=None if self.miner == "late" else self.model,
                size=self.size,
                device=allocate(self.device).kind,
                cache=None if work is None else work / "vectors",
                console=console,
                cluster=cluster,
            )

    def _teacher(self, work: Path | None) -> Teacher:
        return Teacher(
            self.teacher,
            ratio=self.teacher_ratio,
            device=allocate(self.device).kind,
            cache=None if work is None else work / "teacher.sqlite",
        )


def work_folder(out: Path) -> Path:
    """The folder beside an output folder in which its mining keeps finished work.

    >>> work_folder(Path("/data/set")).name
    '.set.mining'
    """
    out = expanded(out).absolute()
    return out.parent / f".{out.name}.mining"


def forget(work: Path | None) -> None:
    """Remove a work folder."""
    if work is not None:
        shutil.rmtree(work, ignore_errors=True)
