"""``tardif.evaluate``: measure systems, compare them, and keep the result as one value with every form of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.display import Short, figures_table
from tardif.errors import SettingError
from tardif.evaluation import comparison
from tardif.evaluation.figures import Figures, Pair, means_over_data, pairs, results
from tardif.evaluation.forms import as_csv, as_markdown
from tardif.evaluation.repeating import python_call
from tardif.evaluation.saving import write_results
from tardif.evaluation.table import EvaluationTable, make_table
from tardif.evaluation.terminal import text_of
from tardif.evaluation.verdict import FEW_QUERIES
from tardif.evaluation.work import working
from tardif.extras import need
from tardif.progress import Console, Silent


@dataclass(frozen=True, repr=False)
class Evaluation(Short):
    """What an evaluation found. ``print`` shows the table and the comparisons in words.

    Attributes:
        figures: of every system on every data set, in the order asked, the one compared against last.
        comparisons: of each system with the one compared against, or of every pair.
        against: the name of the system compared against.
        settings: what was asked for, as ``results.json`` records it.
        seconds: how long it took.
    """

    figures: tuple[Figures, ...]
    comparisons: tuple[Pair, ...] = ()
    against: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def table(self) -> EvaluationTable:
        """The figures as they are shown."""
        return make_table(self.figures, self.comparisons)

    def as_json(self) -> dict[str, Any]:
        """Return the evaluation as ``--json`` prints it."""
        means = [{"name": name, "measures": of} for name, of in means_over_data(self.figures).items()]
        several = len(means) < len(self.figures)
        return {
            "systems": [item.as_json() for item in self.figures],
            **({"means": means} if several else {}),
            **({"comparisons": [pair.as_json() for pair in self.comparisons]} if self.comparisons else {}),
        }

    def results(self) -> dict[str, Any]:
        """Return the evaluation as ``results.json`` has it."""
        found = results(self.figures, against=self.against, settings=self.settings, compared=self.comparisons)
        return {**found, "seconds": {"evaluation": round(self.seconds, 1)}}

    def csv(self) -> str:
        """Return the figures, and the comparisons below them, as CSV."""
        return as_csv(self.figures, self.comparisons)

    def markdown(self) -> str:
        """Return the table in Markdown, with significance and the comparisons as footnotes."""
        return as_markdown(self.figures, self.comparisons)

    def words(self) -> list[str]:
        """Return a line in plain words for each comparison."""
        return [f"{pair.system} against {pair.other} on {pair.data}: {pair.words()}" for pair in self.comparisons]

    def __str__(self) -> str:
        return text_of(self.table, self.comparisons)

    def _repr_html_(self) -> str:
        several = len({item.data for item in self.figures}) > 1
        systems = {f"{f.name} on {f.data}" if several else f.name: f.measures for f in self.figures}
        return figures_table(systems, "" if several else self.figures[0].data)


def evaluate(
    systems: str | Sequence[str],
    data: Any,
    *,
    compare: bool = False,
    against: str | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
    **how: Any,
) -> Evaluation:
    """Measure systems on judged queries, and compare them.

    >>> rows = [("how far is the moon?", "The moon is 384,400 km away."), ("who bakes bread?", "A baker bakes bread.")]
    >>> evaluate("bm25", [rows], measures=["RR@10"]).as_json()["systems"]
    [{'name': 'bm25', 'data': 'data', 'measures': {'RR@10': 1.0}}]

    Args:
        systems: one or several: a checkpoint, an index, ``hybrid:INDEX``, ``bm25``, ``dense:MODEL``, a TREC run file.
        data: a folder or table of judged queries, or a list of several.
        compare: compare every pair of systems. ``against`` alone compares each system with the base.
        against: a base, measured untrained and listed last.
        out: a folder for ``results.json``, the runs and the values of every query
            (:mod:`tardif.evaluation.saving`). Interrupted, the same call continues.
        console: where to show progress; None shows nothing.
        **how: of :class:`tardif.evaluation.comparison.Measuring`: ``measures``, ``split``, ``documents``, ``queries``,
            ``run_file``, ``overwrite``, ``language``, ``device``, ``processes``, ``exact``, ``how``; and ``command``,
            for the report.

    Raises:
        SettingError: an argument is not known, or there is nothing to compare.
        DataError, ModelError, FolderError: something cannot be read, loaded or written.
    """
    need("train", "evaluate")
    systems = [systems] if isinstance(systems, str) else systems
    data = [data] if isinstance(data, str | Path) else data
    if compare and len(systems) + (against is not None) < 2:
        raise SettingError("There is no pair to compare: give two systems or more.")
    given = {"compare": compare or None, "against": against, "out": out, **how}
    how["command"] = how.get("command") or python_call("tardif.evaluate", systems, data, **given)
    began = time.monotonic()
    with working(out) as work:  # held until the results are written: a kill before that loses nothing
        figures = comparison.compare(systems, data, against=against, out=out, console=console, work=work, **how)
        compared = pairs(figures, None if compare else against) if compare or against is not None else []
        _warn_of_few(compared, console or Silent())
        reading = how.get("how")
        settings = {
            "data": list(dict.fromkeys(item.data for item in figures)),
            "split": how.get("split", "test"),
            "measures": list(figures[0].measures),
            "against": against,
            "exact": how.get("exact", False),
            "on": dict((reading.on or {}) if reading else {}),
        }
        found = Evaluation(tuple(figures), tuple(compared), against, settings, time.monotonic() - began)
        if out is not None:
            write_results(Path(out), found.results())
    return found


def _warn_of_few(compared: Sequence[Pair], console: Console) -> None:
    for data, count in {pair.data: pair.queries for pair in compared}.items():
        if count < FEW_QUERIES:
            console.warn(
                f"{data} has {count} judged queries: with fewer than {FEW_QUERIES}, only large differences can be told "
                "from chance."
            )
