"""What a newcomer runs first: the main job on this machine's own texts, and what the machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.options import AsJson, Device, IndexModel, Quiet, Trust
from tardif.cli.output import put, put_json
from tardif.cli.sharing import verb
from tardif.encoder import MINILM
from tardif.errors import FolderError


@verb()
def demo(
    out: Annotated[Path, typer.Option(help="Where model, index and results go.")] = Path("tardif-demo"),
    minutes: Annotated[float, typer.Option(help="Minutes of training.")] = 4.0,
    base: Annotated[str, typer.Option(help="The base to train.")] = MINILM,
) -> None:
    """The main job on the docstrings of this machine's Python packages, in under ten minutes."""
    from tardif.cli.demo import run_demo

    run_demo(out, minutes=minutes, base=base)


@verb()
def doctor(
    index: Annotated[
        Path | None, typer.Argument(help="An index: is every byte of it what was written?", show_default=False)
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend the index; what is lost is encoded again.")] = False,
    model: IndexModel = None,
    device: Device = "auto",
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Say what is installed, which devices and offline models there are, and what is missing; or examine an index."""
    if index is not None:
        _examine_index(index, repair, model, device, as_json, trust_remote_code, quiet)
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


def _examine_index(
    index: Path, repair: bool, model: Path | None, device: str, as_json: bool, trust_remote_code: bool, quiet: bool
) -> None:
    from tardif.devices import allocate
    from tardif.progress import Console
    from tardif.search.repair import examine
    from tardif.search.repair import repair as mended

    done: list[str] = []
    if repair:
        kind = allocate(device).kind
        done, found = mended(
            index, model=model, device=kind, trust_remote_code=trust_remote_code, console=Console(quiet=quiet)
        )
    else:
        found = examine(index)
    if as_json:
        put_json({"index": str(index), **found.as_json(), "repaired": done})
    else:
        put(f"{index}: {found.documents} documents, {found.tokens} token vectors, {found.segments} segments")
        for line in done:
            put(f"repaired: {line}")
        for line in found.problems:
            put(f"problem: {line}")
        if not found.problems:
            put("All is well.")
    if found.problems:
        raise FolderError(f"{index} is damaged: {len(found.problems)} problems; --repair mends what can be mended.")
