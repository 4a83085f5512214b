"""Judgements by id: lines of BEIR's ``qrels/SPLIT.tsv``, of TREC qrels, and of TREC runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from tardif.data.formats.columns import plain
from tardif.data.formats.files import bare_lines
from tardif.errors import DataError

Judged = tuple[int, str, str, int]
"""A line's number, query id, document id, relevance."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_SPACE = re.compile(r"[ \t]+")
_SCORE_NAMES = ("score", "relevance", "label", "rel")


def read_beir_qrels(path: Path) -> Iterator[Judged]:
    """Lines of query id, document id and relevance, with tabs; a header with a known name may stand first.

    Raises:
        DataError: a line is anything else.
    """
    for line, text in bare_lines(path, any_end=True):
        if not text.strip(" \t"):
            continue
        cells = text.split("\t")
        if len(cells) != 3 or not _WHOLE.fullmatch(cells[2].strip()) or not cells[0] or not cells[1]:
            if line == 1 and len(cells) == 3 and plain(cells[2]) in _SCORE_NAMES:
                continue
            raise DataError("malformed line: it must be query-id, corpus-id and a whole score, with tabs.", path, line)
        yield line, cells[0], cells[1], int(cells[2])


def read_trec_qrels(path: Path) -> Iterator[Judged]:
    """Lines of query id, iteration, document id and relevance, with white space between.

    Raises:
        DataError: a line is anything else.
    """
    for line, cells in _cells(path):
        if len(cells) != 4 or not _WHOLE.fullmatch(cells[3]):
            raise DataError(
                "malformed line: TREC qrels have query id, iteration, document id and a whole relevance.", path, line
            )
        yield line, cells[0], cells[2], int(cells[3])


def read_run(path: Path) -> Iterator[tuple[int, str, str, float]]:
    """Lines of a TREC run, as line number, query id, document id and score; errors as :func:`read_ranked_run`."""
    for line, query, document, _, score in read_ranked_run(path):
        yield line, query, document, score


def read_ranked_run(path: Path) -> Iterator[tuple[int, str, str, int | None, float]]:
    """Lines of a TREC run, as line number, query id, document id, rank (None where it is no number) and score.

    Raises:
        DataError: a line is not ``query-id Q0 document-id rank score tag``.
    """
    for line, cells in _cells(path):
        try:
            score = float(cells[4]) if len(cells) == 6 and cells[4].isascii() else math.nan
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DataError(
                "malformed line: a TREC run has query id, Q0, document id, rank, score and tag.", path, line
            )
        yield line, cells[0], cells[2], int(cells[3]) if _WHOLE.fullmatch(cells[3]) else None, score


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in bare_lines(path, any_end=True):
        if bare := text.strip(" \t"):
            yield line, _SPACE.split(bare)
