import importlib.metadata
import json

import pytest

from tardif import __version__
from tardif.cli import doctor


def test_what_is_found_can_be_json_and_lines():
    found = doctor.examine()
    assert json.loads(json.dumps(found)) == found
    assert found["tardif"] == __version__
    assert found["packages"]["numpy"]
    lines = doctor.report(found)
    assert __version__ in lines[0]
    assert all("\n" not in line for line in lines)


@pytest.fixture
def versions(monkeypatch):
    changed = {}
    version = importlib.metadata.version

    def find(name):
        if name in changed:
            if changed[name] is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return changed[name]
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", find)
    return changed


def test_a_missing_package_is_advised_to_install(versions):
    versions["bm25s"] = None
    found = doctor.examine()
    assert found["packages"]["bm25s"] is None
    assert any(line.startswith("bm25s is missing") for line in found["advice"])
    assert "  bm25s MISSING" in doctor.report(found)


def test_a_gpu_that_torch_cannot_use_is_said(versions, monkeypatch):
    versions["torch"] = "2.9.0+cpu"
    monkeypatch.setattr(doctor, "cuda_count", lambda: 1)
    assert any("without CUDA" in line for line in doctor.examine()["advice"])


def test_nothing_to_do_is_said():
    assert doctor.report({**doctor.examine(), "advice": []})[-1] == "All is well."
