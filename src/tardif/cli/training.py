"""Training, and what it gained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.app import INTERRUPTED, app
from tardif.cli.options import (
    MINILM,
    AsJson,
    Device,
    Documents,
    Language,
    Overwrite,
    Quiet,
    Seed,
    Trust,
    weighted,
    whole_number,
)
from tardif.cli.output import leave_results, put, put_json, put_row


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="A prepared folder, or anything that prepare reads.")],
    name: Annotated[str, typer.Option(help="Names the checkpoint's folder, OUT/NAME.")],
    out: Annotated[Path, typer.Option(help="Where the checkpoint's folder goes.")],
    base: Annotated[str, typer.Option(help="A folder or hub id: any encoder, or a ColBERT.")] = MINILM,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, auto (all GPUs), or a number of GPUs.")] = "auto",
    processes: Annotated[
        int | None, typer.Option(help="Processes that share out every batch; one per GPU unless set.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the examples.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget of minutes for training.")] = None,
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
    documents: Documents = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA[=WEIGHT]", help="Mix in another set, used WEIGHT times an epoch; may be repeated."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a BEIR folder to train on.")] = "train",
    language: Language = "en",
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run of this name; without one, start.")
    ] = False,
    overwrite: Overwrite = False,
    trust_remote_code: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a late-interaction model; the best checkpoint on held-out queries is kept."""
    from tardif.training.settings import parse_assignment, settings_from
    from tardif.training.trainer import Trainer, summary

    given = {"epochs": epochs, "minutes": minutes, "batch_size": batch_size, "lr": lr, "loss": loss}
    given["refresh"] = refresh
    settings = {
        **{key: value for key, value in given.items() if value is not None},
        **dict(parse_assignment(text) for text in assignments or []),
        "seed": seed,
    }
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
    trainer.process_count(processes, settings_from(settings))  # a wrong setting must not wait for the mining
    trainer.prepare(data, documents, split=split)
    for text in also or []:
        path, weight = weighted(text)
        trainer.add(path, split=split, weight=weight)
    result = trainer.train(resume=resume, processes=processes, **settings)
    for line in summary(result):
        trainer.talk.say(line)
    put(str(result.path))
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def evaluate(
    systems: Annotated[
        list[str] | None,
        typer.Argument(help="Models, indexes, hybrid:INDEX, bm25, dense:MODEL, run files.", metavar="SYSTEM..."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A BEIR folder; may be repeated."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which judgements.")] = "test",
    measures: Annotated[str, typer.Option(help="ir-measures' names, with commas.")] = "nDCG@10,RR@10,R@100",
    against: Annotated[
        str | None,
        typer.Option(help="A base: measured untrained, last, with p-values of the others."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Write the run (TREC format).")] = None,
    out: Annotated[Path | None, typer.Option(help="Leave results.json in this folder.")] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Let indexes score every document; for measures deeper than 100 they do.")
    ] = False,
    language: Language = "en",
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure systems on BEIR folders."""
    from tardif.comparison import compare, differences, results
    from tardif.devices import allocate
    from tardif.folders import check_file, check_output
    from tardif.languages import language as find_language
    from tardif.talk import Talk

    if not data:
        raise typer.BadParameter("give a BEIR folder", param_hint="--data")
    if not systems and against is None:
        raise typer.BadParameter("give a system to evaluate", param_hint="SYSTEM")
    find_language(language)
    if out is not None:
        check_output(out, overwrite=True, replaced=False)
    if run is not None:
        check_file(run)
    began, talk = time.monotonic(), Talk(quiet=quiet)
    names = [name.strip() for name in measures.split(",") if name.strip()]
    figures = compare(
        systems or [],
        data,
        split=split,
        measures=names,
        against=against,
        run_file=run,
        language=language,
        device=allocate(device).kind,
        exact=exact,
        talk=talk,
    )
    if out is not None:
        settings = {
            "data": [folder.name for folder in data],
            "split": split,
            "measures": names,
            "against": against,
            "exact": exact,
        }
        found = results(figures, against=against, settings=settings)
        leave_results(out, {**found, "seconds": {"evaluation": round(time.monotonic() - began, 1)}})
    if as_json:
        put_json({"systems": [item.as_json() for item in figures]})
        return
    put_row(["system", "data", *figures[0].measures])
    for item in figures:
        put_row([item.name, item.data, *(f"{value:.4f}" for value in item.measures.values())])
    for line in differences(figures, against):
        talk.say(line)
