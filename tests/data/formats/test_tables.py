"""Every table format, from a real file on disk, gives equal judgements."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tardif.data.formats import open_source
from tardif.data.records import Judgement
from tardif.errors import DataError

PAIRS = [{"query": "a cat", "positive": "it purrs"}, {"query": 'q "2"\n,', "positive": "tab\there\r\nzwö \u2028 \x00"}]
LABELLED = [
    {"question": "a", "passage": "b", "label": "entails"},
    {"question": "a", "passage": "c", "label": "contradicts"},
]
TRIPLETS = [
    {"anchor": "a", "positive": "b", "negative_1": "c", "negative_2": "d"},
    {"anchor": "e", "positive": "f", "negative_1": "g", "negative_2": "h"},
]
MANY = [
    {"query": "a", "positives": ["b", "c"], "negatives": ["d"]},
    {"query": "e", "positives": ["f"], "negatives": []},
]
NWAY = [
    {"query": "a", "documents": ["b", "c", "d"], "scores": [0.25, 0.75, 0.5]},
    {"query": "e", "documents": ["f", "g"], "scores": [2.0, -1.0]},
]
SCORED = [{"query": "a", "positive": "b", "negatives": ["c", "d"], "scores": [3.0, 2.0, 1.5]}]
WITH_IDS = [{"qid": "7", "query": "a", "doc_id": "d1", "document": "b", "relevance": "2", "book": "x"}]


def judgement(query, document, role, place, **more):
    return Judgement(query, document, role, place, **more)


def row_judgements(places):
    """What the rows above are read as, with the place of each row."""
    one, two = places
    return {
        "pairs": [
            judgement(row["query"], row["positive"], "positive", p) for row, p in zip(PAIRS, places, strict=True)
        ],
        "labelled": [
            judgement("a", "b", "labelled", one, label="entails"),
            judgement("a", "c", "labelled", two, label="contradicts"),
        ],
        "triplets": [
            judgement("a", "b", "positive", one),
            judgement("a", "c", "negative", one),
            judgement("a", "d", "negative", one),
            judgement("e", "f", "positive", two),
            judgement("e", "g", "negative", two),
            judgement("e", "h", "negative", two),
        ],
        "many": [
            judgement("a", "b", "positive", one),
            judgement("a", "c", "positive", one),
            judgement("a", "d", "negative", one),
            judgement("e", "f", "positive", two),
        ],
        "nway": [
            judgement("a", "b", "negative", one, score=0.25),
            judgement("a", "c", "positive", one, score=0.75),
            judgement("a", "d", "negative", one, score=0.5),
            judgement("e", "f", "positive", two, score=2.0),
            judgement("e", "g", "negative", two, score=-1.0),
        ],
        "scored": [
            judgement("a", "b", "positive", one, score=3.0),
            judgement("a", "c", "negative", one, score=2.0),
            judgement("a", "d", "negative", one, score=1.5),
        ],
        "ids": [judgement("a", "b", "labelled", one, query_id="7", document_id="d1", label="2")],
    }


ROWS = {
    "pairs": PAIRS,
    "labelled": LABELLED,
    "triplets": TRIPLETS,
    "many": MANY,
    "nway": NWAY,
    "scored": SCORED,
    "ids": WITH_IDS,
}


def write_json_lines(path, rows):
    path.write_bytes(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n\n" for row in rows))


def write_json_array(path, rows):
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def flat(rows):
    """Rows as a text table holds them: lists as JSON."""
    return [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]


def write_csv(path, rows):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(flat(rows))


def write_tsv(path, rows):
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in flat(rows))]
    path.write_bytes("".join(line + "\r\n" for line in lines).encode())


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_arrow_stream(path, rows):
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def write_feather(path, rows):
    feather.write_feather(pa.Table.from_pylist(rows), path, compression="zstd")


WRITERS = {
    "rows.jsonl": (write_json_lines, (1, 3)),
    "rows.ndjson": (write_json_lines, (1, 3)),
    "lines.json": (write_json_lines, (1, 3)),
    "rows.json": (write_json_array, (1, 2)),
    "rows.csv": (write_csv, (2, 3)),
    "rows.tsv": (write_tsv, (2, 3)),
    "rows.parquet": (write_parquet, (1, 2)),
    "rows.arrow": (write_arrow_stream, (1, 2)),
    "rows.feather": (write_feather, (1, 2)),
}
TEXT = [name for name in WRITERS if name.rsplit(".")[-1] in ("jsonl", "json", "csv", "tsv")]


def read(source, **options):
    return list(open_source(source, **options).judgements())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name in WRITERS
        for shape in ROWS
        if (name, shape) != ("rows.tsv", "pairs")  # TSV cannot hold a tab or a line end
    ],
)
def test_every_shape_in_every_format(tmp_path, name, shape):
    write, places = WRITERS[name]
    write(tmp_path / name, ROWS[shape])
    assert read(tmp_path / name) == row_judgements(places)[shape]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("name", TEXT)
def test_packed_text_reads_as_plain(tmp_path, name, packing):
    write, places = WRITERS[name]
    write(tmp_path / name, TRIPLETS)
    packed = tmp_path / (name + packing)
    plain = (tmp_path / name).read_bytes()
    if packing == ".gz":
        packed.write_bytes(gzip.compress(plain))
    else:
        with pa.output_stream(str(packed), compression="zstd") as file:
            file.write(plain)
    assert read(packed) == row_judgements(places)["triplets"]


def test_labels_stay_raw(tmp_path):
    write_json_lines(tmp_path / "r.jsonl", [{"query": "a", "document": "b", "label": v} for v in ("x", 2, 0.5, True)])
    assert [found.label for found in read(tmp_path / "r.jsonl")] == ["x", 2, 0.5, True]


def test_lists_of_documents_with_lists_of_labels(tmp_path):
    write_json_lines(tmp_path / "r.jsonl", [{"query": "a", "documents": ["b", "c"], "labels": [1, 0]}])
    assert [(found.role, found.label) for found in read(tmp_path / "r.jsonl")] == [("labelled", 1), ("labelled", 0)]


def test_a_later_row_may_have_what_the_first_lacks(tmp_path):
    rows = [{"query": "a", "passage": "b"}] * 1500
    rows += [{"query": "a", "passage": "c", "negative": "d"}, {"query": "a", "passage": "e", "label": 0}]
    write_json_lines(tmp_path / "r.jsonl", rows)
    source = open_source(tmp_path / "r.jsonl")
    assert source.shape == "JSON lines: pairs: query from query, positive from passage"
    assert [(found.document, found.role) for found in source.judgements()][-3:] == [
        ("c", "positive"),
        ("d", "negative"),
        ("e", "labelled"),
    ]
    assert source.shape == (
        "JSON lines: labelled pairs: query from query, positive from passage, negative from negative (in 1 of 1502 "
        "rows), label from label (in 1 of 1502 rows); rows without a label are positives (1502 rows)"
    )


def test_the_shape_names_what_is_not_used(tmp_path):
    write_csv(tmp_path / "r.csv", [{"id": "1", "title": "t", "question": "a", "answer": "b", "book": "c"}])
    source = open_source(tmp_path / "r.csv", group_by="book")
    assert source.shape == "CSV: pairs: query from question, positive from answer, group from book; not used: id, title"
    assert [found.group for found in source.judgements()] == ["c"]
    assert list(source.documents()) == list(source.queries()) == []


def test_columns_of_other_names(tmp_path):
    rows = [{"q": "a", "good": "b", "hn_1": "c", "hn_2": "d", "margin": 0.5, "answer": "e"}]
    columns = {"query": "q", "positive": "good", "negative": "hn_*"}
    for name in ("rows.jsonl", "rows.csv", "rows.parquet"):
        WRITERS[name][0](tmp_path / name, rows)
        found = read(tmp_path / name, columns=columns)
        assert [(f.query, f.document, f.role) for f in found] == [
            ("a", "b", "positive"),
            ("a", "c", "negative"),
            ("a", "d", "negative"),
        ]
        with pytest.raises(DataError, match=r"column gut; it has .*good"):
            read(tmp_path / name, columns={**columns, "positive": "gut"})


def test_a_named_column_may_come_late_but_must_come(tmp_path):
    rows = [{"query": "a", "passage": "b"}] * 1001
    write_json_lines(tmp_path / "late.jsonl", [*rows, {"query": "a", "passage": "c", "hn": "d"}])
    assert read(tmp_path / "late.jsonl", columns={"negative": "hn"})[-1].role == "negative"
    write_json_lines(tmp_path / "never.jsonl", rows)
    with pytest.raises(DataError, match="missing column hn"):
        read(tmp_path / "never.jsonl", columns={"negative": "hn"})


def test_a_role_left_out(tmp_path):
    write_json_lines(tmp_path / "r.jsonl", [{"query": "a", "document": "b", "score": "x"}])
    assert read(tmp_path / "r.jsonl", columns={"label": None}) == [judgement("a", "b", "positive", 1)]


def test_missing_negatives_are_none(tmp_path):
    rows = [{"query": "a", "positive": "b", "negative_1": None, "negative_2": "c"}]
    for name in ("rows.jsonl", "rows.parquet", "rows.csv"):
        WRITERS[name][0](tmp_path / name, rows)
        assert [found.document for found in read(tmp_path / name)] == ["b", "c"]


def test_a_cell_over_several_lines_counts_them(tmp_path):
    (tmp_path / "r.csv").write_bytes(b'query,answer\r\n"a\r\nb","c\rd"\r\n\r\ne,f\r\n')
    assert read(tmp_path / "r.csv") == [
        judgement("a\r\nb", "c\rd", "positive", 2),
        judgement("e", "f", "positive", 6),
    ]


def test_quotes_are_characters_in_tsv(tmp_path):
    (tmp_path / "r.tsv").write_bytes(b'query\tanswer\n"a\tb"\n c \r\td\n')
    assert read(tmp_path / "r.tsv") == [judgement('"a', 'b"', "positive", 2), judgement(" c \r", "d", "positive", 3)]


def test_parquet_with_a_dotted_name_and_large_strings(tmp_path):
    table = pa.table({"my.q": pa.array(["a"], pa.large_string()), "answer": pa.array(["b"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "r.parquet")
    assert read(tmp_path / "r.parquet", columns={"query": "my.q"}) == [judgement("a", "b", "positive", 1)]


BAD = [
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": "a"\n', 2, "malformed JSON"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": "a"}\n', 2, "missing column positive"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": 3, "answer": "b"}\n', 2, "must be text, and is a number"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n["a", "b"]\n', 2, "one JSON object"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": "\\ud800", "answer": "b"}\n', 2, "lone surrogate"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": "a", "query": "b", "answer": "c"}\n', 2, "field twice"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": "\xff", "answer": "b"}\n', 2, "not UTF-8"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"query": "a", "answer": []}\n', 2, "no document"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n{"question": "a", "answer": "b"}\n', 2, "each fit the role query"),
    ("r.jsonl", b'{"query": "a", "answer": "b"}\n' + b'{"x":' * 9999 + b"\n", 2, "malformed JSON"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "label": Infinity}\n', 1, "not finite"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "label": 1' + b"0" * 400 + b"}\n", 1, "not finite"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "label": "Infinity"}\n', 1, "must be finite"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "label": null}\n', 1, "column label is missing"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "label": [1, 0]}\n', 1, "2 labels where the row has 1 document"),
    ("r.jsonl", b'{"query": "a", "documents": ["b"], "scores": [1, 2]}\n', 1, "2 scores where the row has 1 document"),
    ("r.jsonl", b'{"query": "a", "documents": ["b"], "scores": [Infinity]}\n', 1, "not finite"),
    ("r.jsonl", b'{"query": "a", "documents": ["b", "c"]}\n', 1, "without scores or labels"),
    ("r.jsonl", b'{"query": "a", "documents": ["b"], "answer": "c"}\n', 1, "each fit the role of the documents"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "context": "c"}\n', 1, "answer and context each fit"),
    ("r.jsonl", b'{"query": "a", "positive": "b", "negative": "c", "score": 1}\n', 1, "both state what is relevant"),
    ("r.jsonl", b'{"query": "a", "answer": "b", "qid": 1.5}\n', 1, "whole number"),
    ("r.json", b'[{"query": "a", "answer": "b"}, 3]', 2, "must be a JSON object"),
    ("r.json", b'[{"query": "a", "answer": "b"}, {"query"', 2, "malformed JSON"),
    ("r.json", b'[{"query": "a", "answer": "b"}', 1, "cut short"),
    ("r.json", b'[{"query": "a", "answer": "b"}] x', 1, "there is more"),
    ("r.json", b'[{"query": "a",\n "answer": "\xc3"}]', 2, "not UTF-8"),
    ("r.json", b'{"query":\n "a"}', 1, "malformed JSON"),
    ("r.json", b"[]", None, "is empty"),
    ("r.csv", b"query,answer\na,b\na\n", 3, "has 1 columns where the header has 2"),
    ("r.csv", b'query,answer\na,b\n"a,b\nc,d\n', 3, "never closed"),
    ("r.csv", b"query,answer\na\rb,c\n", 2, "has 1 columns"),
    ("r.csv", b'query,answer\n"a"b,c\n', 2, "malformed CSV"),
    ("r.csv", b"query,query\na,b\n", 1, "twice"),
    ("r.csv", b"query,title\na,b\n", 1, "missing column positive"),
    ("r.csv", b"a cat,it purrs\n", 1, "missing columns query"),
    ("r.csv", b"query,answer,label\na,b,\n", 2, "column label is empty"),
    ("r.csv", b"query,documents,scores\na,\"['b']\",[1]\n", 2, "is not JSON"),
    ("r.csv", b"query,answer,scores\na,b,1_0\n", 2, "must be a number"),
    ("r.csv", b"query,answer\n", None, "is empty"),
    ("r.tsv", b"query\tanswer\na\tb\tc\n", 2, "has 3 columns where the header has 2"),
    ("r.jsonl", b"", None, "is empty"),
    ("r.jsonl", b"\n \n", None, "is empty"),
    ("r.jsonl.gz", b"no gzip at all", 1, "damaged"),
    ("r.jsonl.zst", b"no zstd at all", 1, "damaged"),
    ("r.parquet", b"no parquet at all", None, "damaged"),
    ("r.arrow", b"no arrow at all", None, "damaged"),
    ("r.xlsx", b"x", None, "cannot be read as a workbook"),
    ("r.ods", b"x", None, "of a kind that is not read (.ods)"),
    ("r.parquet.gz", b"x", None, "of a kind that is not read (.parquet.gz)"),
    ("r", b"x", None, "no suffix"),
]


@pytest.mark.parametrize(("name", "content", "line", "what"), BAD)
def test_what_is_wrong_is_refused_with_file_and_line(tmp_path, name, content, line, what):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(path)
    assert what in str(error.value)
    assert (str(error.value.path), error.value.line) == (str(path), line)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_source(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst", "rows.parquet", "rows.arrow", "rows.feather"])
@pytest.mark.parametrize("keep", [0.05, 0.5, 0.98])
def test_a_file_cut_short_is_refused(tmp_path, name, keep):
    rows = [{"query": f"query {n * 7919 % 5000}", "answer": f"answer {n * 104729 % 5000}"} for n in range(5000)]
    path = tmp_path / name
    if name in WRITERS:
        WRITERS[name][0](path, rows)
        whole = path.read_bytes()
    else:
        write_json_lines(tmp_path / "rows.jsonl", rows)
        plain = (tmp_path / "rows.jsonl").read_bytes()
        whole = gzip.compress(plain) if name.endswith(".gz") else pa.compress(plain, codec="zstd", asbytes=True)
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value.path) == str(path)


def test_parquet_that_is_not_utf8_names_the_row(tmp_path):
    bad = pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"query": bad, "answer": ["b", "c"]}), tmp_path / "r.parquet")
    with pytest.raises(DataError) as error:
        read(tmp_path / "r.parquet")
    assert error.value.line == 2


def test_roles_that_make_no_sense(tmp_path):
    write_csv(tmp_path / "r.csv", PAIRS)
    for columns, what in [
        ({"titel": "x"}, "unknown role 'titel'"),
        ({"query": ["a", "b"]}, "takes one column"),
        ({"query": "a", "positive": "a"}, "for two roles"),
    ]:
        with pytest.raises(DataError, match=what):
            open_source(tmp_path / "r.csv", columns=columns)
