"""A canvas: matplotlib draws on it, and its SVG becomes a part of the page, small, deterministic and themed.

The page's style sheet colours the drawing, in light and dark: matplotlib draws in stand-in colours, each of which
becomes a CSS variable. Words become stand-ins too, so that neither fonts nor mathematics in a user's text matter to it.
Nothing is read from the user's matplotlib settings.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup, escape

from tardif.escaping import visible
from tardif.report.texts import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, LINE, GROUND = "#0a0001", "#0a0002", "#0a0003", "#0a0004"
AFTER, BEFORE, BM25 = "#0a0005", "#0a0006", "#0a0007"
WIN, LOSS, TIE = "#0a0008", "#0a0009", "#0a000a"
# For systems without a role; a style sheet tells them apart for every eye.
SERIES = tuple(f"#0a00{number:02x}" for number in range(16, 24))
_VARIABLES = {
    **dict(zip((INK, SOFT, LINE, GROUND), ("ink", "soft", "line", "ground"), strict=True)),
    **dict(zip((AFTER, BEFORE, BM25), ("after", "before", "bm25"), strict=True)),
    **dict(zip((WIN, LOSS, TIE), ("win", "loss", "tie"), strict=True)),
    **{colour: f"s{number}" for number, colour in enumerate(SERIES, 1)},
}
# In CSS pixels: a phone shows a chart of this width at nearly its natural size.
WIDTH = 350
SMALL, TEXT = 11.0, 12.0
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_RC = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": SMALL,
    "axes.edgecolor": LINE,
    "axes.linewidth": 1.0,
    "axes.labelcolor": SOFT,
    "axes.labelsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "grid.color": LINE,
    "grid.linewidth": 1.0,
    "path.simplify": True,
}


@dataclass
class ChartWords:
    """Words of a chart that come from data. Each call returns a stand-in to draw."""

    texts: list[str] = field(default_factory=list)

    def __call__(self, text: str, most: int = 44) -> str:
        """Return the stand-in of a text, which is shown on one line and cut to ``most`` characters."""
        line = visible(" ".join(text.split()))
        self.texts.append(line if len(line) <= most else f"{line[: most - 1]}…")
        return f"w{len(self.texts) - 1}w"


@dataclass(frozen=True)
class Box:
    """The size of a chart and its margins around the axes, in CSS pixels."""

    height: float
    width: float = WIDTH
    left: float = 46
    top: float = 14
    right: float = 12
    bottom: float = 42

    @property
    def inner(self) -> tuple[float, float]:
        """The width and height of the axes."""
        return self.width - self.left - self.right, self.height - self.top - self.bottom


@dataclass(frozen=True)
class Chart:
    """A chart as a page shows it.

    Attributes:
        title: what is shown, as a caption.
        svg: the picture.
        head, rows: the table behind it. The first cell of a row names it.
        note: what a reader must know to read it.
        legend: names with the CSS variable of their colour, where there are several.
    """

    title: str
    svg: Markup
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    legend: Sequence[tuple[str, str]] = ()


Paint = Callable[["Axes", ChartWords], None]


def variable(colour: str) -> str:
    """Return the name of the CSS variable that a colour becomes."""
    return _VARIABLES[colour]


def name_values(axes: Axes, words: ChartWords, label: str, left: float) -> None:
    """Name the values of the upright axis, above it: nobody turns a head to read that."""
    axes.annotate(
        words(label), (0, 1), (-left + 2, 9), "axes fraction", "offset points", fontsize=SMALL, color=SOFT, ha="left"
    )


def draw(key: str, alternative: str, box: Box, paint: Paint) -> Markup:
    """Draw one chart as an ``svg`` element.

    Args:
        key: tells the chart apart from the page's others: ids inside of it depend on it.
        alternative: what the chart shows, in words, for those who do not see it.
        box: its size.
        paint: draws on the axes.
    """
    words = ChartWords()
    with _settings(key):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(box.width / 72, box.height / 72), dpi=72)
        canvas = FigureCanvasSVG(figure)
        wide, high = box.inner
        axes = figure.add_axes((box.left / box.width, box.bottom / box.height, wide / box.width, high / box.height))
        axes.set_facecolor("none")
        figure.patch.set_visible(False)
        paint(axes, words)
        written = io.BytesIO()
        write: Any = canvas.print_svg  # it has no types
        write(written, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _element(written.getvalue(), key, alternative, words)


@contextmanager
def _settings(key: str) -> Iterator[None]:
    import matplotlib

    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    used: Any = {**defaults, **_RC, "svg.hashsalt": key}  # names and values of many types
    with matplotlib.rc_context(used):
        yield


def _element(written: bytes, key: str, alternative: str, words: ChartWords) -> Markup:
    """Turn matplotlib's file into an element of a page."""
    root = ElementTree.fromstring(written)
    size = root.get("viewBox", "")
    parts = "".join(_written(child, words) for child in root)
    name = escape(visible(cut(alternative, 2000)))
    return Markup('<svg class="chart" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        size, name, Markup(parts.replace("\n", " "))
    )


def _written(element: ElementTree.Element, words: ChartWords) -> str:
    """An element and what is in it, without what a page has no need of."""
    tag = element.tag.removeprefix(_SVG)
    if tag in ("metadata", "style"):
        return ""
    inside = "".join(_written(child, words) for child in element)
    if tag == "text":
        inside = str(escape(_word(element.text or "", words)))
    if not inside and tag in ("g", "defs"):
        return ""
    attributes = _attributes(element, tag)
    if tag == "g" and not attributes:
        return inside
    text = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{text}>{inside}</{tag}>" if inside else f"<{tag}{text}/>"


def _word(text: str, words: ChartWords) -> str:
    return re.sub(r"w(\d+)w", lambda found: words.texts[int(found[1])], text)


def _attributes(element: ElementTree.Element, tag: str) -> dict[str, str]:
    found = {}
    for name, value in element.attrib.items():
        short = "href" if name == _HREF else name
        # Only clips and markers are referred to; matplotlib's other ids would be the same in every chart.
        if (short == "id" and tag in ("g", "text")) or (short == "transform" and value.startswith("rotate(-0 ")):
            continue
        shown = _style(value) if short == "style" else _rounded(value) if short in _NUMBERS else value
        if shown:
            found[short] = shown
    return found


_NUMBERS = frozenset({"d", "x", "y", "width", "height", "transform"})


def _rounded(value: str, digits: int = 1) -> str:
    """Numbers with one decimal: a tenth of a pixel."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), digits):g}", value)
    return re.sub(r"\s*\n\s*", "", rounded).replace(" L ", "L").replace(" C ", "C").strip()


def _style(value: str) -> str:
    """A style in the page's colours and font."""
    kept = []
    for rule in value.split(";"):
        name, _, what = (part.strip() for part in rule.partition(":"))
        if name in _DROPPED or not name or (name, what) in _INITIAL:
            continue
        variable = _VARIABLES.get(what)
        kept.append(f"{name}:{f'var(--{variable})' if variable else _rounded(what, 2)}")
    return ";".join(kept)


_DROPPED = frozenset({"font-family", "stroke-miterlimit", "stroke-linejoin", "stroke-linecap"})
_INITIAL = frozenset({("stroke", "none"), ("text-anchor", "start"), ("stroke-width", "1"), ("opacity", "1")})
