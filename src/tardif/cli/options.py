"""Options that several verbs share, and how what is written in options is read.

Each option stands here once: what ``prepare`` takes ``train`` takes too, and every verb that reads documents reads a
table that was trained on with the same options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from tardif.cli.sharing import Group
from tardif.errors import SettingError

if TYPE_CHECKING:
    from tardif.data.judged import Judging

# The sections of a verb's help.
DATA, DOCUMENTS, NEGATIVES = "Data", "Documents", "Hard negatives"
SPLIT, ALONE = "Split", "Documents alone"

Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at the output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr; results and totals stay.")]
Language = Annotated[str, typer.Option(help="ISO 639 code of the texts' language.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
K = Annotated[int, typer.Option("-k", help="How many hits.")]
Chunk = Annotated[
    str,
    typer.Option(help="Cut long documents: tokens, auto (files of text), or none.", rich_help_panel=DOCUMENTS),
]
Report = Annotated[
    Path | None, typer.Option(help="Write a JSON line for each file, row or text that is not read, or not to its end.")
]
Index = Annotated[Path, typer.Argument(help="An index's folder.")]
IndexModel = Annotated[Path | None, typer.Option("--model", help="Where the index's model is now.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Let the model bring its own code.")]


def ranks(text: str) -> tuple[int, int]:
    """The first and last rank of a window."""
    first, dash, last = text.partition("-")
    if not dash or not first.strip().isdecimal() or not last.strip().isdecimal():
        raise SettingError(f"--window {text}: write two ranks, such as 5-100.")
    return int(first), int(last)


def number_or_none(option: str, text: str) -> float | None:
    """A number, or None for ``none``."""
    try:
        return None if text == "none" else float(text)
    except ValueError:
        raise SettingError(f"{option} {text}: give a number, or none.") from None


def weighted(text: str) -> tuple[Path, float]:
    """A source and its weight."""
    path, equals, weight = text.rpartition("=")
    try:
        return (Path(path), float(weight)) if equals else (Path(text), 1.0)
    except ValueError:
        raise SettingError(f"--also {text}: write DATA=WEIGHT, such as more.jsonl=0.5.") from None


def share_or_path(text: str) -> float | str:
    """A share of the queries, ``auto``, or else the path of held-out rows."""
    try:
        return float(text)
    except ValueError:
        return text


def whole_number(option: str, text: str) -> Any:
    """A whole number, ``auto``, or None for ``none``."""
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    if not text.isdecimal():
        raise SettingError(f"{option} {text}: give a whole number, auto, or none.")
    return int(text)


def torch_device(text: str) -> str | None:
    """Where queries are encoded with PyTorch; None: without it."""
    if text == "auto":
        return None
    from tardif.devices import allocate

    return allocate(text).kind


def lines_of(path: Path) -> list[str]:
    """The lines of a file that hold something.

    Raises:
        DataError: it is no regular file, or not UTF-8.
    """
    from tardif.data.formats.files import bare_lines

    return [line for _, line in bare_lines(path, any_end=True) if line]


def assigned(option: str, example: str) -> Callable[[Sequence[str] | None], dict[str, Any]]:
    """What reads ``key=value``s: the values as text; of a key that is given several times, all of them."""

    def read(texts: Sequence[str] | None) -> dict[str, Any]:
        found: dict[str, list[str]] = {}
        for text in texts or ():
            key, equals, value = text.partition("=")
            if not equals or not key.strip():
                raise SettingError(f"{option} {text}: write {example}.")
            found.setdefault(key.strip(), []).append(value)
        return {key: values[0] if len(values) == 1 else values for key, values in found.items()}

    return read


def _one_each(option: str, example: str) -> Callable[[Sequence[str] | None], dict[str, Any]]:
    """As :func:`assigned`, where a key can be given once."""
    read = assigned(option, example)

    def read_once(texts: Sequence[str] | None) -> dict[str, Any]:
        found = read(texts)
        for key, value in found.items():
            if not isinstance(value, str):
                raise SettingError(f"{option}: {key} is given {len(value)} times: give it once.")
        return found

    return read_once


def _rules(texts: Sequence[str] | None) -> dict[str, Any] | None:
    return _one_each("--on", "RULE=ACTION, such as --on empty=drop")(texts) or None


def _columns(option: str) -> Callable[[Sequence[str] | None], dict[str, Any] | None]:
    read = assigned(option, f"ROLE=COLUMN, such as {option} query=question")
    return lambda texts: read(texts) or None


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(Group):
    """How tables are read, in every verb that reads one: :class:`tardif.data.reading.Reading`."""

    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=COLUMN", help="Which column is what; may be repeated.", rich_help_panel=DATA),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(help="Between a table's cells: a character, or tab; else found out.", rich_help_panel=DATA),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(help="Of tables, such as cp1252; else UTF-8, UTF-16 or a clear guess.", rich_help_panel=DATA),
    ] = None
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which sheet of a workbook.", rich_help_panel=DATA)
    ] = None

    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE=ACTION", help="What to do with rows in doubt; may be repeated.", rich_help_panel=DATA
        ),
    ] = None

    READ: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "columns": _columns("--columns"),
        "on": _rules,
    }


@dataclass(frozen=True, kw_only=True)
class JudgingOptions(ReadingOptions):
    """How rows become judgements: the options of every verb that reads judgements, and their documents."""

    positive_label: Annotated[str | None, typer.Option(help="The label that means relevant.", rich_help_panel=DATA)] = (
        None
    )
    scores: Annotated[
        str | None,
        typer.Option(
            help="What numbers beside pairs are, if no grades: teacher, or the number from which a pair is relevant.",
            rich_help_panel=DATA,
        ),
    ] = None
    clicks: Annotated[
        str | None,
        typer.Option(
            help="From when on a clicked document is relevant: clicks (2), a share of the times shown (30%), or both "
            "(2,30%). By default 2,10%.",
            rich_help_panel=DATA,
        ),
    ] = None
    documents: Annotated[
        Path | None,
        typer.Option(
            help="The corpus: a table, or a file or folder of text, Markdown, HTML, PDF or Word.",
            rich_help_panel=DOCUMENTS,
        ),
    ] = None
    queries: Annotated[
        Path | None,
        typer.Option(
            help="A table of the queries' ids and texts, for rows that name them by ids.", rich_help_panel=DOCUMENTS
        ),
    ] = None

    def judging(self) -> tuple[dict[str, Path | None], Judging]:
        """The documents and queries beside the judgements that systems are measured on, and how they are read.

        Raises:
            SettingError: what was written in an option cannot be read, or cannot be used.
        """
        from tardif.data.judged import Judging

        values = self.arguments()
        beside = {name: values.pop(name) for name in ("documents", "queries")}
        how = Judging(**values)
        how.check()
        return beside, how


@dataclass(frozen=True, kw_only=True)
class PreparationOptions(JudgingOptions):
    """How data becomes a training set: the options of :class:`tardif.preparation.Preparation`, and the documents."""

    near: Annotated[bool, typer.Option(help="Look for near-duplicates.", rich_help_panel=DATA)] = True
    chunk: Chunk = "auto"
    miner: Annotated[str, typer.Option(help="lexical, dense, late, hybrid or none.", rich_help_panel=NEGATIVES)] = (
        "lexical"
    )
    negatives: Annotated[int, typer.Option(help="Hard negatives mined per query.", rich_help_panel=NEGATIVES)] = 8
    window: Annotated[str, typer.Option(help="Ranks that negatives are drawn from.", rich_help_panel=NEGATIVES)] = (
        "1-50"
    )
    sampling: Annotated[
        str,
        typer.Option(help="Which of the window: uniform, top, or weighted by score.", rich_help_panel=NEGATIVES),
    ] = "uniform"
    ratio: Annotated[
        str,
        typer.Option(
            help="Drop negatives above this fraction of their positive's score; none: keep all; auto: by data.",
            rich_help_panel=NEGATIVES,
        ),
    ] = "auto"
    margin: Annotated[
        float | None,
        typer.Option(help="Drop negatives above their positive's score less this.", rich_help_panel=NEGATIVES),
    ] = None
    floor: Annotated[float | None, typer.Option(help="The least score of a negative.", rich_help_panel=NEGATIVES)] = (
        None
    )
    ceiling: Annotated[
        float | None, typer.Option(help="The highest score of a negative.", rich_help_panel=NEGATIVES)
    ] = None
    near_copy: Annotated[
        str,
        typer.Option(
            help="Similarity from which a near-copy of a positive is dropped; none: only copies are.",
            rich_help_panel=NEGATIVES,
        ),
    ] = "0.4"
    random_share: Annotated[
        float, typer.Option(help="Share of the negatives drawn from the whole corpus.", rich_help_panel=NEGATIVES)
    ] = 0.0
    max_uses: Annotated[
        int | None,
        typer.Option(help="For how many queries a document may be a negative.", rich_help_panel=NEGATIVES),
    ] = None
    teacher: Annotated[
        str | None,
        typer.Option(
            help="A cross-encoder that drops false negatives and scores the examples.", rich_help_panel=NEGATIVES
        ),
    ] = None
    teacher_ratio: Annotated[
        str,
        typer.Option(
            help="The teacher drops negatives above this fraction of the positive's score; none: nothing.",
            rich_help_panel=NEGATIVES,
        ),
    ] = "0.95"
    miner_model: Annotated[
        str | None,
        typer.Option(help="The model of the dense miner, or of the late one.", rich_help_panel=NEGATIVES),
    ] = None
    miner_size: Annotated[
        str,
        typer.Option(help="Of the language's dense model: small, base or large.", rich_help_panel=NEGATIVES),
    ] = "small"
    validation: Annotated[
        str,
        typer.Option(
            help="Share of the queries to hold out, auto (a tenth; of few queries more), or a file of pairs.",
            rich_help_panel=SPLIT,
        ),
    ] = "auto"
    validation_columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN",
            help="Columns of the --validation file, where they are other than --columns says; may be repeated.",
            rich_help_panel=SPLIT,
        ),
    ] = None
    test: Annotated[
        float,
        typer.Option(help="Share of the queries for a test that training never sees.", rich_help_panel=SPLIT),
    ] = 0.0
    group_by: Annotated[
        str | None,
        typer.Option(help="Field whose value stays on one side of the split.", rich_help_panel=SPLIT),
    ] = None
    documents_apart: Annotated[
        bool,
        typer.Option(
            "--documents-apart", help="No document is relevant on two sides of the split.", rich_help_panel=SPLIT
        ),
    ] = False
    split: Annotated[str, typer.Option(help="Split of a source that has several.", rich_help_panel=SPLIT)] = "train"
    synthesize: Annotated[
        bool,
        typer.Option(
            "--synthesize", help="Make training queries from the documents themselves.", rich_help_panel=ALONE
        ),
    ] = False
    synthesize_limit: Annotated[
        int, typer.Option(min=1, help="How many queries --synthesize makes at most.", rich_help_panel=ALONE)
    ] = 4000
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="An OpenAI-compatible API that writes queries for the documents.",
            rich_help_panel=ALONE,
        ),
    ] = None
    endpoint_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="model=NAME and a cap (max_requests, max_tokens, max_cost) for --endpoint; may be repeated.",
            rich_help_panel=ALONE,
        ),
    ] = None

    READ: ClassVar[dict[str, Callable[[Any], Any]]] = {
        **JudgingOptions.READ,
        "validation_columns": _columns("--validation-columns"),
        "window": ranks,
        "ratio": lambda text: text if text == "auto" else number_or_none("--ratio", text),
        "near_copy": lambda text: number_or_none("--near-copy", text),
        "teacher_ratio": lambda text: number_or_none("--teacher-ratio", text),
        "validation": share_or_path,
        "chunk": lambda text: whole_number("--chunk", text),
    }

    @property
    def makes_queries(self) -> bool:
        """Whether queries are made from the documents, so that no source is needed."""
        return self.synthesize or self.endpoint is not None

    def preparing(self, answers: Path) -> dict[str, Any]:
        """The arguments of :func:`tardif.preparation.prepare_folder`.

        Args:
            answers: the file that keeps what an endpoint has answered.

        Raises:
            SettingError: what was written in an option cannot be read, or has nothing to act on.
        """
        from tardif.training.settings import parse_assignment

        values = self.arguments()
        asked = values.pop("endpoint_set")
        if self.endpoint is not None:
            values["endpoint"] = {
                "url": self.endpoint,
                "cache": str(answers),
                **dict(map(parse_assignment, asked or [])),
            }
        elif asked:
            raise SettingError("--endpoint-set is for an endpoint: give its address with --endpoint.")
        return values
