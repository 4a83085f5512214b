from __future__ import annotations

import pytest

from tardif.evaluation.python_texts import OF_EACH_KIND, python_texts
from tardif.text.normal import normalise

SOURCE = '''
def join_{n}_tables(first, second):
    """Bring the rows of relation number {n} together.

    Rows without a partner are dropped, unless an option keeps them; join_{n}_tables keeps the order of the first
    of the two, which is number {n}.
    """


def _hidden(first):
    """Bring private rows of relation number {n} together.

    Nobody may ever ask for this text, since its name begins with an underscore, as that of number {n} does not.
    """
'''
TOPIC = """The "thing" statement
*********************

{0}

   thing_stmt ::= "thing" expression

{1}

{2}

{3}
"""


def paragraph(n):
    return f"Sentence number {n} of this long reference says little, " * 4 + "and then it ends."


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    (root / "json").mkdir()
    (root / "json" / "__init__.py").write_text("".join(SOURCE.format(n=n) for n in range(120)), encoding="utf-8")
    (root / "shutil.py").write_text("raise SystemExit('run')\n" + "".join(SOURCE.format(n=n) for n in range(200, 320)))
    (root / "other.py").write_text(SOURCE.format(n=999), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def topics():
    return {f"t{t}": TOPIC.format(*map(paragraph, range(4 * t, 4 * t + 4))) for t in range(30)}


@pytest.fixture(scope="module")
def found(library, topics):
    return python_texts(library, topics)


def test_every_query_has_one_answer_and_documents_do_not_repeat(found):
    kinds = [query.split(":")[0] for query in found.queries]
    assert {kind: kinds.count(kind) for kind in kinds} == {"sentence": 100, "words": 100, "paragraph": 30}
    answers = [document for judged in found.qrels.values() for document in judged]
    assert sorted(answers) == sorted({document.id for document in found.documents})
    texts = {normalise(document.text) for document in found.documents}
    assert len(texts) == len({normalise(query) for query in found.queries.values()}) == len(found.queries)


def test_no_query_is_in_its_answer_and_no_name_gives_it_away(found):
    texts = {document.id: document.text for document in found.documents}
    for query, judged in found.qrels.items():
        (answer,) = judged
        assert normalise(found.queries[query]) not in normalise(texts[answer])
        assert answer.rpartition(".")[2] not in texts[answer]
        assert len(texts[answer]) <= 400


def test_queries_are_short_middling_and_long(found):
    lengths = {kind: [len(t.split()) for q, t in found.queries.items() if q.startswith(kind)] for kind in "swp"}
    assert max(lengths["w"]) <= 6
    assert max(lengths["s"]) <= 30
    assert min(lengths["p"]) >= 25


def test_private_functions_other_modules_and_what_is_no_prose_are_left_out(found):
    texts = " ".join([*found.queries.values(), *(document.text for document in found.documents)])
    assert "private" not in texts
    assert "999" not in texts
    assert "::=" not in texts


def test_the_order_of_the_library_does_not_matter(library, topics, found):
    again = python_texts(library, dict(reversed(topics.items())))
    assert (again.queries, again.qrels, again.documents) == (found.queries, found.qrels, found.documents)


def test_a_stripped_library_has_none(tmp_path):
    assert python_texts(tmp_path, {}) is None


def test_this_python_has_enough_of_each_kind():
    found = python_texts()
    kinds = [query.split(":")[0] for query in found.queries]
    assert kinds.count("sentence") == kinds.count("words") == OF_EACH_KIND
    assert kinds.count("paragraph") >= 50
