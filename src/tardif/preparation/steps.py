"""The steps of ``prepare``: gather, judge, split, mine, publish."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.checks import check_list, storable
from tardif.data.assemble import find_crowded, source_json, source_label, tables, write_report, write_tables
from tardif.data.hygiene.cleaning import Cleaning, clean
from tardif.data.hygiene.findings import findings as findings_of
from tardif.data.hygiene.joining import READ_BYTES
from tardif.data.inputs import Input
from tardif.data.regular import noting_opened
from tardif.data.split import AUTO, SHARE, split, take_groups, why_nothing_is_held_out
from tardif.data.staging import Staging
from tardif.data.synthetic import PARENT
from tardif.data.training_set import HYGIENE, VALIDATION, TrainingSet, is_training_set, write_making, write_manifest
from tardif.errors import DataError, FolderError, SettingError
from tardif.extras import need
from tardif.folders import check_output, staged
from tardif.locks import hold
from tardif.mining.mining_plan import forget, work_folder
from tardif.preparation.gathering import gather, open_rows
from tardif.preparation.options import Preparation
from tardif.progress import Console, Silent
from tardif.text.languages import language as find_language
from tardif.text.near import LIMIT, NEIGHBOURS, Near, near_duplicates

_LANGUAGE_POOL = 20_000  # documents that the sample for the check of the language is drawn from


def prepare(
    sources: Iterable[Any],
    documents: Any = None,
    *,
    queries: Any = None,
    validation: Any = AUTO,
    console: Console | None = None,
    work: Path | None = None,
    **options: Any,
) -> TrainingSet:
    """Make a training set in memory.

    The set is handed over as it was made: no file of it is written, and none is read. Memory holds the values of the
    set (:class:`~tardif.data.training_set.TrainingSet`), without the texts of a large corpus. What is read waits in a
    database in the temporary folder.

    Args:
        sources: each anything that :func:`tardif.data.formats.open_source` reads.
        documents: the corpus, if it is not in the sources: anything that
            :func:`tardif.data.documents.stream_documents` reads.
        queries: the queries' texts by id, where the sources name them by ids: anything that
            :func:`tardif.data.queries.stream_queries` reads.
        validation: the share of queries to hold out, or held-out rows of their own.
        console: where to show progress.
        work: where to keep what mining has done until the set is made; a temporary folder by default. After an
            interruption the same call continues from there.
        **options: of :class:`Preparation`.

    Raises:
        DataError: the input cannot be read or makes no sense.
        SettingError: an option cannot be used.

    >>> rows = [(f"who wrote book {n}?", f"Book {n} was written by author {n}.") for n in range(20)]
    >>> data = prepare([rows], negatives=2, window=(2, 10))
    >>> data
    TrainingSet(20 documents, 14 train queries, 6 validation queries, 14 examples, 28 hard negatives)
    """
    how, given = _check(sources, documents, queries, validation, options)
    console = console or Silent()
    with tempfile.TemporaryDirectory(prefix="tardif-") as folder:
        work = work or Path(folder) / "mining"
        with _mining_in(work, how):
            made = _make(Path(folder), given, how, console, work, in_memory=True)
    made.show(console)
    assert made.data is not None
    return dataclasses.replace(made.data, report=made.lines)


def prepare_folder(
    sources: Iterable[Any],
    documents: Any,
    out: str | Path,
    *,
    queries: Any = None,
    validation: Any = AUTO,
    overwrite: bool = False,
    console: Console | None = None,
    work: Path | None = None,
    **options: Any,
) -> Path:
    """Make a training set as a folder, whole or not at all.

    Each table is written once. Without mining, tables stream from the database to their files, and memory is bounded.
    Mining holds the values of the set, without the texts of a large corpus.

    Arguments and errors as for :func:`prepare`. What mining has done is kept in ``work`` (``.NAME.mining`` beside the
    folder) until the folder is whole: after an interruption the same call continues from there.

    Args:
        out: the folder.
        overwrite: replace a folder that exists.

    Raises:
        FolderError: the folder exists (and ``overwrite`` is false) or cannot be written.

    >>> folder = prepare_folder(["pairs.jsonl"], None, "prepared", validation=0)
    >>> sorted(path.name for path in folder.glob("*.parquet"))
    ['documents.parquet', 'examples.parquet', 'qrels.parquet', 'queries.parquet']
    """
    how, given = _check(sources, documents, queries, validation, options)
    console = console or Silent()
    out = Path(out)
    work = work or work_folder(out)
    # Before the work: a folder that exists must not be found after an hour of mining.
    place = check_output(out, overwrite=overwrite, read=[*given.sources, documents, queries])
    if not storable(str(place)):
        raise FolderError(f"{place} is not UTF-8, which DuckDB needs: choose another output folder.")
    with _mining_in(work, how), staged(out, overwrite=overwrite) as aside:
        made = _make(aside, given, how, console, work, in_memory=False)
        counts = made.counts if made.data is None else made.data.write_tables(aside)
        write_making(aside, made.evidence if made.data is None else made.data.evidence)
        own: dict[str, Any] = {"settings": how.as_json(), "sources": made.sources}
        own |= {"made": made.queries} if made.queries else {}
        write_manifest(aside, counts, made.findings.counts, made.lines, **own)
    made.show(console)
    return out


def check_input(
    sources: Iterable[Any], documents: Any = None, *, queries: Any = None, validation: Any = AUTO, **options: Any
) -> None:
    """Raise what :func:`prepare` would of the options, the files and their columns, without reading the data.

    Arguments and errors as for :func:`prepare`.
    """
    how, given = _check(sources, documents, queries, validation, options)
    open_rows(given, how)


def _check(
    sources: Iterable[Any], documents: Any, queries: Any, validation: Any, options: Mapping[str, Any]
) -> tuple[Preparation, Input]:
    """Check everything that can be checked before data are read."""
    need("train", "prepare")
    # One argument for both: a share, or rows of one's own.
    share = isinstance(validation, int | float) or (isinstance(validation, str) and validation == AUTO)
    unknown = set(options) - {f.name for f in dataclasses.fields(Preparation)}
    if unknown:
        raise SettingError(f"The option {sorted(unknown)[0]!r} of prepare is not known.")
    how = Preparation(**options, validation=validation if share else 0.0)
    how.check()
    if not share and how.test:
        raise SettingError(
            "test: a share cannot be drawn beside held-out rows of your own; hold the test out yourself."
        )
    if share and how.validation_columns is not None:
        raise SettingError(
            "validation_columns (--validation-columns) are of held-out rows, and validation is a share: give the rows "
            "with validation= (--validation FILE)."
        )
    sources = check_list(sources, "sources", DataError)
    for source in sources:
        if isinstance(source, str | Path) and is_training_set(source):
            raise DataError("is prepared already: train on it.", source)
    if not sources and not how.synthesize and how.endpoint is None:
        raise DataError(
            "There is nothing to train on: give pairs, or make them from the documents (synthesize, endpoint)."
        )
    if documents is None and (named := ", ".join(how.of_documents)):
        raise SettingError(
            f"columns: {named} are columns of documents, and none are given: give documents (--documents)."
        )
    return how, Input.of(sources, documents, queries, None if share else validation, how.split)


@contextmanager
def _mining_in(work: Path, how: Preparation) -> Iterator[None]:
    """Hold the folder of finished mining, and remove it when the set is whole."""
    # A folder that an interrupted run with mining left is held too: it is removed at the end.
    is_used = how.mining.is_needed or work.exists()
    with hold(work, what=f"Negatives are being mined in {work}") if is_used else nullcontext():
        yield
        forget(work)


@dataclass
class _Made:
    """A training set that is not published yet.

    Attributes:
        findings: of the rules.
        lines: the report.
        totals: the lines of the report that count what the data came to; a silent console shows them too.
        counts: rows by table, where the tables were streamed to files.
        data: the set, where it was not.
        queries: the number of queries that rules made from the documents.
        evidence: what a report shows of the rules.
        sources: the sources as the manifest of a folder names them.
    """

    findings: Cleaning
    lines: list[str]
    totals: range = range(0)
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    data: TrainingSet | None = None
    queries: int = 0
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sources: Sequence[Mapping[str, Any]] = ()

    def show(self, console: Console) -> None:
        for place, line in enumerate(self.lines):
            (console.tell if place in self.totals else console.say)(f"  {line}")


def _make(folder: Path, given: Input, how: Preparation, console: Console, work: Path, *, in_memory: bool) -> _Made:
    """Make a set: in memory, or as far as it goes without that in the files of a folder."""
    with Staging(folder, markup=how.markup) as staging:
        made = _judge(staging, given, how, console)
        if not in_memory:
            write_report(staging, folder)
            # Before mining: a file that has changed or gone must not be found after an hour.
            made.sources = [source_json(source, given.opened) for source in given.sources]
        made.evidence = {HYGIENE: found} if (found := findings_of(staging)) else {}
        if in_memory or how.mining.is_needed:
            made.data = TrainingSet.from_tables(
                tables(staging),
                settings=how.as_json(),
                made=made.queries,
                evidence=made.evidence,
                sources=tuple(source_label(source) for source in given.sources if source is not None),
            )
            documents = len(made.data.documents)
        else:
            made.counts = write_tables(staging, folder)
            documents = made.counts["documents"]
    made.lines.append(f"{documents} documents")
    # The number of documents belongs to the totals, and is known only now.
    made.totals = range(made.totals.start, len(made.lines))
    # Mining comes after the database is closed, when its memory is free.
    if how.mining.is_needed and made.data is not None:
        made.data, lines = how.mining.run(made.data, console, work=work)
        made.lines += lines
    return made


def _judge(staging: Staging, given: Input, how: Preparation, console: Console) -> _Made:
    """Gather everything, apply the rules, and split."""
    with noting_opened(given.opened):
        gathered = gather(staging, given, how, console)
    findings = clean(staging, how.actions, how)
    lines = [*gathered.lines, *findings.lines, *filter(None, [findings.labels])]
    # Nearly the same queries stay on one side: else training would see what the evaluation asks.
    alike = _near(findings, how, lines, console)
    _foreign(findings, how, lines)
    if how.group_by and (count := take_groups(staging, how.group_by)):
        lines.append(f"group from {how.group_by} of the documents: {count} judgements")
    split(staging, how.sides, held_out=gathered.held_out, alike=alike.links)
    if crowded := find_crowded(staging):
        lines.append(
            f"{crowded} queries have too many positives and negatives to combine them all: each example gets a "
            "part of the negatives, in turn"
        )
    before, used = len(lines), int(staging.one("SELECT count(row) FROM judged"))
    lines.append(f"{staging.rows} judgements read: {used} used, {staging.rows - used} not")
    lines += findings.by_rule()
    lines += _sides(staging, how, drawn=not gathered.held_out, near=bool(alike.links))
    if count := int(staging.one(f"SELECT count(*) FROM texts WHERE strlen(title) + strlen(text) > {READ_BYTES}")):
        lines.append(
            f"{count} documents have more than {READ_BYTES:,} bytes: a model reads about their first 512 "
            "tokens, and no search finds the rest; cut them into pieces (--chunk 256, in Python chunk=256)"
        )
    return _Made(findings, lines, range(before, len(lines)), queries=gathered.made)


def _sides(staging: Staging, how: Preparation, *, drawn: bool, near: bool) -> list[str]:
    """Lines on the queries of each side and, where they were ``drawn``, on the size of the held-out share."""
    counts = dict(staging.all("SELECT side, count(*) FROM sides GROUP BY side ORDER BY side DESC"))
    total, held, share = sum(counts.values()), counts.get(VALIDATION, 0), how.sides.validation
    lines = []
    if drawn and share == AUTO and held > round(SHARE * total):
        lines.append(f"{held} of {total} queries are held out: with fewer, a gain could hardly be told from chance")
    if share and not held:
        lines.append(why_nothing_is_held_out(staging, how.sides, near=near))
    relevant = "judged j JOIN texts t ON t.id = j.document_id WHERE j.relevance > 0"
    if staging.one(f"SELECT count(DISTINCT t.key) FROM {relevant}") == 1:
        lines.append("all queries have the same answer: only mined negatives can teach anything")
    return lines + [f"{side}: {count} queries" for side, count in counts.items()]


def _near(findings: Cleaning, how: Preparation, lines: list[str], console: Console) -> Near:
    """Report documents that are nearly the same; returns such queries, which stay on one side."""
    found = {"texts": Near(), "asked": Near()}
    if not how.near:
        return found["asked"]
    staging = findings.staging
    # A variant is nearly its parent by design.
    texts = f"SELECT id, title || ' ' || text FROM texts WHERE metadata NOT LIKE '%{PARENT}%'"
    for table, what, rows in (("texts", "documents", texts), ("asked", "queries", "SELECT id, text FROM asked")):
        count = int(staging.one(f"SELECT count(*) FROM {table}"))
        # Time and memory of the search grow with the number of texts.
        if count > LIMIT:
            lines.append(f"near-duplicates among the {count} {what} were not looked for: there are over {LIMIT}")
            continue
        with console.progress(f"Looking for near-duplicate {what}", None, what) as bar:
            found[table] = near_duplicates(staging.stream(rows), advance=bar.advance)
        if unsure := found[table].unsure:
            lines.append(
                f"{unsure} {what} have too many look-alikes: each was compared with at most {NEIGHBOURS} of them, so "
                "some near-duplicates may be missed"
            )
    if found["texts"].links:
        findings.note_documents("near-duplicate", list(found["texts"].partners.items()))
    if count := len(found["asked"].partners):
        lines.append(
            f"{count} queries are nearly the same as another, in {found['asked'].groups} groups, each kept on one "
            "side of the split"
        )
    return found["asked"]


def _foreign(findings: Cleaning, how: Preparation, lines: list[str]) -> None:
    """Report documents of a sample that are in another language than declared."""
    from tardif.text.detect import READ_CHARACTERS, foreign_texts

    language = find_language(how.language)
    # By the hash of the id: the same sample whatever the order of the rows. Of a long text its beginning decides.
    rows = findings.staging.all(
        f"SELECT id, left(text, {READ_CHARACTERS}) FROM texts ORDER BY md5(id) LIMIT {_LANGUAGE_POOL}"
    )
    looked_at, foreign = foreign_texts(rows, language.code)
    if foreign:
        lines.append(
            f"{len(foreign)} of {looked_at} documents looked at seem to be in another language than {language.name}"
        )
        findings.note_documents("language", foreign)
