"""Every source of a preparation, read into the staging database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.data.assemble import source_name
from tardif.data.chunking import cutter
from tardif.data.document_report import MARKUP
from tardif.data.formats import held_out_sources, open_source
from tardif.data.inputs import Input
from tardif.data.queries import stream_queries
from tardif.data.records import Source
from tardif.data.staged_corpus import add_corpus
from tardif.data.staging import Staging
from tardif.encoder.base import Base, resolve_base
from tardif.errors import DataError
from tardif.escaping import visible
from tardif.preparation.options import Preparation
from tardif.progress import Console
from tardif.text.languages import language as find_language
from tardif.text.normal import text_id


@dataclass
class Gathered:
    """The sources of a preparation, after reading them.

    Attributes:
        held_out: numbers of the sources that are held out.
        made: the number of queries that rules made from the documents.
        lines: how each source was read, for a reader.
    """

    held_out: list[int] = field(default_factory=list)
    made: int = 0
    lines: list[str] = field(default_factory=list)


def gather(staging: Staging, given: Input, how: Preparation, console: Console) -> Gathered:
    """Read all sources into the staging database.

    Raises:
        DataError: a source cannot be read, or none of them has a pair of query and document.
    """
    gathered = Gathered()
    # All sources are opened before any is read: a wrong path or column must not wait for a large corpus.
    opened = open_rows(given, how)
    for documents in given.documents:
        gathered.lines += _add_documents(staging, documents, how, console)
    for queries in given.queries:
        # Places in messages are lines of this list, so it is a source of its own.
        number = staging.source(source_name(queries, "queries"))
        count = staging.add_queries(number, stream_queries(queries, columns=how.judging, form=how.form))
        gathered.lines.append(f"{Path(staging.sources[number]).name}: a list of {count:,} queries")
    before = len(staging.sources)
    for source, is_held in opened:
        name = Path(source.name).name
        with console.progress(f"Reading {name}", None, "rows") as bar:
            number = staging.add(source, advance=bar.advance, chunk=cutter(None, how.chunk, _base(how)))
        gathered.held_out += [number] if is_held else []
        gathered.lines.append(f"{name}: {source.shape}" + (", held out" if is_held else ""))
    # The documents of a collection; the readers of corpora have counted theirs.
    empty = "SELECT count(*) FROM documents WHERE corpus AND key = ? AND source >= ?"
    if count := staging.one(empty, [text_id("", ""), before]):
        gathered.lines.append(f"{count:,} documents have neither text nor title, so they are never found")
    if how.synthesize or how.endpoint is not None:
        _make_queries(staging, how, gathered, console)
    # A corpus alone is no error before this: queries may be made from it.
    if not staging.rows:
        raise DataError("There is nothing to train on: the input states no pair of query and document.")
    return gathered


def _base(how: Preparation) -> Callable[[], Base]:
    """The base that counts tokens. It is looked for only if a document must be cut."""
    return lambda: resolve_base(how.base)


def _add_documents(staging: Staging, documents: Any, how: Preparation, console: Console) -> list[str]:
    """Read one corpus; returns lines on it."""
    chunk = cutter(documents, how.chunk, _base(how))
    with console.progress("Reading documents", None, "documents") as bar:
        number, found = add_corpus(staging, documents, how.only_documents(), chunk=chunk, advance=bar.advance)
    # The report of the set lists files and rows; the notes of a reader are of one corpus.
    for note in found.notes:
        file = visible(note.file)  # a table of the staging database holds no half characters
        if note.reason in MARKUP.values():
            staging.note("markup", how.markup, number, note.line, f"{file}: {note.detail}")
            staging.mark(f"{note.detail!r} in {note.place}")
        else:
            what = ": ".join(filter(None, (file, note.reason, note.detail)))
            staging.note("file", note.action, number, note.line, what)
    return found.lines()


def open_rows(given: Input, how: Preparation) -> list[tuple[Source, bool]]:
    """Open the sources of rows, each with whether it is held out.

    Raises:
        DataError: a file is missing, of no known format, or lacks a column.
    """
    of_rows: dict[str, Any] = {"columns": how.judging, "group_by": how.group_by}
    of_files: dict[str, Any] = {"form": how.form, "positive_label": how.positive_label}
    opened: list[tuple[Source, bool]] = []
    for source in given.rows:
        if isinstance(source, Source):  # opened already, such as queries that an endpoint wrote
            opened.append((source, False))
            continue
        opened.append((open_source(source, split=how.split, **of_rows, **of_files), False))
        opened += [(found, True) for found in held_out_sources(source, split=how.split, **of_rows)]
    opened += [(open_source(source, **of_rows, **of_files), True) for source in given.held_out]
    if given.own_held_out is not None:
        if how.validation_columns is not None:
            of_rows["columns"] = how.validation_columns
        try:
            opened.append((open_source(given.own_held_out, **of_rows, **of_files), True))
        except DataError as error:  # these rows have an option of their own for their columns
            what = error.what.replace("--columns ", "--validation-columns ")
            what = re.sub(r"\bcolumns=(?=\{)", "validation_columns=", what)
            raise DataError(what, error.path, error.line) from None
    return opened


def _make_queries(staging: Staging, how: Preparation, gathered: Gathered, console: Console) -> None:
    """Add queries for the documents: by rules, by an endpoint, or both.

    Only those by rules count as made: an endpoint's read like a user's.
    """
    from tardif.synthesis import synthesize

    # Documents that were cut are left out: their pieces are in the corpus too.
    corpus = staging.documents(
        "SELECT DISTINCT id, title, text, metadata FROM documents WHERE corpus AND NOT parent ORDER BY id"
    )
    results = []
    if how.synthesize:
        console.say("Making queries from the documents ...")
        language, limit = find_language(how.language), how.synthesize_limit
        results.append(synthesize(corpus, language=language, seed=how.seed, limit=limit))
        gathered.made = len(results[0].pairs)
    if how.endpoint is not None:
        console.say("Asking the endpoint for queries ...")
        results.append(how.writer().write(corpus))
    for result in results:
        number = staging.add(result)
        if how.group_by:  # the field of the document groups all queries that were made from it, and more
            staging.run("UPDATE judgements SET family = NULL WHERE source = ?", [number])
        gathered.lines += result.report
