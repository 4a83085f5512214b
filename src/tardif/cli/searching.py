"""The verbs around an index, and ``rerank``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tardif.checks import check_ids
from tardif.cli.groups import Group, spelt, verb
from tardif.cli.output import put, put_json, put_row, show_hits
from tardif.cli.shared_options import (
    AsJson,
    Chunk,
    Device,
    Index,
    K,
    Language,
    OpeningOptions,
    Overwrite,
    Quiet,
    Ray,
    ReadingOptions,
    Report,
    Trust,
    device_kind,
    lines_of,
    whole_number,
)

if TYPE_CHECKING:
    from tardif.index.filters import Filter
    from tardif.progress import Console
    from tardif.search.retriever import Retriever
    from tardif.types import Run


Explain = Annotated[bool, "Show each hit's best passage, with the words that earned its score marked."]

SameChunk = Annotated[
    str,
    "Cut long documents: number of tokens, auto, none, or same (as in the index).",
    whole_number("--chunk", "same"),
]


def _filter(text: str | None) -> Filter | None:
    from tardif.index.filters import parse_filter

    return None if text is None else parse_filter(text)


@dataclass(frozen=True, kw_only=True)
class BuildGroup(Group):
    """How an index is built: arguments of ``Retriever.build``."""

    chunk: Chunk = "auto"
    bits: Annotated[int | None, "Bits per stored component: 16, 8 (default), 4 or 2; in Qdrant 32 or 16."] = None
    pool: Annotated[float, "Keep one vector for this many tokens of a document."] = 1.0
    hybrid: Annotated[bool, "Index the words too, for searches with BM25."] = False
    language: Language = "en"
    shards: Annotated[int | None, "Build this many shards, which are searched as one index."] = None
    device: Device = "auto"
    precision: Annotated[str, "Encode in fp32, bf16 (faster on some CPUs), or auto: bf16 where it is faster."] = "fp32"
    overwrite: Overwrite = False
    trust_remote_code: Trust = False
    ray: Ray = None
    report: Report = None
    quiet: Quiet = False


@verb
def index(
    model: Annotated[str, typer.Argument(help="A late-interaction checkpoint.")],
    documents: Annotated[
        Path, typer.Argument(help="The corpus: a file, a folder of text, a BEIR folder, or training data.")
    ],
    out: Annotated[str, "The index's folder; or in Qdrant, http://HOST:6333/COLLECTION or edge:FOLDER."],
    options: BuildGroup,
    reading: ReadingOptions,
    to: Annotated[str | None, "The engine: tardif or qdrant; by default as --out says."] = None,
) -> None:
    """Encode a corpus and index it.

    After an interruption, rerun the same command to continue.
    """
    from tardif.checks import check_choice
    from tardif.index.qdrant.places import qdrant_place
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    if "language" in options.given and not options.hybrid:
        Console(quiet=options.quiet).say(
            "--language changes nothing here: it is of the words, which only --hybrid indexes."
        )
    engine = "tardif" if qdrant_place(out) is None else "qdrant"
    if to is not None:
        check_choice("--to", to, ("tardif", "qdrant"))
    if to not in (None, engine):
        way = "a folder" if to == "tardif" else "http://HOST:6333/COLLECTION or edge:FOLDER"
        raise typer.BadParameter(f"with --to {to} give {way}", param_hint="--out")
    Retriever.build(model, documents, out, **options.arguments(), **reading.arguments()).close()
    put(str(out))


@dataclass(frozen=True, kw_only=True)
class AddOptions(Group):
    """How documents are added: arguments of ``Retriever.add``."""

    chunk: SameChunk = "same"
    report: Report = None
    quiet: Quiet = False


@verb
def add(
    index: Index,
    documents: Annotated[Path, typer.Argument(help="The documents. They replace documents with the same ids.")],
    options: AddOptions,
    opening: OpeningOptions,
    reading: ReadingOptions,
) -> None:
    """Add documents to an index, or replace them."""
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    with Retriever(index, **opening.arguments()) as retriever:
        count, replaced = retriever.add(documents, **options.arguments(), **reading.arguments())
        Console(quiet=options.quiet).say(f"{count} documents added; {replaced} of them replaced others.")
        put(str(len(retriever)))  # stdout has the new size, for scripts


@verb
def delete(
    index: Index,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of documents.")] = None,
    ids_file: Annotated[Path | None, typer.Option("--ids", help="Instead: a file of ids, one per line.")] = None,
    where: Annotated[
        str | None, typer.Option("--filter", metavar="EXPR", help="Instead: a filter, such as \"lang = 'en'\".")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Delete documents from an index, with all of their pieces."""
    from tardif.index.qdrant.places import open_qdrant, qdrant_place
    from tardif.index.sharded import ShardedIndex
    from tardif.index.sharded_folder import open_index
    from tardif.index.unknown_keys import unknown_keys
    from tardif.progress import Console

    # Exactly one of the three says what to delete.
    if [bool(ids), ids_file is not None, where is not None].count(True) != 1:
        raise typer.BadParameter("give one of: ids, --ids FILE, --filter EXPR", param_hint="ID")
    # Both are read before the index is opened for writing.
    chosen = _filter(where)
    wanted = check_ids((ids or []) if ids_file is None else lines_of(ids_file))
    # No model is needed to delete: the index alone opens without PyTorch.
    place = qdrant_place(index)
    with open_qdrant(place) if place else open_index(index) as opened:
        if chosen is None:
            count = opened.delete(wanted)
            missing = len(set(wanted)) - count
            lines = [f"{count} documents deleted" + (f"; {missing} were not in the index." if missing else ".")]
        else:
            if isinstance(opened, ShardedIndex):
                opened.check_changeable()  # a search's error, of the next line, would name no way out of a deletion
            remarks = unknown_keys(opened, chosen)  # before the last document with a key may be gone
            count = opened.delete_where(chosen)
            done = f"{count} documents deleted." if count else "No document passes the filter. Nothing was deleted."
            lines = [done, *remarks]
        for line in lines:
            Console(quiet=quiet).say(line)
        put(str(len(opened)))


@dataclass(frozen=True, kw_only=True)
class SyncOptions(Group):
    """How an index follows a folder: arguments of ``Retriever.sync``."""

    dry_run: Annotated[bool, "Show what would change. Change nothing."] = False
    chunk: SameChunk = "same"
    delete_others: Annotated[bool, "Delete documents from other places too."] = False
    quiet: Quiet = False


@verb
def sync(
    index: Index,
    folder: Annotated[Path, typer.Argument(help="The folder, or table, that the index follows.")],
    options: SyncOptions,
    opening: OpeningOptions,
    reading: ReadingOptions,
    as_json: AsJson = False,
) -> None:
    """Bring an index in step with a folder.

    New documents are added, changed ones replaced, and those that are gone deleted.
    """
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    with Retriever(index, **opening.arguments()) as retriever:
        done = retriever.sync(folder, **options.arguments(), **reading.arguments())
    console = Console(quiet=options.quiet)
    for line in done.lines(dry_run=options.dry_run):
        console.say(line)
    if as_json:
        put_json(done.as_json())
        return
    for what, identity in done.rows():
        put_row([what, identity])


@dataclass(frozen=True, kw_only=True)
class SearchGroup(Group):
    """How an index is searched: arguments of ``Retriever.search``."""

    k: K = 10
    where: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPR", help="Search only documents that pass, such as \"lang = 'en'\"."),
        _filter,
    ] = None
    exact: Annotated[bool, "Score every document."] = False
    recall: Annotated[float, "Without --exact: expected share of an exact search's hits."] = 0.99
    hybrid: Annotated[bool, "Blend with BM25 (index built with --hybrid)."] = False
    word_share: Annotated[float | None, "BM25's share with --hybrid; default: as learnt in training."] = None
    group: Annotated[bool, "One hit per document: its best piece."] = False
    explain: Explain = False
    partial: Annotated[bool, "Leave out shards that do not answer, and name them."] = False


@verb
def search(
    index: Index,
    options: SearchGroup,
    reading: ReadingOptions,
    query: Annotated[str | None, typer.Argument(help="The query.")] = None,
    queries: Annotated[Path | None, "Instead: a file of queries, .jsonl with _id and text."] = None,
    run: Annotated[Path | None, "Write the run of --queries (TREC format)."] = None,
    model: Annotated[Path | None, "The index's model, if it was moved."] = None,
    device: Annotated[str, "Encode queries with PyTorch on cpu, cuda or mps; auto: without PyTorch."] = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="local|auto|HOST:PORT", help="Search the shards of an index on a Ray cluster (docs/cluster.md)."
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="With --ray: actors of each shard.")] = 1,
    overwrite: Annotated[bool, "Replace the file that --run names, whatever it is."] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search an index."""
    from tardif.evaluation.runs import is_own_run
    from tardif.folders import check_file
    from tardif.progress import Console
    from tardif.search.retriever import Retriever

    if (query is None) == (queries is None):
        raise typer.BadParameter("give a query, or --queries FILE", param_hint="QUERY")
    if run is not None and queries is None:
        raise typer.BadParameter("--run needs --queries FILE", param_hint="--run")
    if run is not None and options.explain:
        raise typer.BadParameter("a run holds no texts: leave out --run or --explain", param_hint="--explain")
    if options.word_share is not None and not options.hybrid:
        raise typer.BadParameter("only with --hybrid", param_hint="--word-share")
    if options.exact and "recall" in options.given:
        raise typer.BadParameter("with --exact every document is scored: leave one out", param_hint="--recall")
    if run is None and overwrite:
        raise typer.BadParameter("only for the file of --run", param_hint="--overwrite")
    if queries is None and reading.given:
        raise typer.BadParameter(f"{spelt(reading.given)}: only for --queries FILE", param_hint="QUERY")
    if run is not None:
        check_file(run, read=[index, queries, model], overwrite=overwrite or is_own_run(run))
    how, console = options.arguments(), Console(quiet=quiet)
    opening: dict[str, Any] = {"model": model, "device": None if device == "auto" else device_kind(device)}
    opening |= {"ray": ray, "replicas": replicas}
    # Without a device the query encoder runs in onnxruntime, and a cold search answers in a second.
    with _told(console), Retriever(index, **opening) as retriever:
        if query is not None:
            _search_one(retriever, query, how, console, as_json=as_json)
        elif queries is not None:
            _search_file(retriever, queries, reading, how, console, run=run, as_json=as_json)


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Show as remarks which shards of an index did not answer; in an error, say what leaves them out."""
    from tardif.errors import FolderError, PartialWarning, ShardError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PartialWarning)
        try:
            yield
        except ShardError as error:
            raise FolderError(str(error).replace("a search with partial=True leaves", "--partial leaves")) from error
    for found in caught:
        if issubclass(found.category, PartialWarning):
            console.warn(str(found.message))
        else:
            warnings.warn_explicit(found.message, found.category, found.filename, found.lineno)


def _search_one(retriever: Retriever, query: str, how: dict[str, Any], console: Console, *, as_json: bool) -> None:
    from tardif.index.unknown_keys import unknown_keys

    hits = retriever.search(query, **how)
    if not hits:
        # An explanation goes to stderr: stdout stays empty for a query without hits.
        console.say(retriever.why_nothing(query, where=how["where"]))
    elif how["where"] is not None:
        for line in unknown_keys(retriever.index, how["where"]):
            console.say(line)
    show_hits(query, hits, as_json)


def _search_file(
    retriever: Retriever,
    file: Path,
    reading: ReadingOptions,
    how: dict[str, Any],
    console: Console,
    *,
    run: Path | None,
    as_json: bool,
) -> None:
    """Search for the queries of a file, and write their run or show their hits; with both asked for, do both."""
    # Imported here, not in the verb: a search for one query needs none of them.
    from tardif.data.queries import read_queries
    from tardif.data.reading import reading_from
    from tardif.evaluation.runs import run_notes, write_run

    queries = read_queries(file, reading_from(reading.arguments()))
    with console.progress("Searching", len(queries), "queries") as bar:
        ranked: Run
        if run is None or as_json:
            found = retriever.search_many(list(queries.values()), **how, advance=bar.advance)
            scores = ({hit.document_id: hit.score for hit in hits} for hits in found)
            ranked = dict(zip(queries, scores, strict=True))
        else:  # without the documents' texts, which nobody asked for
            del how["explain"]
            ranked = retriever.run(queries, **how, advance=bar.advance)
    _say_unanswered(console, list(ranked.values()))
    if run is not None:
        for line in run_notes(ranked, write_run(run, ranked)):
            console.say(line)
        if not as_json:
            put(str(run))
            return
    if as_json:
        rows = zip(queries.items(), found, strict=True)
        put_json([{"query_id": i, "query": text, "hits": [hit.as_json() for hit in hits]} for (i, text), hits in rows])
        return
    for text, hits in zip(queries.values(), found, strict=True):
        show_hits(text, hits, as_json=False)


def _say_unanswered(console: Console, found: Sequence[Sized]) -> None:
    count = sum(not len(hits) for hits in found)
    if count:
        console.say(f"{count} of {len(found)} queries found nothing.")


@dataclass(frozen=True, kw_only=True)
class RerankOptions(Group):
    """How documents are reranked: arguments of :func:`tardif.rerank`."""

    k: K = 10
    explain: Explain = False
    device: Device = "auto"
    trust_remote_code: Trust = False
    report: Report = None
    quiet: Quiet = False


@verb
def rerank(
    model: Annotated[str, typer.Argument(help="A checkpoint; or without PyTorch an exported one, or an index.")],
    query: Annotated[str, typer.Argument(help="The query.")],
    documents: Annotated[Path, "The documents to order."],
    options: RerankOptions,
    reading: ReadingOptions,
    as_json: AsJson = False,
) -> None:
    """Order documents for a query, without an index."""
    from tardif.progress import Console
    from tardif.search.rerank import rerank as order

    hits = order(model, query, documents, **options.arguments(), **reading.arguments())
    if not hits:
        Console(quiet=options.quiet).say("No hits: the query, or every document, has no token that can be matched.")
    show_hits(query, hits, as_json)
