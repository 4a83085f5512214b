"""The options that several verbs share, and the functions that read their values.

Every option is declared once. ``train`` takes all options of ``prepare``, and every verb that reads documents takes the
same options for reading tables, so a table is indexed as it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from tardif.cli.groups import Group
from tardif.errors import SettingError

if TYPE_CHECKING:
    from tardif.data.judged import Judging


def ranks(text: str) -> tuple[int, int]:
    """Read the first and the last rank of a window.

    >>> ranks("5-100")
    (5, 100)
    """
    first, dash, last = text.partition("-")
    # isdecimal, not isdigit: int() refuses superscripts, which are digits.
    if not dash or not first.strip().isdecimal() or not last.strip().isdecimal():
        raise SettingError(f"--window {text}: give the first and the last rank, such as 5-100.")
    return int(first), int(last)


def number_or_none(option: str, *words: str) -> Callable[[str], Any]:
    """Make a reader of a number, of ``none`` (read as None), or of some other words."""

    def read(text: str) -> float | str | None:
        if text in words:
            return text
        try:
            return None if text == "none" else float(text)
        except ValueError:
            raise SettingError(f"{option} {text}: give a number, or none.") from None

    return read


def whole_number(option: str, *words: str) -> Callable[[str], Any]:
    """Make a reader of a whole number, ``auto``, ``none`` (read as None), or another of some words.

    >>> [whole_number("--chunk")(text) for text in ("256", "auto", "none")]
    [256, 'auto', None]
    """

    def read(text: str) -> Any:
        if text in ("auto", *words):
            return text
        if text == "none":
            return None
        if not text.isdecimal():
            raise SettingError(f"{option} {text}: give a whole number, {', '.join(('auto', *words))} or none.")
        return int(text)

    return read


def share_or_path(text: str) -> float | str:
    """Read a share of the queries; other texts stay as they are: ``auto``, or the path of held-out rows."""
    try:
        return float(text)
    except ValueError:
        return text


def weighted(text: str) -> tuple[Path, float]:
    """Read a source and its weight.

    >>> weighted("more.jsonl=0.5")[1]
    0.5
    """
    # From the right: a path may hold an equals sign.
    path, equals, weight = text.rpartition("=")
    try:
        return (Path(path), float(weight)) if equals else (Path(text), 1.0)
    except ValueError:
        raise SettingError(f"--also {text}: give DATA=WEIGHT, such as more.jsonl=0.5.") from None


def device_kind(text: str) -> str:
    """Read the device that a verb computes on.

    Raises:
        SettingError: the machine has no such device.
    """
    from tardif.devices import allocate

    return allocate(text).kind


def lines_of(path: Path) -> list[str]:
    """Read the lines of a file that are not blank.

    Raises:
        DataError: it is no regular file, or not UTF-8.
    """
    from tardif.data.formats.files import bare_lines

    return [line for _, line in bare_lines(path, any_end=True) if line]


def assigned(option: str, example: str, *, once: bool = False) -> Callable[[Sequence[str] | None], Any]:
    """Make a reader of ``key=value`` texts.

    Args:
        option: the option, for errors.
        example: what to write, for errors.
        once: refuse a key that is given twice. Otherwise its values become a list.

    >>> read = assigned("--columns", "ROLE=COLUMN")
    >>> read(["query=ask", "positive=answer", "positive=summary"])
    {'query': 'ask', 'positive': ['answer', 'summary']}
    """

    def read(texts: Sequence[str] | None) -> Mapping[str, Any] | None:
        found: dict[str, list[str]] = {}
        for text in texts or ():
            key, equals, value = text.partition("=")
            if not equals or not key.strip():
                raise SettingError(f"{option} {text}: write {example}.")
            found.setdefault(key.strip(), []).append(value)
        for key, values in found.items():
            if once and len(values) > 1:
                raise SettingError(f"{option}: {key} is given {len(values)} times: give it once.")
        return {key: values[0] if len(values) == 1 else values for key, values in found.items()} or None

    return read


Seed = Annotated[int, "Seed of all random draws."]
Overwrite = Annotated[bool, "Replace an existing output."]
Quiet = Annotated[bool, "Show no progress. Results and totals are still shown."]
Language = Annotated[str, "ISO 639 code of the texts' language."]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
K = Annotated[int, typer.Option("-k", help="Number of hits.")]
Report = Annotated[Path | None, "Write a JSON line for each file, row or text that was skipped or cut."]
# Texts, because a path would take a slash from an address.
Index = Annotated[
    str, typer.Argument(help="The index's folder; or in Qdrant, http://HOST:6333/COLLECTION or edge:FOLDER.")
]
Trust = Annotated[bool, "Run Python code that comes with the model."]
Device = Annotated[str, "cpu, cuda, mps or auto.", device_kind]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="local|auto|HOST:PORT", help="Encode on a Ray cluster: local starts one here (docs/cluster.md)."
    ),
]
Chunk = Annotated[
    str, "Cut long documents: number of tokens, auto (only files of text) or none.", whole_number("--chunk")
]


@dataclass(frozen=True, kw_only=True)
class OpeningOptions(Group):
    """How the model of an index is opened: the arguments of ``Retriever``."""

    model: Annotated[Path | None, "The index's model, if it was moved."] = None
    device: Device = "auto"
    trust_remote_code: Trust = False


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(Group):
    """How tables are read (:class:`tardif.data.reading.Reading`)."""

    section: ClassVar = "Data"

    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=COLUMN", help="Name a column's role, such as query=question. Repeatable."),
        assigned("--columns", "ROLE=COLUMN, such as --columns query=question"),
    ] = None
    separator: Annotated[str | None, "Character between cells, or tab. Detected by default."] = None
    encoding: Annotated[str | None, "Encoding of tables, such as cp1252. Detected by default."] = None
    sheet: Annotated[str | None, typer.Option(metavar="NAME", help="Sheet of a workbook.")] = None
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE=ACTION", help="What to do with doubtful rows (docs/data.md). Repeatable."),
        assigned("--on", "RULE=ACTION, such as --on empty=drop", once=True),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CorpusOptions(Group):
    """The corpus, and the texts of queries that are named by ids."""

    section: ClassVar = "Documents"

    documents: Annotated[
        Path | None, "The corpus: a table, or a file or folder of text, Markdown, HTML, PDF or Word."
    ] = None
    queries: Annotated[Path | None, "A table of query ids and texts, for rows with query ids."] = None


@dataclass(frozen=True, kw_only=True)
class JudgingOptions(CorpusOptions, ReadingOptions):
    """How rows become judgements, for the verbs that read judgements."""

    section: ClassVar = "Data"

    positive_label: Annotated[str | None, "The label that means relevant."] = None
    scores: Annotated[
        str | None, "Meaning of scores that are no grades: teacher, or the lowest score of a relevant document."
    ] = None
    clicks: Annotated[
        str | None,
        "What makes a clicked document relevant: clicks (2), a share of views (30%), or both. Default: 2,10%.",
    ] = None

    def judging(self) -> tuple[dict[str, Any], Judging]:
        """Read how data is judged when systems are measured: the documents and queries, and the rest.

        Raises:
            SettingError: an option cannot be read or used.
        """
        from tardif.data.judged import Judging

        values = self.arguments()
        beside = {name: values.pop(name) for name in ("documents", "queries")}
        how = Judging(**values)
        how.check()
        return beside, how


@dataclass(frozen=True, kw_only=True)
class MiningOptions(Group):
    """How hard negatives are mined (:class:`tardif.mining.selection.Selection`)."""

    section: ClassVar = "Hard negatives"

    # Defaults are written as on the command line. A test compares what they read as with those of Preparation, which
    # cannot be imported here: it needs duckdb and numpy.
    miner: Annotated[str, "lexical (BM25), dense, late, hybrid or none."] = "lexical"
    negatives: Annotated[int, "Hard negatives per query."] = 8
    window: Annotated[str, "First and last rank to draw negatives from.", ranks] = "1-50"
    sampling: Annotated[str, "How to draw: uniform, top, or weighted by score."] = "uniform"
    ratio: Annotated[
        str,
        "Drop negatives above this fraction of the positive's score; none: keep all; auto: by the number of queries.",
        number_or_none("--ratio", "auto"),
    ] = "auto"
    margin: Annotated[float | None, "Drop negatives above the positive's score minus this."] = None
    floor: Annotated[float | None, "Lowest score of a negative."] = None
    ceiling: Annotated[float | None, "Highest score of a negative."] = None
    near_copy: Annotated[
        str, "Drop texts this similar to a positive (0 to 1); none: only exact copies.", number_or_none("--near-copy")
    ] = "0.4"
    random_share: Annotated[float, "Share of negatives drawn from the whole corpus."] = 0.0
    max_uses: Annotated[int | None, "Use a document as a negative for at most this many queries."] = None
    teacher: Annotated[str | None, "A cross-encoder that drops false negatives and scores the examples."] = None
    teacher_ratio: Annotated[
        str,
        "The teacher drops negatives above this fraction of the positive's score; none: keep all.",
        number_or_none("--teacher-ratio"),
    ] = "0.95"
    miner_model: Annotated[str | None, "Model of the dense or late miner. Default: by language."] = None
    miner_size: Annotated[str, "Size of the default dense model: small, base or large."] = "small"
    ray: Ray = None


@dataclass(frozen=True, kw_only=True)
class SplitOptions(Group):
    """Which queries are held out (:class:`tardif.data.split.Split`)."""

    section: ClassVar = "Split"

    validation: Annotated[
        str, "Queries to hold out: a share, auto (a tenth, or more of few queries), or a file of pairs.", share_or_path
    ] = "auto"
    validation_columns: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=COLUMN", help="As --columns, for the file of --validation. Repeatable."),
        assigned("--validation-columns", "ROLE=COLUMN, such as --validation-columns query=question"),
    ] = None
    test: Annotated[float, "Share of the queries for a test set that training never sees."] = 0.0
    group_by: Annotated[str | None, "Keep rows with the same value of this field on one side."] = None
    documents_apart: Annotated[bool, "Let no document be relevant on two sides."] = False
    split: Annotated[str, "Split to read, if the source has several."] = "train"


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions(Group):
    """How queries are made from documents."""

    section: ClassVar = "Documents alone"

    synthesize: Annotated[bool, "Make training queries from the documents themselves."] = False
    synthesize_limit: Annotated[int, typer.Option(min=1, help="Largest number of queries that --synthesize makes.")] = (
        4000
    )
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenAI-compatible API that writes queries for the documents.")
    ] = None
    endpoint_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="For --endpoint: model=NAME and a cap (max_requests, max_tokens or max_cost). Repeatable.",
        ),
    ] = None


# The bases are in the reverse order of the help: a dataclass begins with the fields of its last base.
@dataclass(frozen=True, kw_only=True)
class PreparationOptions(SynthesisOptions, SplitOptions, MiningOptions, JudgingOptions):
    """How data becomes a training set (:class:`tardif.preparation.Preparation`)."""

    section: ClassVar = "Documents"

    chunk: Chunk = "auto"
    near: Annotated[bool, "Look for near-duplicates."] = True

    @property
    def makes_queries(self) -> bool:
        """Whether queries are made from the documents, so that no source is needed."""
        return self.synthesize or self.endpoint is not None

    def preparing(self, answers: Path) -> dict[str, Any]:
        """Read the arguments of :func:`tardif.preparation.prepare_folder`.

        Args:
            answers: the file for an endpoint's answers.

        Raises:
            SettingError: an option cannot be read, or needs another one.
        """
        from tardif.training.settings import parse_assignment

        values = self.arguments()
        asked = values.pop("endpoint_set") or []
        if self.endpoint is not None:
            more = dict(map(parse_assignment, asked))
            values["endpoint"] = {"url": self.endpoint, "cache": str(answers), **more}
        elif asked:
            raise SettingError("--endpoint-set needs --endpoint: give the endpoint's address.")
        return values
