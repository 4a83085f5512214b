"""Documents that say what an answer says: what contains it, what it contains, the question itself."""

from dataclasses import replace

import pytest

from tardif.data.excluded_negatives import CONTAINS, PART, asking, excluded_negatives, overlapping, own_documents
from tardif.data.training_set import TrainingSet
from tardif.types import Document

ANSWER = "Press the red button on the back for ten seconds, then let go and wait for the light to turn green."
RETYPED = ANSWER.upper().replace(",", " \u2013")
QUESTION = "How do I reset my router?"
DOCUMENTS = {
    identity: Document(identity, text, title)
    for identity, text, title in [
        ("answer", ANSWER, QUESTION),
        ("article", f"A fine device. To reset it: {RETYPED} After that, set it up.", ""),
        ("typo", f"In short, {ANSWER.replace('seconds', 'secnds')} And then have a coffee.", ""),
        ("passage", "\u201cthen let go and wait for the light to turn green\u201d", "Step two"),
        ("question", "how do I reset  my router", ""),
        ("faq", "Q: How do I reset my router?", ""),
        ("other", "The red button is on the back. Never press it for ten seconds.", ""),
        ("unrelated", "Bees dance to tell the others where the flowers are.", ""),
    ]
}


def training_set(positive="answer", judged=()):
    qrels = {"q": {positive: 1, **dict.fromkeys(judged, 0)}}
    return TrainingSet(DOCUMENTS, {"q": QUESTION}, qrels, {"q": "train"})


def test_what_contains_an_answer_and_what_is_part_of_it_are_found_among_candidates():
    others = [document for identity, document in DOCUMENTS.items() if identity not in ("answer", "question")]
    found = overlapping([DOCUMENTS["answer"]], others, others)
    assert found == {"article": CONTAINS, "typo": CONTAINS, "passage": PART}
    assert overlapping([], others, others) == overlapping([DOCUMENTS["answer"]], [], []) == {}


@pytest.mark.parametrize("short", ["Yes", "42", "red", "It is."])
def test_an_answer_too_short_to_tell_anything_keeps_nothing_out(short):
    answer, others = Document("short", short), [Document(f"d{n}", f"{short} text {n}, {short}") for n in range(9)]
    assert overlapping([answer], others, []) == {}


def test_of_a_handbook_the_beginning_is_compared():
    handbook = Document("handbook", f"{ANSWER} {'Lights are green. ' * 9_000} {DOCUMENTS['other'].text}")
    assert overlapping([handbook], [], [DOCUMENTS["answer"], DOCUMENTS["other"]]) == {"answer": PART}


def test_what_is_unclear_is_kin():
    given = replace(training_set(), unclear={"q": ["unrelated", "gone"]})
    assert "unrelated" in excluded_negatives(given)["q"] and "gone" not in excluded_negatives(given)["q"]


def test_the_query_itself_is_told_from_a_document_on_it():
    assert asking(QUESTION, DOCUMENTS.values()) == {"question", "faq"}
    assert not asking("?", [Document("d", "?")])
    assert asking("Paris", [Document("d", "paris!")]) == {"d"}


def test_a_set_s_kin_leaves_out_what_is_judged():
    assert excluded_negatives(training_set())["q"] >= {"article", "passage", "question"}
    assert not excluded_negatives(training_set())["q"] & {"answer", "other", "unrelated"}
    assert not excluded_negatives(training_set(judged=["article", "question"]))["q"] & {"article", "question"}
    assert excluded_negatives(training_set("unrelated", judged=["question"])) == {}


def cut(piece, number, text, whole):
    said = {"tardif_piece": {"document": whole, "number": number, "of": 2, "start": 0, "end": len(text)}}
    return Document(piece, text, metadata=said)


def test_the_pieces_of_a_querys_own_document_are_the_query_itself():
    texts = {"a": ("the sea is deep and blue", "so nobody can walk over it"), "b": ("bees dance", "to tell others")}
    pieces = [cut(f"{d}#{n}", n, text, d) for d, own in texts.items() for n, text in enumerate(own, 1)]
    documents = {piece.id: piece for piece in [*pieces, Document("answer", "but ships can cross the sea")]}
    queries = {"a": " ".join(texts["a"])}
    data = TrainingSet(documents, queries, {"a": {"answer": 1}}, {"a": "train"})
    assert own_documents(queries, documents.values(), data.qrels) == {"a": {"a#1", "a#2"}}
    assert excluded_negatives(data)["a"] >= {"a#1", "a#2"}
    assert own_documents(queries, documents.values(), {"a": {"a#2": 1}}) == {}
    assert own_documents({"b": "bees dance"}, documents.values(), {"b": {}}) == {}
