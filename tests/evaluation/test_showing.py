"""What a report shows of two systems: all explanations of a system are asked for together."""

from explained import explained
from tardif.evaluation.showing import Judgements, Side, show
from tardif.types import Document

TEXTS = {"moon": "The moon pulls the sea.", "bread": "Bread rises in the oven.", "bees": "Bees dance on hills."}
DOCUMENTS = {name: Document(name, text, title=f"On {name}") for name, text in TEXTS.items()}
QUERIES = {"q1": "what pulls", "q2": "what rises", "q3": "who dances", "q4": " "}
QRELS = {"q1": {"moon": 1}, "q2": {"bread": 1}, "q3": {"bees": 1}, "q4": {"bees": 1}}
WORDS = {("pulls", "pulls"): 0.9, ("rises", "rises"): 0.9, ("dances", "dance"): 0.9}
FIRST = {
    query: {"hits": [(name, 3.0 - rank) for rank, name in enumerate(TEXTS)], "ranks": {next(iter(QRELS[query])): 1}}
    for query in QUERIES
}
JUDGED = Judgements("faq", QUERIES, QRELS, DOCUMENTS.get, "nDCG@10")
VALUES = {"q1": 1.0, "q2": 0.0, "q3": 0.5, "q4": 1.0}, {"q1": 0.5, "q2": 0.5, "q3": 0.5, "q4": 0.0}


def side(name, values, explain):
    return Side(name, values, FIRST, explain)


def test_each_system_is_asked_once_for_all_its_hits():
    asked = {"ours": [], "theirs": []}

    def explainer(name):
        def explain(pairs):
            asked[name].append([(query, document.id) for query, document in pairs])
            return [explained(query, document.content, WORDS) for query, document in pairs]

        return explain

    ours, theirs = (side(name, values, explainer(name)) for name, values in zip(asked, VALUES, strict=True))
    shown = show(JUDGED, ours, theirs)
    changed = {(QUERIES[query], name) for query in ("q1", "q2") for name in TEXTS}
    assert [set(pairs) for pairs in asked["theirs"]] == [changed]
    # With the pair that is explained word by word of a query that neither won, and never a query without a word.
    assert set(asked["ours"][0]) == changed | {("who dances", "bees")}
    assert all(query.strip() for pairs in asked["ours"] for query, _ in pairs)
    assert all(len(pairs) == len(set(pairs)) for pairs in asked["ours"])
    marked = {
        (query.query_id, hit.document_id): [hit.text[start:end] for start, end, _ in hit.marks]
        for query in shown.queries
        for ranking in query.rankings
        for hit in ranking.hits
    }
    assert marked["q1", "moon"] == ["pulls"]
    assert marked["q2", "bread"] == ["rises"]
    assert [one.document for one in shown.explanations][:2] == [
        "On moon The moon pulls the sea.",
        "On bread Bread rises in the oven.",
    ]


def test_of_a_piece_the_text_is_shown_and_of_another_text_nothing_is_marked():
    pieces = {"moon": "On moon pulls the sea.", "bread": "pulls nothing that is in the text"}

    def explain(pairs):
        return [explained(query, pieces.get(document.id, document.content), WORDS) for query, document in pairs]

    shown = show(JUDGED, side("ours", VALUES[0], explain), side("theirs", VALUES[1], None))
    moon, bread, _ = next(query for query in shown.queries if query.query_id == "q1").rankings[0].hits
    assert moon.text == "pulls the sea."
    assert [moon.text[start:end] for start, end, _ in moon.marks] == ["pulls"]
    assert (bread.text, bread.marks) == (TEXTS["bread"], ())


def test_what_cannot_be_explained_is_shown_without_marks():
    shown = show(JUDGED, side("ours", VALUES[0], lambda pairs: [None] * len(pairs)), side("theirs", VALUES[1], None))
    assert {query.query_id for query in shown.queries} == {"q1", "q2", "q4"}
    assert not shown.explanations
    assert not any(hit.marks for query in shown.queries for ranking in query.rankings for hit in ranking.hits)
