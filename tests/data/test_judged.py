"""What systems are measured on."""

import json

import pytest

from samples import CORPUS, QRELS, QUERIES, write_beir, write_jsonl
from tardif.data.judged import RULES, Judging, read_judged, without_own
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare_folder


def on(**rules):
    return Judging(on={name.replace("_", "-"): action for name, action in rules.items()})


def essence(judged):
    """Texts and judgements, whatever the ids."""
    texts = {d.id: d.content for d in judged.documents}
    return sorted(texts.values()), {
        judged.queries[query]: {texts[d]: relevance for d, relevance in found.items()}
        for query, found in judged.qrels.items()
    }


def test_the_same_judgements_in_every_format_are_the_same_set(tmp_path):
    beir = read_judged(write_beir(tmp_path / "animals"))
    assert beir.name == "animals"
    corpus = write_jsonl(tmp_path / "corpus.jsonl", CORPUS)
    contents = [f"{row['title']} {row['text']}" for row in CORPUS]
    rows = [
        {"query": QUERIES[q]["text"], "document": contents[d], "label": label} for q, d, label in ((0, 0, 1), (1, 2, 1))
    ]
    trec = tmp_path / "trec"
    trec.mkdir()
    (trec / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d3 1\n")
    (trec / "queries.tsv").write_text("".join(f"{row['_id']}\t{row['text']}\n" for row in QUERIES))
    (trec / "corpus.jsonl").write_text(corpus.read_text())
    (trec / "run.txt").write_text("q1 Q0 d2 1 1.0 x\n")  # its hits are judged by nobody
    table = tmp_path / "labels.csv"
    table.write_text("query,document,label\n" + "".join(f'"{r["query"]}","{r["document"]}",1\n' for r in rows))
    for source in (write_jsonl(tmp_path / "labels.jsonl", rows), table, trec):
        found = read_judged(source, documents=None if source == trec else corpus)
        assert essence(found) == essence(beir), source
        assert found.report[-1].endswith("2 judged queries over 3 documents")


def test_a_prepared_folder_gives_its_test_split_else_its_validation(tmp_path):
    pairs = [{"query": f"what is {word}", "positive": f"{word} is a thing"} for word in "abcdefghij"]
    made = {"miner": "none", "near": False, "validation": 0.2}
    with_test = prepare_folder([pairs], None, tmp_path / "tested", test=0.3, **made)
    without = prepare_folder([pairs], None, tmp_path / "untested", **made)
    found = read_judged(with_test)
    assert (len(found.queries), len(found.documents)) == (3, 10)
    assert found.report[0] == "tested: a prepared set, its test queries"
    assert len(read_judged(with_test, "validation").queries) == 2
    found = read_judged(without)
    assert (len(found.queries), found.name) == (2, "untested")
    assert found.report[0] == "untested: a prepared set, its validation queries (there is no test split)"
    with pytest.raises(DataError, match="holds no dev query"):
        read_judged(without, "dev")
    with pytest.raises(SettingError, match="leave documents"):
        read_judged(without, documents=tmp_path / "corpus.jsonl")


def test_judgements_are_counted_whatever_training_would_make_of_them(tmp_path):
    qrels = {"test": "q1\td1\t0\nq1\td2\t-1\nq2\td3\t2\nq2\td3\t2\nq2\td1\t1\n"}
    corpus = [*CORPUS[:2], {**CORPUS[2], "title": "", "text": QUERIES[1]["text"]}]
    beir = write_beir(tmp_path / "animals", qrels=qrels, corpus=corpus)
    found = read_judged(beir)
    assert found.qrels == {"q1": {"d1": 0, "d2": -1}, "q2": {"d3": 2, "d1": 1}}
    assert "5 judgements read: 4 used, 1 not" in found.report
    assert any(line.startswith("no-positive: 2 (") and line.endswith("keep)") for line in found.report)
    assert read_judged(beir, how=on(no_positive="drop")).qrels == {"q2": {"d3": 2, "d1": 1}}
    with pytest.raises(DataError, match="duplicate"):
        read_judged(beir, how=on(duplicate="refuse"))


def test_a_judged_query_without_text_is_refused_or_dropped(tmp_path):
    queries = [{"_id": "q1", "text": " "}, QUERIES[1]]
    beir = write_beir(tmp_path / "animals", queries=queries)
    with pytest.raises(
        DataError, match=r"queries\.jsonl, line 1: the query 'q1' is judged and has no text.*empty=drop"
    ):
        read_judged(beir)
    found = read_judged(beir, how=on(empty="drop"))
    assert set(found.qrels) == {"q2"}
    assert any(line.startswith("empty: 1 ") for line in found.report)


def shared_ids(tmp_path, texts, qrels=QRELS):
    """Queries that have the ids of documents."""
    queries = [{"_id": row["_id"], "text": text} for row, text in zip(CORPUS, texts, strict=True)]
    return write_beir(tmp_path / "animals", queries=queries, qrels={"test": qrels.replace("q", "d")})


OWN = "query-id\tcorpus-id\tscore\nd1\td2\t1\nd2\td3\t1\nd3\td1\t1\n"


@pytest.mark.parametrize(
    ("action", "left"), [("own", {"d1", "d2", "d3"}), ("drop", {"d1", "d2", "d3"}), ("keep", set())]
)
def test_a_querys_own_document_is_no_hit_where_ids_name_the_same_texts(tmp_path, action, left):
    texts = [CORPUS[0]["text"], f"{CORPUS[1]['title']}  {CORPUS[1]['text']}".upper(), "a text that was changed a bit"]
    judged = read_judged(shared_ids(tmp_path, texts, OWN), how=on(identical=action))
    assert set(judged.left_out) == left
    run = {"d1": {"d1": 3.0, "d2": 2.0, "d3": 1.0}}
    assert list(without_own(run, judged.left_out, 1)["d1"]) == (["d2"] if left else ["d1"])
    (line,) = (line for line in judged.report if line.startswith("identical: "))
    assert ("it is no hit of theirs" in line) is bool(left)


def test_numbers_that_queries_and_documents_have_in_common_mean_nothing(tmp_path):
    beir = shared_ids(tmp_path, ["one", "two", "three"], OWN)
    judged = read_judged(beir)
    assert not judged.left_out
    assert "identical: 3 queries have the id of a document, with another text: it stays a hit" in judged.report[-1]
    assert read_judged(beir, how=on(identical="drop")).left_out.keys() == {"d1", "d2", "d3"}


def test_a_document_that_is_judged_relevant_to_its_own_query_stays_a_hit(tmp_path):
    texts = [row["text"] for row in CORPUS]
    qrels = OWN.replace("d2\td3", "d2\td2")
    beir = shared_ids(tmp_path, texts, qrels)
    assert read_judged(beir).left_out.keys() == {"d1", "d3"}
    judged = read_judged(beir, how=on(identical="drop"))
    assert judged.left_out.keys() == {"d1", "d2", "d3"}
    assert "1 of these documents are judged relevant" in judged.report[-1]


def test_queries_that_are_documents_under_other_ids_are_said(tmp_path):
    queries = [{**QUERIES[0], "text": CORPUS[1]["text"]}, {**QUERIES[1], "text": CORPUS[2]["text"]}]
    report = read_judged(write_beir(tmp_path / "animals", queries=queries)).report
    assert report[-1].startswith("1 queries are in the corpus word for word under another id")  # q2's is its answer


def test_rules_are_those_of_measuring():
    assert {"identical", "duplicate-hit", "no-positive", "duplicate"} <= set(RULES)
    with pytest.raises(SettingError, match="'language' is not known; the rules here are: id-as-text, .*identical"):
        _ = on(language="keep").actions
    with pytest.raises(SettingError, match="cannot 'own'"):
        _ = on(empty="own").actions


def test_the_order_of_the_input_does_not_matter(tmp_path):
    one = read_judged(write_beir(tmp_path / "a" / "animals"))
    lines = QRELS.splitlines(keepends=True)
    other = read_judged(
        write_beir(
            tmp_path / "b" / "animals",
            corpus=CORPUS[::-1],
            queries=QUERIES[::-1],
            qrels={"test": "".join([lines[0], *lines[:0:-1]])},
        )
    )
    assert json.dumps([one.queries, one.qrels]) == json.dumps([other.queries, other.qrels])
    assert one.documents == other.documents


def test_judged_ids_that_are_nowhere_are_refused_or_dropped_and_counted(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"test": QRELS + "q1\tgone\t1\nq9\td1\t1\n"})
    with pytest.raises(DataError, match=r"the document id 'gone' is not in the corpus.*--on unknown-id=drop"):
        read_judged(beir)
    judged = read_judged(beir, how=on(unknown_id="drop"))
    assert judged.qrels == {"q1": {"d1": 1}, "q2": {"d3": 1}}
    assert "4 judgements read: 2 used, 2 not" in judged.report
    assert any(line.startswith("unknown-id: 2 ") for line in judged.report)
    assert any("not for recall either" in line for line in judged.report)


def test_a_collection_as_arguana_is_published_needs_one_choice(tmp_path):
    corpus = [{"_id": f"a{n}", "title": "Topic", "text": f"argument {n} says this"} for n in range(6)]
    queries = [{"_id": f"a{n}", "text": f"argument {n} says this"} for n in range(0, 6, 2)]
    beir = write_beir(
        tmp_path / "arguana",
        corpus=corpus,
        queries=queries,
        qrels={"test": "a0\ta1\t1\na2\ta3\t1\na4\tgone\t1\n"},
    )
    judged = read_judged(beir, how=on(unknown_id="drop"))
    assert judged.left_out.keys() == {"a0", "a2"}
    assert judged.qrels == {"a0": {"a1": 1}, "a2": {"a3": 1}}


def test_the_run_of_a_trec_folder_judges_nothing(tmp_path):
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\n")
    (tmp_path / "queries.tsv").write_text("q1\tcats\n")
    write_jsonl(tmp_path / "corpus.jsonl", CORPUS)
    (tmp_path / "run.txt").write_text("q1 Q0 d2 1 1.0 x\n")
    judged = read_judged(tmp_path, name="trec")
    assert judged.qrels == {"q1": {"d1": 1}}
    assert not any("run.txt" in line for line in judged.shape)


def test_judgements_of_which_none_is_relevant_measure_nothing(tmp_path):
    beir = shared_ids(tmp_path, ["one", "two", "three"], "query-id\tcorpus-id\tscore\nd1\td2\t0\nd2\td3\t-1\n")
    with pytest.raises(DataError, match="none of its 2 judged queries has a relevant document"):
        read_judged(beir)
