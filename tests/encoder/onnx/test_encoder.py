from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tardif
import tiny
from queries import EMPTYISH, QUERIES, assert_same_scores
from samples import content
from tardif.encoder.onnx import encoder as module
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.encoder.onnx.runtime import runtime
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.encoder.truncation import document_reach, overlong
from tardif.errors import FolderError, SettingError
from tardif.types import Document

families = pytest.mark.parametrize("family", tiny.FAMILIES)
expanding = pytest.mark.parametrize("expands", [True, False], ids=["expanded", "plain"])
words = st.sampled_from(
    [
        "late",
        "Retrieval",
        "été",
        "e\u0301",
        "晚期",
        "モデル",
        "3.5",
        "(two)",
        "!",
        "[MASK]",
        "<mask>",
        "[Q]",
        "[Q] ",
        "</s>",
    ]
    + ["  ", "\n", " a", "\u00a0", "\u200b", "ﬁ", "İ", "🙂", "Вечер"]
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(words, min_size=1, max_size=60).map(" ".join),
    st.lists(words, min_size=1, max_size=8).map("".join),
)


@families
@expanding
@given(batch=st.lists(texts, min_size=1, max_size=4))
@example(batch=EMPTYISH)
@example(batch=["long " * 400, "short"])
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_the_graph_reads_is_what_the_model_reads(pair, family, expands, batch):
    model, light = pair(family, expands=expands)
    theirs = model.preprocess(list(batch), prompt=model.prompts["query"], task="query")
    ours = light.rows(light.token_ids(batch))
    np.testing.assert_array_equal(ours.ids, theirs["input_ids"].numpy())
    np.testing.assert_array_equal(ours.attended, theirs["attention_mask"].numpy())
    np.testing.assert_array_equal(ours.scored, model(theirs, task="query")["attention_mask"].numpy())


@families
@expanding
def test_scores_are_those_of_the_model(pair, family, expands):
    assert_same_scores(*pair(family, expands=expands))


@families
def test_documents_have_the_vectors_of_the_model(pair, family):
    model, light = pair(family)
    documents = [*QUERIES, *EMPTYISH, "a long document, " * 400, "half a pair \ud800"]
    theirs, lengths = encode_documents(model, documents)
    ours, own_lengths = light.encode_documents(documents)
    assert own_lengths == lengths
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert light.encode_documents([])[0].shape == (0, light.dim)


@families
def test_long_documents_are_counted_as_the_model_counts_them(pair, family):
    model, light = pair(family)
    documents = [
        Document("short", "short"),
        Document("long", "a long document, " * 400),
        Document("odd", "été 晚期 " * 300),
    ]
    assert document_reach(light) == document_reach(model)
    assert overlong(light, documents) == overlong(model, documents) != []


@pytest.mark.parametrize(("family", "size"), [*((family, 10_000) for family in tiny.FAMILIES), ("bert", 300_000)])
def test_a_huge_query_is_cut_at_the_cap(pair, family, size):
    model, light = pair(family)
    sentence = "all of this text is one query, says 東京 and été. "
    query = sentence * (size // len(sentence))
    vectors, lengths = light.encode_queries([query, "short"])
    assert lengths[0] == model[0].query_length
    np.testing.assert_allclose(vectors, encode_queries(model, [query, "short"])[0], atol=1e-5)


@pytest.mark.parametrize("budget", [1, 100, 4096])
def test_batches_keep_within_their_budget_and_order_and_number_do_not_matter(pair, monkeypatch, budget):
    _, light = pair("bert")
    monkeypatch.setattr(module, "BATCH_TOKENS", budget)
    sizes = []
    run = LightEncoder._run
    monkeypatch.setattr(LightEncoder, "_run", lambda self, rows: sizes.append(rows.ids.shape) or run(self, rows))
    together, lengths = light.encode_queries(QUERIES)
    assert all(rows * width <= budget or rows == 1 for rows, width in sizes)
    assert sum(rows for rows, _ in sizes) == sum(length > 0 for length in lengths)  # blank ones are not computed
    backwards, their_lengths = light.encode_queries(QUERIES[::-1])
    assert their_lengths == lengths[::-1]
    apart = np.split(backwards, np.cumsum(their_lengths)[:-1])[::-1]
    np.testing.assert_allclose(np.concatenate(apart), together, atol=1e-6)


def test_the_tokenizer_reads_a_bounded_number_of_characters_at_a_time(pair, monkeypatch):
    _, light = pair("bert")
    expected = light.token_ids(QUERIES)
    monkeypatch.setattr(module, "_CHARACTERS", 60)
    assert light.token_ids(QUERIES) == expected
    parts = list(module.batched(QUERIES, 60, len))
    assert [text for part in parts for text in part] == QUERIES
    assert all(sum(map(len, part)) <= 60 or len(part) == 1 for part in parts)


def test_same_queries_give_the_same_bytes(pair):
    _, light = pair("modernbert")
    again = LightEncoder(light.folder, threads=1)
    assert light.encode_queries(QUERIES)[0].tobytes() == again.encode_queries(QUERIES)[0].tobytes()


def test_no_queries_have_no_vectors(pair):
    _, light = pair("bert")
    vectors, lengths = light.encode_queries([])
    assert vectors.shape == (0, light.dim)
    assert lengths == []


def test_bytes_that_are_no_unicode_are_question_marks(pair):
    _, light = pair("bert")
    np.testing.assert_array_equal(light.encode_queries(["a\udce9b"])[0], light.encode_queries(["a?b"])[0])


def test_threads_are_counted_from_one(pair):
    _, light = pair("bert")
    with pytest.raises(SettingError, match="threads=0"):
        LightEncoder(light.folder, threads=0)
    default = LightEncoder(light.folder).encode_queries(QUERIES)[0]
    np.testing.assert_allclose(default, light.encode_queries(QUERIES)[0], atol=1e-6)


@pytest.fixture
def copied(pair, tmp_path):
    """A copy of an exported folder, to be damaged."""
    return shutil.copytree(pair("bert")[1].folder, tmp_path / "light")


FILES = ("model.onnx", "tokenizer.json", "encoder.json")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(FolderError, match=name):
        LightEncoder(copied)


@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(copied, name, kept):
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else kept - (kept < 0)])
    with pytest.raises(FolderError, match=name):
        LightEncoder(copied)


def test_one_changed_bit_is_found(copied):
    path = copied / "model.onnx"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(FolderError, match=r"model\.onnx is damaged"):
        LightEncoder(copied)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FolderError, match="nowhere"):
        LightEncoder(tmp_path / "nowhere")


@pytest.mark.parametrize("settings", [[], {}, {"format": "tardif-index", "version": 1}])
def test_settings_of_something_else_are_refused(copied, settings):
    (copied / "encoder.json").write_text(json.dumps(settings))
    with pytest.raises(FolderError, match="does not describe"):
        LightEncoder(copied)


def edit(folder, **values):
    path = folder / "encoder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("version", "why"), [(3, "newer version"), ("1", "newer version"), (None, "newer version"), (1, "older Tardif")]
)
def test_another_format_is_refused(copied, version, why):
    edit(copied, version=version)
    with pytest.raises(FolderError, match=why):
        LightEncoder(copied)


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": 3},
        {"max_tokens": -1},
        {"max_tokens": True},
        {"truncation_side": "up"},
        {"split_special_tokens": 0},
        {"expansion": {}},
        {"expansion": [1]},
        {"expansion": {"length": 32, "token_id": 1.5, "attend": False, "scored": True}},
        {"skipped_ids": 7},
        {"skipped_ids": ["a"]},
        {"dim": None},
        {"document": None},
        {"document": {"prompt": 1, "max_tokens": 3, "skipped_ids": []}},
        {"document": {"prompt": "", "max_tokens": -3, "skipped_ids": []}},
        {"document": {"prompt": "", "max_tokens": 3}},
        {"blanks": {"ids": [], "prompts": {"query": 1}, "punctuation": False}},
        {"checksums": {}},
        {"checksums": None},
    ],
)
def test_damaged_settings_are_refused(copied, values):
    edit(copied, **values)
    with pytest.raises(FolderError, match=r"encoder\.json is damaged"):
        LightEncoder(copied)


def test_a_graph_of_another_width_is_refused(copied):
    edit(copied, dim=7)
    with pytest.raises(FolderError, match="is not the graph of"):
        LightEncoder(copied)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_foreign_file_with_a_right_checksum_is_refused(copied, name):
    from tardif.checksums import checksum

    (copied / name).write_text("{}")
    sums = json.loads((copied / "encoder.json").read_text())["checksums"]
    edit(copied, checksums={**sums, name: checksum(copied / name)})
    with pytest.raises(FolderError, match=f"{name} cannot be opened"):
        LightEncoder(copied)


def resealed(folder, name):
    """The checksum of a changed file written down, as somebody would who changed it on purpose."""
    from tardif.checksums import checksum

    sums = json.loads((folder / "encoder.json").read_text())["checksums"]
    edit(folder, checksums={**sums, name: checksum(folder / name)})


def external(graph):
    weights = graph.initializer
    return weights[0]


def in_a_constant(graph):
    from onnx import helper

    value = helper.make_tensor("value", 1, [1], [0.0])
    graph.node.append(helper.make_node("Constant", [], ["unused"], value=value))
    return graph.node[-1].attribute[0].t


def in_a_branch(graph):
    from onnx import helper

    value = helper.make_tensor("value", 1, [1], [0.0])
    constant = helper.make_node("Constant", [], ["inner"], value=value)
    out = helper.make_tensor_value_info("inner", 1, [1])
    branch = helper.make_graph([constant], "branch", [], [out])
    graph.node.append(helper.make_node("If", ["unused"], ["x"], then_branch=branch, else_branch=branch))
    return graph.node[-1].attribute[0].g.node[0].attribute[0].t


@pytest.mark.parametrize("where", [external, in_a_constant, in_a_branch])
@pytest.mark.parametrize("location", ["secret", "../secret", "/etc/passwd"])
def test_a_graph_whose_weights_are_in_another_file_is_refused(copied, where, location):
    import onnx

    (copied / "secret").write_bytes(b"x" * 1_000_000)
    (copied.parent / "secret").write_bytes(b"x" * 1_000_000)
    model = onnx.load(copied / "model.onnx")
    tensor = where(model.graph)
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)
    (copied / "model.onnx").write_bytes(model.SerializeToString())
    resealed(copied, "model.onnx")
    with pytest.raises(FolderError, match=r"model\.onnx cannot be opened \(it keeps weights in another file\)"):
        LightEncoder(copied)


def test_a_graph_of_operators_that_are_not_onnxs_is_refused(copied):
    import onnx
    from onnx import helper

    model = onnx.load(copied / "model.onnx")
    model.graph.node.append(helper.make_node("Run", ["input_ids"], ["unused"], domain="somebody"))
    model.opset_import.append(helper.make_opsetid("somebody", 1))
    (copied / "model.onnx").write_bytes(model.SerializeToString())
    resealed(copied, "model.onnx")
    with pytest.raises(FolderError, match=r"model\.onnx cannot be opened"):
        LightEncoder(copied)


@pytest.mark.skipif(sys.platform == "win32", reason="neither pipes nor devices in folders")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_regular_file_is_not_waited_for(copied, name, kind):
    path = copied / name
    path.unlink()
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda path: path.symlink_to("/dev/zero")}[kind](path)
    with pytest.raises(FolderError, match="not a regular file"):
        LightEncoder(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda tokenizer: tokenizer["post_processor"].update(special_tokens={}),
        lambda tokenizer: tokenizer["post_processor"].update(single=[{"SpecialToken": {"id": "x", "type_id": 0}}]),
        lambda tokenizer: tokenizer["model"].update(unk_token=3),
        lambda tokenizer: tokenizer.update(model=None),
        lambda tokenizer: tokenizer["model"].update(vocab={"[CLS]": 0}),
    ],
)
def test_a_damaged_tokenizer_is_one_line(copied, change, capfd):
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    change(tokenizer)
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    resealed(copied, "tokenizer.json")
    with pytest.raises(FolderError, match=r"tokenizer\.json|model\.onnx") as caught:
        LightEncoder(copied).encode_queries(["late"])
    assert "\n" not in str(caught.value)
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "values",
    [
        {"max_tokens": 10**30},
        {"expansion": {"length": 10**12, "token_id": 1, "attend": False, "scored": True}},
        {"dim": 10**12},
        {"pad_id": 2**63},
    ],
)
def test_numbers_that_fill_a_memory_are_damage(copied, values):
    edit(copied, **values)
    with pytest.raises(FolderError, match=r"encoder\.json is damaged"):
        LightEncoder(copied)


def test_a_token_that_the_graph_does_not_know_is_one_line(copied):
    edit(copied, expansion={"length": 32, "token_id": 10**6, "attend": False, "scored": True})
    with pytest.raises(FolderError, match=r"model\.onnx cannot compute") as caught:
        LightEncoder(copied).encode_queries(["late"])
    assert "\n" not in str(caught.value)


def test_reading_changes_nothing(copied):
    before = content(copied)
    LightEncoder(copied).encode_queries(["a"])
    assert content(copied) == before


def test_searching_needs_no_torch(pair):
    _, light = pair("bert")
    script = (
        "import sys; from tardif.encoder.onnx.encoder import LightEncoder;"
        f"vectors, lengths = LightEncoder({str(light.folder)!r}).encode_queries(['what do cats chase', 'x']);"
        "print(vectors.shape == (sum(lengths), 32)); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    shape, modules = done.stdout.split("\n")[:2]
    heavy = {"torch", "transformers", "sentence_transformers", "datasets", "pyarrow", "scipy", "onnx", "sympy"}
    assert shape == "True"
    assert not heavy & set(modules.split())
    assert done.stderr == ""


def test_the_runtime_sends_no_reports(monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    runtime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    source = Path(tardif.__file__).parent
    importing = [path for path in source.rglob("*.py") if "import onnxruntime" in path.read_text(encoding="utf-8")]
    assert [path.name for path in importing] == ["runtime.py"]


class Counted:
    """A tokenizer that notes how long its texts are."""

    def __init__(self, tokenizer):
        self._tokenizer, self.longest = tokenizer, 0

    def encode(self, text):
        self.longest = max(self.longest, len(text))
        return self._tokenizer.encode(text)

    def encode_batch_fast(self, texts):
        self.longest = max([self.longest, *map(len, texts)])
        return self._tokenizer.encode_batch_fast(texts)


@families
@given(words=st.lists(words, min_size=1, max_size=60), gap=st.sampled_from([" ", "\n", " \u3000", "\u00a0"]))
@settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_of_a_long_document_only_the_beginning_is_tokenised(pair, family, words, gap):
    _, light = pair(family)
    text = gap.join(["late interaction", *words]) + gap
    text *= max(20_000 // len(text), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TOKEN_CHARACTERS", len(text))  # tokenised whole
        ids, read = light.token_ids([text], "document"), light.read(text, "document")
        patch.undo()
        counted = Counted(light._reading("document")[0])
        patch.setattr(light, "_documents", counted)
        assert light.token_ids([text], "document") == ids
        assert light.read(text, "document") == read
        assert counted.longest < len(text) / 2


def test_a_long_document_without_white_space_is_tokenised_whole(pair):
    _, light = pair("bert")
    text = "晚期交互" * 3_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TOKEN_CHARACTERS", len(text))
        ids = light.token_ids([text], "document")
    assert light.token_ids([text], "document") == ids
