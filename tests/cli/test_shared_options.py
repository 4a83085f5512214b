"""Options stand once, mean the same in every verb that has them, and act or are refused."""

import dataclasses
import importlib
import json

import pytest
import typer.main

from samples import write_encoder, write_jsonl
from tardif.cli import _PARTS
from tardif.cli.app import app
from tardif.cli.groups import names_of
from tardif.cli.shared_options import PreparationOptions, ReadingOptions, assigned
from tardif.data.training_set import TrainingSet
from tardif.errors import SettingError
from tardif.preparation import Preparation


@pytest.fixture
def questions(tmp_path):
    rows = [{"ask": f"what is number {n}", "reply": f"{n} is one more than {n - 1}"} for n in range(40)]
    return write_jsonl(tmp_path / "questions.jsonl", rows)


NAMED = ("--columns", "query=ask", "--columns", "positive=reply")


def test_prepare_has_the_same_defaults_as_in_python():
    said = PreparationOptions().preparing("answers")
    meant = Preparation()
    compared = said.keys() & {field.name for field in dataclasses.fields(Preparation)}
    assert compared == said.keys() - {"documents", "queries"}
    assert {name: said[name] for name in compared} == {name: getattr(meant, name) for name in compared}


def test_every_option_of_the_preparation_can_be_written():
    own = {field.name for field in dataclasses.fields(Preparation)}
    # The verbs have these of their own.
    assert own - {"language", "device", "base", "seed"} <= set(names_of(PreparationOptions))


def test_every_option_has_one_name():
    for part in _PARTS:
        importlib.import_module(f"tardif.cli.{part}")
    names = {
        (verb.name, *parameter.opts)
        for verb in typer.main.get_command(app).commands.values()
        for parameter in verb.params
        if len(parameter.opts) > 1
    }
    assert names == set()


def test_what_is_given_twice_is_kept_twice():
    read = assigned("--columns", "ROLE=COLUMN")
    assert read(["positive=first", "query=1e5", "positive=a=b"]) == {"positive": ["first", "a=b"], "query": "1e5"}
    for wrong in ("query", "=question"):
        with pytest.raises(SettingError, match="--columns"):
            read([wrong])


def test_a_rule_can_be_given_once(fails, questions, tmp_path):
    twice = ("--on", "empty=drop", "--on", "empty=refuse")
    assert "empty is given 2 times" in fails("prepare", questions, *NAMED, "--out", tmp_path / "out", *twice)


@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_the_help_shows_the_options_by_sections(tardif, verb):
    code, out, _ = tardif(verb, "--help")
    assert code == 0
    for title in ("Options", "Data", "Documents", "Hard negatives", "Split", "Documents alone"):
        assert f"\n{title}:\n" in out
    for name in names_of(PreparationOptions):
        assert f"--{name.replace('_', '-')} " in out
    assert set(names_of(ReadingOptions)) <= set(names_of(PreparationOptions))


def train(base, data, out, *more):
    rest = ("--set", "max_steps=1", "--set", "evaluations=1", "--batch-size", "4", "--device", "cpu", "--quiet")
    data = () if data is None else (data,)
    return ("train", *data, "--name", "model", "--out", out, "--base", base, *rest, *more)


def test_train_prepares_with_the_options_of_prepare(tardif, base_folder, questions, tmp_path):
    asked = [{"q": f"number {n}?", "a": f"{n} is one more than {n - 1}"} for n in range(3, 9)]
    held = write_jsonl(tmp_path / "held.jsonl", asked)
    more = ("--validation", held, "--validation-columns", "query=q", "--validation-columns", "positive=a")
    code, out, err = tardif(*train(base_folder("bert"), questions, tmp_path / "out", *NAMED, *more, "--miner", "none"))
    assert code == 0
    assert "Verdict: too few held-out queries to tell (6;" in err  # a result, and told also with --quiet
    results = json.loads((tmp_path / "out" / "model" / "results.json").read_text())
    assert out.strip() == str(tmp_path / "out" / "model")
    assert results["before"]


def test_train_in_folds_holds_out_nothing_and_judges_every_query(tardif, base_folder, questions, tmp_path):
    given = (*NAMED, "--miner", "none", "--no-near", "--folds", "2")
    code, _, err = tardif(*train(base_folder("bert"), questions, tmp_path / "out", *given))
    assert code == 0
    results = json.loads((tmp_path / "out" / "model" / "results.json").read_text())
    count = len(questions.read_text().splitlines())
    assert results["comparison"]["queries"] == results["settings"]["data"]["training queries"] == count
    assert f"on {count} held-out queries" in err or f"({count}; about" in err


def test_train_makes_queries_of_documents_alone(tardif, fails, endpoint, base_folder, tmp_path):
    rows = [{"id": f"d{n}", "text": f"Harbour {n} was built by sailors from island {n}."} for n in range(4)]
    documents = write_jsonl(tmp_path / "documents.jsonl", rows)
    alone = ("--documents", documents, "--endpoint", endpoint.url, "--miner", "none")
    capped = ("--endpoint-set", "model=small", "--endpoint-set", "max_requests=9")
    given = train(base_folder("bert"), None, tmp_path / "out", *alone)
    assert "no spending cap" in fails(*given)
    code, _, err = tardif(*given, *capped)
    assert code == 0
    told = [line for line in err.splitlines() if not line.startswith("  ")]  # but for what the data came to
    assert [line.split(" is better")[0] for line in told] == ["WARNING: Whether the model"]
    assert (tmp_path / "out" / "model.answers.jsonl").exists()
    code, _, err = tardif("train", "--name", "m", "--out", tmp_path, "--documents", documents)
    assert (code, "--synthesize" in err) == (2, True)
    assert "--endpoint" in fails("prepare", documents, "--out", tmp_path / "set", *capped)


@pytest.mark.parametrize(
    "late", [("--columns", "query=ask"), ("--miner", "none"), ("--documents", "d.jsonl"), ("--validation", "0.1")]
)
def test_an_option_that_cannot_act_any_more_is_refused(fails, tardif, questions, tmp_path, late):
    base, prepared = write_encoder(tmp_path / "base"), tmp_path / "set"
    tardif("prepare", questions, *NAMED, "--out", prepared, "--miner", "none", "--quiet")
    line = fails(*train(base, prepared, tmp_path / "out", *late))
    assert f"{prepared} is prepared already" in line
    assert late[0] in line


def test_options_are_for_the_sets_that_are_not_prepared_yet(fails, tardif, questions, tmp_path, base_folder):
    base, prepared = base_folder("bert"), tmp_path / "set"
    tardif("prepare", questions, *NAMED, "--out", prepared, "--miner", "none", "--quiet")
    others = write_jsonl(tmp_path / "others.jsonl", [{"a": "x", "b": "y"}])
    given = train(base, prepared, tmp_path / "out", "--also", others)
    assert "others.jsonl, line 1: missing columns query" in fails(*given)
    assert "missing columns ask" in fails(*given, *NAMED)
    assert "prepared already, and documents (--documents)" in fails(*given, *NAMED, "--documents", others)


def test_python_refuses_what_comes_too_late(tardif, questions, tmp_path):
    from tardif import Trainer

    tardif("prepare", questions, *NAMED, "--out", tmp_path / "set", "--miner", "none", "--quiet")
    trainer = Trainer("model", write_encoder(tmp_path / "base"), out=tmp_path, quiet=True)
    data = TrainingSet.load(tmp_path / "set")
    for late in ({"miner": "none"}, {"documents": ["a text"]}, {"validation": 0.2}):
        with pytest.raises(SettingError, match=next(iter(late))):
            trainer.prepare(data, **late)
        trainer.prepare(data)
        with pytest.raises(SettingError, match=next(iter(late))):
            trainer.add(tmp_path / "set", **late)


def test_what_was_trained_on_is_read_by_every_verb_with_the_same_options(
    tardif, fails, multi_vector_folder, questions, tmp_path
):
    index = tmp_path / "index"
    given = ("--device", "cpu", "--quiet")
    assert tardif("index", multi_vector_folder, questions, "--out", index, *NAMED, *given)[0] == 0
    assert tardif("sync", index, questions, *NAMED, *given)[:2] == (0, "")
    assert tardif("add", index, questions, *NAMED, *given)[1] == "40\n"
    code, out, _ = tardif("rerank", multi_vector_folder, "7", "--documents", questions, *NAMED, *given, "--json")
    assert (code, len(json.loads(out)["hits"])) == (0, 10)
    code, out, _ = tardif("search", index, "--queries", questions, *NAMED, "--json", "--quiet")
    assert (code, [row["query"] for row in json.loads(out)][:2]) == (0, ["what is number 0", "what is number 1"])
    assert "--columns text=" in fails("index", multi_vector_folder, questions, "--out", tmp_path / "other", *given)
    assert "--columns query=" in fails("search", index, "--queries", questions)
    code, _, err = tardif("search", index, "a query", *NAMED)
    assert (code, "--columns" in err) == (2, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "seed=3"), "--set seed: this setting has its own option: use --seed."),
        (("--set", "document_length=30"), "use --document-length."),
        (("--set", "markers=false"), "use --no-markers."),
        (("--set", "markers=true"), "use --markers."),
        (("--set", "resume=true"), "use --resume."),
        (("--set", "overwrite=false"), "this setting has its own option: leave --overwrite out."),
        (("--set", "negatives=4"), "use --negatives."),
        (("--epochs", "2", "--set", "epochs=3"), "epochs is given as --epochs and with --set: give it once."),
        (("--set", "warmup=0.1", "--set", "warmup=0.2"), "warmup is given with --set twice: give it once."),
    ],
)
def test_a_setting_is_said_once_and_never_without_effect(tardif, base_folder, questions, tmp_path, more, said):
    code, _, err = tardif(*train(base_folder("bert"), questions, tmp_path / "out", *NAMED, *more))
    assert code == 1 and said in err
    assert not (tmp_path / "out").exists()
