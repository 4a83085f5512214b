"""TREC run files: ``query Q0 document rank score name`` per line.

The format states an order twice, by rank and by score, and tools go by the score: trec_eval compares in single
precision and orders equal scores by id; other tools differ. So the scores written fall strictly, and every tool sees
the order of the ranks.

White space separates the columns. A run with an id that holds some has all its ids percent-encoded, and the last column
says so (:data:`tardif.data.formats.trec.ENCODED`). :func:`read_run` decodes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tardif.checks import id_fault, is_number, shown
from tardif.data.formats.trec import ENCODED, encode_id, read_ranked_run
from tardif.errors import DataError
from tardif.folders import write_output
from tardif.ranking import best_first
from tardif.types import Run

# The last column of a run.
NAME = "tardif"
# Bytes of a line that are read to tell whose run it is: ids may be long.
_LINE = 1 << 16
_MOST = float(np.finfo(np.float32).max)


def write_run(path: Path, run: Run, *, name: str = NAME) -> int:
    """Write a run, whole or not at all, in the order of :func:`tardif.ranking.best_first`.

    Scores are written as they are, except one that is no lower than the one before in single precision: it is written
    as the next lower number in single precision (6e-8 of itself lower).

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_run(folder / "a.run", {"q1": {"d1": 2.5, "d2": 1.0}})
    0
    >>> (folder / "a.run").read_text().splitlines()
    ['q1 Q0 d1 1 2.5 tardif', 'q1 Q0 d2 2 1.0 tardif']
    >>> read_run(folder / "a.run")
    {'q1': {'d1': 2.5, 'd2': 1.0}}
    >>> write_run(folder / "b.run", {"q1": {"my notes.txt": 1.0}})
    0
    >>> (folder / "b.run").read_text().splitlines()
    ['q1 Q0 my%20notes.txt 1 1.0 tardif-percent-encoded']

    Args:
        path: the file.
        run: query id -> document id -> score.
        name: the last column.

    Returns:
        The number of scores that were lowered.

    Raises:
        DataError: an id is not text, or a score is not finite in single precision.
        FolderError: the file cannot be written.
    """
    lowered, tag = 0, "-".join(name.split())
    spell = _spelling(run)
    tag += ENCODED if spell is encode_id else ""

    def blocks() -> Iterator[str]:
        """Yield the lines of one query after the other, so that no more is held."""
        nonlocal lowered
        for query, hits in run.items():
            for document, score in hits.items():
                _check_hit(query, document, score)
            ranked = best_first((document, float(score)) for document, score in hits.items())
            falling = list(_falling([score for _, score in ranked]))
            lowered += sum(not is_own for _, is_own in falling)
            rows, asked = enumerate(zip(ranked, falling, strict=True), start=1), spell(query)
            yield "".join(f"{asked} Q0 {spell(hit[0])} {place} {text} {tag}\n" for place, (hit, (text, _)) in rows)

    write_output(path, blocks())
    return lowered


def _has_space(identity: object) -> bool:
    return isinstance(identity, str) and identity.split() != [identity]


def _spelling(run: Run) -> Callable[[str], str]:
    """How the ids of a run are written: as they are, or encoded if one of them holds white space."""
    return encode_id if any(map(_has_space, _ids(run))) else str


def _ids(run: Run) -> Iterator[str]:
    for query, hits in run.items():
        yield query
        yield from hits


def run_notes(run: Run, lowered: int) -> list[str]:
    """Return lines for the user on what a run's file says in another way than the run.

    >>> run_notes({"q": {"a": 1.0}}, 0)
    []

    Args:
        run: the run that was written.
        lowered: the number of scores that were lowered, as :func:`write_run` returned it.
    """
    lines = []
    if lowered:
        lines.append(
            f"{lowered} scores equal the one before in single precision: each is written as the next lower number, so "
            "that every tool reads this order."
        )
    if spaced := sorted({identity for identity in _ids(run) if _has_space(identity)}):
        lines.append(
            f"{len(spaced)} ids hold white space, such as {shown(spaced[0])}, which the format cannot: all ids in the "
            f"file are percent-encoded ({encode_id(spaced[0])}). tardif evaluate decodes them; other tools do not."
        )
    return lines


def _falling(scores: Sequence[float]) -> Iterator[tuple[str, bool]]:
    """Write falling scores so that they fall strictly in single precision too; tell whether each is itself."""
    before, low = np.float32(np.inf), np.float32(-np.inf)
    for score in scores:
        near = np.float32(score)
        if near < before:
            before = near
            yield repr(score), True
        else:
            # nextafter: the highest number below the one before, so that the next score is still as close as it can be.
            before = np.nextafter(before, low)
            yield str(before), False


def _check_hit(query: object, document: object, score: object) -> None:
    for identity in (query, document):
        if not isinstance(identity, str) or id_fault(identity):
            raise DataError(f"the id {shown(identity)} cannot be in a run file: give a text that is not empty.")
    if not is_number(score) or not math.isfinite(score) or abs(score) > _MOST:  # type: ignore[arg-type]
        raise DataError(
            f"the score {shown(score)} of {shown(document)} cannot be in a run file: it must be finite in single "
            "precision, in which other tools read it."
        )


def is_own_run(path: Path) -> bool:
    """Whether a file is a run that :func:`write_run` wrote under its own name, which the same command may write again.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.run")
    >>> write_run(path, {"q1": {"d1": 2.5}}), is_own_run(path)
    (0, True)
    >>> path.write_text("q1 Q0 d1 1 2.5 anserini") and is_own_run(path)
    False
    """
    try:
        with path.open("rb") as file:
            columns = file.readline(_LINE).decode().split()
    except (OSError, ValueError):
        return False
    return len(columns) == 6 and columns[1] == "Q0" and columns[5] in (NAME, NAME + ENCODED)


def read_run(path: Path, *, twice: str = "best", notes: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Read a run. The scores decide the order, as in every tool; the ranks are only compared with it.

    Scores that are equal in single precision are read as equal, as by trec_eval.

    Args:
        path: the file.
        twice: what to do where a query lists a document twice: keep its ``best`` score, or ``refuse``.
        notes: takes a line for each remark: documents listed twice, ranks in another order than the scores.

    Raises:
        DataError: a line is malformed, a document is listed twice and that is refused, or the file is empty.
    """
    run: dict[str, dict[str, float]] = {}
    ranks: dict[str, dict[str, int | None]] = {}
    doubled = 0
    for line, query, document, rank, score in read_ranked_run(path):
        hits = run.setdefault(query, {})
        if document in hits:
            doubled += 1
            if twice == "refuse":
                raise DataError(
                    f"the query {query!r} lists the document {document!r} twice: list it once, or keep its best score "
                    '(--on duplicate-hit=best; in Python on={"duplicate-hit": "best"}).',
                    path,
                    line,
                )
            if score <= hits[document]:
                continue
        hits[document] = score
        ranks.setdefault(query, {})[document] = rank
    if not run:
        raise DataError("is empty: it has no hits.", path)
    equal = sum(_tie_in_single(hits) for hits in run.values())
    if notes is not None:
        notes += _notes(run, ranks, doubled, equal)
    return run


def _tie_in_single(hits: dict[str, float]) -> int:
    """Make scores equal that single precision cannot tell apart, as trec_eval reads them; return their number.

    All others stay as they are.
    """
    with np.errstate(over="ignore"):
        single = np.array([*hits.values()], dtype=np.float64).astype(np.float32).tolist()
    values = list(hits.values())
    # By value in single precision, the different scores in the file.
    alike: dict[float, set[float]] = {}
    for short, value in zip(single, values, strict=True):
        alike.setdefault(short, set()).add(value)
    changed = [(d, short) for d, short in zip(hits, single, strict=True) if len(alike[short]) > 1]
    hits.update(changed)
    return len(changed)


def _notes(run: Run, ranks: Mapping[str, Mapping[str, int | None]], doubled: int, equal: int) -> list[str]:
    lines = []
    if doubled:
        lines.append(f"{doubled} lines list a document again for a query: its best score counts (duplicate-hit: best).")
    if equal:
        lines.append(f"{equal} scores are equal in single precision, in which trec_eval reads them: they are ties.")
    other = sum(_has_other_ranks(hits, ranks[query]) for query, hits in run.items())
    if other:
        lines.append(
            f"the ranks of {other} of {len(run)} queries are in another order than the scores: the scores count, equal "
            "ones by id, the highest first, as for trec_eval."
        )
    return lines


def _has_other_ranks(hits: Mapping[str, float], ranks: Mapping[str, int | None]) -> bool:
    """Whether a query's ranks, if all its hits have distinct ones, are in another order than its scores."""
    known = [rank for rank in ranks.values() if rank is not None]
    # Ranks say nothing if some are missing or equal: many tools write 0 or 1 in every line.
    if len(set(known)) < len(ranks):
        return False
    return [ranks[identity] for identity, _ in best_first(hits.items())] != sorted(known)
