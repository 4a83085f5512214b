"""Training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tardif.cli.app import INTERRUPTED
from tardif.cli.options import (
    DATA,
    Language,
    Overwrite,
    PreparationOptions,
    Quiet,
    Seed,
    Trust,
    weighted,
    whole_number,
)
from tardif.cli.output import put
from tardif.cli.sharing import verb
from tardif.encoder import MINILM

if TYPE_CHECKING:
    from tardif.training.trainer import Trainer


# Options of prepare that are not for the sets of --also.
_OF_THE_FIRST = (
    "documents",
    "queries",
    "scores",
    "clicks",
    "validation_columns",
    "synthesize",
    "synthesize_limit",
    "endpoint",
)


@verb(PreparationOptions)
def train(
    name: Annotated[str, typer.Option(help="Names the checkpoint's folder, OUT/NAME.")],
    out: Annotated[Path, typer.Option(help="Where the checkpoint's folder goes.")],
    options: PreparationOptions,
    data: Annotated[
        Path | None, typer.Argument(help="A prepared folder, or anything that prepare reads.", show_default=False)
    ] = None,
    base: Annotated[str, typer.Option(help="A folder or hub id: any encoder, or a ColBERT.")] = MINILM,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, auto (all GPUs), or a number of GPUs.")] = "auto",
    processes: Annotated[
        int | None, typer.Option(help="Processes that share out every batch; one per GPU unless set.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the examples.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget of minutes for training.")] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Judge every query by cross-validation, train on all: FOLDS + 1 trainings, for few queries."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="contrastive; distillation or margin, from a teacher's scores; a sum of them with --set."),
    ] = None,
    refresh: Annotated[
        float | None,
        typer.Option(metavar="EPOCHS", help="Mine hard negatives anew with the model every so many epochs."),
    ] = None,
    dim: Annotated[str, typer.Option(help="Width of the token vectors: a number, auto, or none.")] = "auto",
    query_length: Annotated[int | None, typer.Option(help="Tokens read of a query.")] = None,
    document_length: Annotated[int | None, typer.Option(help="Tokens read of a document.")] = None,
    expansion: Annotated[int | None, typer.Option(help="Fill short queries to so many tokens.")] = None,
    markers: Annotated[
        bool | None, typer.Option("--markers/--no-markers", help="Begin queries with [Q] and documents with [D].")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other training argument; may be repeated."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA[=WEIGHT]",
            help="Mix in another set, used WEIGHT times an epoch; may be repeated.",
            rich_help_panel=DATA,
        ),
    ] = None,
    language: Language = "en",
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run of this name; without one, start.")
    ] = False,
    overwrite: Overwrite = False,
    trust_remote_code: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a late-interaction model; the best checkpoint on held-out queries is kept.

    DATA that is not prepared yet is prepared first: the options of its sections are those of prepare.
    """
    from tardif.training.trainer import Trainer

    if data is None and not options.makes_queries:
        raise typer.BadParameter("give data, or --documents with --synthesize or --endpoint", param_hint="DATA")
    given = {"epochs": epochs, "minutes": minutes, "batch_size": batch_size, "lr": lr, "loss": loss}
    given |= {"refresh": refresh, "folds": folds}
    settings = {**_settings(given, assignments or []), "seed": seed}
    trainer = Trainer(
        name,
        base,
        language,
        device,
        out=out,
        dim=whole_number("--dim", dim),
        query_length=query_length,
        document_length=document_length,
        expansion=expansion,
        markers=markers,
        seed=seed,
        overwrite=overwrite,
        trust_remote_code=trust_remote_code,
        quiet=quiet,
    )
    trainer.check(processes=processes, **settings)  # a wrong setting must not wait for the mining
    others = [weighted(text) for text in also or []]
    _prepare(trainer, data, others, options, out / f"{name}.answers.jsonl", in_folds=settings.get("folds", 1) > 1)
    result = trainer.train(resume=resume, processes=processes, **settings)
    put(str(result.path))
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _settings(given: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The settings by name, each said once: by its own option or with ``--set``.

    Raises:
        SettingError: one is said twice, or ``--set`` names what only an option says: it would do nothing.
    """
    from tardif.errors import SettingError
    from tardif.training.settings import parse_assignment

    found = {name: value for name, value in given.items() if value is not None}
    options = set(inspect.signature(train).parameters) - given.keys() - {"data", "assignments"}
    for name, value in map(parse_assignment, assignments):
        option = "--" + name.replace("_", "-")
        if name in options:
            raise SettingError(f"--set {name}: this is an option of its own: write it as {option}.")
        if name in found:
            ways = f"as {option} and with --set" if given.get(name) is not None else "with --set twice"
            raise SettingError(f"{name} is given {ways}: give it once.")
        found[name] = value
    return found


def _prepare(
    trainer: Trainer,
    data: Path | None,
    also: Sequence[tuple[Path, float]],
    options: PreparationOptions,
    answers: Path,
    *,
    in_folds: bool,
) -> None:
    """Give a trainer its sets; what is not prepared yet is prepared with the options that were given.

    Folds hold out every query once, so preparation holds out none.
    """
    from tardif.data.training_set import is_training_set

    asked = {name: value for name, value in options.preparing(answers).items() if name in options.given}
    # Rows that are held out are the first set's, as are its documents and what is made of them.
    is_file = isinstance(asked.get("validation"), str) and asked["validation"] != "auto"
    shared = {
        name: value
        for name, value in asked.items()
        if name not in _OF_THE_FIRST and not (is_file and name == "validation")
    }
    if is_file:
        shared["validation"] = 0.0
    fresh = [path for path, _ in also if not is_training_set(path)]
    if data is not None and fresh and is_training_set(data):
        asked = {
            name: value for name, value in asked.items() if name not in shared or (is_file and name == "validation")
        }
    if in_folds and not (data is not None and is_training_set(data)):
        asked.setdefault("validation", 0.0)
    if in_folds and fresh:
        shared.setdefault("validation", 0.0)
    trainer.prepare(data, **asked)
    for path, weight in also:
        trainer.add(path, weight=weight, **(shared if path in fresh else {}))
