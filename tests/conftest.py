"""No test reaches a network; models are tiny and made once per session, when first asked for."""

from __future__ import annotations

import copy
import faulthandler
import gc
import itertools
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["OMP_NUM_THREADS"] = "1"  # on tiny tensors a second thread costs more than it gives
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # and on a few sentences
# A shell starts background jobs with Ctrl-C ignored, and Python then keeps to it, as do the processes that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from functools import cache

import pytest
import xxhash
from _pytest.faulthandler import fault_handler_stderr_fd_key
from _pytest.logging import catching_logs
from _pytest.unraisableexception import gc_collect_iterations_key

import tiny
from chat_server import KEY, Endpoint
from hub_server import Hub

_CHROMIUM = Path("/usr/bin/chromium")
_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30  # the fast tests write half a gigabyte


def pytest_configure(config):
    """Set up what all tests share."""
    # At the end pytest looks for garbage, by itself five times, as PyPy needs it: seconds, with all that was loaded.
    config.stash[gc_collect_iterations_key] = 1
    _write_to_memory(config)
    catching_logs.__enter__ = _catch


def _write_to_memory(config):
    """Let the fast tests write to memory where there is room: waiting for a disk takes longer than most of them."""
    fast = config.option.markexpr == "not slow" and "TMPDIR" not in os.environ
    if fast and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


_APART = []  # the loggers that hand nothing on to the root, when a test begins


def _catch(self):
    """Listen to the root and to the loggers apart from it.

    pytest goes through all loggers for them, six times in each test: there are thousands with transformers.
    """
    root = logging.getLogger()
    for logger in (root, *(logger for logger in _APART if not logger.propagate)):
        logger.addHandler(self.handler)
        self.attached_loggers.append(logger)
    if self.level is not None:
        self.handler.setLevel(self.level)
        self.orig_level = root.level
        root.setLevel(min(self.orig_level, self.level))
    return self.handler


_ALL_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path, config):
    """Import no test file that has none of the tests asked for: they import libraries, in every process."""
    if config.option.markexpr == "slow" and collection_path.suffix == ".py":
        return "slow" not in collection_path.read_text(encoding="utf-8") or None
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py":
        return _ALL_SLOW.search(collection_path.read_text(encoding="utf-8")) is not None or None
    return None


# What takes longest of the slow set: groups of tests, and files whose tests have no group.
_LONGEST = (
    *("processes", "nodes", "test_main_job", "attack", "serve", "resume", "page", "ray", "killed", "test_collections"),
    *("migration", "mcp", "index", "library", "test_resuming", "test_served_killed", "test_trec_eval", "test_examples"),
)


def _turn(item):
    """When a slow test's turn is: the longest first, and those that take a moment last."""
    group = item.get_closest_marker("xdist_group")
    name = group.args[0] if group else item.path.stem
    return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST) + (name == "test_config_checks")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Begin the longest of the slow tests first: at the end no process is alone with one of them.

    Of the fast ones those that use tests/forked.py begin: one process has them all, and starts one server of forks.
    """
    if config.option.markexpr == "slow":
        items.sort(key=_turn)
    if config.option.markexpr == "not slow":
        items.sort(key=lambda item: not hasattr(item.module, "forked"))


_GROUP = re.compile(r"^pytestmark = .*\bpytest\.mark\.xdist_group\(\"(\w+)\"\)", re.MULTILINE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a group's files on one process: pytest-xdist 3.8 writes groups into ids that pytest 9.2 does not read."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    @cache
    def group_of(file):
        found = _GROUP.search((config.rootpath / file).read_text(encoding="utf-8"))
        return found and found[1]

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid.partition("::")[0]) or super()._split_scope(nodeid)

    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Give the slow tests a process more than there are cores: they often wait for what they started."""
    from tardif.devices import core_count

    asked = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ
    return core_count() + 1 if config.option.markexpr == "slow" and not asked else None


# A test allocates far more than the 700 objects after which Python looks for garbage, and most of them stay.
gc.set_threshold(20_000)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage while test files import their libraries: it takes a tenth of the time, and there is none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


_PATIENCE, _ARMED = 900, {"at": 0.0}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Show and end a test that hangs, some 15 minutes after it began: the slowest takes a few.

    pytest does so for each test by itself, with a thread for each: of thousands of tests many take no longer than that.
    """
    loggers = logging.root.manager.loggerDict.values()
    _APART[:] = [logger for logger in loggers if not getattr(logger, "propagate", True)]
    if time.monotonic() > _ARMED["at"] + 60:
        _ARMED["at"] = time.monotonic()
        faulthandler.dump_traceback_later(_PATIENCE, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])
    try:
        return (yield)
    finally:
        if nextitem is None:
            _disarm()


def pytest_exception_interact():
    """Begin anew after a failure: a debugger may be open for long, and pytest has put the alarm off."""
    _disarm()


def _disarm():
    faulthandler.cancel_dump_traceback_later()
    _ARMED["at"] = 0.0


_EXEMPT = {"modules": 0}


def pytest_runtest_setup():
    """Exempt modules from garbage collection once many were loaded: each training collects, 0.4 s with all of torch."""
    if len(sys.modules) > _EXEMPT["modules"] + 100:
        _EXEMPT["modules"] = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_unconfigure():
    """Let what was exempt go, or DuckDB reports it as leaked."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _no_pages():
    """Runs draw no report, which takes a second; ``pages`` lets those of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tardif.report.leaving.report", lambda folder, page: page)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_guard():
    """Trainings measure no foreign queries, which takes them seconds, unless a test asks for some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tardif.training.settings._DEFAULT_GUARD", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _exported_once(tmp_path_factory):
    """An index of a model that had one takes that one's query encoder: exporting it takes as long as all else.

    The same model gives the same bytes: tests/encoder/onnx/test_convert.py.
    """
    from tardif.search import build, build_sharded, qdrant_build

    export, made = build.export_encoder, {}

    def once(encoder, folder, console):
        key = None if folder.exists() else tiny.fingerprint(encoder)
        if key in made:
            shutil.copytree(made[key], folder)
            return
        export(encoder, folder, console)
        if key is not None and folder.is_dir():
            made[key] = shutil.copytree(folder, tmp_path_factory.mktemp("query-encoder") / "made")

    with pytest.MonkeyPatch.context() as patch:
        for module in (build, build_sharded, qdrant_build):
            patch.setattr(module, "export_encoder", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory):
    """Of several processes that need the same compiled code one compiles it, and the others read it from its cache."""
    if "numba" not in sys.modules:
        yield
        return
    from filelock import FileLock
    from numba.core.dispatcher import Dispatcher

    lock = FileLock(tmp_path_factory.getbasetemp().parent / "compiling.lock", thread_local=False)
    compile_now = Dispatcher.compile

    def in_turn(self, signature):
        with lock:
            return compile_now(self, signature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "compile", in_turn)
        yield


@pytest.fixture(scope="session", autouse=True)
def _graphs_once():
    """The graph of a query encoder is opened once: of a tiny one that takes longer than many searches with it.

    Sessions do not change, and threads may share them; another process opens its own.
    """
    from tardif.encoder.onnx.encoder import GRAPH, LightEncoder

    open_graph, opened = LightEncoder._open_graph, {}

    def once(encoder):
        path = encoder.folder / GRAPH
        if not path.is_file() or path.stat().st_size > 10**7:
            return open_graph(encoder)
        key = xxhash.xxh3_128_digest(path.read_bytes()), encoder._threads, encoder.dim, os.getpid()
        if key not in opened:
            opened[key] = open_graph(encoder)
        return opened[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LightEncoder, "_open_graph", once)
        yield


class _Attached:
    """A database of an instance of DuckDB that goes on: what a staging database asks of it, and its end."""

    _functions: ClassVar = set()  # of the one instance

    def __init__(self, instance, folder, name):
        self._instance, self._name = instance, name
        self._own = instance.cursor()
        path = str(folder / "staging.duckdb").replace("'", "''")
        self._own.execute(f"ATTACH '{path}' AS {name}; USE {name}")

    def __getattr__(self, name):
        return getattr(self._own, name)

    def create_function(self, name, *given, **options):
        """The instance keeps a function: those of a name are all the same. To look it up takes DuckDB 10 ms."""
        if name not in self._functions:
            self._instance.create_function(name, *given, **options)
            self._functions.add(name)

    def cursor(self):
        return self._instance.cursor().execute(f"USE {self._name}")

    def close(self):
        self._own.close()
        self._instance.execute(f"DETACH {self._name}")


@pytest.fixture(scope="session", autouse=True)
def _one_instance():
    """Collections are staged in databases of one instance of DuckDB: to start one takes a fifth of a tiny preparation.

    One thread, because on tiny tables a second costs more than it gives. A limit of memory has an instance of its own.
    """
    from tardif.data import staging

    connect, numbers = staging.connect, itertools.count()

    @cache
    def instance():
        import duckdb

        return duckdb.connect(config={"threads": "1", "preserve_insertion_order": False})

    def attached(folder, memory):
        if memory != staging.MEMORY:
            return connect(folder, memory)
        return _Attached(instance(), folder, f"staging{next(numbers)}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "connect", attached)
        yield


@pytest.fixture
def pages(monkeypatch):
    """Runs draw their reports, as they do outside of tests."""
    from tardif.report.write import report

    monkeypatch.setattr("tardif.report.leaving.report", report)


@pytest.fixture(scope="session")
def marking():
    """Runs mark no words for their reports, which takes them as long as a tiny training; gives the function that does.

    Not by itself in every session: it imports torch.
    """
    from tardif.training import publishing

    gather = publishing.run_evidence
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "run_evidence", lambda *given, explained: gather(*given, explained=False))
        yield gather


@pytest.fixture
def marks(marking, monkeypatch):
    """Runs mark words, as they do outside of tests."""
    monkeypatch.setattr("tardif.training.publishing.run_evidence", marking)


def _state_of(folder):
    """What changes as soon as a file in a folder does."""
    states = [(path.name, path.lstat()) for path in sorted(folder.glob("*"))]
    return str(folder), [(name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in states]


@pytest.fixture(scope="session")
def _compared_once():
    """A checkpoint's weights are compared with its config once for as long as its files stay as they are.

    Every opening does so, and of a tiny model it is a third of the opening. What is wrong is found each time.
    """
    from tardif.encoder import loading, model

    fine, compare = set(), loading.check_report

    def once(what, folder, **how):
        key = repr((_state_of(folder), how))
        if key not in fine:
            compare(what, folder, **how)
            fine.add(key)

    with pytest.MonkeyPatch.context() as patch:
        for module in (loading, model):
            patch.setattr(module, "check_report", once)
        yield


@pytest.fixture(scope="session")
def _looked_up_once():
    """Which packages are installed is looked up once: the libraries do so for each model and each step."""
    from accelerate.utils import imports
    from sentence_transformers.util import environment

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((environment, "check_package_availability"), (imports, "_is_package_available")):
            patch.setattr(module, name, cache(getattr(module, name)))
        yield


@pytest.fixture(scope="session")
def built_once():
    """Trainings that begin with the same base, recipe and seed build their model once, and copy it; gives what builds.

    Building takes a sixth of a tiny training. A base that has changed is built again.
    """
    import torch

    from tardif.training import run

    build, made = run.build_model, {}

    def once(base, recipe, **how):
        key = repr((_state_of(base.folder), base, recipe, how))
        if key not in made:
            model = build(base, recipe, **how)
            made[key] = copy.deepcopy(model), torch.get_rng_state()
            return model
        model, drawn = made[key]
        torch.set_rng_state(drawn)
        return copy.deepcopy(model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "build_model", once)
        yield build


@pytest.fixture(scope="session")
def _no_collections():
    """Trainings end without a search for garbage through all that the libraries have loaded."""
    from types import SimpleNamespace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelerate.utils.memory.gc", SimpleNamespace(collect=int))
        yield


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory, marking, _compared_once, _looked_up_once, _no_collections, built_once):
    """The folder of a family's base: ``base_folder("bert")``. Runs on it mark no words."""
    return cache(lambda family: tiny.save_base(family, tmp_path_factory.mktemp("base") / family))


@pytest.fixture(scope="session")
def fresh(base_folder):
    """A family's base with the classic recipe around it: ``fresh("bert")``. Shared: not to be changed."""
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe

    return cache(lambda family: build_model(resolve_base(base_folder(family)), Recipe(expansion=32)))


@pytest.fixture(scope="session")
def dense_folder(base_folder, tmp_path_factory):
    return tiny.save_dense(base_folder("bert"), tmp_path_factory.mktemp("checkpoint") / "dense")


@pytest.fixture(scope="session")
def multi_vector_folder(base_folder, tmp_path_factory):
    return tiny.save_multi_vector(base_folder("bert"), tmp_path_factory.mktemp("checkpoint") / "multi-vector")


@pytest.fixture(scope="session")
def stanford_folder(base_folder, tmp_path_factory):
    return tiny.save_stanford(base_folder("bert"), tmp_path_factory.mktemp("checkpoint") / "stanford")


@pytest.fixture(scope="session")
def pylate_folder(base_folder, tmp_path_factory):
    return tiny.save_pylate(base_folder("bert"), tmp_path_factory.mktemp("checkpoint") / "pylate")


@pytest.fixture(scope="session")
def encoder(multi_vector_folder):
    """A tiny late-interaction model, opened. Shared: not to be changed."""
    from tardif.encoder.model import open_model

    return open_model(str(multi_vector_folder))


@pytest.fixture
def endpoint(monkeypatch):
    """A chat endpoint on this machine, running."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A model hub on this machine, running, with an empty cache of its own; nobody is logged in."""
    from huggingface_hub import constants

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    running, home = Hub(), tmp_path / "hub-home"
    places = {"HF_HOME": home, "HF_HUB_CACHE": home / "hub", "HF_XET_CACHE": home / "xet"}
    places |= {"HF_TOKEN_PATH": home / "token", "HF_STORED_TOKENS_PATH": home / "stored_tokens"}
    for name, place in places.items():
        monkeypatch.setattr(constants, name, str(place))
    monkeypatch.setattr(constants, "ENDPOINT", running.url)
    template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield running
    running.close()


@pytest.fixture(scope="session")
def _options_once():
    """The verbs' options are made for the parser once, and not for each line: that takes longer than many verbs."""
    import typer.main

    made = {}

    def once(app, real=typer.main.get_command):
        key = app, len(app.registered_commands)  # a verb registers itself
        if key not in made:
            made[key] = real(app)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", once)
        yield


@pytest.fixture
def tardif(capsys, _options_once):
    """Run a verb; gives the exit code, stdout and stderr."""

    from tardif.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def fails(tardif):
    """Run a verb that must fail with one readable line; gives the line. Totals and warnings may stand before it."""

    def run(*arguments):
        code, out, err = tardif(*arguments)
        assert (code, out) == (1, "")
        *totals, line = err.splitlines(keepends=True)
        assert all(total.startswith(("  ", "WARNING: ")) for total in totals), err
        assert line.startswith("tardif: ")
        assert "Traceback" not in err
        assert "unexpected" not in err
        return line

    return run


# No longer than a file's tests: Playwright keeps an event loop running in this thread, and asyncio refuses a second.
@pytest.fixture(scope="module")
def browser():
    """A real browser: Debian's chromium, driven by Playwright."""
    if not _CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(_CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()
