"""The large libraries are loaded without looking for garbage, which is looked for afterwards as before."""

import gc
import sys

import pytest

from tardif import libraries


@pytest.fixture(params=[True, False])
def collects(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_no_garbage_is_looked_for_meanwhile(collects, monkeypatch):
    seen = []
    monkeypatch.setattr(libraries, "import_module", lambda name: seen.append((name, gc.isenabled())))
    libraries.load_libraries()
    assert seen == [("sentence_transformers", False)]
    assert gc.isenabled() is collects


@pytest.mark.parametrize(("own", "loaded", "exempt"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_what_is_made_meanwhile_is_garbage_never_in_a_process_of_its_own(monkeypatch, own, loaded, exempt):
    frozen = []
    monkeypatch.setattr(libraries, "import_module", lambda name: None)
    monkeypatch.setitem(libraries._PROCESS, "own", False)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    if loaded:
        monkeypatch.setitem(sys.modules, "sentence_transformers", gc)
    else:
        monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)
    if own:
        libraries.own_process()
    libraries.load_libraries()
    assert frozen == [False] * exempt


def test_an_error_leaves_everything_as_it_was(collects, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(libraries, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        libraries.load_libraries()
    assert gc.isenabled() is collects
