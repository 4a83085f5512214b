"""``train`` with several sets: each option goes to the sets that it is for."""

from types import SimpleNamespace

import pytest

from samples import write_encoder, write_jsonl
from tardif.data.training_set import TrainingSet


@pytest.fixture
def files(tmp_path):
    """Rows of ids with their documents, which have odd columns, and rows of texts to mix in."""
    texts = [f"Harbour {n} was built by the sailors of island {n + 1}." for n in range(20)]
    return {
        "rows": write_jsonl(
            tmp_path / "rows.jsonl", [{"ask": f"who built {n}?", "doc_id": f"k{n}"} for n in range(20)]
        ),
        "documents": write_jsonl(
            tmp_path / "kb.jsonl",
            [{"nr": f"k{n}", "head": f"H {n}", "body": text, "year": 1900 + n} for n, text in enumerate(texts)],
        ),
        "more": write_jsonl(
            tmp_path / "more.jsonl", [{"ask": f"when was {n} founded?", "positive": f"{n} is old"} for n in range(20)]
        ),
    }


@pytest.fixture
def calls(monkeypatch):
    """The sets that a trainer got, with their options; nothing is trained."""
    found = []
    monkeypatch.setattr("tardif.training.trainer.Trainer.prepare", lambda _, data, **how: found.append((data, how)))
    monkeypatch.setattr("tardif.training.trainer.Trainer.add", lambda _, data, **how: found.append((data, how)))
    trained = SimpleNamespace(path="m", interrupted=None)
    monkeypatch.setattr("tardif.training.trainer.Trainer.train", lambda *_, **__: trained)
    return found


OF_DOCUMENTS = [("text", "body"), ("title", "head"), ("id", "nr"), ("metadata", "year")]


def chosen(*pairs):
    return [part for role, name in pairs for part in ("--columns", f"{role}={name}")]


@pytest.fixture
def train(tardif, tmp_path):
    def run(*given):
        base = tmp_path / "base"
        if not base.exists():
            write_encoder(base)
        return tardif("train", *given, "--name", "m", "--out", tmp_path / "out", "--base", base, "--quiet")

    return run


@pytest.mark.parametrize("roles", [OF_DOCUMENTS, *([role] for role in OF_DOCUMENTS)])
def test_the_columns_of_the_documents_are_the_first_sets(files, calls, train, roles):
    given = (files["rows"], "--documents", files["documents"], *chosen(("query", "ask"), *roles))
    train(*given, "--also", f"{files['more']}=0.5")
    (first, how), (second, more) = calls
    assert (first, second) == (files["rows"], files["more"])
    assert how["columns"] == {"query": "ask", **dict(roles)}
    assert more == {"weight": 0.5, "columns": {"query": "ask"}}


def test_without_columns_of_rows_the_further_sets_get_none(files, calls, train, tmp_path):
    more = write_jsonl(tmp_path / "pairs.jsonl", [{"query": "q", "positive": "p"}])
    rows = write_jsonl(tmp_path / "ids.jsonl", [{"query": "q", "doc_id": "k1"}])
    train(rows, "--documents", files["documents"], *chosen(*OF_DOCUMENTS), "--also", more, "--miner", "none")
    assert calls[1] == (more, {"weight": 1.0, "miner": "none"})


def test_two_sets_are_trained_on(files, tardif, base_folder, tmp_path):
    given = (files["rows"], "--documents", files["documents"], *chosen(("query", "ask"), *OF_DOCUMENTS))
    quick = (
        "--set",
        "max_steps=1",
        "--set",
        "evaluations=1",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        "--miner",
        "none",
    )
    more = ("--also", files["more"], "--name", "m", "--out", tmp_path, "--base", base_folder("bert"), "--quiet")
    assert tardif("train", *given, *quick, *more)[0] == 0


@pytest.mark.parametrize(
    ("name", "rows", "what"),
    [
        ("absent.jsonl", None, "absent.jsonl: no such file"),
        ("other.jsonl", [{"a": "x", "b": "y"}], "other.jsonl, line 1: missing columns"),
        ("other.jsonl", [{"query": "x", "positive": "y"}], "other.jsonl, line 1: missing column ask"),
    ],
)
def test_a_further_set_that_cannot_be_read_is_refused_before_the_first_is_mined(
    files, calls, train, tmp_path, name, rows, what
):
    if rows is not None:
        write_jsonl(tmp_path / name, rows)
    code, _, err = train(files["more"], "--columns", "query=ask", "--also", tmp_path / name)
    assert (code, calls) == (1, [])
    assert what in err


def test_columns_of_documents_come_too_late_for_a_prepared_set(files, tardif, train, tmp_path):
    tardif("prepare", files["more"], "--columns", "query=ask", "--miner", "none", "--out", tmp_path / "set", "--quiet")
    assert TrainingSet.load(tmp_path / "set").documents
    code, _, err = train(tmp_path / "set", "--also", files["more"], *chosen(("query", "ask"), ("text", "body")))
    assert code == 1
    assert "is prepared already, and columns (--columns)" in err
