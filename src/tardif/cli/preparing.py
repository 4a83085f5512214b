"""The verbs ``prepare`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.groups import verb
from tardif.cli.output import put
from tardif.cli.shared_options import Device, Language, Overwrite, PreparationOptions, Quiet, Seed
from tardif.cli.typed import typed
from tardif.encoder import MINILM


@verb
def prepare(
    out: Annotated[Path, "The prepared folder."],
    options: PreparationOptions,
    source: Annotated[
        list[Path] | None,
        typer.Argument(help="Pairs, labels, triplets or scores; BEIR, ColBERT or TREC folders."),
    ] = None,
    base: Annotated[str, "The base that --chunk counts tokens of."] = MINILM,
    device: Device = "auto",
    language: Language = "en",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a training set: read, check, split, mine negatives."""
    from tardif.progress import Console
    from tardif.report.leaving import prepare_folder

    if not source and not options.makes_queries:
        raise typer.BadParameter("give a source, or --documents with --synthesize or --endpoint", param_hint="SOURCE")
    place = out.absolute()  # which has a name, also where it is given as "."
    prepare_folder(
        source or [],
        out=out,
        # The answers are beside the folder, not inside: they outlive a run that fails, and were paid for.
        **options.preparing(place.parent / f"{place.name}.answers.jsonl"),
        base=base,
        device=device,
        language=language,
        seed=seed,
        overwrite=overwrite,
        console=Console(quiet=quiet),
        command=typed(),
    )
    put(str(out))


@verb
def export(
    what: Annotated[Path, typer.Argument(help="A prepared folder, an index or a checkpoint.")],
    out: Annotated[str | None, "The folder to write; for qdrant, http://HOST:6333/COLLECTION or edge:FOLDER."] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of a prepared folder: colbert, ragatouille, beir or datasets. Of an index: vectors or qdrant. "
            "Of a checkpoint: stanford, pylate, sentence-transformers, onnx or vespa.",
        ),
    ] = None,
    push: Annotated[str | None, "Instead of --out: upload the checkpoint to this hub id, OWNER/NAME."] = None,
    private: Annotated[bool, "Push to a private repository."] = False,
    documents: Annotated[Path | None, "For vespa: an index, or a file or folder of documents."] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a training set or a checkpoint in another tool's format, or an index as Parquet or to Qdrant."""
    from tardif.data.training_set import TrainingSet
    from tardif.folders import check_output
    from tardif.index.manifest import is_index
    from tardif.index.qdrant.places import check_own, qdrant_place
    from tardif.progress import Console

    console = Console()
    if push is not None:
        if out is not None or documents is not None:
            raise typer.BadParameter("uploads a model alone: leave out --out and --documents", param_hint="--push")
        put(_push(what, push, form or "sentence-transformers", private))
        return
    if private:
        raise typer.BadParameter("only for --push", param_hint="--private")
    if out is None or form is None:
        raise typer.BadParameter("give --format and --out, or --push", param_hint="--out")
    check_own(str(what), "an export")
    if qdrant_place(out) is None:
        check_output(Path(out), overwrite=overwrite, read=[what, documents])
    is_set = (what / "manifest.json").is_file()
    if is_set and documents is not None:
        raise typer.BadParameter("goes with a checkpoint", param_hint="--documents")
    if is_index(what) or (what / "index.sqlite").is_file():
        lines = _export_index(what, out, form, overwrite)
    elif is_set:
        from tardif.data.export import export as write

        lines = write(TrainingSet.load(what), Path(out), form, overwrite=overwrite).lines()
    else:
        from tardif.integrations.checkpoints import export_checkpoint

        lines = export_checkpoint(what, Path(out), form, overwrite, documents=documents).lines()
    for line in lines:
        console.say(line)
    put(str(out))


def _push(what: Path, hub_id: str, form: str, private: bool) -> str:
    from tardif.integrations.checkpoints.hub import push_checkpoint
    from tardif.progress import Console

    if (what / "manifest.json").is_file():
        raise typer.BadParameter("only a checkpoint can be pushed", param_hint="--push")
    return push_checkpoint(what, hub_id, form, private=private, console=Console())


def _export_index(index: Path, out: str, form: str, overwrite: bool) -> list[str]:
    from tardif.index.qdrant.places import qdrant_place
    from tardif.search.export_vectors import export_vectors
    from tardif.search.qdrant_build import export_to_qdrant

    place = qdrant_place(out)
    if form not in ("vectors", "qdrant"):
        raise typer.BadParameter("an index is exported as vectors or to qdrant", param_hint="--format")
    if (form == "qdrant") != (place is not None):
        way = "http://HOST:6333/COLLECTION or edge:FOLDER" if place is None else "a folder"
        raise typer.BadParameter(f"with --format {form} give {way}", param_hint="--out")
    if place is None:
        return export_vectors(index, out, overwrite=overwrite).lines()
    with export_to_qdrant(index, place, overwrite=overwrite) as made:
        return [f"{place}: {len(made):,} documents"]
