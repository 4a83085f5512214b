"""The forms of an evaluation beside the terminal's: rows with tabs, CSV, Markdown."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence

from tardif.escaping import visible
from tardif.evaluation.figures import Figures, Pair, means_over_data
from tardif.evaluation.table import EvaluationTable, TableCell, make_table, mean_name, number

# What Markdown reads as markup within a cell or a line.
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_PAIR = ("system", "other", "data", "measure", "difference", "p", "p (Holm)")
_MORE = ("low", "high", "won", "lost", "tied", "verdict")


def rows_of_figures(figures: Sequence[Figures]) -> list[list[str]]:
    """Return a heading, and a row for each system on each data set: four decimals, as they have always been shown."""
    own = [[f.name, f.data, *(number(name, value) for name, value in f.measures.items())] for f in figures]
    return [["system", "data", *figures[0].measures], *own]


def rows_of_pairs(pairs: Sequence[Pair]) -> list[list[str]]:
    """Return a heading, and a row for each comparison."""
    rows = [[*_PAIR, *_MORE]]
    for pair in pairs:
        numbers = [f"{pair.difference:+.4f}", f"{pair.p:.4f}", f"{pair.p_holm:.4f}", f"{pair.low:+.4f}"]
        counts = [f"{pair.high:+.4f}", *map(str, (pair.won, pair.lost, pair.tied)), pair.verdict]
        rows.append([pair.system, pair.other, pair.data, pair.measure, *numbers, *counts])
    return rows


def as_csv(figures: Sequence[Figures], comparisons: Sequence[Pair] = ()) -> str:
    r"""Return the figures as CSV, a row for each system on each data set, with all digits.

    Of several data sets each system has a row of means. Comparisons follow after an empty line, a table of their own.

    >>> as_csv([Figures("a,b", "faq", {"RR": 0.5})])
    'system,data,RR\n"a,b",faq,0.5\n'
    """
    data = list(dict.fromkeys(item.data for item in figures))
    names = list(figures[0].measures)
    rows = [["system", "data", *names], *([f.name, f.data, *map(repr, f.measures.values())] for f in figures)]
    if len(data) > 1:
        for system, means in means_over_data(figures).items():
            rows.append([system, mean_name(data), *map(repr, means.values())])
    text = _csv(rows)
    if comparisons:
        heads = ["system", "other", "data", "measure", "difference", "p", "p_holm", *_MORE]
        text += "\n" + _csv([heads, *([str(pair.as_json()[key]) for key in heads] for pair in comparisons)])
    return text


def _csv(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV. Control characters are escaped: a spreadsheet and a terminal show what is there."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([[visible(cell) for cell in row] for row in rows])
    return written.getvalue()


def as_markdown(figures: Sequence[Figures], comparisons: Sequence[Pair] = ()) -> str:
    """Return the figures as a Markdown table, ready to paste: the best in bold, significance in a footnote.

    >>> print(as_markdown([Figures("a", "faq", {"RR": 0.5}), Figures("b", "faq", {"RR": 0.25})]))
    | faq | RR |
    |:--|--:|
    | a | **0.5000** |
    | b | 0.2500 |
    <BLANKLINE>
    """
    table = make_table(figures, comparisons)
    sectioned = len(table.columns) > 1 and any(section.heading for section in table.sections)
    head = [*(["measure"] if sectioned else []), table.title or "system", *table.columns]
    lines = [_row(map(_plain, head)), "|" + ":--|" * (2 if sectioned else 1) + "--:|" * len(table.columns)]
    for section in table.sections:
        for place, (system, letter, row) in enumerate(zip(table.systems, table.letters, section.rows, strict=True)):
            first = [_plain(section.heading) if place == 0 else ""] if sectioned else []
            name = f"<sup>{letter}</sup> {_plain(system)}" if letter else _plain(system)
            lines.append(_row([*first, name, *map(_marked, row)]))
    lines += ["", *_footnotes(table, comparisons)] if comparisons else []
    return "\n".join([*lines, ""])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(cell: TableCell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text}<sup>{cell.beats}</sup>" if cell.beats else text


def _footnotes(table: EvaluationTable, comparisons: Sequence[Pair]) -> list[str]:
    named = dict(zip(table.systems, table.letters, strict=True))
    lines = [f"<sup>{' '.join(table.letters)}</sup> {significance_note(comparisons)}", ""]
    for pair in comparisons:
        where = f" on {_plain(pair.data)}" if not table.title else ""
        words = _plain(pair.words())
        lines.append(
            f"- {_plain(pair.system)} <sup>{named[pair.system]}</sup> against {_plain(pair.other)} "
            f"<sup>{named[pair.other]}</sup>{where}: {words}"
        )
    return lines


def significance_note(comparisons: Sequence[Pair]) -> str:
    """Return what the letters beside figures mean.

    >>> significance_note([])
    'significantly better than the system of that letter: two-sided paired randomisation over the queries, p < .05'
    """
    most = max((pair.compared for pair in comparisons), default=1)
    corrected = f", corrected for {most} pairs (Holm)" if most > 1 else ""
    return (
        "significantly better than the system of that letter: two-sided paired randomisation over the queries, p < .05"
        f"{corrected}"
    )


def _plain(text: str) -> str:
    """A text that Markdown shows as it is: without markup, HTML, line ends, links."""
    return _MARKUP.sub(r"\\\1", html.escape(visible(text), quote=False))
