"""The verbs ``demo`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tardif.cli.groups import verb
from tardif.cli.output import put, put_json
from tardif.cli.planning import PlanRequest
from tardif.cli.shared_options import AsJson, OpeningOptions, Quiet
from tardif.cli.typed import typed
from tardif.encoder import MINILM
from tardif.errors import FolderError


@verb
def demo(
    out: Annotated[Path, "Folder for the model, the index and the results."] = Path("tardif-demo"),
    minutes: Annotated[float, "Minutes of training."] = 4.0,
    base: Annotated[str, "The base to train."] = MINILM,
) -> None:
    """Train, measure and search on your own Python's docstrings."""
    from tardif.cli.demo import run_demo

    run_demo(out, minutes=minutes, base=base, command=typed())


@verb
def doctor(
    opening: OpeningOptions,
    index: Annotated[
        str | None,
        typer.Argument(help="An index to check, byte by byte; of one in Qdrant, every point.", show_default=False),
    ] = None,
    repair: Annotated[bool, "Repair the index. Lost vectors are encoded again."] = False,
    plan: Annotated[
        str | None,
        typer.Option(metavar="DOCUMENTS", help="Say what an index of so many documents needs, such as 50M."),
    ] = None,
    tokens: Annotated[int, "With --plan: tokens of a document."] = 120,
    bits: Annotated[int, "With --plan: bits of the index, 16, 8, 4 or 2."] = 8,
    pool: Annotated[float, "With --plan: tokens that become one vector."] = 1.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show packages, devices and offline models; check an index; or plan a large one."""
    if plan is not None:
        if index is not None or repair:
            raise typer.BadParameter("plan an index, or check one", param_hint="--plan")
        _plan(PlanRequest(plan, tokens, bits, pool, **_model_of(opening)), as_json=as_json, quiet=quiet)
        return
    if index is not None:
        _examine_index(index, repair, opening, as_json=as_json, quiet=quiet)
        return
    if repair:
        raise typer.BadParameter("name the index to repair", param_hint="--repair")
    from tardif.cli.doctor import examine, report

    found = examine()
    if as_json:
        put_json(found)
        return
    for line in report(found):
        put(line)


def _model_of(opening: OpeningOptions) -> dict[str, Any]:
    given = opening.arguments()
    return {"base": str(given.pop("model") or MINILM), **given}


def _plan(asked: PlanRequest, *, as_json: bool, quiet: bool) -> None:
    from tardif.cli import planning
    from tardif.progress import Console

    found = planning.plan(asked, Console(quiet=quiet))
    if as_json:
        put_json(found)
        return
    for line in planning.report(found):
        put(line)


def _examine_index(index: str, repair: bool, opening: OpeningOptions, *, as_json: bool, quiet: bool) -> None:
    from tardif.index.qdrant.places import qdrant_place
    from tardif.progress import Console
    from tardif.search import repair as mending

    place = qdrant_place(index)
    done: list[str] = []
    if repair:
        done, found = mending.repair(index, **opening.arguments(), console=Console(quiet=quiet))
    else:
        found = mending.examine(index)
    if as_json:
        put_json({"index": index, **found.as_json(), "repaired": done})
    else:
        segments = f", {found.segments} segments" if place is None else ""  # Qdrant's are its own affair
        put(f"{index}: {found.documents} documents, {found.tokens} token vectors{segments}")
        for line in done:
            put(f"repaired: {line}")
        for line in found.problems:
            put(f"problem: {line}")
        for line in found.remarks:
            put(f"not checked: {line}")
        if not found.problems:
            put("All is well.")
    if found.problems:
        way_out = f"Run tardif doctor {index} --repair: it restores what can be restored."
        if place is not None:
            way_out = f"Build it again (tardif index MODEL DOCUMENTS --out {place} --overwrite)."
        elif repair:
            way_out = "The index does not hold what would restore it: put back a copy, or build it again."
        raise FolderError(f"{index} is damaged ({len(found.problems)} problems). {way_out}")
