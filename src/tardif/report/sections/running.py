"""Settings, versions, hardware and times, and the command that repeats it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tardif.report.numbers import duration, figure
from tardif.report.page_parts import PageSection, PageTable
from tardif.report.sources import ReportSource, numbers
from tardif.report.texts import cut

_MOST = 400  # characters of a setting


def running(source: ReportSource, key: str) -> PageSection | None:
    """Show how it was made, and how it is made again."""
    run = source.evidence.run if source.evidence else None
    seconds = numbers(source.results.get("seconds"))
    settings = flat(source.results.get("settings") or (source.manifest or {}).get("settings") or {})
    if source.manifest and (version := source.manifest.get("tardif")):
        settings = {"tardif": str(version), **settings}
    tables = [
        _table("Versions and hardware", "what", flat(run.environment) if run else {}),
        _table("Times", "part", {name: duration(found) for name, found in seconds.items()}),
        _table("Settings", "setting", settings),
    ]
    seed = run.seed if run else (source.results.get("settings") or {}).get("seed")
    command = run.command if run else ""
    shown = [table for table in tables if table.rows]
    if not shown and not command:
        return None
    content = {"command": command[:4000], "seed": "" if seed is None else str(seed), "tables": shown}
    return PageSection(key, "How it was made", "running.html", content)


def flat(settings: Any, prefix: str = "") -> dict[str, str]:
    """Settings by their dotted names, as texts; what is not set is left out.

    >>> flat({"lr": 3e-05, "data": {"miner": "lexical", "chunk": None}})
    {'lr': '3e-05', 'data.miner': 'lexical'}
    """
    found: dict[str, str] = {}
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        elif value not in (None, "", [], {}, ()):
            found[f"{prefix}{name}"] = cut(_written(value), _MOST)
    return found


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else figure(value)


def _table(caption: str, what: str, found: Mapping[str, str]) -> PageTable:
    rows: Sequence[Sequence[str]] = [(cut(name, 80), value) for name, value in found.items()]
    return PageTable(caption, (what, "value"), rows, words=(1,))
