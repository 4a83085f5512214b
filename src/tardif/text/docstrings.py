"""Docstrings of Python sources, which are parsed and never run."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Larger sources are generated tables, slow to parse and without docstrings.
_MAX_FILE_BYTES = 600_000

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Docstring:
    """The docstring of a public function or class, on one line.

    Attributes:
        name: the function's or class's, with the module's before it.
        node: its definition.
        summary: the first paragraph.
        body: what follows it.
    """

    name: str
    node: Documented
    summary: str
    body: str


def docstrings(path: Path, module: str) -> Iterator[Docstring]:
    """Yield the docstrings of a source file's public functions and classes, and of the classes' public methods.

    A file that cannot be read or parsed has none.

    >>> import json
    >>> next(docstrings(Path(json.__file__), "json")).summary[:41]
    'Serialize ``obj`` as a JSON formatted str'

    Args:
        path: the file.
        module: the module's dotted name.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old sources have invalid escapes; they are read, not run
            # Parsed, not imported: importing every package would run its code. Python's -OO drops no docstring here.
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node, prefix in _public(tree, module):
        text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
        if text:
            summary, _, body = text.partition("\n\n")
            yield Docstring(f"{prefix}.{node.name}", node, " ".join(summary.split()), " ".join(body.split()))


def dotted_name(path: Path, root: Path) -> str:
    """Return the name by which a source file under a root is imported.

    >>> dotted_name(Path("lib/email/__init__.py"), Path("lib"))
    'email'
    """
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _public(tree: ast.Module, module: str) -> Iterator[tuple[Documented, str]]:
    for node in tree.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node, module
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                        yield inner, f"{module}.{node.name}"
