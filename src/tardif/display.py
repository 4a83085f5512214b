"""Short forms of values at a prompt and in a notebook, however much they hold.

A notebook prints the value of a cell's last line. A whole corpus must not be printed there: a person wants to see how
much there is, and what the first items look like.
"""

from __future__ import annotations

import dataclasses
import html
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tardif.escaping import visible

Item = TypeVar("Item")
Key = TypeVar("Key")

# The most characters of any value's repr.
MOST = 1000
_ITEMS = 3  # shown of a list or dict
_ROWS = 20  # shown of a table
_CELL = 300  # characters shown of a cell
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 120
_REPR.maxlong, _REPR.maxlevel = 40, 3
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 4


def short(value: object) -> str:
    """Return a value's ``repr`` without the middle of long texts and the end of long lists.

    >>> short(list(range(100)))
    '[0, 1, 2, 3, ...]'
    """
    text = _REPR.repr(value)
    return text if len(text) <= MOST // 2 else f"{text[: MOST // 2]}..."


class Short:
    """A base of dataclasses made with ``repr=False``. Their ``repr`` cuts long values short."""

    __slots__ = ()

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return brief_repr(self, *(f"{f.name}={short(getattr(self, f.name))}" for f in fields if f.repr))


def brief_repr(value: object, *facts: str) -> str:
    """Return a ``repr`` that shows only these facts of a value, such as ``"12 documents"``."""
    text = visible(f"{type(value).__qualname__}({', '.join(facts)})")
    return text if len(text) <= MOST else f"{text[: MOST - 4]}...)"


class _OneLine:
    """Makes IPython print the ``repr``. It prints subclasses of list and dict item by item otherwise."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


class ShortList(_OneLine, list[Item]):
    """A list that shows its first items and their number.

    >>> ShortList(range(100))
    [0, 1, 2, ...] (100 in all)
    """

    def __repr__(self) -> str:
        if len(self) <= _ITEMS and len(whole := list.__repr__(self)) <= MOST:
            return whole
        shown = [repr(item)[: MOST // (_ITEMS + 1)] for item in self[:_ITEMS]]
        return f"[{', '.join(shown)}, ...] ({len(self)} in all)"


class ShortDict(_OneLine, dict[Key, Item]):
    """A dict that shows its first items and their number."""

    def __repr__(self) -> str:
        if len(self) <= _ITEMS and len(whole := dict.__repr__(self)) <= MOST:
            return whole
        first = list(self.items())[:_ITEMS]
        shown = [f"{short(key)[:80]}: {short(value)[: MOST // (_ITEMS + 2)]}" for key, value in first]
        return f"{{{', '.join(shown)}, ...}} ({len(self)} in all)"


class Hits(ShortList[Item]):
    """The hits of one query, shown as a table in a notebook."""

    def _repr_html_(self) -> str:
        rows = [(hit.rank, f"{hit.score:.3f}", hit.document_id, _hit_text(hit)) for hit in self[:_ROWS]]  # type: ignore[attr-defined]
        return table(("rank", "score", "document", "text"), rows, left=len(self) - len(rows))


class Html(str):
    """A text that is HTML already: :func:`table` does not escape it."""

    __slots__ = ()


def _hit_text(hit: Any) -> str:
    """What a notebook shows of a hit: the beginning of its text; of an explained one its title and snippet, with the
    words that earned the score marked."""
    if hit.snippet is None:
        return f"{hit.title} {hit.text[:_CELL]}".strip()
    title = _marked(hit.title[:_CELL], hit.title_matches)
    return Html(
        f"<b>{title}</b><br>{_marked(hit.snippet, hit.matches)}" if title else _marked(hit.snippet, hit.matches)
    )


def _marked(text: str, marks: Iterable[Any]) -> str:
    """A text as HTML; the more a word earned, the more its mark covers."""
    parts, done = [], 0
    for mark in marks:
        start, end = max(mark.start, done), min(mark.end, len(text))
        if start < end:
            style = f"color: inherit; background: rgba(17, 144, 127, {0.12 + 0.38 * mark.weight:.2f})"
            word = html.escape(visible(text[start:end]))
            parts += [html.escape(visible(text[done:start])), f"<mark style='{style}'>{word}</mark>"]
            done = end
    return "".join([*parts, html.escape(visible(text[done:]))])


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "", left: int = 0) -> str:
    """Return an HTML table for a notebook. All text in it is escaped.

    Args:
        head: the columns' names; empty for no heading.
        rows: the cells, each cut at 300 characters; :class:`Html` is put in as it is.
        caption: the line above the table.
        left: the number of rows that are not shown.
    """

    def cell(kind: str, value: object) -> str:
        if isinstance(value, Html):
            return f"<{kind} style='text-align: left'>{value}</{kind}>"
        text = str(value)
        cut = text if len(text) <= _CELL else f"{text[:_CELL]}..."
        return f"<{kind} style='text-align: left'>{html.escape(visible(cut))}</{kind}>"

    lines = ["<table>"]
    if caption:
        lines.append(f"<caption>{html.escape(visible(caption[:_CELL]))}</caption>")
    if head:
        lines.append(f"<tr>{''.join(cell('th', name) for name in head)}</tr>")
    lines += [f"<tr>{''.join(cell('td', value) for value in row)}</tr>" for row in rows]
    lines.append("</table>")
    if left:
        lines.append(f"<p>and {left} more</p>")
    return "".join(lines)


def figures_table(systems: Mapping[str, Mapping[str, float]], caption: str) -> str:
    """Return the measures of systems as an HTML table."""
    names = list(dict.fromkeys(name for values in systems.values() for name in values))[:_ROWS]
    rows = [
        (system, *(f"{values[name]:.4f}" if name in values else "" for name in names))
        for system, values in list(systems.items())[:_ROWS]
    ]
    return table(("", *names), rows, caption=caption, left=len(systems) - len(rows))
