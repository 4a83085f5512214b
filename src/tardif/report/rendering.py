"""The templates of the pages: every text is escaped, and what would hide or reorder a part of a page is visible."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tardif.escaping import visible


@cache
def templates() -> Environment:
    """Return the environment that reads and fills the templates."""
    return Environment(
        loader=PackageLoader("tardif.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )


def shown(value: Any) -> Any:
    """Return a text as a page shows it; markup is the page's own."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(value, keep="\n\t") if is_text else value
