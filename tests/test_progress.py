from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util

import pytest

from tardif import progress
from tardif.progress import Bar, Console


@pytest.fixture
def notebook(monkeypatch):
    """What rich recognises a notebook by."""

    class ZMQInteractiveShell:
        pass

    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)


def widgets(monkeypatch, spec):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "ipywidgets" else find(name))


def test_a_notebook_with_widgets_gets_a_bar_and_one_without_gets_lines(notebook, monkeypatch):
    drawn = []
    monkeypatch.setattr(progress, "_TerminalBar", lambda *args: drawn.append(args) or Bar(*args))
    for spec, count in ((None, 0), (importlib.machinery.ModuleSpec("ipywidgets", None), 1)):
        widgets(monkeypatch, spec)
        with Console().progress("Training", 3, "steps"):
            pass
        assert len(drawn) == count


def test_elsewhere_widgets_change_nothing(monkeypatch):
    widgets(monkeypatch, importlib.machinery.ModuleSpec("ipywidgets", None))
    assert not progress._in_notebook()


def test_what_an_earlier_run_did_counts_as_done_but_not_for_the_speed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Bar("Training", 100, "steps")
    bar.resume(50)
    now[0] += 10
    bar.advance(10)
    assert bar.line() == "Training: 60/100 steps, 1/s, 40s left"
