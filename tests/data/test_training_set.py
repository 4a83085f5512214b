import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tardif.data import spooled
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet, is_training_set
from tardif.errors import FolderError
from tardif.types import Document, Example

ROWS = [(f"question {n}", f"answer {n}", f"wrong {n}") for n in range(12)]
PREPARE = """
import sys
from tardif.preparation import prepare
rows = [(f"question {n}", f"answer {n}", f"wrong {n}") for n in range(12)]
prepare([rows], miner="none").save(sys.argv[1])
"""


@pytest.fixture
def data():
    return TrainingSet(
        documents={
            "d1": Document("d1", "Größe 中文\n\x00", title="a title", metadata={"z": [1, None], "a": {"é": 0.5}}),
            "d2": Document("d2", ""),
            "d3": Document("d3", "x" * 10_000),
        },
        queries={"q2": "second", "q1": "first"},
        qrels={"q2": {"d3": 2, "d2": -1}, "q1": {"d1": 1}},
        split={"q2": TRAIN, "q1": VALIDATION},
        examples=[Example("q2", "d3", ("d2", "d1"), (0.5, -1.25, 3.0)), Example("q2", "d3")],
        settings={"seed": 3, "language": "en"},
        report=["read as pairs"],
        made=1,
    )


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_saved_is_loaded(data, tmp_path):
    loaded = TrainingSet.load(data.save(tmp_path / "set"))
    assert loaded == data
    assert [list(loaded.queries), list(loaded.documents)] == [list(data.queries), list(data.documents)]
    assert is_training_set(tmp_path / "set")


@pytest.fixture
def large(data):
    """A set of documents in more than one block."""
    more = {f"m{n}": Document(f"m{n}", f"text {n} " * (n % 50), metadata={"n": n}) for n in range(2_500)}
    return replace(data, documents={**data.documents, **more})


def test_a_set_with_its_documents_on_disk_is_the_same_set(large, tmp_path, monkeypatch):
    folder = large.save(tmp_path / "set")
    monkeypatch.setattr(spooled, "MEMORY", 0)
    loaded = TrainingSet.load(folder)
    assert isinstance(loaded.documents, spooled.SpooledById)
    assert loaded == large
    assert list(loaded.documents) == list(large.documents)
    assert loaded.counts() == large.counts()
    assert repr(loaded) == repr(large)
    assert content(loaded.save(tmp_path / "again")) == content(folder)
    # Only some of them.
    chosen = spooled.by_id(loaded.documents.documents.where(lambda document: document.metadata))
    part = replace(large, documents={i: d for i, d in large.documents.items() if d.metadata})
    assert content(replace(loaded, documents=chosen).save(tmp_path / "part")) == content(part.save(tmp_path / "same"))


def test_a_set_is_prepared_with_its_documents_on_disk(tmp_path, monkeypatch):
    from tardif.preparation import prepare, prepare_folder

    in_memory = prepare_folder([ROWS], None, tmp_path / "one", negatives=2)
    monkeypatch.setattr(spooled, "MEMORY", 0)
    assert content(prepare_folder([ROWS], None, tmp_path / "two", negatives=2)) == content(in_memory)
    assert isinstance(prepare([ROWS], negatives=2).documents, spooled.SpooledById)


def test_a_set_without_anything_is_loaded_as_such(tmp_path):
    empty = TrainingSet({}, {}, {}, {}, examples=[], report=[])
    assert TrainingSet.load(empty.save(tmp_path / "set")) == empty


def test_counts_and_positives(data):
    assert data.counts() == {
        "documents": 3,
        "training queries": 1,
        "validation queries": 1,
        "examples": 2,
        "hard negatives": 2,
    }
    assert data.positives("q2") == ["d3"]
    assert data.positives("unknown") == []


def test_the_same_set_gives_the_same_bytes(data, tmp_path):
    assert content(data.save(tmp_path / "one")) == content(data.save(tmp_path / "two"))


def test_another_process_gives_the_same_bytes(tmp_path):
    from tardif.preparation import prepare

    prepare([ROWS], miner="none").save(tmp_path / "here")
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", PREPARE, str(tmp_path / "there")], env=environment, check=True)
    assert content(tmp_path / "here") == content(tmp_path / "there")


def test_saving_replaces_only_when_allowed(data, tmp_path):
    data.save(tmp_path / "set")
    with pytest.raises(FolderError, match="already exists"):
        data.save(tmp_path / "set")
    data.save(tmp_path / "set", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("name", ["documents", "queries", "qrels", "examples"])
@pytest.mark.parametrize("damage", ["cut", "missing", "other columns"])
def test_a_damaged_set_is_refused(data, tmp_path, name, damage):
    folder = data.save(tmp_path / "set")
    path = folder / f"{name}.parquet"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "missing":
        path.unlink()
    else:
        other = "queries" if name != "queries" else "qrels"
        path.write_bytes((folder / f"{other}.parquet").read_bytes())
    with pytest.raises(FolderError, match="damaged"):
        TrainingSet.load(folder)


def test_a_newer_version_asks_to_upgrade(data, tmp_path):
    manifest = data.save(tmp_path / "set") / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 99}))
    with pytest.raises(FolderError, match="newer Tardif"):
        TrainingSet.load(tmp_path / "set")
    assert is_training_set(tmp_path / "set")


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"format": "tardif-index", "version": 1}'])
def test_another_folder_is_no_set(tmp_path, manifest):
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    assert not is_training_set(tmp_path)
    with pytest.raises(FolderError):
        TrainingSet.load(tmp_path)


def test_a_manifest_without_its_fields_is_damaged(data, tmp_path):
    folder = data.save(tmp_path / "set")
    (folder / "manifest.json").write_text('{"format": "tardif-training-set"}')
    with pytest.raises(FolderError, match="damaged"):
        TrainingSet.load(folder)
