"""The page: what was read becomes sections, and a template becomes one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tardif._version import __version__
from tardif.evaluation.evidence import EVALUATION, PREPARATION, TRAINING
from tardif.report.numbers import counted, duration
from tardif.report.rendering import templates
from tardif.report.sections import comparing, evaluating, hygiene, mining, queries, running, training
from tardif.report.sources import Source, numbers
from tardif.report.views import Page, Part, Section, Verdict

Made = TypeVar("Made")
_KINDS = {TRAINING: "Training", EVALUATION: "Evaluation", PREPARATION: "Prepared set"}
# What damaged files lead to: they hold JSON, but not of the form that Tardif writes.
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError)


def render(sources: Sequence[Source], title: str | None = None) -> str:
    """Render a report as an HTML document. The same sources give the same text.

    Args:
        sources: what was read.
        title: of the page; by default the name of the only source.
    """
    page = build(sources, title)
    return templates().get_template("page.html").render(page=page, version=__version__)


def build(sources: Sequence[Source], title: str | None = None) -> Page:
    """Make the sections of a page."""
    parts = [_part(source, f"p{place}" if len(sources) > 1 else "") for place, source in enumerate(sources, 1)]
    trained = [source for source in sources if source.kind == TRAINING and source.results]
    notes: list[str] = []
    compared = _tried(lambda: comparing.comparing(trained), notes, "The comparison") or []
    name = title or (sources[0].name if len(sources) == 1 else f"{counted(len(sources), 'result')} side by side")
    return Page(name, parts, compared)


def _part(source: Source, key: str) -> Part:
    makers: dict[str, Callable[[], Section | None]] = _makers(source, f"{key}-" if key else "")
    notes = list(source.notes)
    verdict = _tried(lambda: _verdict(source), notes, "The verdict")
    sections = [made for what, maker in makers.items() if (made := _tried(maker, notes, what))]
    about = _tried(lambda: _about(source), notes, "The summary") or []
    return Part(key, source.name, _KINDS[source.kind], about, verdict, sections, notes)


def _makers(source: Source, key: str) -> dict[str, Callable[[], Section | None]]:
    """What makes each section, in their order."""
    found: dict[str, Callable[[], Section | None]] = {}
    if source.kind == TRAINING:
        found["The part on measures"] = lambda: training.measures(source, f"{key}measures")
        found["The part on learning"] = lambda: training.learning(source, f"{key}learning")
        found["The part on queries"] = lambda: queries.queries(
            source, training.sides(source), f"{key}queries", training.systems(source)
        )
    elif source.kind == EVALUATION:
        found["The part on measures"] = lambda: _systems(source, f"{key}measures")
        found["The part on queries"] = lambda: _evaluated_queries(source, f"{key}queries")
    found["The part on hard negatives"] = lambda: mining.mining(source, f"{key}negatives")
    found["The part on data"] = lambda: hygiene.hygiene(source, f"{key}data")
    found["The part on settings"] = lambda: running.running(source, f"{key}made")
    return found


def _systems(source: Source, key: str) -> Section | None:
    found = evaluating.measured(source)
    return evaluating.systems(source, found, key) if found else None


def _evaluated_queries(source: Source, key: str) -> Section | None:
    found = evaluating.measured(source)
    pairs = evaluating.sides(source, found) if found else []
    return queries.queries(source, pairs[0][1] if pairs else None, key, {})


def _verdict(source: Source) -> Verdict | None:
    if source.kind == TRAINING:
        return training.verdict(source) if source.results else None
    found = evaluating.measured(source) if source.kind == EVALUATION else None
    return evaluating.verdict(source, found) if found else None


def _tried(make: Callable[[], Made], notes: list[str], what: str) -> Made | None:
    """Make a part; where the files are damaged, note that it is missing."""
    try:
        return make()
    except _DAMAGE as error:
        notes.append(
            f"{what} is not shown: the file that it is drawn from is damaged ({type(error).__name__}: {error})."
        )
        return None


def _about(source: Source) -> list[tuple[str, str]]:
    """Short facts below the name."""
    settings = source.results.get("settings") or {}
    found = [("base", settings.get("base_hub_id") or settings.get("base")), ("device", settings.get("device"))]
    found += [("steps", f"{settings['steps']:,}")] if isinstance(settings.get("steps"), int) else []
    if seconds := numbers(source.results.get("seconds")):
        found.append(("time", duration(sum(seconds.values()))))
    found.append(("Tardif", settings.get("tardif") or (source.manifest or {}).get("tardif")))
    return [(name, str(value)) for name, value in found if value]
