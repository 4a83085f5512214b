"""Judged sets: the corpus, queries and judgements that systems are measured on, whole in memory.

The readers and rules are those of ``prepare``, but nothing is selected for training: every judgement stays, and
documents are not cut.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tardif.data.assemble import source_name
from tardif.data.excluded_negatives import Own, of_the_same_id, own_documents
from tardif.data.formats import open_source
from tardif.data.formats.irds import irds_id
from tardif.data.formats.opening import has_known_layout
from tardif.data.formats.trec import read_trec_qrels
from tardif.data.formats.trec_folder import is_qrels
from tardif.data.hygiene.cleaning import Cleaning, clean
from tardif.data.hygiene.rules import RULES as PREPARE_RULES
from tardif.data.hygiene.rules import Rule
from tardif.data.inputs import Input, source_tables
from tardif.data.queries import stream_queries
from tardif.data.reading import LabelledReading
from tardif.data.regular import is_folder, user_path
from tardif.data.spooled import where
from tardif.data.staged_corpus import add_corpus
from tardif.data.staging import Staging
from tardif.data.synthetic import parent_of
from tardif.data.training_set import TEST, VALIDATION, TrainingSet, is_training_set
from tardif.display import Short
from tardif.errors import DataError, SettingError
from tardif.text.normal import normalise, text_id
from tardif.types import Document, Run

# The rules of prepare that decide which judgements there are. All others are about training.
_SHARED = ("id-as-text", "unknown-id", "repeated-click", "few-clicks", "duplicate", "contradiction", "markup")
RULES = {
    **{name: PREPARE_RULES[name] for name in _SHARED},
    **{
        rule.name: rule
        for rule in (
            Rule("empty", "a judged query without text", ("refuse", "drop")),
            Rule("no-positive", "a judged query without a relevant document", ("keep", "drop", "refuse")),
            Rule("identical", "a query's own document among its hits", ("own", "drop", "keep")),
            Rule("duplicate-hit", "a run that lists a document twice for a query", ("best", "refuse")),
        )
    },
}


@dataclass(frozen=True, slots=True, repr=False)
class JudgedSet(Short):
    """One split of a collection.

    Attributes:
        name: the name of the set in tables of figures.
        documents: the corpus, ordered by id. It is empty where judgements were given without texts: run files can be
            measured then, and nothing else.
        queries: the texts of the judged queries by id.
        qrels: their judgements.
        left_out: by query, the documents that do not count as hits: its own, or the pieces of it (the rule
            ``identical``).
        shape: how each source was read: lines for a reader.
        report: what was used and what was not: lines for a reader.
    """

    name: str
    documents: Sequence[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    left_out: Own = field(default_factory=dict)
    shape: tuple[str, ...] = ()
    report: tuple[str, ...] = ()


def without_own(run: Run, left_out: Own, depth: int | None = None) -> dict[str, dict[str, float]]:
    """Drop the queries' own documents from a run, and cut it at a depth.

    Args:
        run: the run. With a depth its hits must be ordered, best first.
        left_out: by query, the documents to drop.
        depth: the hits to keep of each query; None keeps all.

    >>> without_own({"q": {"q": 9.0, "d1": 5.0, "d2": 4.0}}, {"q": frozenset({"q"})}, 1)
    {'q': {'d1': 5.0}}
    """
    found = {}
    for query, hits in run.items():
        own = left_out.get(query, ())
        found[query] = dict([(d, score) for d, score in hits.items() if d not in own][:depth])
    return found


def most_own(left_out: Own) -> int:
    """The number of hits to search beyond a depth, so that it is reached without the queries' own documents."""
    return max(map(len, left_out.values()), default=0)


@dataclass(frozen=True, repr=False)
class Judging(LabelledReading):
    """How judged data are read.

    >>> Judging(on={"no-positive": "drop"}).actions["no-positive"]
    'drop'

    Args:
        columns, separator, encoding, sheet: as for :class:`tardif.data.reading.Reading`.
        positive_label, scores, clicks: as for :class:`tardif.preparation.Preparation`.
        on: rule to action (:data:`RULES`).
    """

    rules = RULES


def collections_in(source: Any, split: str = TEST) -> list[Any]:
    """The collections of a folder that holds several, such as BEIR's or NanoBEIR's, by name; else the source itself.

    Folders inside that hold no collection are passed over.
    """
    if not isinstance(source, str | Path) or irds_id(source) is not None:
        return [source]
    folder = user_path(source)
    if not is_folder(folder) or _is_collection(folder, split):
        return [source]
    return [inside for inside in sorted(folder.iterdir()) if is_folder(inside) and _is_collection(inside, split)] or [
        source
    ]


def _is_collection(folder: Path, split: str) -> bool:
    if is_training_set(folder) or has_known_layout(folder, split):
        return True
    try:
        return source_tables(folder, split) is not None
    except DataError:  # it is one, and lacks a part: its reader says which
        return True


def read_judged(
    source: Any,
    split: str = TEST,
    *,
    documents: Any = None,
    queries: Any = None,
    how: Judging | None = None,
    name: str = "",
) -> JudgedSet:
    """Read a judged set.

    Args:
        source: a prepared folder, or anything that :func:`tardif.data.formats.open_source` reads: a BEIR or TREC
            folder, an id of ir-datasets, a labelled table, TREC qrels. Qrels without documents and queries suffice to
            measure run files.
        split: the split of a source that has several. A prepared folder without ``test`` gives ``validation``.
        documents: the corpus, if it is not in the source: anything that
            :func:`tardif.data.documents.stream_documents` reads. Documents are kept whole.
        queries: the queries' texts by id, where the source names queries by ids.
        how: how to read it, and the actions of the rules.
        name: the name of the set in tables of figures; by default the name of the folder or file.

    Raises:
        DataError: a file is missing or malformed, or a rule refuses; says where.
        SettingError: an option cannot be used.
        FolderError: the prepared folder is damaged.
    """
    how = how or Judging()
    how.check()
    _check_split(source, split)
    action = how.actions["identical"]
    if identity := irds_id(source):
        name = name or identity
    elif isinstance(source, str | Path):
        path = user_path(source)
        if not path.exists():
            raise DataError("no such file or folder: give a BEIR, TREC or prepared folder, or a labelled table.", path)
        name = name or path.resolve().name
        if is_folder(path) and is_training_set(path):
            if documents is not None or queries is not None:
                raise SettingError(
                    f"{path} is prepared and holds its texts: leave documents and queries out (--documents, --queries)."
                )
            return _own(_prepared(path, split, name), action)
    if documents is None and queries is None and _is_trec_qrels(source):
        return _judgements_alone(user_path(source), name)
    return _own(_read(Input.of([source], documents, queries, None, split), split, how, name or "data"), action)


def _check_split(source: Any, split: str) -> None:
    """Refuse the wish for a split of what has none; ``test`` is no wish, but the default."""
    if split == TEST or not isinstance(source, str | Path):
        return
    if irds_id(source) is not None or user_path(source).is_file():
        why = "is a file, which has no splits" if irds_id(source) is None else "names its split already"
        raise SettingError(f"split={split!r}: {source} {why}: leave the split out (--split; in Python split=).")


def _is_trec_qrels(source: Any) -> bool:
    if not isinstance(source, str | Path) or irds_id(source) is not None:
        return False
    path = user_path(source)
    return path.is_file() and is_qrels(path)


def _judgements_alone(path: Path, name: str) -> JudgedSet:
    """A file of TREC qrels without texts, which suffices to measure run files."""
    qrels: dict[str, dict[str, int]] = {}
    for line, query, document, relevance in read_trec_qrels(path):
        judged = qrels.setdefault(query, {})
        if judged.setdefault(document, relevance) != relevance:
            raise DataError(
                f"the query {query!r} judges the document {document!r} twice, {judged[document]} and {relevance}: "
                "keep one of the lines.",
                path,
                line,
            )
    if not any(relevance > 0 for judged in qrels.values() for relevance in judged.values()):
        raise DataError("judges no document relevant (1 or more), so that every run would measure 0.", path)
    count = sum(map(len, qrels.values()))
    lines = (f"{name}: TREC qrels without texts, for run files: {count:,} judgements of {len(qrels):,} queries",)
    return JudgedSet(name, [], dict.fromkeys(qrels, ""), qrels, report=lines)


def _prepared(folder: Path, split: str, name: str) -> JudgedSet:
    data = TrainingSet.load(folder)
    sides = set(data.split.values())
    # Few prepared sets hold out a test. Validation is the best figure that such a set has.
    used = VALIDATION if split == TEST and TEST not in sides else split
    ids = data.query_ids(used)
    if not ids:
        have = ", ".join(sorted(sides)) or "none"
        raise DataError(f"holds no {used} query (it has: {have}): choose a split (--split; in Python split=).", folder)
    documents = sorted(searchable(data, used), key=lambda document: document.id)
    other = "" if used == split else f" (there is no {split} split)"
    return JudgedSet(
        name,
        documents,
        {query: data.queries[query] for query in ids},
        {query: dict(data.qrels[query]) for query in ids},
        report=(f"{name}: a prepared set, its {used} queries{other}", _totals(name, len(ids), len(documents))),
    )


def searchable(data: TrainingSet, split: str = VALIDATION) -> Sequence[Document]:
    """The documents to search with the queries of a split; empty where it has no query."""
    relevant = {d for query in data.query_ids(split) for d in data.positives(query)}
    # A relevant variant replaces the document that it was made from: with both, the answer would be found twice.
    replaced = {parent_of(data.documents[identity]) for identity in relevant}
    if not relevant:
        return []
    return where(data.documents, lambda d: d.id in relevant or (parent_of(d) is None and d.id not in replaced))


def _read(given: Input, split: str, how: Judging, name: str) -> JudgedSet:
    shape = [*given.notes]
    # The staging database is on disk, so that the rules that prepare uses work here too.
    with tempfile.TemporaryDirectory(prefix="tardif-") as folder, Staging(Path(folder), markup=how.markup) as staging:
        opened = open_source(
            given.rows[0],
            columns=how.judging,
            split=split,
            form=how.form,
            positive_label=how.positive_label,
            runs=False,  # nobody has judged the hits of a run
        )
        for documents in given.documents:
            # The options for columns are of both tables; each reader takes its own.
            _, found = add_corpus(staging, documents, how.only_documents())
            shape += found.lines()
        for queries in given.queries:
            listed = stream_queries(queries, columns=how.judging, form=how.form)
            staging.add_queries(staging.source(source_name(queries, "queries")), listed)
        staging.add(opened)
        shape.append(f"{name}: {opened.shape}")
        # The rules of prepare that are about training keep what they concern.
        rules = {
            **dict.fromkeys(PREPARE_RULES, "keep"),
            **{rule: how.actions[rule] for rule in (*_SHARED, "no-positive")},
        }
        findings = clean(staging, rules, how)
        shape += [findings.labels] if findings.labels else []
        dropped = _drop_without_text(staging, how.actions["empty"])
        judged = _collected(staging, name)
        report = _used(staging, findings, judged, dropped, has_corpus=bool(given.documents))
    return replace(judged, shape=tuple(shape), report=(*findings.lines, *report))


def _drop_without_text(staging: Staging, action: str) -> int:
    """Drop judged queries without text, or raise if the rule refuses them; returns their number."""
    empty = [text_id("", "")]
    found = staging.all(
        """SELECT id, min(source), min(place) FROM queries WHERE id IN (SELECT id FROM asked WHERE key = ?)
        GROUP BY id ORDER BY 2, 3""",
        empty,
    )
    if found and action == "refuse":
        identity, source, place = found[0]
        what = f"the query {identity!r} is judged and has no text ({len(found)} in all): mend it, or choose empty=drop"
        raise staging.error(source, place, f'{what} (--on empty=drop; in Python on={{"empty": "drop"}}).')
    staging.run("DELETE FROM asked WHERE key = ?", empty)
    return len(found)


def _collected(staging: Staging, name: str) -> JudgedSet:
    documents = staging.documents("SELECT id, title, text, metadata FROM texts ORDER BY id")
    queries = dict(staging.all("SELECT id, text FROM asked ORDER BY id"))
    qrels: dict[str, dict[str, int]] = {query: {} for query in queries}
    for query, document, relevance in staging.all(
        "SELECT query_id, document_id, relevance FROM judged SEMI JOIN asked ON asked.id = query_id ORDER BY ALL"
    ):
        qrels[query][document] = relevance
    if not queries:
        raise DataError("No judged query is left to measure on.", name)
    if not any(relevance > 0 for found in qrels.values() for relevance in found.values()):
        raise DataError(
            f"none of its {len(queries)} judged queries has a relevant document (a label of 1 or more), so that every "
            "system would measure 0: give another split (--split; in Python split=), or say what its labels mean "
            "(--positive-label, --scores; in Python Judging(positive_label=, scores=)).",
            name,
        )
    return JudgedSet(name, documents, queries, qrels)


def _used(staging: Staging, findings: Cleaning, judged: JudgedSet, dropped: int, *, has_corpus: bool) -> list[str]:
    """Lines on what was used and what was not."""
    used = sum(map(len, judged.qrels.values()))
    lines = [f"{staging.rows} judgements read: {used} used, {staging.rows - used} not"]
    lines += [
        f"{name}: {count} ({RULES[name].what}; {findings.done[name]})"
        for name, count in findings.counts.items()
        if name in RULES and name != "empty"
    ]
    if findings.done.get("unknown-id") == "drop":
        lines.append("what is dropped counts nowhere: not for recall either, where trec_eval counts it as not found")
    if count := findings.counts.get("empty", 0):
        what = "a query or document without text, which finds nothing and is not found"
        lines.append(f"{count} judgements are of {what}")
    if dropped:
        lines.append(f"empty: {dropped} ({RULES['empty'].what}; drop)")
    if has_corpus and (
        count := int(staging.one("SELECT count(*) FROM texts WHERE id NOT IN (SELECT id FROM documents WHERE corpus)"))
    ):
        lines.append(f"{count} judged texts are no document of the corpus: they are searched beside it")
    return [*lines, _totals(judged.name, len(judged.queries), len(judged.documents))]


def _totals(name: str, queries: int, documents: int) -> str:
    return f"{name}: {queries:,} judged queries over {documents:,} documents"


def _own(judged: JudgedSet, action: str) -> JudgedSet:
    """Apply the rule ``identical``: decide which queries' own documents are no hits, and report it."""
    named = of_the_same_id(judged.queries, judged.documents)
    shared = {query: frozenset(document.id for document in own) for query, own in sorted(named.items())}
    relevant = {query for query, own in shared.items() if any(judged.qrels[query].get(d, 0) > 0 for d in own)}
    own = own_documents(judged.queries, judged.documents, judged.qrels)
    left_out: Own = {"own": own, "drop": shared}.get(action, {})
    lines = []
    if left_out:
        lines.append(
            f"identical: {len(left_out)} queries have their own document in the corpus: it is no hit of theirs, as in "
            "BEIR (--on identical=keep counts it)"
        )
        if gone := len(left_out.keys() & relevant):
            lines.append(f"identical: {gone} of these documents are judged relevant, and cannot be found now")
    elif len(relevant) < len(shared):
        why = "with the same text" if own else "with another text"
        lines.append(
            f"identical: {len(shared)} queries have the id of a document, {why}: it stays a hit "
            "(--on identical=drop leaves it out, as BEIR does)"
        )
    if found := _elsewhere(judged):
        lines.append(f"{found} queries are in the corpus word for word under another id, and find themselves")
    return replace(judged, left_out=left_out, report=(*judged.report, *lines))


def _elsewhere(judged: JudgedSet) -> int:
    """The number of queries with the text of a document that has another id and is not judged relevant."""
    asked: dict[str, list[str]] = {}
    for query, text in judged.queries.items():
        asked.setdefault(normalise(text), []).append(query)
    # Normalising every article of a corpus would take longer than all the rest.
    longest = max(map(len, judged.queries.values()))
    found = {
        query
        for document in judged.documents
        if len(document.text) <= 2 * longest + 100  # no query has a longer text
        for text in {normalise(document.text), normalise(document.content)}
        for query in asked.get(text, ())
        if query != document.id and judged.qrels[query].get(document.id, 0) <= 0
    }
    return len(found)
