"""From data to a training set, and from a training set to another tool's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.app import app
from tardif.cli.options import (
    MINILM,
    Chunk,
    Device,
    Documents,
    Language,
    Overwrite,
    Quiet,
    Seed,
    number_or_none,
    ranks,
    share_or_path,
    whole_number,
)
from tardif.cli.output import put


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="The prepared folder.")],
    source: Annotated[
        list[Path] | None,
        typer.Argument(help="Pairs, labels, triplets, scores; BEIR, ColBERT or TREC folders."),
    ] = None,
    documents: Documents = None,
    miner: Annotated[str, typer.Option(help="lexical, dense, late, hybrid or none.")] = "lexical",
    negatives: Annotated[int, typer.Option(help="Hard negatives mined per query.")] = 8,
    window: Annotated[str, typer.Option(help="Ranks that negatives are drawn from.")] = "1-50",
    sampling: Annotated[str, typer.Option(help="Which of the window: uniform, top, or weighted by score.")] = "uniform",
    ratio: Annotated[
        str, typer.Option(help="A negative stays only below so much of its positive's score; none: any; auto: by data.")
    ] = "auto",
    margin: Annotated[
        float | None, typer.Option(help="A negative stays only below its positive's score less so much.")
    ] = None,
    floor: Annotated[float | None, typer.Option(help="The least score of a negative.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="The highest score of a negative.")] = None,
    near_copy: Annotated[
        str, typer.Option(help="Similarity from which a near-copy of a positive is dropped; none: only copies are.")
    ] = "0.4",
    random_share: Annotated[float, typer.Option(help="Share of the negatives drawn from the whole corpus.")] = 0.0,
    max_uses: Annotated[int | None, typer.Option(help="For how many queries a document may be a negative.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A cross-encoder that drops false negatives and scores the examples.")
    ] = None,
    teacher_ratio: Annotated[
        str, typer.Option(help="The teacher drops what scores so much of the positive's score; none: nothing.")
    ] = "0.95",
    miner_model: Annotated[str | None, typer.Option(help="The model of the dense miner, or of the late one.")] = None,
    miner_size: Annotated[str, typer.Option(help="Of the language's dense model: small, base or large.")] = "small",
    device: Device = "auto",
    validation: Annotated[str, typer.Option(help="Share of the queries to hold out, or a file of pairs.")] = "0.1",
    test: Annotated[float, typer.Option(help="Share of the queries for a test that training never sees.")] = 0.0,
    group_by: Annotated[str | None, typer.Option(help="Field whose value stays on one side of the split.")] = None,
    documents_apart: Annotated[
        bool, typer.Option("--documents-apart", help="No document is relevant on two sides of the split.")
    ] = False,
    split: Annotated[str, typer.Option(help="Split of a source that has several.")] = "train",
    columns: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=COLUMN", help="Which column is what; may be repeated.")
    ] = None,
    positive_label: Annotated[str | None, typer.Option(help="The label that means relevant.")] = None,
    on: Annotated[
        list[str] | None, typer.Option(metavar="RULE=ACTION", help="What to do with rows in doubt; may be repeated.")
    ] = None,
    near: Annotated[bool, typer.Option(help="Look for near-duplicates.")] = True,
    chunk: Chunk = "auto",
    base: Annotated[str, typer.Option(help="The base whose tokens count for --chunk.")] = MINILM,
    synthesize: Annotated[
        bool, typer.Option("--synthesize", help="Make training queries from the documents themselves.")
    ] = False,
    synthesize_limit: Annotated[int, typer.Option(min=1, help="How many queries --synthesize makes at most.")] = 4000,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="An OpenAI-compatible API that writes queries for the documents.")
    ] = None,
    endpoint_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="model=NAME and a cap (max_requests, max_tokens, max_cost) for --endpoint; may be repeated.",
        ),
    ] = None,
    language: Language = "en",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Read, judge, split and mine: what you have becomes a training set."""
    from tardif.preparation import prepare_folder
    from tardif.talk import Talk
    from tardif.training.settings import parse_assignment

    if not source and not synthesize and endpoint is None:
        raise typer.BadParameter("give a source, or --documents with --synthesize or --endpoint", param_hint="SOURCE")
    asked = None
    if endpoint is not None:
        cache = out.with_name(f"{out.name}.answers.jsonl")
        asked = {"url": endpoint, "cache": str(cache), **dict(map(parse_assignment, endpoint_set or []))}
    prepare_folder(
        source or [],
        documents,
        out,
        validation=share_or_path(validation),
        overwrite=overwrite,
        talk=Talk(quiet=quiet),
        miner=miner,
        negatives=negatives,
        window=ranks(window),
        sampling=sampling,
        ratio=ratio if ratio == "auto" else number_or_none("--ratio", ratio),
        margin=margin,
        floor=floor,
        ceiling=ceiling,
        near_copy=number_or_none("--near-copy", near_copy),
        random_share=random_share,
        max_uses=max_uses,
        teacher=teacher,
        teacher_ratio=number_or_none("--teacher-ratio", teacher_ratio),
        miner_model=miner_model,
        miner_size=miner_size,
        device=device,
        test=test,
        group_by=group_by,
        documents_apart=documents_apart,
        split=split,
        columns={role: str(name) for role, name in map(parse_assignment, columns)} if columns else None,
        positive_label=positive_label,
        on={rule: str(action) for rule, action in map(parse_assignment, on or [])},
        near=near,
        chunk=whole_number("--chunk", chunk),
        base=base,
        synthesize=synthesize,
        synthesize_limit=synthesize_limit,
        endpoint=asked,
        language=language,
        seed=seed,
    )
    put(str(out))


@app.command()
def export(
    what: Annotated[Path, typer.Argument(help="A prepared folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    form: Annotated[str, typer.Option("--format", help="colbert, ragatouille, beir or datasets.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a training set in another tool's format."""
    from tardif.data.export import export as write
    from tardif.data.training_set import TrainingSet
    from tardif.talk import Talk

    talk = Talk()
    for line in write(TrainingSet.load(what), out, form, overwrite=overwrite).lines():
        talk.say(line)
    put(str(out))
