"""Systems measured side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tardif.cli.options import AsJson, Device, JudgingOptions, Language, Quiet
from tardif.cli.output import leave_results, put, put_json, put_row
from tardif.cli.sharing import verb

if TYPE_CHECKING:
    from tardif.evaluation.comparison import Figures, Pair


@verb(JudgingOptions)
def evaluate(
    options: JudgingOptions,
    systems: Annotated[
        list[str] | None,
        typer.Argument(help="Models, indexes, hybrid:INDEX, bm25, dense:MODEL, run files.", metavar="SYSTEM..."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A BEIR, TREC or prepared folder, or a labelled table; may be repeated."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which judgements; of a prepared folder without a test split, validation.")
    ] = "test",
    measures: Annotated[str, typer.Option(help="ir-measures' names, with commas.")] = "nDCG@10,RR@10,R@100",
    against: Annotated[
        str | None,
        typer.Option(help="A base: measured untrained, last, with p-values of the others."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare every pair of systems: differences, with p-values.")
    ] = False,
    run: Annotated[
        Path | None, typer.Option(help="Write the run (TREC format); of several, the folder for a run of each.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Leave results.json in this folder.")] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Let indexes score every document; for measures deeper than 100 they do.")
    ] = False,
    language: Language = "en",
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure systems on judged queries."""
    from tardif.devices import allocate
    from tardif.evaluation import comparison
    from tardif.folders import check_output
    from tardif.progress import Console
    from tardif.text.languages import language as find_language

    if not data:
        raise typer.BadParameter("give a BEIR, TREC or prepared folder, or a labelled table", param_hint="--data")
    if not systems and against is None:
        raise typer.BadParameter("give a system to evaluate", param_hint="SYSTEM")
    if compare and len(systems or []) + (against is not None) < 2:
        raise typer.BadParameter("give two systems or more", param_hint="--compare")
    find_language(language)
    if out is not None:
        check_output(out, overwrite=True, replaced=False)
    began, console = time.monotonic(), Console(quiet=quiet)
    names = [name.strip() for name in measures.split(",") if name.strip()]
    beside, how = options.judging()
    figures = comparison.compare(
        systems or [],
        data,
        split=split,
        **beside,
        measures=names,
        against=against,
        run_file=run,
        language=language,
        device=allocate(device).kind,
        exact=exact,
        how=how,
        console=console,
    )
    compared = comparison.pairs(figures) if compare else []
    if out is not None:
        settings = {
            "data": list(dict.fromkeys(item.data for item in figures)),
            "split": split,
            "measures": names,
            "against": against,
            "exact": exact,
            "on": dict(how.on or {}),
        }
        found = comparison.results(figures, against=against, settings=settings, compared=compared)
        leave_results(out, {**found, "seconds": {"evaluation": round(time.monotonic() - began, 1)}})
    _show(figures, compared, as_json=as_json, with_pairs=compare)
    for line in comparison.differences(figures, against):
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
            numbers = [f"{pair.difference:+.4f}", f"{pair.p:.4f}", f"{pair.holm:.4f}"]
            put_row([pair.system, pair.other, pair.data, pair.measure, *numbers])
