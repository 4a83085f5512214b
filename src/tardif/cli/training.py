"""The verb ``train``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from tardif.cli.app import INTERRUPTED
from tardif.cli.groups import Group, names_of, option_for, verb
from tardif.cli.output import put
from tardif.cli.shared_options import (
    Language,
    Overwrite,
    PreparationOptions,
    Quiet,
    Seed,
    Trust,
    weighted,
    whole_number,
)
from tardif.cli.typed import typed
from tardif.devices import own_rank
from tardif.encoder import MINILM
from tardif.errors import SettingError

if TYPE_CHECKING:
    from tardif.training.trainer import Trainer

# Options of prepare that only the first set takes, not the sets of --also.
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


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Group):
    """The base and the recipe around it: arguments of :class:`tardif.Trainer`."""

    section: ClassVar = "Model"

    base: Annotated[str, "Folder or hub id of any encoder, or of a ColBERT."] = MINILM
    dim: Annotated[str, "Width of the token vectors: a number, auto, or none.", whole_number("--dim")] = "auto"
    query_length: Annotated[int | None, "Most tokens read of a query."] = None
    document_length: Annotated[int | None, "Most tokens read of a document."] = None
    expansion: Annotated[int | None, "Fill short queries up to this many tokens with mask tokens."] = None
    markers: Annotated[bool | None, "Begin queries with [Q] and documents with [D]."] = None
    trust_remote_code: Trust = False


@dataclass(frozen=True, kw_only=True)
class SettingOptions(Group):
    """Settings of the training with an option of their own; --set takes the others."""

    section: ClassVar = "Training"

    minutes: Annotated[float | None, "Time for training, in minutes."] = None
    epochs: Annotated[float | None, "Passes over the examples."] = None
    batch_size: Annotated[int | None, "Examples per step, over all processes."] = None
    lr: Annotated[float | None, "Peak learning rate."] = None
    loss: Annotated[str | None, "contrastive, or distillation or margin (from a teacher's scores)."] = None
    refresh: Annotated[
        float | None, typer.Option(metavar="EPOCHS", help="Mine negatives again with the model, every EPOCHS epochs.")
    ] = None
    folds: Annotated[int | None, "Cross-validate, then train on all queries: FOLDS + 1 trainings."] = None
    guard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="python|none|DATA", help="Foreign queries that show what training costs elsewhere. Repeatable."
        ),
        lambda texts: list(texts or ()) or None,
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting (docs/settings.md). Repeatable."),
    ] = None


@verb
def train(
    name: Annotated[str, "Name of the model, and of its folder OUT/NAME."],
    out: Annotated[Path, "Folder for the model's folder."],
    model: ModelOptions,
    settings: SettingOptions,
    options: PreparationOptions,
    data: Annotated[
        Path | None, typer.Argument(help="A prepared folder, or anything that prepare reads.", show_default=False)
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA[=WEIGHT]", help="Mix in another set, used WEIGHT times per epoch. Repeatable."),
    ] = None,
    language: Language = "en",
    device: Annotated[str, "cpu, cuda, mps, auto (all GPUs), or a number of GPUs."] = "auto",
    processes: Annotated[int | None, "Processes that share each batch. Default: one per GPU."] = None,
    seed: Seed = 0,
    resume: Annotated[bool, "Continue the unfinished run of this name, or start one."] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a late-interaction model on your data.

    The checkpoint that ranks held-out queries best is kept. DATA that is not prepared is prepared first, with the
    options of prepare.
    """
    from tardif.training.trainer import Trainer

    if data is None and not options.makes_queries:
        raise typer.BadParameter("give data, or --documents with --synthesize or --endpoint", param_hint="DATA")
    chosen = {**_settings(settings), "seed": seed}
    trainer = Trainer(
        name,
        language=language,
        devices=device,
        out=out,
        seed=seed,
        overwrite=overwrite,
        quiet=quiet,
        **model.arguments(),
    )
    trainer.command = typed()
    # A wrong setting must not wait for the mining.
    trainer.check(processes=processes, **chosen)
    others = [weighted(text) for text in also or []]
    # The answers are beside the model's folder: they were paid for, and outlive a run that fails.
    _prepare(trainer, data, others, options, out / f"{name}.answers.jsonl", in_folds=chosen.get("folds", 1) > 1)
    result = trainer.train(resume=resume, processes=processes, **chosen)
    if own_rank() == 0:  # of several processes that a launcher started
        put(str(result.path))
    # Published all the same, and still code 130: a script must not take a part for the whole run.
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _settings(options: SettingOptions) -> dict[str, Any]:
    """Collect the settings from their own options and from ``--set``.

    Raises:
        SettingError: a setting is given twice, or ``--set`` names an option that is no setting.
    """
    from tardif.training.settings import parse_assignment

    given = options.arguments()
    # Refused before the data are read: mining them may take an hour.
    assignments: Sequence[str] = given.pop("assignments") or ()
    found = {name: value for name, value in given.items() if value is not None}
    # Options of train or prepare that are no settings of the training. With --set they would do nothing.
    others = set(inspect.signature(train).parameters) - set(names_of(SettingOptions)) - {"data"}
    for name, value in map(parse_assignment, assignments):
        option = "--" + name.replace("_", "-")
        if name in others:
            own = option_for(train, name, value)
            raise SettingError(
                f"--set {name}: this setting has its own option: " + (f"use {own}." if own else f"leave {option} out.")
            )
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
    """Give the trainer its sets. Those that are not prepared yet are prepared with the options that were given."""
    from tardif.data.reading import DOCUMENT_ROLES
    from tardif.data.training_set import is_training_set
    from tardif.preparation import check_input

    # Only options that were typed: a default must not count as one, as prepared sets refuse them.
    asked: Mapping[str, Any] = {n: value for n, value in options.preparing(answers).items() if n in options.given}
    # Held-out rows, documents and what is made of them belong to the first set.
    own_rows = isinstance(asked.get("validation"), str) and asked["validation"] != "auto"
    of_the_first = {*_OF_THE_FIRST, *(["validation"] if own_rows else [])}
    first = dict(asked)
    shared = {name: value for name, value in asked.items() if name not in of_the_first}
    # The documents are the first set's, and so are the roles of their columns.
    of_documents = {
        role: names for role, names in (shared.pop("columns", None) or {}).items() if role in DOCUMENT_ROLES
    }
    if of_rows := {role: names for role, names in (asked.get("columns") or {}).items() if role not in DOCUMENT_ROLES}:
        shared["columns"] = of_rows
    if own_rows:
        shared["validation"] = 0.0
    # Options of prepare on prepared data are refused by the trainer, so prepared sets must not get the shared ones.
    fresh = [path for path, _ in also if not is_training_set(path)]
    is_prepared = data is not None and is_training_set(data)
    if is_prepared and fresh:
        first = {name: value for name, value in asked.items() if name in of_the_first}
        first |= {"columns": of_documents} if of_documents else {}
    if in_folds:  # folds hold out every query once, so preparation holds out none
        shared.setdefault("validation", 0.0)
        if not is_prepared:
            first.setdefault("validation", 0.0)
    # Before the first is mined, which may take an hour.
    for path in () if is_prepared else fresh:
        check_input([path], **shared)
    trainer.prepare(data, **first)
    for path, weight in also:
        trainer.add(path, weight=weight, **(shared if path in fresh else {}))
