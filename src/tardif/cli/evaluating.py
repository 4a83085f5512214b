"""The verb ``evaluate``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tardif.cli.groups import Group, verb
from tardif.cli.output import put_json, put_row
from tardif.cli.shared_options import AsJson, JudgingOptions, Language, Quiet, Ray
from tardif.cli.typed import typed

if TYPE_CHECKING:
    from tardif.evaluation.evaluate import Evaluation


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
    overwrite: Annotated[bool, "Replace the files that --run names, whatever they are."] = False
    exact: Annotated[bool, "Score every document of an index. Measures deeper than 100 always do."] = False
    language: Language = "en"
    device: Annotated[str, "cpu, cuda, mps, auto (all GPUs), or a number of GPUs."] = "auto"
    processes: Annotated[int | None, "Processes that share a model's documents. Default: one per GPU."] = None
    ray: Ray = None


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
    compare: Annotated[bool, "Compare every pair of systems, in words, with intervals and p-values."] = False,
    out: Annotated[Path | None, "Write runs, the values of every query and results.json into this folder."] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with all digits.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table, ready to paste.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure systems on judged queries."""
    from tardif.evaluation.saving import check_folder
    from tardif.progress import Console
    from tardif.report.leaving import evaluate as measure
    from tardif.text.languages import language as find_language

    forms = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
    if len(chosen := [f"--{name}" for name, is_chosen in forms.items() if is_chosen]) > 1:
        raise typer.BadParameter("give one form", param_hint=" and ".join(chosen))
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
    console = Console(quiet=quiet)
    beside, how = judging.judging()
    asked = {**beside, **options.arguments(), "how": how}
    found = measure(systems or [], data, compare=compare, out=out, console=console, command=typed(), **asked)
    _show(found, next((name for name, is_chosen in forms.items() if is_chosen), ""), with_pairs=compare)
    # Where stdout is not for a person, the comparisons in words are: --json must stay one document.
    if not as_markdown and (any(forms.values()) or not is_terminal()):
        for line in found.words():
            console.tell(line)


def is_terminal() -> bool:
    """Whether stdout is a terminal, where the table is drawn; elsewhere its rows have tabs, which scripts read."""
    return sys.stdout.isatty()


def _show(found: Evaluation, form: str, *, with_pairs: bool) -> None:
    from tardif.evaluation.forms import rows_of_figures, rows_of_pairs

    if form == "json":
        put_json(found.as_json())
    elif form:
        sys.stdout.write(found.csv() if form == "csv" else found.markdown())
    elif is_terminal():
        from tardif.evaluation.terminal import show

        show(found.table, found.comparisons)
    else:
        for row in rows_of_figures(found.figures):
            put_row(row)
        for row in [[""], *rows_of_pairs(found.comparisons)] if with_pairs else []:
            put_row(row)
