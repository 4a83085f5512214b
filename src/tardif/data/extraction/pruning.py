"""A web page without what is furniture of its text: permalink signs, edit links, copy buttons, line numbers.

They stand inside headings and code, where a reader of the main text takes them for words: "Requirements¶" is found
by nobody, and makes a bad query.
"""

from __future__ import annotations

import re
from typing import Any

_SIGNS = re.compile(r"[\s¶#§🔗⚓❡\u200b\ufeff]*|link|permalink|anchor|\[?source\]?|\[?edit\]?", re.IGNORECASE)
_LINKS = frozenset(
    {"headerlink", "header-anchor", "header-link", "hash-link", "heading-anchor", "heading-link", "permalink"}
    | {"anchorjs-link", "toc-anchor", "direct-link", "viewcode-link", "anchor-link", "octicon-link"}
)
_GONE = frozenset(
    {
        "mw-editsection",
        "copybtn",
        "copy-button",
        "copy-btn",
        "md-clipboard",
        "zeroclipboard-container",
        "clipboard-copy",
    }
    | {
        "linenos",
        "lineno",
        "linenodiv",
        "theme-edit-this-page",
        "md-content__button",
        "edit-this-page",
        "wy-breadcrumbs-aside",
    }
)
_GONE_TAGS = frozenset({"button", "clipboard-copy"})
_WORDS = re.compile(
    r"(edit|view|improve|suggest edits? (on|to)) (this )?(page|source)?( (on|in|at) (github|gitlab|bitbucket))?"
    r"|(view|show) (page )?source|copy( code)?( to clipboard)?|copied!?",
    re.IGNORECASE,
)
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))


def pruned(tree: Any) -> Any:
    """The tree of a page, changed in place: without permalinks and the like, and code as plain text."""
    for element in list(tree.iter()):
        if not isinstance(element.tag, str) or element.getparent() is None:
            continue
        if element.tag == "pre":
            _flatten(element)
        elif _is_furniture(element):
            _take_out(element)
        elif element.tag == "div" and "markdown-heading" in _classes(element):
            element.drop_tag()  # of GitHub: around a heading, which is not seen as one within
    return tree


def seen(text: str) -> str:
    """A text without soft hyphens and characters that have no width."""
    return text.translate(_UNSEEN)


def _classes(element: Any) -> set[str]:
    return set((element.get("class") or "").split())


def _is_furniture(element: Any) -> bool:
    tag, classes = element.tag, _classes(element)
    if tag in _GONE_TAGS or classes & _GONE:
        return True
    if tag == "sup":
        return "reference" in classes and any((link.get("href") or "").startswith("#") for link in element.iter("a"))
    if tag not in ("a", "span", "div"):
        return False
    if tag == "a":
        within = (element.get("href") or "").startswith("#") or classes & _LINKS
        return bool(within and _SIGNS.fullmatch(_said(element))) or bool(_WORDS.fullmatch(_said(element)))
    return bool(classes & _LINKS) and _SIGNS.fullmatch(_said(element)) is not None


def _said(element: Any) -> str:
    """What an element says, as far as a sign or a few words go."""
    parts, size = [], 0
    for part in element.itertext():
        parts.append(part)
        size += len(part)
        if size > 80:
            break
    return " ".join("".join(parts).translate(_UNSEEN).split())


def _flatten(pre: Any) -> None:
    """Have a block of code hold its text alone: its line ends and indentation are its own."""
    for element in list(pre.iter()):
        if element is pre or not isinstance(element.tag, str):
            continue
        if element.tag == "br":
            element.tail = "\n" + (element.tail or "").removeprefix("\n")
        elif _is_furniture(element):
            element.text = None
            for child in list(element):
                element.remove(child)
    text = "".join(pre.itertext())
    for child in list(pre):
        pre.remove(child)
    pre.text = text


def _take_out(element: Any) -> None:
    """Remove an element, and keep what follows it."""
    parent, before, tail = element.getparent(), element.getprevious(), element.tail or ""
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)
