"""Foreign queries that every machine has: a small judged set made from the texts that ship with Python itself.

Three kinds, a third of the queries each, every one with a single answer among all documents:

- a sentence: the first line of a docstring asks for the rest of it;
- a few words: the name of a function, its words apart, asks for its docstring, from which the name is removed;
- a paragraph: one of the language reference (``pydoc_data``) asks for the paragraph after it.

Sources are parsed, never run. The same files give the same set, on any machine and in any process.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from tardif.data.judged import JudgedSet
from tardif.text.docstrings import Docstring, docstrings, dotted_name
from tardif.text.normal import keyed_order, normalise
from tardif.types import Document

# Queries of each kind. 300 queries tell a difference of .02 to .03 from chance, and encoding their texts takes seconds.
OF_EACH_KIND = 100
# With fewer queries than these a stripped library is no measure of anything.
LEAST_QUERIES = 50
# Documents are cut here, some 90 tokens: encoding them is what measuring costs.
_MAX_CHARACTERS = 400
# Their docstrings say most. All are in every version since 3.11, on every platform.
_MODULES = (
    *("argparse", "asyncio", "calendar", "codecs", "collections", "configparser", "contextlib", "difflib", "email"),
    *("http", "imaplib", "inspect", "ipaddress", "json", "logging", "shutil", "smtplib", "socket", "statistics"),
    *("subprocess", "tempfile", "threading", "traceback", "typing", "unittest", "urllib", "xml", "xmlrpc", "zipfile"),
)
_FEWEST_WORDS = 15
_SEED = 0


class _Pair(NamedTuple):
    name: str
    query: str
    document: str


def python_texts(root: Path | None = None, topics: Mapping[str, str] | None = None) -> JudgedSet | None:
    """Return the judged set, or None where Python's library has no sources with docstrings.

    >>> found = python_texts()
    >>> len(found.queries) == len(found.documents)
    True

    Args:
        root: the folder of the standard library; by default that of this Python.
        topics: the language reference by topic; by default the one of :mod:`pydoc_data`.
    """
    found = list(_docstrings(Path(sysconfig.get_paths()["stdlib"]) if root is None else root))
    # Drawn by a keyed order, so that a function more or less in another version changes few places. The two kinds
    # share no docstring: its whole text and the rest of it would answer both queries.
    order = sorted(found, key=lambda one: keyed_order(_SEED, one.name))
    sentences = list(islice(_unique(filter(None, map(_sentence, order))), OF_EACH_KIND))
    used = {pair.name for pair in sentences}
    rest = (one for one in order if one.name not in used)
    words = list(islice(_unique(filter(None, map(_words, rest))), OF_EACH_KIND))
    passages = sorted(_passages(_topics() if topics is None else topics), key=lambda one: keyed_order(_SEED, one.name))
    paragraphs = list(islice(_unique(passages), OF_EACH_KIND))
    kinds = {"sentence": sentences, "words": words, "paragraph": paragraphs}
    pairs = {f"{kind}: {pair.name}": pair for kind, of_kind in kinds.items() for pair in of_kind}
    if len(pairs) < LEAST_QUERIES:
        return None
    documents = [Document(pair.name, pair.document) for pair in pairs.values()]
    return JudgedSet(
        f"Python {sys.version_info.major}.{sys.version_info.minor}",
        sorted(documents, key=lambda document: document.id),
        {identity: pair.query for identity, pair in pairs.items()},
        {identity: {pair.name: 1} for identity, pair in pairs.items()},
    )


def _docstrings(root: Path) -> Iterator[Docstring]:
    for module in _MODULES:
        file = root / f"{module}.py"
        files = [file] if file.is_file() else sorted((root / module).rglob("*.py"))
        for path in files:
            name = dotted_name(path, root)
            if not any(part.startswith("_") or "test" in part for part in name.split(".")[1:]):
                yield from docstrings(path, name)


def _sentence(found: Docstring) -> _Pair | None:
    """The summary as a query for the rest."""
    summary, body = found.summary, _without_name(found.body, found)
    if (
        not 5 <= len(summary.split()) <= 30
        or len(body.split()) < _FEWEST_WORDS
        or re.match(r"[a-zA-Z_.]+\(.*\)", summary)  # a signature, not a sentence
        or summary.endswith(":")
        or normalise(summary) in normalise(body)  # the answer would repeat the question
    ):
        return None
    return _Pair(found.name, summary, _cut(body))


def _words(found: Docstring) -> _Pair | None:
    """The words of the name as a query for the whole docstring."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", found.node.name).replace("_", " ").lower().split()
    text = _without_name(f"{found.summary} {found.body}", found)
    if not 2 <= len(apart) <= 6 or len(text.split()) < _FEWEST_WORDS or normalise(" ".join(apart)) in normalise(text):
        return None
    return _Pair(found.name, " ".join(apart), _cut(text))


def _passages(topics: Mapping[str, str]) -> Iterator[_Pair]:
    """Pairs of paragraphs of prose that follow each other; no paragraph is in two of them."""
    seen: set[str] = set()
    for topic, text in sorted(topics.items()):
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        for place, (asked, answer) in enumerate(pairwise(paragraphs)):
            if _is_prose(asked) and _is_prose(answer) and not {asked, answer} & seen:
                seen |= {asked, answer}
                yield _Pair(f"{topic} {place}", asked, _cut(answer))


def _is_prose(paragraph: str) -> bool:
    """Whether a paragraph is made of sentences: no grammar, heading, code, list or table."""
    marks = ("::=", "***", "===", "---", ">>>", "+=")
    is_long = 25 <= len(paragraph.split()) <= 90
    return is_long and paragraph[0].isupper() and paragraph.endswith(".") and not any(m in paragraph for m in marks)


def _topics() -> Mapping[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # a stripped library
        return {}
    return topics


def _without_name(text: str, found: Docstring) -> str:
    """A text without the function's or class's own name, which would give it away."""
    name = found.node.name
    # Most texts do not hold it, and to compile a pattern for each name takes a fifth of the time.
    return " ".join((re.sub(rf"\b{re.escape(name)}\b", "", text) if name in text else text).split())


def _cut(text: str) -> str:
    """A text cut between two words."""
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS].rsplit(" ", 1)[0]


def _unique(pairs: Iterable[_Pair]) -> Iterator[_Pair]:
    """Drop pairs that share their query or document with another one: each would answer the other's query."""
    known = [(pair, normalise(pair.query), normalise(pair.document)) for pair in pairs]
    queries, documents = Counter(query for _, query, _ in known), Counter(document for _, _, document in known)
    for pair, query, document in known:
        if queries[query] == documents[document] == 1:
            yield pair
