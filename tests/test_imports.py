"""Imports run one way, as the design lays the package out."""

from __future__ import annotations

import ast
import graphlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import tardif

# A module imports from its own package and from lower levels only; __init__ only names things, lazily.
LEVELS = [
    {"_version", "escaping", "interpreters"},
    {"errors"},
    {"batching", "extras", "checks", "checksums", "file_reading", "exchange", "display"},
    {"explanation"},
    {"types", "progress", "forks", "locks", "devices", "ranking", "libraries"},
    {"folders"},
    {"processes"},
    {"scoring", "text"},
    {"losses", "encoder"},
    {"data"},
    {"synthesis", "index"},
    {"cluster"},
    {"mining"},
    {"preparation", "search"},
    {"evaluation"},
    {"report"},
    {"training"},
    {"serving"},
    {"client"},
    {"integrations"},
    {"cli", "ragatouille"},
    {"__main__"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
ROOT = Path(tardif.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
}


def imported(module):
    """The modules of this package that ``module`` imports anywhere, its functions and type checks among them."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    names = {name.removeprefix("tardif.") for name in found if name.startswith("tardif.")}
    return names & MODULES.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_lies_below_it(module):
    home = module.split(".")[0]
    assert home in LEVEL, f"{home} is new: give it a level"
    for other in imported(module):
        package = other.split(".")[0]
        assert package == home or LEVEL[package] < LEVEL[home], f"{module} imports {other}"


def executed(module):
    """The modules that importing ``module`` runs: those it imports, and the ``__init__`` of each package above them."""
    found = imported(module)
    packages = {package for package in MODULES for name in found if name.startswith(f"{package}.")}
    # A module's own packages have begun to run before it: importing them again is no cycle.
    return {name for name in found | packages if not f"{module}.".startswith(f"{name}.")}


def test_no_module_imports_itself_by_a_detour():
    order = graphlib.TopologicalSorter({module: executed(module) for module in MODULES})
    order.prepare()  # raises CycleError


def test_the_map_in_contributing_is_the_one_of_the_docstrings():
    tools = Path(__file__).parent.parent / "tools" / "house_map.py"
    written = runpy.run_path(str(tools))
    assert written["PAGE"].read_text(encoding="utf-8") == written["page_with_map"](), f"run python {tools} --write"


def modules_after(code):
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


@pytest.mark.parametrize("code", ["import tardif; tardif.Trainer, tardif.Retriever", "import tardif.cli"])
def test_importing_costs_no_heavy_library(code):
    heavy = {"torch", "transformers", "sentence_transformers", "datasets", "pyarrow", "bm25s", "sklearn"}
    assert not modules_after(code) & heavy


def test_all_names_are_there():
    assert set(tardif.__all__) == set(dir(tardif))
    for name in tardif.__all__:
        assert getattr(tardif, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tardif.nothing  # noqa: B018


def test_formats_know_nothing_of_the_rules():
    """What is read is judged later: else a rule imported first would meet itself half made."""
    folder = Path(tardif.__file__).parent / "data" / "formats"
    assert not [path.name for path in folder.glob("*.py") if "tardif.data.hygiene" in path.read_text("utf-8")]
