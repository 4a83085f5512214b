"""``prepare``: read, chunk, judge, split, mine; the way from what the user has to a training set."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.checks import check_list, check_mapping, shown
from tardif.data.assemble import source_json, source_name, write_report, write_tables
from tardif.data.chunking import Chunk, cutter
from tardif.data.document_report import MARKUP, DocumentReport
from tardif.data.documents import stream_documents
from tardif.data.formats import held_out_sources, open_source
from tardif.data.hygiene import rules
from tardif.data.hygiene.clicks import ClickRule
from tardif.data.hygiene.joining import READ_BYTES
from tardif.data.hygiene.labels import check_scores
from tardif.data.inputs import Input, stream_queries
from tardif.data.reading import Reading, check_columns
from tardif.data.records import Source
from tardif.data.split import AUTO, SHARE, Split, split, why_nothing_is_held_out
from tardif.data.staging import Staging
from tardif.data.synthetic import PARENT
from tardif.data.training_set import VALIDATION, TrainingSet, is_training_set, write_manifest
from tardif.encoder import MINILM
from tardif.encoder.base import Base, resolve_base
from tardif.errors import DataError, SettingError
from tardif.folders import check_output, staged
from tardif.locks import hold
from tardif.mining.mining_plan import MiningPlan, forget, work_folder
from tardif.mining.selection import NEAR_COPY, RATIO, Selection
from tardif.mining.teacher import teacher_name
from tardif.progress import Console, Silent
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.text.near import LIMIT, NEIGHBOURS, Near, near_duplicates
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.synthesis.endpoint import EndpointWriter

CAPS = ("max_requests", "max_tokens", "max_cost")
"""What caps an endpoint's spending; one of them must."""

_LANGUAGE_POOL = 20_000


@dataclass(frozen=True, repr=False, kw_only=True)
class Preparation(Reading):
    """How a training set is made.

    Args:
        columns, separator, encoding, sheet, on: as for :class:`tardif.data.reading.Reading`.
        language: ISO 639 code of the texts; chooses stemmer and stopwords.
        miner: ``lexical`` (BM25), ``dense``, ``late``, ``hybrid`` or ``none``.
        negatives: hard negatives per query. 8 cost nothing to mine, and training draws from them.
        window: the ranks they are drawn from, counted from 1.
        ratio: a negative stays only below so much of its query's positive's score; None: any score; ``auto``: by the
            number of queries (:func:`tardif.mining.selection.ratio_for`).
        sampling, margin, floor, ceiling, near_copy, random_share, max_uses: as for
            :class:`tardif.mining.selection.Selection`.
        teacher: a cross-encoder's folder or hub id, or a callable that scores a list of (query, document):
            drops false negatives, and its scores go into the examples.
        teacher_ratio: it drops what scores so much of the positive's score.
        miner_model: the model of the dense miner, or of the late one; None: the language's.
        miner_size: of the language's model: ``small``, ``base`` or ``large``.
        device: where the models of miner and teacher compute.
        validation: the share of queries to hold out, at most 500; ``auto``: a tenth, but with fewer than 500 queries
            50 of them, or a third where that is less (:func:`tardif.data.split.enough`).
        validation_columns: role to column in held-out rows of their own, where they are other than ``columns`` says.
        test: the share for a test that training never sees.
        documents_apart: no document is relevant to queries on two sides of the split.
        group_by: a column or metadata field; what shares its value stays on one side.
        split: which split of a source that has several.
        positive_label: the label that means relevant, where labels are words.
        scores: what numbers beside pairs are that are no grades: ``teacher`` (a teacher's scores: the best scored
            document of each query is its positive, the others its scored negatives), or the number from which a
            document is relevant. None: they are refused, since reading them as grades makes negatives of positives.
        clicks: from when on a clicked document is relevant: a number of clicks (2), a share of the times that it was
            shown (0.3, "30%"), or both ("2,30%"). None: 2 clicks, in a tenth of the times where these are known.
        near: look for near-duplicates (in collections of up to 50,000 texts).
        chunk: cut documents longer than so many of the base's tokens; ``auto`` cuts files of text,
            Markdown, HTML and PDF at 256 and keeps rows whole; None keeps all whole.
        base: the base whose tokens count for ``chunk``.
        synthesize: make training queries from the documents themselves.
        synthesize_limit: how many queries are made of them at most; None: all that there are.
        endpoint: let an OpenAI-compatible endpoint write queries for the documents: the arguments of
            :class:`tardif.synthesis.endpoint.EndpointWriter` (``url``, ``model``, ``cache`` and a cap at
            least). Nothing is sent anywhere without it.
        seed: of the split and the draws.
    """

    language: str = "en"
    miner: str = "lexical"
    negatives: int = 8
    window: tuple[int, int] = (1, 50)
    sampling: str = "uniform"
    ratio: float | str | None = "auto"
    margin: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    near_copy: float | None = NEAR_COPY
    random_share: float = 0.0
    max_uses: int | None = None
    teacher: Any = None
    teacher_ratio: float | None = 0.95
    miner_model: str | None = None
    miner_size: str = "small"
    device: str = "auto"
    validation: float | str = AUTO
    validation_columns: Mapping[str, Any] | None = None
    test: float = 0.0
    documents_apart: bool = False
    group_by: str | None = None
    split: str = "train"
    positive_label: str | None = None
    scores: str | float | None = None
    clicks: Any = None
    near: bool = True
    chunk: Chunk = "auto"
    base: str = MINILM
    synthesize: bool = False
    synthesize_limit: int | None = 4000
    endpoint: Mapping[str, Any] | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise if an option cannot be used.

        Raises:
            SettingError: names the option.
        """
        if not isinstance(self.window, tuple | list) or len(self.window) != 2:
            raise SettingError(f"window={shown(self.window)}: give two ranks, such as (1, 50).")
        super().check()
        check_columns("validation_columns", self.validation_columns)
        self.mining.check()
        self.sides.check()
        check_scores(self.scores)
        ClickRule.of(self.clicks)
        limit = self.synthesize_limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise SettingError(f"synthesize_limit={shown(limit)}: give 1 or more, or None for all.")
        if self.endpoint is not None:
            check_mapping(self.endpoint, "endpoint", '{"url": ..., "model": ...}')
            self.writer()

    @property
    def mining(self) -> MiningPlan:
        """What mines, and how."""
        same = ("negatives", "sampling", "margin", "floor", "ceiling", "near_copy", "random_share", "max_uses")
        ratio: Any = RATIO if self.ratio == AUTO else self.ratio
        first, last = self.window
        return MiningPlan(
            self.miner,
            find_language(self.language),
            self.base,
            model=self.miner_model,
            size=self.miner_size,
            selection=Selection(first=first, last=last, ratio=ratio, **{name: getattr(self, name) for name in same}),
            decides_ratio=self.ratio == AUTO,
            teacher=self.teacher,
            teacher_ratio=self.teacher_ratio,
            device=self.device,
            seed=self.seed,
        )

    @property
    def _endpoint(self) -> dict[str, Any] | None:
        """What of the endpoint makes the queries: not where its cache lies."""
        return None if self.endpoint is None else {k: v for k, v in self.endpoint.items() if k != "cache"}

    @property
    def sides(self) -> Split:
        """How queries are held out."""
        return Split(self.validation, self.test, self.seed, self.documents_apart)

    def writer(self) -> EndpointWriter:
        """What asks the endpoint.

        Raises:
            SettingError: an argument is missing, not known or out of range, or there is no cap.
        """
        from tardif.synthesis.endpoint import EndpointWriter

        given = {name: value for name, value in (self.endpoint or {}).items() if value is not None}
        if not any(name in given for name in CAPS):
            raise SettingError(f"The endpoint has no spending cap: set {', '.join(CAPS[:-1])} or {CAPS[-1]}.")
        try:
            return EndpointWriter(**given)
        except TypeError as error:
            raise SettingError(f"The endpoint: {str(error).partition('() ')[2]}.") from error

    def as_json(self) -> dict[str, Any]:
        """The options as the manifest records them: what decides what is made."""
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "device"}
        return {
            **options,
            "window": list(self.window),
            "teacher": None if self.teacher is None else teacher_name(self.teacher),
            "on": dict(self.on or {}),
            "endpoint": self._endpoint,
        }


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
    """Make a training set of what the user has, in memory.

    Args:
        sources: each anything that :func:`tardif.data.formats.open_source` reads.
        documents: the corpus, if it is not in the sources: anything that
            :func:`tardif.data.documents.stream_documents` reads.
        queries: the queries' texts by id, where the sources name them by ids: anything that
            :func:`tardif.data.inputs.stream_queries` reads.
        validation: the share of queries to hold out, or held-out rows of their own.
        console: where to show progress.
        **options: of :class:`Preparation`.

    Raises:
        DataError: the input cannot be read or makes no sense.
        SettingError: an option cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="tardif-") as folder:
        out = Path(folder) / "set"
        more = {"queries": queries, "validation": validation, "console": console, "work": work}
        path = prepare_folder(sources, documents, out, **more, **options)
        return TrainingSet.load(path)


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
    """Make a training set as a folder, whole or not at all, in bounded memory where nothing is mined.

    Arguments and errors as for :func:`prepare`; mining holds the texts in memory. What it has done is kept
    in ``work`` (``.NAME.mining`` beside the folder) until the folder is whole: the same call goes on
    from there after an interruption.
    """
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
    if documents is None and how.of_documents:
        named = ", ".join(how.of_documents)
        raise SettingError(
            f"columns: {named} are columns of documents, and none are given: give documents (--documents)."
        )
    console = console or Silent()
    out = Path(out)
    work = work or work_folder(out)
    check_output(out, overwrite=overwrite)
    with ExitStack() as held:
        if how.mining.is_needed or work.exists():
            held.enter_context(hold(work, what=f"Negatives are being mined in {work}"))
        with staged(out, overwrite=overwrite) as aside:
            given = Input.of(sources, documents, queries, None if share else validation, how.split)
            report, totals = _make(aside, given, how, console, work)
        forget(work)
    for place, line in enumerate(report):
        (console.tell if place in totals else console.say)(f"  {line}")
    return out


def _make(aside: Path, given: Input, how: Preparation, console: Console, work: Path) -> tuple[list[str], range]:
    """Fill the folder of a set; returns its report, and which of its lines say what the data came to."""
    actions = how.actions
    report: list[str] = []
    language = find_language(how.language)
    with Staging(aside, markup=actions["markup"]) as staging:
        held, made = _gather(staging, given, how, report, console)
        rows = staging.rows
        if not rows:
            raise DataError("There is nothing to train on: the input states no pair of query and document.")
        findings = rules.clean(
            staging,
            actions,
            positive_label=how.positive_label,
            scores=check_scores(how.scores),
            clicks=ClickRule.of(how.clicks),
        )
        report += [*findings.lines, *([findings.labels] if findings.labels else [])]
        alike = _near(staging, actions, findings, how, report, console)
        _foreign(staging, actions, findings, language, report)
        split(staging, how.sides, held_out=held, alike=alike.links)
        counts = write_tables(staging, aside)
        if crowded := staging.one("SELECT count(*) FROM crowded"):
            report.append(
                f"{crowded} queries have so many positives and negatives that each of their examples carries some of "
                "the negatives, in turn"
            )
        write_report(staging, aside)
        used, before = int(staging.one("SELECT count(row) FROM judged")), len(report)
        report.append(f"{rows} judgements read: {used} used, {rows - used} not")
        report += [
            f"{rule}: {count} ({rules.RULES[rule].what}{findings.example_of(rule)}; {findings.done[rule]}"
            f"{rules.way_out(rule, findings.done[rule])})"
            for rule, count in findings.counts.items()
        ]
        report += _sides(staging, how, drawn=not held, near=bool(alike.links))
        if count := int(staging.one(f"SELECT count(*) FROM texts WHERE strlen(title) + strlen(text) > {READ_BYTES}")):
            report.append(
                f"{count} documents have more than {READ_BYTES:,} bytes: what a model does not read of them, about "
                "all behind 512 tokens, cannot be found; cut them into pieces (--chunk 256, in Python chunk=256)"
            )
    report.append(f"{counts['documents']} documents")
    totals = range(before, len(report))
    manifest: dict[str, Any] = {
        "settings": how.as_json(),
        "sources": [source_json(source) for source in given.sources],
    }
    if made:
        manifest["made"] = made
    if how.mining.is_needed:
        report += how.mining.run(aside, manifest, console, work=work)
    write_manifest(aside, counts, findings.counts, report, **manifest)
    return report, totals


def _sides(staging: Staging, how: Preparation, *, drawn: bool, near: bool) -> list[str]:
    """What is told of the queries on each side, and why so many are held out, where they were ``drawn``."""
    counts = dict(staging.all("SELECT side, count(*) FROM sides GROUP BY side ORDER BY side DESC"))
    total, held, share = sum(counts.values()), counts.get(VALIDATION, 0), how.sides.validation
    told = []
    if drawn and share == AUTO and held > round(SHARE * total):
        told.append(f"{held} of {total} queries are held out: fewer could hardly tell a gain from chance")
    if share and not held:
        told.append(why_nothing_is_held_out(staging, how.sides, near=near))
    relevant = "judged j JOIN texts t ON t.id = j.document_id WHERE j.relevance > 0"
    if staging.one(f"SELECT count(DISTINCT t.key) FROM {relevant}") == 1:
        told.append("all queries have one answer: beside it, only mined negatives can teach anything")
    return told + [f"{side}: {count} queries" for side, count in counts.items()]


def _gather(
    staging: Staging, given: Input, how: Preparation, report: list[str], console: Console
) -> tuple[list[int], int]:
    """Read everything into the staging database; returns the numbers of the held-out sources, and how many
    queries rules have made."""
    held: list[int] = []
    made = 0

    def base() -> Base:
        return resolve_base(how.base)

    opened = _open(given, how)
    for documents in given.documents:
        found = DocumentReport()
        number = staging.source(source_name(documents))
        stream = stream_documents(documents, reading=how.only_documents(), report=found)
        with console.progress("Reading documents", None, "documents") as bar:
            staging.add_documents(
                number,
                _counted(stream, bar.advance),
                chunk=cutter(documents, how.chunk, base),
                rows=False,
            )
        report += found.lines()
        for note in found.notes:
            what = ": ".join(filter(None, (note.file, note.reason, note.detail)))
            if note.reason in MARKUP.values():
                staging.note("markup", how.markup, number, note.line, f"{note.file}: {note.detail}")
                staging.mark(f"{note.detail!r} in {note.place}")
            else:
                staging.note("file", note.action, number, note.line, what)
    for queries in given.queries:
        number = staging.source(source_name(queries, "queries"))
        count = staging.add_queries(number, stream_queries(queries, columns=how.judging, form=how.form))
        report.append(f"{Path(staging.sources[number]).name}: a list of {count:,} queries")
    for source, is_held in opened:
        with console.progress(f"Reading {Path(source.name).name}", None, "rows") as bar:
            number = staging.add(source, advance=bar.advance, chunk=cutter(None, how.chunk, base))
        held += [number] if is_held else []
        report.append(f"{Path(source.name).name}: {source.shape}" + (", held out" if is_held else ""))
    if how.synthesize or how.endpoint is not None:
        made = _write_queries(staging, how, report, console)
    return held, made


def _open(given: Input, how: Preparation) -> list[tuple[Source, bool]]:
    """Open the rows, and those that are held out, which is said beside each."""
    columns = how.judging
    whole: dict[str, Any] = {"group_by": how.group_by, "form": how.form, "positive_label": how.positive_label}
    opened: list[tuple[Source, bool]] = []
    for source in given.rows:
        if isinstance(source, Source):  # opened already, such as queries that an endpoint wrote
            opened.append((source, False))
            continue
        opened.append((open_source(source, columns=columns, split=how.split, **whole), False))
        held_too = held_out_sources(source, columns=columns, split=how.split, group_by=how.group_by)
        opened += [(found, True) for found in held_too]
    opened += [(open_source(source, columns=columns, **whole), True) for source in given.held_out]
    if given.own_held_out is not None:
        own = columns if how.validation_columns is None else how.validation_columns
        try:
            opened.append((open_source(given.own_held_out, columns=own, **whole), True))
        except DataError as error:
            raise _of_held_out(error) from None
    return opened


def _of_held_out(error: DataError) -> DataError:
    """An error in words of the option that names the columns of held-out rows: another names those of the others."""
    what = error.what.replace("--columns ", "--validation-columns ")
    return DataError(re.sub(r"\bcolumns=(?=\{)", "validation_columns=", what), error.path, error.line)


def _write_queries(staging: Staging, how: Preparation, report: list[str], console: Console) -> int:
    """Add queries made from the documents: by the rules of synthesis, by an endpoint, or both. Returns how many rules
    have made: an endpoint's are as good as asked."""
    from tardif.synthesis import SynthesisResult, synthesize

    corpus = [
        Document(identity, text, title, json.loads(metadata))
        for identity, title, text, metadata in staging.all(
            "SELECT DISTINCT id, title, text, metadata FROM documents WHERE corpus AND NOT parent ORDER BY id"
        )
    ]
    made: list[SynthesisResult] = []
    by_rules = 0
    if how.synthesize:
        console.say("Making queries from the documents ...")
        limit = how.synthesize_limit
        made.append(synthesize(corpus, language=find_language(how.language), seed=how.seed, limit=limit))
        by_rules = len(made[0].pairs)
    if how.endpoint is not None:
        console.say("Asking the endpoint for queries ...")
        made.append(how.writer().write(corpus))
    for result in made:
        staging.add(result)
        report += result.report
    return by_rules


def _near(
    staging: Staging,
    actions: Mapping[str, str],
    findings: rules.Findings,
    how: Preparation,
    report: list[str],
    console: Console,
) -> Near:
    """Report documents that are nearly the same; returns such queries, to keep on one side."""
    found = {"texts": Near(), "asked": Near()}
    if not how.near:
        return found["asked"]
    for table, content in (("texts", "title || ' ' || text"), ("asked", "text")):
        count = int(staging.one(f"SELECT count(*) FROM {table}"))
        what = "documents" if table == "texts" else "queries"
        if count > LIMIT:
            report.append(f"near-duplicates among the {count} {what} were not looked for: there are over {LIMIT}")
            continue
        # A variant is nearly its parent by design.
        real = f"WHERE metadata NOT LIKE '%{PARENT}%'" if table == "texts" else ""
        batches = staging.batches(f"SELECT id, {content} AS content FROM {table} {real}")
        rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
        with console.progress(f"Looking for near-duplicate {what}", None, what) as bar:
            found[table] = near_duplicates(rows, advance=bar.advance)
        if unsure := found[table].unsure:
            report.append(
                f"{unsure} {what} have so many look-alikes that each was compared with {NEIGHBOURS} of them at most: "
                "near-duplicates among them may be missed"
            )
    if found["texts"].links:
        rules.note_documents(staging, actions, findings, "near-duplicate", list(found["texts"].partners.items()))
    if count := len(found["asked"].partners):
        report.append(
            f"{count} queries are nearly the same as another, in {found['asked'].groups} groups, each kept on one "
            "side of the split"
        )
    return found["asked"]


def _foreign(
    staging: Staging, actions: Mapping[str, str], findings: rules.Findings, language: Language, report: list[str]
) -> None:
    """Report documents of a sample that are in another language than declared."""
    from tardif.text.detect import foreign_texts

    rows = staging.all(f"SELECT id, text FROM texts ORDER BY md5(id) LIMIT {_LANGUAGE_POOL}")
    looked_at, foreign = foreign_texts(rows, language.code)
    if foreign:
        report.append(
            f"{len(foreign)} of {looked_at} documents looked at seem to be in another language than {language.name}"
        )
        rules.note_documents(staging, actions, findings, "language", foreign)


def _counted(stream: Iterator[Any], advance: Callable[[int], None]) -> Iterator[Any]:
    for item in stream:
        yield item
        advance(1)
