"""Removal of a web page's controls from its text: permalink signs, edit links, copy buttons, line numbers.

They are inside headings and code, so an extractor of the main text takes them for words: no search finds
"Requirements¶", and it makes a bad synthetic query.
"""

from __future__ import annotations

import re
from typing import Any

# The whole text of a permalink.
_SIGNS = re.compile(r"[\s¶#§🔗⚓❡\u200b\ufeff]*|link|permalink|anchor|\[?source\]?|\[?edit\]?", re.IGNORECASE)
# Classes of permalinks in Sphinx, MkDocs, Docusaurus, GitHub and the like; _GONE are classes of other controls.
_LINKS = frozenset({
    "headerlink", "header-anchor", "header-link", "hash-link", "heading-anchor", "heading-link", "permalink",
    "anchorjs-link", "toc-anchor", "direct-link", "viewcode-link", "anchor-link", "octicon-link",
})  # fmt: skip
_GONE = frozenset({
    "mw-editsection", "copybtn", "copy-button", "copy-btn", "md-clipboard", "zeroclipboard-container", "clipboard-copy",
    "linenos", "lineno", "linenodiv", "theme-edit-this-page", "md-content__button", "edit-this-page",
    "wy-breadcrumbs-aside",
})  # fmt: skip
_GONE_TAGS = frozenset({"button", "clipboard-copy"})
# The whole text of a link that edits the page, shows its source or copies its code.
_WORDS = re.compile(
    r"(edit|view|improve|suggest edits? (on|to)) (this )?(page|source)?( (on|in|at) (github|gitlab|bitbucket))?"
    r"|(view|show) (page )?source|copy( code)?( to clipboard)?|copied!?",
    re.IGNORECASE,
)
# Soft hyphen, zero-width space, word joiner and byte order mark.
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))


def pruned(tree: Any) -> Any:
    """Remove permalinks and other controls from the tree of a page, in place, and make code plain text."""
    # A list, because the tree changes while it is walked.
    for element in list(tree.iter()):
        if not isinstance(element.tag, str) or element.getparent() is None:
            continue
        if element.tag == "pre":
            _flatten(element)
        elif _is_control(element):
            _take_out(element)
        elif element.tag == "div" and "markdown-heading" in _classes(element):
            element.drop_tag()  # GitHub's wrapper: trafilatura overlooks a heading inside it
    return tree


def seen(text: str) -> str:
    """Remove soft hyphens and zero-width characters from a text."""
    return text.translate(_UNSEEN)


def _classes(element: Any) -> set[str]:
    return set((element.get("class") or "").split())


def _is_control(element: Any) -> bool:
    tag, classes = element.tag, _classes(element)
    if tag in _GONE_TAGS or classes & _GONE:
        return True
    if tag == "sup":
        # A footnote's number, such as Wikipedia's [1].
        return "reference" in classes and any((link.get("href") or "").startswith("#") for link in element.iter("a"))
    if tag not in ("a", "span", "div"):
        return False
    if tag == "a":
        within = (element.get("href") or "").startswith("#") or classes & _LINKS
        return bool(within and _SIGNS.fullmatch(_text_of(element))) or bool(_WORDS.fullmatch(_text_of(element)))
    return bool(classes & _LINKS) and _SIGNS.fullmatch(_text_of(element)) is not None


def _text_of(element: Any) -> str:
    """The first 80 characters of an element's text: enough to recognise a sign or a few words."""
    parts, size = [], 0
    for part in element.itertext():
        parts.append(part)
        size += len(part)
        if size > 80:
            break
    return " ".join("".join(parts).translate(_UNSEEN).split())


def _flatten(pre: Any) -> None:
    """Replace the children of a block of code by their text, so that line ends and indentation are kept."""
    for element in list(pre.iter()):
        if element is pre or not isinstance(element.tag, str):
            continue
        if element.tag == "br":
            element.tail = "\n" + (element.tail or "").removeprefix("\n")
        elif _is_control(element):
            element.text = None
            for child in list(element):
                element.remove(child)
    text = "".join(pre.itertext())
    for child in list(pre):
        pre.remove(child)
    pre.text = text


def _take_out(element: Any) -> None:
    """Remove an element and keep the text after it (lxml's ``tail``)."""
    parent, before, tail = element.getparent(), element.getprevious(), element.tail or ""
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)
