"""The verbs around an index, and reranking without one."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tardif.checks import check_ids
from tardif.cli.options import (
    AsJson,
    Chunk,
    Device,
    Index,
    IndexModel,
    K,
    Language,
    Overwrite,
    Quiet,
    ReadingOptions,
    Report,
    Trust,
    lines_of,
    torch_device,
    whole_number,
)
from tardif.cli.output import put, put_json, put_row, show_hits
from tardif.cli.sharing import spelt, verb
from tardif.ranking import WORD_SHARE

if TYPE_CHECKING:
    from tardif.progress import Console


@verb(ReadingOptions)
def index(
    model: Annotated[str, typer.Argument(help="A late-interaction checkpoint.")],
    documents: Annotated[
        Path, typer.Argument(help="The corpus: a file, a folder of text, a BEIR folder, or what was trained on.")
    ],
    out: Annotated[Path, typer.Option(help="The index's folder.")],
    options: ReadingOptions,
    chunk: Chunk = "auto",
    bits: Annotated[int, typer.Option(help="Bits of a stored component: 16, 8, 4 or 2.")] = 8,
    pool: Annotated[float, typer.Option(help="Keep one vector for so many tokens of a document.")] = 1.0,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Index the words too, for searches with BM25.")] = False,
    language: Language = "en",
    device: Device = "auto",
    overwrite: Overwrite = False,
    trust_remote_code: Trust = False,
    report: Report = None,
    quiet: Quiet = False,
) -> None:
    """Encode a corpus and index it. Interrupted, the same command goes on."""
    from tardif.devices import allocate
    from tardif.search.retriever import Retriever

    retriever = Retriever.build(
        model,
        documents,
        out,
        chunk=whole_number("--chunk", chunk),
        bits=bits,
        pool=pool,
        hybrid=hybrid,
        language=language,
        overwrite=overwrite,
        device=allocate(device).kind,
        trust_remote_code=trust_remote_code,
        report=report,
        quiet=quiet,
        **options.arguments(),
    )
    retriever.close()
    put(str(out))


@verb(ReadingOptions)
def add(
    index: Index,
    documents: Annotated[Path, typer.Argument(help="The documents; those whose ids are there are replaced.")],
    options: ReadingOptions,
    chunk: Chunk = "auto",
    model: IndexModel = None,
    device: Device = "auto",
    trust_remote_code: Trust = False,
    report: Report = None,
    quiet: Quiet = False,
) -> None:
    """Add documents to an index, or replace them."""
    from tardif.devices import allocate
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    kind = allocate(device).kind
    with Retriever(index, model=model, device=kind, trust_remote_code=trust_remote_code) as retriever:
        cut = whole_number("--chunk", chunk)
        count, replaced = retriever.add(documents, chunk=cut, report=report, quiet=quiet, **options.arguments())
        Console(quiet=quiet).say(f"{count} documents added, {replaced} of them in the place of others.")
        put(str(len(retriever)))


@verb()
def delete(
    index: Index,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of documents.")] = None,
    ids_file: Annotated[Path | None, typer.Option("--ids", help="A file of ids instead, one on a line.")] = None,
    where: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPR", help="Instead, all documents that it holds for: \"lang = 'en'\"."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Delete documents from an index, with all of their pieces."""
    from tardif.index.disk import DiskIndex
    from tardif.progress import Console

    if [bool(ids), ids_file is not None, where is not None].count(True) != 1:
        raise typer.BadParameter("give ids, --ids FILE or --filter EXPR, one of them", param_hint="ID")
    if where is not None:
        _delete_where(index, where, Console(quiet=quiet))
        return
    wanted = check_ids((ids or []) if ids_file is None else lines_of(ids_file))
    with DiskIndex(index) as opened:
        count = opened.delete(wanted)
        missing = len(set(wanted)) - count
        absent = f"; {missing} were not in the index" if missing else ""
        Console(quiet=quiet).say(f"{count} documents deleted{absent}.")
        put(str(len(opened)))


def _delete_where(index: Path, where: str, console: Console) -> None:
    from tardif.index.disk import DiskIndex
    from tardif.index.filters import parse_filter
    from tardif.index.unknown_keys import unknown_keys

    chosen = parse_filter(where)
    with DiskIndex(index) as opened:
        count = opened.delete_where(chosen)
        console.say(f"{count} documents deleted." if count else "No document passes the filter: none was deleted.")
        for line in unknown_keys(opened, chosen):
            console.say(line)
        put(str(len(opened)))


@verb(ReadingOptions)
def sync(
    index: Index,
    folder: Annotated[Path, typer.Argument(help="The folder of documents, or a table, that the index follows.")],
    options: ReadingOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    chunk: Annotated[
        str, typer.Option(help="Cut long documents: tokens, auto, none, or same: as the index was built.")
    ] = "same",
    delete_others: Annotated[
        bool, typer.Option("--delete-others", help="Delete documents that came from elsewhere, too.")
    ] = False,
    model: IndexModel = None,
    device: Device = "auto",
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Have an index hold what a folder holds now: what is new, changed and gone."""
    from tardif.devices import allocate
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    kind = allocate(device).kind
    with Retriever(index, model=model, device=kind, trust_remote_code=trust_remote_code) as retriever:
        done = retriever.sync(
            folder,
            dry_run=dry_run,
            chunk="same" if chunk == "same" else whole_number("--chunk", chunk),
            delete_others=delete_others,
            quiet=quiet,
            **options.arguments(),
        )
    console = Console(quiet=quiet)
    for line in done.lines(dry_run=dry_run):
        console.say(line)
    if as_json:
        put_json(done.as_json())
        return
    for what, identity in done.rows():
        put_row([what, identity])


@verb(ReadingOptions)
def search(
    index: Index,
    options: ReadingOptions,
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
    word_share: Annotated[float, typer.Option(help="BM25's share of a hybrid search's scores.")] = WORD_SHARE,
    group: Annotated[bool, typer.Option("--group", help="One hit a document: the best of its pieces.")] = False,
    model: IndexModel = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or mps to encode queries with PyTorch there; auto: without it.")
    ] = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search an index."""
    from tardif.index.filters import parse_filter
    from tardif.index.unknown_keys import unknown_keys
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    if (query is None) == (queries is None):
        raise typer.BadParameter("give a query, or --queries FILE", param_hint="QUERY")
    if run is not None and queries is None:
        raise typer.BadParameter("a run is written for --queries FILE", param_hint="--run")
    if queries is None and options.given:
        raise typer.BadParameter(f"{spelt(options.given)}: for --queries FILE", param_hint="QUERY")
    chosen = None if where is None else parse_filter(where)
    how: dict[str, Any] = {
        "where": chosen,
        "exact": exact,
        "recall": recall,
        "hybrid": hybrid,
        "word_share": word_share,
        "group": group,
    }
    console = Console(quiet=quiet)
    with Retriever(index, model=model, device=torch_device(device)) as retriever:
        if query is not None:
            hits = retriever.search(query, k, **how)
            if not hits:
                console.say(retriever.why_nothing(query, where=chosen))
            elif chosen is not None:
                for line in unknown_keys(retriever.index, chosen):
                    console.say(line)
            show_hits(query, hits, as_json)
            return
        from tardif.data.queries import read_queries
        from tardif.data.reading import reading_from

        assert queries is not None
        asked = read_queries(queries, reading_from(options.arguments()))
        if run is not None:
            from tardif.evaluation.runs import lowered_note, write_run

            with console.progress("Searching", len(asked), "queries") as bar:
                ranked = retriever.run(asked, k, **how, advance=bar.advance)
            _say_unanswered(console, list(ranked.values()))
            for line in lowered_note(write_run(run, ranked)):
                console.say(line)
            put(str(run))
            return
        with console.progress("Searching", len(asked), "queries") as bar:
            found = retriever.search_many(list(asked.values()), k, **how, advance=bar.advance)
        _say_unanswered(console, found)
    if as_json:
        put_json(
            [
                {"query_id": identity, "query": text, "hits": [hit.as_json() for hit in hits]}
                for (identity, text), hits in zip(asked.items(), found, strict=True)
            ]
        )
        return
    for text, hits in zip(asked.values(), found, strict=True):
        show_hits(text, hits, as_json=False)


def _say_unanswered(console: Console, found: Sequence[Sized]) -> None:
    count = sum(not len(hits) for hits in found)
    if count:
        console.say(f"{count} of {len(found)} queries found nothing.")


@verb(ReadingOptions)
def rerank(
    model: Annotated[str, typer.Argument(help="A late-interaction checkpoint.")],
    query: Annotated[str, typer.Argument(help="The query.")],
    documents: Annotated[Path, typer.Option(help="The documents to order.")],
    options: ReadingOptions,
    k: K = 10,
    device: Device = "auto",
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
    report: Report = None,
    quiet: Quiet = False,
) -> None:
    """Order documents for a query, without an index."""
    from tardif.devices import allocate
    from tardif.progress import Console
    from tardif.search.rerank import rerank as order

    hits = order(
        model,
        query,
        documents,
        k,
        device=allocate(device).kind,
        trust_remote_code=trust_remote_code,
        report=report,
        quiet=quiet,
        **options.arguments(),
    )
    if not hits:
        Console(quiet=quiet).say("No hit: the query, or every document, has no token that can be matched.")
    show_hits(query, hits, as_json)
