"""How SQLite answers what an index asks of it: by its keys where one document is asked for, and the words once."""

import sqlite3

import pytest

import token_vectors as plain
from tardif.index import connections
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.types import Document

DOCUMENTS = [
    Document(f"d{n}", f"text number {n} of these" + " more" * n, metadata={"n": n, "even": n % 2 == 0})
    for n in range(30)
]


@pytest.fixture
def asked(monkeypatch):
    """The statements that an index's connections run, as they were run."""
    statements: list[str] = []
    connect = connections._connect

    def traced(uri: str) -> sqlite3.Connection:
        made = connect(uri)
        made.set_trace_callback(statements.append)
        return made

    monkeypatch.setattr(connections, "_connect", traced)
    return statements


@pytest.fixture
def index(asked, tmp_path):
    with DiskIndex.create(tmp_path / "index", model={}, words="en", threads=1) as made:
        made.add(DOCUMENTS, plain.vectors_of(1, 2 * len(DOCUMENTS)), [2] * len(DOCUMENTS))
        made.search_words("text", 1)  # what is looked at once after a change is known
        made.search(plain.vectors_of(2, 2), [2], 3, where=parse_filter("n < 5"))
        made.get(["nowhere"])
        asked.clear()
        yield made


def steps(database, statement):
    """The plan of a statement, step by step."""
    rows = database.execute(f"EXPLAIN QUERY PLAN {statement}")
    return [str(row[3]).replace("SCAN TABLE ", "SCAN ") for row in rows]  # as SQLites before 3.36 say it


def plans(index, statements):
    """The plan of each statement that reads or writes rows of the index."""
    database = sqlite3.connect(index.folder / "index.sqlite")
    try:
        return {
            statement: steps(database, statement)
            for statement in dict.fromkeys(statements)
            # FTS5's own statements, which the trace shows as comments, are its own affair.
            if statement.split(" ", 1)[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")
        }
    finally:
        database.close()


def is_whole(step):
    """Whether a step goes through a whole table. A virtual one is always scanned, by an index; by number 0 wholly."""
    if "subquery" in step.lower():
        return False
    return step.startswith("SCAN") and ("VIRTUAL TABLE INDEX" not in step or step.endswith(" 0:"))


def scans(index, statements):
    """The steps that go through a whole table, with their statements."""
    return [(asked, step) for asked, plan in plans(index, statements).items() for step in plan if is_whole(step)]


# A row for each file, some twenty facts, and what a compaction has not yet taken away.
WHOLE = {"SCAN segments", "SCAN facts", "SCAN deleted"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda index: index.get(["d3"]),
        lambda index: index.score(plain.vectors_of(2, 2), ["d3", "d4"]),
        lambda index: index.search(plain.vectors_of(2, 2), [2], 3),
        lambda index: index.search_words("text number more", 3),
        lambda index: index.search(plain.vectors_of(2, 2), [2], 3, where=parse_filter("@id = 'd3'")),
        lambda index: index.search_words("text", 3, where=parse_filter("@id in ('d3', 'd4')")),
        lambda index: index.search_words("text", 3, where=parse_filter("n < 5")),  # known
    ],
    ids=["get", "score", "search", "words", "id filter", "words, id filter", "known filter"],
)
def test_no_table_is_gone_through_for_a_few_documents(index, asked, ask):
    ask(index)
    assert plans(index, asked)
    assert {step for _, step in scans(index, asked)} <= WHOLE


@pytest.mark.parametrize(
    "write",
    [
        lambda index: index.delete(["d3"]),
        lambda index: index.add([Document("d4", "other")], plain.vectors_of(3, 2), [2]),
    ],
    ids=["delete", "replace"],
)
def test_a_write_goes_through_what_its_checksums_cover_and_nothing_else(index, asked, write):
    write(index)
    covered = {"SCAN words_data", "SCAN words_idx", "SCAN words_config", "SCAN words_docsize"}
    assert {step for _, step in scans(index, asked)} <= WHOLE | covered


def test_a_filter_is_asked_once_for_a_hybrid_search_and_again_after_a_change(index, asked):
    where = parse_filter("n >= 20")
    for _ in range(2):
        index.search(plain.vectors_of(2, 2), [2], 3, where=where)
        index.search_words("text", 3, where=parse_filter("n >= 20"))
    assert len(scanned := [s for s, step in scans(index, asked) if step == "SCAN documents"]) == 1
    assert sum(statement == scanned[0] for statement in asked) == 1
    index.delete(["d29"])
    asked.clear()
    assert "d29" not in dict(index.search_words("text", 30, where=where))
    assert sum(statement == scanned[0] for statement in asked) == 1


def test_the_words_are_looked_up_once_for_each_term_and_nothing_is_sorted(index, asked):
    index.search_words("text number more", 3, where=parse_filter("n < 5"))
    looked = [statement for statement in asked if "places" in statement and statement.startswith("SELECT")]
    assert len(looked) == 3
    assert list(plans(index, looked).values()) == [["SCAN places VIRTUAL TABLE INDEX 1:"]] * 3
