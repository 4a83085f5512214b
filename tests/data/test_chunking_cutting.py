import pytest

from samples import write_beir, write_jsonl
from tardif.data.chunking import PIECE, cutter
from tardif.encoder.base import resolve_base
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare
from tardif.text.normal import normalise
from tardif.types import Document

LONG = " ".join(f"Sentence number {n} says something about the {n}th thing." for n in range(60))


def no_base():
    raise AssertionError("nothing is to be cut, so no base is needed")


@pytest.fixture
def base(base_folder):
    return lambda: resolve_base(str(base_folder("bert")))


def write_folder(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(LONG)
    return folder


def test_rows_stay_whole_unless_asked(tmp_path, base):
    table = write_jsonl(tmp_path / "corpus.jsonl", [{"id": "1", "text": LONG}])
    for corpus in (None, table, str(table), [Document("1", LONG)], write_beir(tmp_path / "animals")):
        assert cutter(corpus, "auto", no_base) is None
        assert cutter(corpus, None, no_base) is None
        cut = cutter(corpus, 40, base)
        assert len(cut(Document("1", LONG))) > 1


@pytest.mark.parametrize("name", ["a.txt", "a.MD", "a.html", "a.pdf"])
def test_files_of_text_are_cut(tmp_path, base, name):
    file = write_folder(tmp_path, name) / name
    for corpus in (file, str(file)):
        assert cutter(corpus, "auto", base) is not None
        assert cutter(corpus, None, no_base) is None


def test_a_folder_is_cut_if_it_holds_text(tmp_path, base):
    assert cutter(write_folder(tmp_path / "one", "deep/inside/a.txt"), "auto", base) is not None
    assert cutter(write_folder(tmp_path / "two", "a.jsonl", "b.csv"), "auto", no_base) is None
    assert cutter(write_folder(tmp_path / "three", "a.jsonl", ".hidden/a.txt"), "auto", no_base) is None


def test_pieces_of_auto_are_what_the_base_reads(tmp_path, base):
    file = write_folder(tmp_path, "a.txt") / "a.txt"
    auto = cutter(file, "auto", base)(Document("a", LONG * 3))
    most = min(256, base().max_tokens)
    assert [piece.text for piece in auto] == [piece.text for piece in cutter(file, most, base)(Document("a", LONG * 3))]


@pytest.mark.parametrize("chunk", [0, -5, 1, 100_000, 40.5, "many"])
def test_a_chunk_out_of_range_is_refused(base, chunk):
    with pytest.raises(SettingError):
        cutter([], chunk, base)


def test_a_judgement_of_a_cut_document_goes_to_the_piece_that_answers(base_folder):
    rows = [{"query": f"what does sentence number {n} say", "answer": LONG, "pid": "long"} for n in (2, 57)]
    rows.append({"query": "what is short", "answer": "short is short", "pid": "short"})
    corpus = [Document("long", LONG), Document("short", "short is short")]
    data = prepare([rows], corpus, chunk=40, base=str(base_folder("bert")), miner="none", validation=0)
    assert "long" not in {judged for query in data.qrels for judged in data.positives(query)}
    for query, text in data.queries.items():
        (positive,) = data.positives(query)
        if positive == "short":
            continue
        found = data.documents[positive]
        assert found.metadata[PIECE]["document"] == "long"
        assert normalise(text.split("does ")[1].split(" say")[0]) in normalise(found.text)
    assert "long" not in data.documents
    assert {d for d in data.documents if d.startswith("long#")}


ASKED = {"q2": "what does sentence number 2 say", "q57": "what does sentence number 57 say"}
UNKNOWN = {
    "query": {"query_id": "q9", "document_id": "long"},
    "query of a document that has other judgements": {"query_id": "q9", "document_id": "other"},
    "document": {"query_id": "q57", "document_id": "nowhere"},
    "query and document": {"query_id": "q9", "document_id": "nowhere"},
}


@pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN)
def test_an_id_that_is_not_known_is_refused_or_left_out_beside_a_cut_document(base_folder, unknown):
    corpus = [{"id": name, "text": f"{LONG} {name}"} for name in ("long", "other", "third")]
    rows = [{"query_id": "q2", "document_id": "other"}, unknown, {"query_id": "q57", "document_id": "third"}]
    how = {"queries": ASKED, "chunk": 40, "base": str(base_folder("bert")), "miner": "none", "validation": 0}
    said = "'nowhere' is not in the corpus" if unknown["document_id"] == "nowhere" else "'q9' is not in the list of"
    with pytest.raises(DataError, match=rf"line 2: .* id {said} .*--on unknown-id=drop"):
        prepare([rows], corpus, **how)
    data = prepare([rows], corpus, **how, on={"unknown-id": "drop"})
    judged = {query: {found.split("#")[0] for found in data.positives(query)} for query in data.qrels}
    assert judged == {"q2": {"other"}, "q57": {"third"}}
    assert any(line.startswith("unknown-id: 1 (") for line in data.report)
