"""Options that several verbs share, and how what is written in options is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tardif.errors import SettingError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at the output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Language = Annotated[str, typer.Option(help="ISO 639 code of the texts' language.")]
Documents = Annotated[
    Path | None,
    typer.Option(help="The corpus: a table, or a file or folder of text, Markdown, HTML, PDF or Word."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
K = Annotated[int, typer.Option("-k", help="How many hits.")]
Chunk = Annotated[str, typer.Option(help="Cut long documents: tokens, auto (files of text), or none.")]
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
    """A share of the queries, or else the path of held-out rows."""
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
