"""The verb ``evaluate``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tardif.cli.groups import Group, verb
from tardif.cli.output import put, put_json, put_row
from tardif.cli.shared_options import AsJson, Device, JudgingOptions, Language, Quiet

if TYPE_CHECKING:
    from tardif.evaluation.comparison import Figures, Pair


def _measures(text: str) -> list[str]:
    from tardif.evaluation.measure_names import split_names

    return split_names(text)


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(Group):
    """What is measured, and how: arguments of :func:`tardif.evaluation.comparison.compare`."""

    split: Annotated[str, "Judgements to use. A prepared folder without a test split uses validation."] = "test"
    measures: Annotated[str, "Names as in ir-measures, separated by commas.", _measures] = "nDCG@10,RR@10,R@100"
    against: Annotated[str | None, "A base to compare with, measured untrained and listed last."] = None
    run_file: Annotated[
        Path | None, typer.Option("--run", help="Write the run (TREC format). For several systems: a folder of runs.")
    ] = None
    exact: Annotated[bool, "Score every document of an index. Measures deeper than 100 always do."] = False
    language: Language = "en"
    device: Device = "auto"


@verb
def evaluate(
    judging: JudgingOptions,
    options: ComparisonOptions,
    systems: Annotated[
        list[str] | None,
        typer.Argument(help="Models, indexes, hybrid:INDEX, bm25, dense:MODEL, run files.", metavar="SYSTEM..."),
    ] = None,
    data: Annotated[
        list[Path] | None, "A BEIR, TREC or prepared folder, irds:ID, or a labelled table. Repeatable."
    ] = None,
    compare: Annotated[bool, "Compare every pair of systems, with p-values."] = False,
    out: Annotated[Path | None, "Write runs, the values of every query and results.json into this folder."] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure systems on judged queries."""
    from tardif.evaluation import comparison
    from tardif.evaluation.saving import check_folder, write_results
    from tardif.progress import Console
    from tardif.text.languages import language as find_language

    if not data:
        raise typer.BadParameter("give a BEIR, TREC or prepared folder, or a labelled table", param_hint="--data")
    # Both are asked for here, not by typer: either of them may be missing if --against is given.
    if not systems and options.against is None:
        raise typer.BadParameter("give a system to evaluate", param_hint="SYSTEM")
    if compare and len(systems or []) + (options.against is not None) < 2:
        raise typer.BadParameter("give two systems or more", param_hint="--compare")
    # A wrong language or output folder must not wait for the encoding of a corpus.
    find_language(options.language)
    if out is not None:
        check_folder(out)
    began, console = time.monotonic(), Console(quiet=quiet)
    beside, how = judging.judging()
    asked = options.arguments()
    figures = comparison.compare(systems or [], data, **beside, **asked, out=out, how=how, console=console)
    compared = comparison.pairs(figures) if compare else []
    if out is not None:
        names = {name: asked[name] for name in ("split", "measures", "against", "exact")}
        settings = {"data": list(dict.fromkeys(item.data for item in figures)), **names, "on": dict(how.on or {})}
        found = comparison.results(figures, against=options.against, settings=settings, compared=compared)
        write_results(out, {**found, "seconds": {"evaluation": round(time.monotonic() - began, 1)}})
    _show(figures, compared, as_json=as_json, with_pairs=compare)
    # After stdout: it is for a person, and --json must stay one document.
    for line in comparison.differences(figures, options.against):
        console.tell(line)


def _show(figures: Sequence[Figures], compared: Sequence[Pair], *, as_json: bool, with_pairs: bool) -> None:
    if as_json:
        more: dict[str, Any] = {"comparisons": [pair.as_json() for pair in compared]} if with_pairs else {}
        put_json({"systems": [item.as_json() for item in figures], **more})
        return
    put_row(["system", "data", *figures[0].measures])
    for item in figures:
        put_row([item.name, item.data, *(f"{value:.4f}" for value in item.measures.values())])
    if with_pairs:
        put("")
        put_row(["system", "other", "data", "measure", "difference", "p", "p (Holm)"])
        for pair in compared:
            numbers = [f"{pair.difference:+.4f}", f"{pair.p:.4f}", f"{pair.p_holm:.4f}"]
            put_row([pair.system, pair.other, pair.data, pair.measure, *numbers])
