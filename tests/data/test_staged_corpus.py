"""A text without an id is one document however often a corpus has it, as when the corpus is indexed."""

import itertools

import pandas as pd
import pytest

from samples import read_lines, write_jsonl
from tardif.data.chunking import PIECE
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.judged import read_judged
from tardif.errors import DataError
from tardif.preparation import prepare, prepare_folder

TEXTS = ["cats chase mice", "dogs bark", "cats chase mice", "cats chase mice"]
NOTED = [
    {"text": "cats chase mice", "lang": "en", "year": 1},
    {"text": "dogs bark", "lang": "en"},
    {"text": "cats chase mice", "lang": "en", "year": 2},
    {"text": "cats chase mice", "lang": "en", "year": 1, "page": 9},
]
PAIRS = [("what do dogs do", "dogs bark")]
HOW = {"miner": "none", "validation": 0.0}


def write_csv(path, rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def write_tables(folder):
    folder.mkdir()
    for number, row in enumerate(NOTED):
        write_jsonl(folder / f"part-{number}.jsonl", [row])
    return folder


CORPORA = {
    "texts": lambda tmp_path: TEXTS,
    "generator": lambda tmp_path: (text for text in TEXTS),
    "dicts": lambda tmp_path: NOTED,
    "titles": lambda tmp_path: [{"title": "Cats", "text": text} for text in TEXTS],
    "another division": lambda tmp_path: [{"title": "A b", "text": "c"}, {"title": "A", "text": "b c"}, "A b c"],
    "frame": lambda tmp_path: pd.DataFrame({"text": TEXTS}),
    "JSON lines": lambda tmp_path: write_jsonl(tmp_path / "corpus.jsonl", NOTED),
    "CSV": lambda tmp_path: write_csv(tmp_path / "corpus.csv", [{"text": text} for text in TEXTS]),
    "folder of tables": lambda tmp_path: write_tables(tmp_path / "tables"),
    "texts with white space around them": lambda tmp_path: [" cats\n", "dogs bark", " cats\n"],
}


@pytest.mark.parametrize("given", CORPORA.values(), ids=CORPORA)
def test_a_repeated_text_is_read_once_and_said_as_when_it_is_indexed(given, tmp_path):
    report = DocumentReport()
    (tmp_path / "one").mkdir()
    indexed = {document.id: document.metadata for document in read_documents(given(tmp_path / "one"), report=report)}
    (tmp_path / "two").mkdir()
    data = prepare([PAIRS], given(tmp_path / "two"), **HOW)
    added = {identity for identity in data.documents if identity not in indexed}
    assert {one: data.documents[one].metadata for one in data.documents if one not in added} == indexed
    assert all(data.documents[one].text == "dogs bark" for one in added)
    assert data.report[: len(report.lines())] == report.lines()
    assert "the same text as a row before" in report.lines()[-1]


def test_every_repeat_is_in_the_report_of_the_set(tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", NOTED)
    prepare_folder([PAIRS], corpus, tmp_path / "out", near=False, **HOW)
    said = [(row["place"], row["detail"]) for row in read_lines(tmp_path / "out" / "report.jsonl")]
    assert [place for place, _ in said] == [3, 4]
    assert all(detail.startswith("corpus.jsonl: the same text as a row before") for _, detail in said)


def test_the_order_of_repeats_changes_nothing(tmp_path):
    divided = [{"title": "A b", "text": "c", "n": 1}, {"title": "A", "text": "b c", "n": 1}, {"text": "A b c", "m": 2}]
    made = set()
    for number, rows in enumerate(itertools.permutations([*divided, NOTED[0], NOTED[2]])):
        if number % 10 == 0:
            prepare_folder([PAIRS], rows, tmp_path / str(number), near=False, **HOW)
            made.add((tmp_path / str(number) / "documents.parquet").read_bytes())
    assert len(made) == 1


def test_a_repeated_text_that_is_cut_has_its_pieces_once(base_folder):
    long = " ".join(f"Sentence number {n} says something about the {n}th thing." for n in range(60)) + "\n"
    rows = [{"text": long, "lang": "en", "year": 1}, {"text": long, "lang": "en", "year": 2}, {"text": "short"}]
    how = {"chunk": 40, "base": str(base_folder("bert")), **HOW}
    asked = [("what does sentence number 57 say", long)]
    twice, once = prepare([asked], rows, **how), prepare([asked], [{"text": long, "lang": "en"}, rows[2]], **how)
    assert list(twice.documents.values()) == list(once.documents.values())
    assert twice.qrels == once.qrels
    pieces = [document for document in twice.documents.values() if PIECE in document.metadata]
    assert len(pieces) > 1 and all(piece.metadata["lang"] == "en" for piece in pieces)


def test_queries_are_made_once_of_a_repeated_text():
    text = "Tides are the rise and fall of sea levels. They are caused by the pull of the moon and of the sun."
    others = [f"The harbour of town number {n} was dredged in the year {1900 + n}, at great cost." for n in range(9)]
    rows = [{"title": "Tides of the sea", "text": text, "n": n} for n in range(3)]
    several, one = (prepare([], [*corpus, *others], synthesize=True, **HOW) for corpus in (rows, rows[:1]))
    assert several.queries == one.queries


def test_a_judged_set_reads_a_repeated_text_once():
    rows = [{"query": "what do dogs do", "document": "dogs bark", "label": 1}]
    judged = read_judged(rows, documents=TEXTS)
    assert sorted(document.text for document in judged.documents) == ["cats chase mice", "dogs bark"]
    assert "2 skipped, the same text as a row before: row 3, row 4" in judged.shape


@pytest.mark.parametrize("texts", [("dogs bark", "dogs bark"), ("dogs bark", "cats sleep")])
def test_two_documents_with_one_id_of_the_users_are_refused_with_both_places(texts, tmp_path):
    rows = [{"id": "x", "text": texts[0]}, {"id": "y", "text": "birds sing"}, {"id": "x", "text": texts[1]}]
    path = write_jsonl(tmp_path / "corpus.jsonl", rows)
    for corpus, said in ((rows, "documents: .*'x' .documents 1 and 3"), (path, "corpus.jsonl: .*'x' .lines 1 and 3")):
        with pytest.raises(DataError, match=said):
            prepare([PAIRS], corpus, **HOW)
