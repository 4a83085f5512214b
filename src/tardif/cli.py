"""The command line: one verb per step of the story. stdout is data, stderr is talk.

Exit codes: 0 done; 1 the work failed, with one readable line; 2 wrong usage; 130 interrupted.
Heavy imports happen inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tardif import __version__
from tardif.errors import DataError, FolderError, SettingError, TardifError

app = typer.Typer(
    name="tardif",
    help="From a pile of text to a late-interaction (ColBERT) retriever trained for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

INTERRUPTED = 130
_MINILM = "sentence-transformers/all-MiniLM-L6-v2"

# Options that several verbs share.
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at the output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Language = Annotated[str, typer.Option(help="ISO 639 code of the texts' language.")]
Documents = Annotated[
    Path | None,
    typer.Option(help="The corpus: a table, or a file or folder of text, Markdown, HTML or PDF."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
K = Annotated[int, typer.Option("-k", help="How many hits.")]
Chunk = Annotated[str, typer.Option(help="Cut long documents: tokens, auto (files of text), or none.")]
Index = Annotated[Path, typer.Argument(help="An index's folder.")]
IndexModel = Annotated[Path | None, typer.Option("--model", help="Where the index's model is now.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Let the model bring its own code.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"{__version__}\n")
        raise typer.Exit


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
    window: Annotated[str, typer.Option(help="Ranks that negatives are drawn from.")] = "5-100",
    sampling: Annotated[str, typer.Option(help="Which of the window: uniform, top, or weighted by score.")] = "uniform",
    ratio: Annotated[
        str, typer.Option(help="A negative stays only below so much of its positive's score; none: any score.")
    ] = "0.95",
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
    base: Annotated[str, typer.Option(help="The base whose tokens count for --chunk.")] = _MINILM,
    synthesize: Annotated[
        bool, typer.Option("--synthesize", help="Make training queries from the documents themselves.")
    ] = False,
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
        validation=_share(validation),
        overwrite=overwrite,
        talk=Talk(quiet=quiet),
        miner=miner,
        negatives=negatives,
        window=_window(window),
        sampling=sampling,
        ratio=_number("--ratio", ratio),
        margin=margin,
        floor=floor,
        ceiling=ceiling,
        near_copy=_number("--near-copy", near_copy),
        random_share=random_share,
        max_uses=max_uses,
        teacher=teacher,
        teacher_ratio=_number("--teacher-ratio", teacher_ratio),
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
        chunk=_chunk(chunk),
        base=base,
        synthesize=synthesize,
        endpoint=asked,
        language=language,
        seed=seed,
    )
    _print(str(out))


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="A prepared folder, or anything that prepare reads.")],
    name: Annotated[str, typer.Option(help="Names the checkpoint's folder, OUT/NAME.")],
    out: Annotated[Path, typer.Option(help="Where the checkpoint's folder goes.")],
    base: Annotated[str, typer.Option(help="A folder or hub id: any encoder, or a ColBERT.")] = _MINILM,
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
        dim=_dim(dim),
        query_length=query_length,
        document_length=document_length,
        expansion=expansion,
        seed=seed,
        overwrite=overwrite,
        trust_remote_code=trust_remote_code,
        quiet=quiet,
    )
    trainer.process_count(processes, settings_from(settings))  # a wrong setting must not wait for the mining
    trainer.prepare(data, documents, split=split)
    for text in also or []:
        path, weight = _weighted(text)
        trainer.add(path, split=split, weight=weight)
    result = trainer.train(resume=resume, processes=processes, **settings)
    for line in summary(result):
        trainer.talk.say(line)
    _print(str(result.path))
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def evaluate(
    systems: Annotated[
        list[str] | None,
        typer.Argument(help="Models, indexes, bm25, dense:MODEL, run files.", metavar="SYSTEM..."),
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
    language: Language = "en",
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure systems on BEIR folders."""
    from tardif.comparison import compare, results
    from tardif.devices import allocate
    from tardif.folders import check_output
    from tardif.languages import language as find_language
    from tardif.talk import Talk

    if not data:
        raise typer.BadParameter("give a BEIR folder", param_hint="--data")
    if not systems and against is None:
        raise typer.BadParameter("give a system to evaluate", param_hint="SYSTEM")
    find_language(language)
    if out is not None:
        check_output(out, overwrite=True)
    if run is not None:
        check_output(run.with_suffix(".probe"), overwrite=True)
    began = time.monotonic()
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
        talk=Talk(quiet=quiet),
    )
    if out is not None:
        settings = {
            "data": [folder.name for folder in data],
            "split": split,
            "measures": names,
            "against": against,
        }
        found = results(figures, against=against, settings=settings)
        _leave_results(out, {**found, "seconds": {"evaluation": round(time.monotonic() - began, 1)}})
    if as_json:
        _print_json({"systems": [item.as_json() for item in figures]})
        return
    _print("\t".join(["system", "data", *figures[0].measures]))
    for item in figures:
        _print("\t".join([item.name, item.data, *(f"{value:.4f}" for value in item.measures.values())]))


@app.command()
def index(
    model: Annotated[str, typer.Argument(help="A late-interaction checkpoint.")],
    documents: Annotated[Path, typer.Argument(help="The corpus: a file, a folder of text, a BEIR folder.")],
    out: Annotated[Path, typer.Option(help="The index's folder.")],
    chunk: Chunk = "auto",
    bits: Annotated[int, typer.Option(help="Bits of a stored component: 16, 8, 4 or 2.")] = 8,
    pool: Annotated[float, typer.Option(help="Keep one vector for so many tokens of a document.")] = 1.0,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Index the words too, for searches with BM25.")] = False,
    language: Language = "en",
    device: Device = "auto",
    overwrite: Overwrite = False,
    trust_remote_code: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Encode a corpus and index it. Interrupted, the same command goes on."""
    from tardif.devices import allocate
    from tardif.retrieval import Retriever

    retriever = Retriever.build(
        model,
        documents,
        out,
        chunk=_chunk(chunk),
        bits=bits,
        pool=pool,
        hybrid=hybrid,
        language=language,
        overwrite=overwrite,
        device=allocate(device).kind,
        trust_remote_code=trust_remote_code,
        quiet=quiet,
    )
    retriever.close()
    _print(str(out))


@app.command()
def add(
    index: Index,
    documents: Annotated[Path, typer.Argument(help="The documents; those whose ids are there are replaced.")],
    chunk: Chunk = "auto",
    model: IndexModel = None,
    device: Device = "auto",
    trust_remote_code: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Add documents to an index, or replace them."""
    from tardif.devices import allocate
    from tardif.retrieval import Retriever
    from tardif.talk import Talk

    kind = allocate(device).kind
    with Retriever(index, model=model, device=kind, trust_remote_code=trust_remote_code) as retriever:
        count, replaced = retriever.add(documents, chunk=_chunk(chunk), quiet=quiet)
        Talk(quiet=quiet).say(f"{count} documents added, {replaced} of them in the place of others.")
        _print(str(len(retriever)))


@app.command()
def delete(
    index: Index,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of documents.")] = None,
    ids_file: Annotated[Path | None, typer.Option("--ids", help="A file of ids instead, one on a line.")] = None,
    quiet: Quiet = False,
) -> None:
    """Delete documents from an index."""
    from tardif.index.disk import DiskIndex
    from tardif.talk import Talk

    if bool(ids) == (ids_file is not None):
        raise typer.BadParameter("give ids, or --ids FILE", param_hint="ID")
    wanted = (ids or []) if ids_file is None else _lines(ids_file)
    with DiskIndex(index) as opened:
        count = opened.delete(wanted)
        missing = len(set(wanted)) - count
        absent = f"; {missing} were not in the index" if missing else ""
        Talk(quiet=quiet).say(f"{count} documents deleted{absent}.")
        _print(str(len(opened)))


@app.command()
def search(
    index: Index,
    query: Annotated[str | None, typer.Argument(help="The query.")] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="A file of queries instead: .jsonl with _id and text."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Write the run of --queries (TREC format).")] = None,
    k: K = 10,
    where: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPR", help="Only documents that it holds for: \"lang = 'en'\"."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Score every document.")] = False,
    recall: Annotated[float, typer.Option(help="Else: expected share of an exact search's hits.")] = 0.99,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Fuse with BM25's ranking (an index with words).")] = False,
    model: IndexModel = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or mps to encode queries with PyTorch there; auto: without it.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Search an index."""
    from tardif.retrieval import Retriever

    if (query is None) == (queries is None):
        raise typer.BadParameter("give a query, or --queries FILE", param_hint="QUERY")
    if run is not None and queries is None:
        raise typer.BadParameter("a run is written for --queries FILE", param_hint="--run")
    how: dict[str, Any] = {"where": where, "exact": exact, "recall": recall, "hybrid": hybrid}
    with Retriever(index, model=model, device=_torch_device(device)) as retriever:
        if query is not None:
            _show(query, retriever.search(query, k, **how), as_json)
            return
        from tardif.data.beir import read_queries

        assert queries is not None
        asked = read_queries(queries)
        if run is not None:
            from tardif.runs import write_run

            write_run(run, retriever.run(asked, k, **how))
            _print(str(run))
            return
        found = retriever.search_many(list(asked.values()), k, **how)
    if as_json:
        _print_json(
            [
                {"query_id": identity, "query": text, "hits": [hit.as_json() for hit in hits]}
                for (identity, text), hits in zip(asked.items(), found, strict=True)
            ]
        )
        return
    for text, hits in zip(asked.values(), found, strict=True):
        _show(text, hits, as_json=False)


@app.command()
def rerank(
    model: Annotated[str, typer.Argument(help="A late-interaction checkpoint.")],
    query: Annotated[str, typer.Argument(help="The query.")],
    documents: Annotated[Path, typer.Option(help="The documents to order.")],
    k: K = 10,
    device: Device = "auto",
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
) -> None:
    """Order documents for a query, without an index."""
    from tardif.devices import allocate
    from tardif.retrieval import rerank as order

    hits = order(model, query, documents, k, device=allocate(device).kind, trust_remote_code=trust_remote_code)
    _show(query, hits, as_json)


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
    _print(str(out))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where model, index and results go.")] = Path("tardif-demo"),
    minutes: Annotated[float, typer.Option(help="Minutes of training.")] = 4.0,
    base: Annotated[str, typer.Option(help="The base to train.")] = _MINILM,
) -> None:
    """The main job on the docstrings of this machine's Python packages, in under ten minutes."""
    from tardif.demo import run_demo

    run_demo(out, minutes=minutes, base=base)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which devices and offline models there are, and what is missing."""
    from tardif.doctor import examine, report

    found = examine()
    if as_json:
        _print_json(found)
        return
    for line in report(found):
        _print(line)


def _window(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash or not first.strip().isdecimal() or not last.strip().isdecimal():
        raise SettingError(f"--window {text}: write two ranks, such as 5-100.")
    return int(first), int(last)


def _number(option: str, text: str) -> float | None:
    try:
        return None if text == "none" else float(text)
    except ValueError:
        raise SettingError(f"{option} {text}: give a number, or none.") from None


def _weighted(text: str) -> tuple[Path, float]:
    path, equals, weight = text.rpartition("=")
    try:
        return (Path(path), float(weight)) if equals else (Path(text), 1.0)
    except ValueError:
        raise SettingError(f"--also {text}: write DATA=WEIGHT, such as more.jsonl=0.5.") from None


def _share(text: str) -> float | str:
    """A share of the queries, or else the path of held-out rows."""
    try:
        return float(text)
    except ValueError:
        return text


def _chunk(text: str) -> Any:
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    if not text.isdecimal():
        raise SettingError(f"--chunk {text}: give a whole number of tokens, auto, or none.")
    return int(text)


def _torch_device(text: str) -> str | None:
    """Where queries are encoded with PyTorch; None: without it."""
    if text == "auto":
        return None
    from tardif.devices import allocate

    return allocate(text).kind


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from error


def _dim(text: str) -> Any:
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    if not text.isdecimal():
        raise SettingError(f"--dim {text}: give a whole number, auto, or none.")
    return int(text)


def _show(query: str, hits: Sequence[Any], as_json: bool) -> None:
    if as_json:
        _print_json({"query": query, "hits": [hit.as_json() for hit in hits]})
        return
    for hit in hits:
        text = " ".join(f"{hit.title} {hit.text}".split())
        _print(f"{hit.rank:>3}  {hit.score:8.3f}  {hit.document_id}\n     {text[:160]}")


def _leave_results(folder: Path, value: Any) -> None:
    from tardif.folders import write_json

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "results.json", value)
    except OSError as error:
        raise FolderError(f"{folder} cannot be written ({error.strerror}).") from error


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a verb and exits with the contract's code."""
    _tame_libraries()
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except TardifError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error of the command line's library
        if callable(show):
            show()
            sys.exit(2)
        if type(error).__name__ == "Abort":
            sys.exit(INTERRUPTED)
        if os.environ.get("TARDIF_TRACEBACK"):
            raise
        first = str(error).strip().splitlines()
        detail = f": {first[0]}" if first else ""
        sys.exit(_fail(f"{type(error).__name__}{detail} (unexpected; TARDIF_TRACEBACK=1 shows where)"))
    if code == INTERRUPTED:
        sys.stderr.write("Interrupted.\n")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    sys.stderr.write(f"tardif: {' '.join(message.split())}\n")
    return 1


def _tame_libraries() -> None:
    """The libraries' own bars and notes would talk over ours."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
