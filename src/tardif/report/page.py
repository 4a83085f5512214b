"""The page: what was read becomes sections, and a template becomes one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar

from jinja2 import Environment

from tardif._version import __version__
from tardif.evaluation.evidence import EVALUATION, PREPARATION, TRAINING
from tardif.report.numbers import counted, duration
from tardif.report.page_parts import Page, PagePart, PageSection, Verdict
from tardif.report.rendering import shown, templates
from tardif.report.sections import comparing, hygiene, learning, measured, mining, query_by_query, running, words
from tardif.report.sources import ReportSource, numbers
from tardif.report.texts import cut

# Characters of one value. Passages are shorter; a command line may be as long.
_MOST = 4000
Made = TypeVar("Made")
_KINDS = {TRAINING: "Training", EVALUATION: "Evaluation", PREPARATION: "Prepared set"}
# What damaged files lead to: they hold JSON, but not of the form that Tardif writes.
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError)


def render(sources: Sequence[ReportSource], title: str | None = None) -> str:
    """Render a report as an HTML document. The same sources give the same text.

    Args:
        sources: what was read.
        title: of the page; by default the name of the only source.
    """
    page = build(sources, title)
    return _page_templates().get_template("page.html").render(page=page, version=__version__)


@cache
def _page_templates() -> Environment:
    """The templates as pages fill them, read once: compiling them takes a fifth of a second.

    One value is cut, however many megabytes it has; an explanation's own page shows more of a document.
    """
    return templates().overlay(finalize=_cut)


def _cut(value: Any) -> Any:
    """A text as this page shows it; markup is the page's own."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return shown(value if len(value) <= _MOST else cut(value, _MOST))


def build(sources: Sequence[ReportSource], title: str | None = None) -> Page:
    """Make the sections of a page."""
    parts = [_part(source, f"p{place}" if len(sources) > 1 else "") for place, source in enumerate(sources, 1)]
    trained = [source for source in sources if source.kind == TRAINING and source.results]
    notes: list[str] = []
    compared = _tried(lambda: comparing.comparing(trained), notes, "The comparison") or []
    name = title or (sources[0].name if len(sources) == 1 else f"{counted(len(sources), 'result')} side by side")
    verdict = _tried(lambda: comparing.verdict(trained), notes, "The comparison")
    return Page(name, parts, compared, verdict, notes)


def _part(source: ReportSource, key: str) -> PagePart:
    makers: dict[str, Callable[[], PageSection | None]] = _makers(source, f"{key}-" if key else "")
    notes = list(source.notes)
    verdict = _tried(lambda: _verdict(source), notes, "The verdict")
    sections = [made for what, maker in makers.items() if (made := _tried(maker, notes, what))]
    about = _tried(lambda: _about(source), notes, "The summary") or []
    return PagePart(key, source.name, _KINDS[source.kind], about, verdict, sections, notes)


def _makers(source: ReportSource, key: str) -> dict[str, Callable[[], PageSection | None]]:
    """What makes each section, in their order."""
    found: dict[str, Callable[[], PageSection | None]] = {}
    if source.kind == TRAINING:
        found["The part on measures"] = lambda: learning.measures(source, f"{key}measures")
        found["The part on learning"] = lambda: learning.learning(source, f"{key}learning")
        found["The part on queries"] = lambda: query_by_query.queries(
            source, learning.sides(source), f"{key}queries", learning.systems(source)
        )
    elif source.kind == EVALUATION:
        found["The part on measures"] = lambda: _systems(source, f"{key}measures")
        found["The part on queries"] = lambda: _evaluated_queries(source, f"{key}queries")
    found["The part on words"] = lambda: words.words(source, f"{key}words")
    rest = {
        "The part on hard negatives": lambda: mining.mining(source, f"{key}negatives"),
        "The part on data": lambda: hygiene.hygiene(source, f"{key}data"),
    }
    # Of a set that was prepared its data come first; of a training, what it learnt from.
    found |= dict(reversed(rest.items())) if source.kind == PREPARATION else rest
    found["The part on settings"] = lambda: running.running(source, f"{key}made")
    return found


def _systems(source: ReportSource, key: str) -> PageSection | None:
    found = measured.measured(source)
    return measured.systems(source, found, key) if found else None


def _evaluated_queries(source: ReportSource, key: str) -> PageSection | None:
    found = measured.measured(source)
    pairs = measured.sides(source, found) if found else []
    return query_by_query.queries(source, pairs[0][1] if pairs else None, key, {})


def _verdict(source: ReportSource) -> Verdict | None:
    if source.kind == TRAINING:
        return learning.verdict(source) if source.results else None
    if source.kind == PREPARATION:
        return hygiene.summary(source)
    found = measured.measured(source) if source.kind == EVALUATION else None
    return measured.verdict(source, found) if found else None


def _tried(make: Callable[[], Made], notes: list[str], what: str) -> Made | None:
    """Make a part; where the files are damaged, note that it is missing."""
    try:
        return make()
    except _DAMAGE as error:
        notes.append(
            f"{what} is not shown: the file that it is drawn from is damaged ({type(error).__name__}: {error})."
        )
        return None


def _about(source: ReportSource) -> list[tuple[str, str]]:
    """Short facts below the name."""
    settings = source.results.get("settings") or {}
    found = [
        ("base", settings.get("base_hub_id") or PurePath(str(settings.get("base", ""))).name),
        ("device", settings.get("device")),
    ]
    found += [("steps", f"{settings['steps']:,}")] if isinstance(settings.get("steps"), int) else []
    if seconds := numbers(source.results.get("seconds")):
        found.append(("time", duration(sum(seconds.values()))))
    found.append(("Tardif", settings.get("tardif") or (source.manifest or {}).get("tardif")))
    return [(name, str(value)) for name, value in found if value]
