"""``tardif explain``, as it is called."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest

import tiny
from tardif.search.retriever import Retriever
from tardif.types import Document

TEXTS = [Document(f"d{n}", text) for n, text in enumerate(tiny.SENTENCES[:20])]
QUERY = "what makes the tides"


@pytest.fixture(scope="module")
def index(multi_vector_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("explaining") / "index"
    Retriever.build(multi_vector_folder, TEXTS, out, quiet=True).close()
    return out


def test_json_keeps_to_the_contract_and_to_the_searchs_score(index, tardif):
    hits = json.loads(tardif("search", index, QUERY, "--json")[1])["hits"]
    for hit in hits[:3]:
        code, out, _ = tardif("explain", index, QUERY, "--id", hit["document_id"], "--json")
        found = json.loads(out)
        assert code == 0
        assert found["score"] == hit["score"] == sum(match["similarity"] for match in found["matches"])
        assert (found["query"], found["document"]) == (QUERY, hit["text"])
        assert found["document_id"] == hit["document_id"]
        for match in found["matches"]:
            assert match.keys() == {"query_token", "document_token", "similarity"}
            assert found["query_tokens"][match["query_token"]].keys() == {"text", "start", "end", "word"}
            token = found["document_tokens"][match["document_token"]]
            assert token["start"] is None or hit["text"][token["start"] : token["end"]] == token["text"]
    best = json.loads(tardif("explain", index, QUERY, "--json")[1])
    assert best["document_id"] == hits[0]["document_id"]


def test_a_text_is_explained_by_a_model_and_by_an_indexs_model(index, multi_vector_folder, tardif, monkeypatch):
    text = "The moon makes the tides."
    for where in (index, multi_vector_folder):
        code, out, _ = tardif("explain", where, QUERY, text, "--json")
        assert code == 0
        assert json.loads(out)["document"] == text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode() + b" \xff")))
        piped = json.loads(tardif("explain", where, QUERY, "-", "--json")[1])
        assert piped["document"] == f"{text} \ufffd"


def test_where_there_is_no_colour_words_are_in_brackets_and_rows_in_order(multi_vector_folder, tardif):
    text = "Rivers carry sand.\nThe \x1b[31mmoon\x07 makes the tides, 東京は日本 and Zürich."
    code, out, _ = tardif("explain", multi_vector_folder, "the Zürich tides\u202e", text)
    assert code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    head, *rows = out.rstrip("\n").split("\n")
    assert re.fullmatch(r"score \d+\.\d{3}", head)
    assert rows[1].startswith("[the] [Zürich] [tides]")
    table = rows[rows.index(next(row for row in rows if row.startswith("query "))) :]
    cells = [re.split(r"  +", row.strip()) for row in table]
    assert cells[0] == ["query", "document", "similarity", "place"]
    assert [row[0] for row in cells[1:4]] == ["[CLS]", "[Q]", "the"]
    assert len(cells) == 33
    assert float(head.split()[1]) == pytest.approx(sum(float(row[-2]) for row in cells[1:]), abs=0.02)


def in_a_terminal(command):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    keep = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=keep) as running:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # Linux: the other side is closed
            pass
        assert running.wait() == 0
    os.close(ours)
    return b"".join(parts).decode()


# Both ways in one process, which asks anew for each verb whether it writes to a terminal and what that wants.
TWICE = """
import os, sys
from tardif.cli import main
for wants in ({}, {"NO_COLOR": "1"}):
    os.environ.update(wants)
    try:
        main(sys.argv[1:])
    except SystemExit as ended:
        assert not ended.code
    print("=====", flush=True)
"""


def test_a_terminal_has_colours_unless_it_wants_none(index):
    command = [sys.executable, "-c", TWICE, "explain", str(index), QUERY, "--id", "d1"]
    coloured, plain, _ = in_a_terminal(command).split("=====")
    assert re.search(r"\x1b\[38;5;16;48;5;\d+m\w+\x1b\[0m", coloured)
    assert "\x1b[38" not in plain and "[the]" in plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((QUERY, "text", "--id", "d1"), "give a text or --id, not both"),
        ((), "Missing argument 'query'"),
    ],
)
def test_wrong_usage_ends_with_2(index, tardif, arguments, said):
    code, out, err = tardif("explain", index, *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_a_model_needs_a_text(multi_vector_folder, tardif):
    for arguments, said in (((), "give the document's text"), (("--id", "d1"), "is not an index: give a text")):
        code, out, err = tardif("explain", multi_vector_folder, QUERY, *arguments)
        assert (code, out) == (2, "")
        assert said in " ".join(err.replace("│", " ").split())


def test_what_cannot_be_explained_is_one_line(index, multi_vector_folder, tardif, fails, tmp_path):
    assert "'nobody' is not in the index" in fails("explain", index, QUERY, "--id", "nobody")
    assert "query is empty" in fails("explain", multi_vector_folder, " ", "text")
    assert "nowhere" in fails("explain", tmp_path / "nowhere", QUERY, "text")
    assert "finds nothing" in fails("explain", index, "...")
    code, out, err = tardif("explain", multi_vector_folder, QUERY, "...")
    assert (code, out.split("\n")[0]) == (0, "score 0.000")
    assert "The document has no token that can be matched." in err
    assert tardif("explain", multi_vector_folder, QUERY, "...", "--quiet")[2] == ""
