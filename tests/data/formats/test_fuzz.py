"""Whatever rows hold, they are read exactly or refused with file and line; nothing is lost, nothing crashes."""

import csv
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tardif.data.formats import open_source
from tardif.errors import DataError

QUICK = settings(
    max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

ODD = st.sampled_from(
    [
        "\r",
        "\n",
        "\r\n",
        "\t",
        "\x00",
        "\u2028",
        "\x85",
        "\ufeff",
        '"',
        ",",
        "[",
        "]",
        "\\",
        "é",
        "\U0001f600",
        " ",
        "a",
    ]
)
SHORT = st.one_of(st.lists(ODD, max_size=8).map("".join), st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
TEXT = st.one_of(SHORT, SHORT, SHORT, st.just("long " * 2_000))
BROKEN = st.one_of(TEXT, st.text(st.characters(categories=["Cs"]), min_size=1))
VALUE = st.one_of(
    BROKEN, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(BROKEN, max_size=3), st.just({"a": 1})
)
NAMES = ["query", "question", "answer", "positive", "negative", "negatives", "label", "documents", "scores", "qid", "x"]
ROW = st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=5)
PAIR = st.fixed_dictionaries({"query": TEXT, "answer": TEXT}, optional={"negative": TEXT, "label": TEXT, "x": TEXT})

HEADS = {
    ".csv": b"query,answer\n",
    ".tsv": b"query\tanswer\n",
    ".json": b"[",
    ".jsonl": b'{"query":"a","answer":"b"}\n',
}


def read(source):
    """The judgements, or the error."""
    try:
        return list(open_source(source).judgements()), None
    except DataError as error:
        return [], error


def check(rows, judgements, error, path):
    """Every row was read as it stands, or the error points at one."""
    if error is not None:
        assert str(error).startswith((str(path), "The training data is empty"))
        return
    places = sorted({found.place for found in judgements})
    assert len(places) == len(rows)
    for place, row in zip(places, rows, strict=True):
        mine = [found for found in judgements if found.place == place]
        texts = {text for name in ("query", "question") if isinstance(text := row.get(name), str)}
        # A missing text is empty, and where an id stands for it there is none.
        assert {found.query for found in mine} == (texts or {None if "qid" in row else ""})
        wanted = []
        negatives = [name for name in row if name in ("negative", "negatives")]  # in the order of the row's columns
        for name in ("answer", "positive", "documents", *negatives):
            value = row.get(name)
            wanted += value if isinstance(value, list) else [] if value is None else [value]
        # A number is no text: it is an id.
        wanted = [value if isinstance(value, str) else str(int(value)) for value in wanted]
        given = [found.document_id if found.document is None else found.document for found in mine]
        if any(row.get(name, "") is None for name in ("answer", "positive", "documents")):  # the first one's is empty
            given, wanted = ([text for text in texts if text] for texts in (given, wanted))
        assert given == wanted


@QUICK
@given(st.lists(ROW, max_size=4))
def test_json_lines(tmp_path, rows):
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    check(rows, *read(path), path)


@QUICK
@given(st.lists(PAIR, max_size=4))
def test_unescaped_json_lines_and_arrays_read_alike(tmp_path, rows):
    lines, array = tmp_path / "r.jsonl", tmp_path / "r.json"
    lines.write_bytes("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    array.write_bytes(json.dumps(rows, ensure_ascii=False, indent=1).encode())
    found, error = read(lines)
    check(rows, found, error, lines)
    same, _ = read(array)
    assert [item.document for item in same] == [item.document for item in found]


@QUICK
@given(st.lists(ROW, max_size=4))
def test_python_rows(rows):
    check(rows, *read(iter(rows)), "data")


def held(rows):
    """The rows that hold something: blank ones are none."""
    return [row for row in rows if any(cell.strip() for cell in row)]


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT), max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_csv(tmp_path, rows, end):
    path = tmp_path / "r.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([("query", "answer"), *rows])
    found, error = read(path)
    assert [(item.query, item.document) for item in found] == held(rows)
    assert (error is None) == bool(held(rows))


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_tsv(tmp_path, rows):
    path = tmp_path / "r.tsv"
    path.write_bytes("".join(f"{query}\t{answer}\n" for query, answer in [("query", "answer"), *rows]).encode())
    found, error = read(path)
    assert error is None or error.path == str(path) or error.path == path
    if not any(set("\t\n") & set(text) or text.endswith("\r") for row in rows for text in row) and error is None:
        assert [(item.query, item.document) for item in found] == held(rows)


@QUICK
@given(
    st.binary(max_size=200), st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".gz", ".zst", ".parquet", ".arrow"])
)
def test_any_bytes(tmp_path, content, suffix):
    path = tmp_path / f"r{suffix}"
    path.write_bytes(HEADS.get(suffix, b"") + content)
    _, error = read(path)
    assert error is None or str(error).startswith(str(path))
