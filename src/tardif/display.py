"""How values show themselves, at a prompt and in a notebook: shortly, however much they hold.

The last line of a notebook's cell prints what it gives. A corpus, or a run with every text of it, must not be printed
there; what a person wants to see is how much there is, and what the first of it looks like.
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

MOST = 1000
"""The most characters of any value's ``repr``."""

_ITEMS = 3  # shown of a list or dict
_ROWS = 20  # shown of a table
_CELL = 300  # characters of a cell


def _writer() -> reprlib.Repr:
    writer = reprlib.Repr()
    writer.maxstring = writer.maxother = 120
    writer.maxlong = 40
    writer.maxlevel = 3
    writer.maxlist = writer.maxtuple = writer.maxdict = writer.maxset = writer.maxfrozenset = 4
    return writer


def short(value: object) -> str:
    """A value as ``repr`` writes it, with the middle of long texts and the end of long lists left out."""
    text = _writer().repr(value)
    return text if len(text) <= MOST // 2 else f"{text[: MOST // 2]}..."


class Short:
    """A dataclass made with ``repr=False``, whose ``repr`` cuts long values short."""

    __slots__ = ()

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return brief_repr(self, *(f"{f.name}={short(getattr(self, f.name))}" for f in fields if f.repr))


def brief_repr(value: object, *facts: str) -> str:
    """The ``repr`` of a value of which only some facts are told."""
    text = visible(f"{type(value).__qualname__}({', '.join(facts)})")
    return text if len(text) <= MOST else f"{text[: MOST - 4]}...)"


class ShortList(list[Item]):
    """A list that shows how many items it has, and the first of them."""

    def __repr__(self) -> str:
        if len(self) <= _ITEMS and len(whole := list.__repr__(self)) <= MOST:
            return whole
        # As many as there is room for.
        shown = [repr(item)[: MOST // (_ITEMS + 1)] for item in self[:_ITEMS]]
        return f"[{', '.join(shown)}, ...] ({len(self)} in all)"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


class ShortDict(dict[Key, Item]):
    """A dict that shows how many items it has, and the first of them."""

    def __repr__(self) -> str:
        if len(self) <= _ITEMS and len(whole := dict.__repr__(self)) <= MOST:
            return whole
        first = list(self.items())[:_ITEMS]
        shown = [f"{short(key)[:80]}: {short(value)[: MOST // (_ITEMS + 2)]}" for key, value in first]
        return f"{{{', '.join(shown)}, ...}} ({len(self)} in all)"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


class Hits(ShortList[Item]):
    """The hits of one query, a table in a notebook."""

    def _repr_html_(self) -> str:
        rows = [
            (hit.rank, f"{hit.score:.3f}", hit.document_id, f"{hit.title} {hit.text[:_CELL]}".strip())  # type: ignore[attr-defined]
            for hit in self[:_ROWS]
        ]
        return table(("rank", "score", "document", "text"), rows, left=len(self) - len(rows))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "", left: int = 0) -> str:
    """An HTML table for a notebook. Nothing in it is markup but its own.

    Args:
        head: the columns' names; none for no heading.
        rows: the cells, which are cut at 300 characters.
        caption: what stands above.
        left: how many rows there are beside these.
    """

    def cell(kind: str, value: object) -> str:
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
    """Measures of systems as an HTML table."""
    names = list(dict.fromkeys(name for values in systems.values() for name in values))[:_ROWS]
    rows = [
        (system, *(f"{values[name]:.4f}" if name in values else "" for name in names))
        for system, values in list(systems.items())[:_ROWS]
    ]
    return table(("", *names), rows, caption=caption, left=len(systems) - len(rows))
