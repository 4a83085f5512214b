"""Optional packages: which extra of the package ``tardif`` brings them, and one refusal where they are missing.

What needs an optional package calls :func:`need` first, before any work. Nothing is imported to find out: a package
counts as installed if Python finds it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping

from tardif.errors import MissingExtraError

# By extra: its packages, as pip and as Python name them. The first ones are those that an error names.
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "train": {
        "torch": "torch",
        "sentence-transformers": "sentence_transformers",
        "datasets": "datasets",
        "duckdb": "duckdb",
        "pyarrow": "pyarrow",
        "scipy": "scipy",
        "ir-measures": "ir_measures",
        "matplotlib": "matplotlib",
        "datasketch": "datasketch",
        "onnx": "onnx",
        "py3langid": "py3langid",
        "semantic-text-splitter": "semantic_text_splitter",
    },
    "serve": {
        "fastapi": "fastapi",
        "uvicorn": "uvicorn",
        "prometheus-client": "prometheus_client",
        "mcp": "mcp",
    },
    "parquet": {"pyarrow": "pyarrow"},
    "documents": {"trafilatura": "trafilatura", "pypdf": "pypdf", "python-docx": "docx", "docutils": "docutils"},
    "excel": {"python-calamine": "python_calamine"},
    "collections": {"ir-datasets": "ir_datasets"},
    "lora": {"peft": "peft"},
    "langchain": {"langchain-core": "langchain_core"},
    "llama-index": {"llama-index-core": "llama_index"},
    "haystack": {"haystack-ai": "haystack"},
    "cluster": {"ray": "ray"},
    "qdrant": {"qdrant-client": "qdrant_client", "qdrant-edge-py": "qdrant_edge"},
}
# What opens a model; an exported query encoder needs neither.
MODEL = ("torch", "sentence-transformers")
# What encodes documents: they are also cut.
INDEXING = (*MODEL, "semantic-text-splitter")
_NAMED = 3


def missing(extra: str, packages: Iterable[str] = ()) -> list[str]:
    """Return which packages of an extra are not installed.

    Args:
        extra: its name.
        packages: look for these of its packages; by default for all.

    >>> missing("train")
    []
    """
    modules = EXTRAS[extra]
    return [name for name in packages or modules if not _is_there(modules[name])]


def _is_there(module: str) -> bool:
    # One that is imported is not looked for again.
    return sys.modules[module] is not None if module in sys.modules else importlib.util.find_spec(module) is not None


def need(extra: str, what: str, packages: Iterable[str] = (), way_out: str = "") -> None:
    """Raise unless the packages that something needs are installed.

    >>> need("train", "Training")

    Args:
        extra: the extra that brings them.
        what: what needs them, as the subject of the message.
        packages: some of the extra's packages; by default all.
        way_out: what else the user can do, after "or".

    Raises:
        MissingExtraError: one is not installed; the message has the command that installs it.
    """
    if lacking := missing(extra, packages):
        raise MissingExtraError(refusal(what, lacking, extra) + (f", or {way_out}." if way_out else "."))


def refusal(what: str, packages: list[str], extra: str) -> str:
    """Return the message on missing packages, without its full stop.

    >>> refusal("Training", ["torch"], "train")
    "Training needs torch, which is not installed: pip install 'tardif[train]'"
    >>> refusal("Training", ["torch", "duckdb", "scipy", "onnx"], "train")
    "Training needs torch, duckdb, scipy and more, which are not installed: pip install 'tardif[train]'"
    """
    *others, last = [*packages[:_NAMED], "more"] if len(packages) > _NAMED else packages
    names = f"{', '.join(others)} and {last}" if others else last
    return f"{what} needs {names}, which {'are' if others else 'is'} not installed: pip install 'tardif[{extra}]'"


def extra_of(module: str) -> str | None:
    """Return the extra that brings a module; None for other modules.

    >>> extra_of("torch.nn"), extra_of("json")
    ('train', None)
    """
    top = module.partition(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if top in packages.values()), None)
