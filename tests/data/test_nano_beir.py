"""Data sets of the Hugging Face hub on disk: folders of Parquet files, as NanoBEIR's, alone and several in one."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import CORPUS, QUERIES, write_beir
from tardif.data.judged import collections_in, read_judged
from tardif.errors import DataError
from tardif.evaluation.comparison import compare
from tardif.preparation import prepare_folder

SHARD = "train-00000-of-00001.parquet"
PLAIN = [{"_id": row["_id"], "text": f"{row['title']} {row['text']}"} for row in CORPUS]
JUDGED = [{"query-id": "q1", "corpus-id": "d1"}, {"query-id": "q2", "corpus-id": "d3"}]


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def nano(folder, judged=None, corpus=PLAIN):
    """A folder as NanoBEIR's repositories; ``judged`` is the rows of each file of judgements."""
    write_parquet(folder / "corpus" / SHARD, corpus)
    write_parquet(folder / "queries" / SHARD, QUERIES)
    for name, rows in (judged or {f"qrels/{SHARD}": JUDGED}).items():
        write_parquet(folder / name, rows)
    (folder / "README.md").write_text("# Nano\n")
    return folder


def test_a_folder_of_nano_beir(tmp_path):
    judged = read_judged(nano(tmp_path / "NanoAnimals"))
    assert judged.name == "NanoAnimals"
    assert judged.qrels == {"q1": {"d1": 1}, "q2": {"d3": 1}}
    assert judged.queries == {row["_id"]: row["text"] for row in QUERIES}
    assert {d.id: d.text for d in judged.documents} == {row["_id"]: row["text"] for row in PLAIN}
    assert judged.shape[0] == "NanoAnimals: its only split, train, is measured"
    made = prepare_folder([tmp_path / "NanoAnimals"], None, tmp_path / "set", miner="none", validation=0, near=False)
    assert (made / "manifest.json").is_file()


def test_shards_splits_scores_and_titles(tmp_path):
    graded = [{**row, "score": score} for row, score in zip(JUDGED, (2, -1), strict=True)]
    more = [{"query-id": "q2", "corpus-id": "d1", "score": 1}]
    shards = {"default/test-00000-of-00002.parquet": graded, "default/test-00001-of-00002.parquet": more}
    folder = nano(tmp_path / "graded", {**shards, "default/dev-00000-of-00001.parquet": graded[:1]}, CORPUS)
    judged = read_judged(folder)
    assert judged.qrels == {"q1": {"d1": 2}, "q2": {"d3": -1, "d1": 1}}
    assert [d.title for d in judged.documents] == ["Cats", "Dogs", "Birds"]
    assert read_judged(folder, "dev").qrels == {"q1": {"d1": 2}}
    with pytest.raises(DataError, match=r"default: has no split train \(it has: dev, test\)"):
        read_judged(folder, "train")


def test_a_folder_of_several_collections_means_all_of_them(tmp_path):
    home = tmp_path / "NanoBEIR"
    nano(home / "NanoBirds")
    nano(home / "NanoCats")
    write_beir(home / "animals")
    (home / "pictures").mkdir()
    (home / "README.md").write_text("# All\n")
    assert [path.name for path in collections_in(home)] == ["NanoBirds", "NanoCats", "animals"]
    assert [found.data for found in compare(["bm25"], [home])] == ["NanoBirds", "NanoCats", "animals"]
    for one in (home / "NanoCats", home / "animals", home / "pictures", tmp_path / "gone", [("q", "d")]):
        assert collections_in(one) == [one]
    with pytest.raises(DataError, match="no known layout"):
        compare(["bm25"], [home / "pictures"])
    (home / "animals" / "qrels" / "test.tsv").rename(home / "animals" / "qrels" / "dev.tsv")
    with pytest.raises(DataError, match=r"animals: has no qrels/test.tsv \(it has: dev\)"):
        compare(["bm25"], [home])


def test_a_damaged_part_is_named(tmp_path):
    folder = nano(tmp_path / "NanoBirds", {f"qrels/{SHARD}": [{"query-id": "q1", "corpus-id": "gone"}]})
    with pytest.raises(DataError, match=f"{SHARD}, line 1: the document id 'gone' is not in the corpus"):
        read_judged(folder)
    (folder / "corpus" / SHARD).write_bytes(b"PAR1 cut short")
    with pytest.raises(DataError, match=f"{SHARD}"):
        read_judged(folder)
