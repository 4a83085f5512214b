"""TREC's own files: documents and topics in its markup, qrels, and the folders that hold them."""

import gzip
import tracemalloc

import pytest

from samples import CORPUS, QUERIES, write_jsonl
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents, stream_documents
from tardif.data.formats import open_source
from tardif.data.formats.trec_text import read_topics, read_trec_documents
from tardif.data.judged import Judging, collections_in, read_judged
from tardif.data.queries import read_queries, stream_queries
from tardif.data.reading import Reading
from tardif.errors import DataError
from tardif.preparation import prepare_folder
from tardif.types import Document, Query

FT = """<!-- a file of the Financial Times -->
<DOC>
<DOCNO>FT911-3</DOCNO>
<PROFILE>_AN-BEOA7AAIFT</PROFILE>
<DATE>910514
</DATE>
<HEADLINE>
FT  14 MAY 91 / Cats &amp; mice
</HEADLINE>
<TEXT>
<P>Cats chase   mice at night, if 1 < 2.</P>

<P>AT&amp;T has none.</P>
</TEXT>
<PUB>The Financial Times
</PUB>
</DOC>
<DOC>
<DOCNO> FT911-4 </DOCNO>
<TEXT></TEXT>
</DOC>
"""
WSJ = """<doc><docno>WSJ-1</docno><hl>Dogs</hl><lp>Dogs bark.</lp><text>At strangers.</text><text>Often.</text></doc>
<DOC><DOCNO>WT-1</DOCNO><DOCHDR>http://birds HTTP/1.0 200</DOCHDR>
<html><head><title>Birds</title></head><body>sing<br>early</body></html></DOC>
"""
DOCUMENTS = [
    Document("FT911-3", "Cats chase mice at night, if 1 < 2.\nAT&T has none.", "FT 14 MAY 91 / Cats & mice"),
    Document("FT911-4", ""),
    Document("WSJ-1", "Dogs bark.\n\nAt strangers.\n\nOften.", "Dogs"),
    Document("WT-1", "sing early", "Birds"),
]
TOPICS = """
<top>
<num> Number: 051
<dom> Domain: Animals
<title> Topic:  what do cats
chase
<desc> Description:
A relevant document names prey.

<narr> Narrative:
Cats &amp; all.
</top>
<top><num>Number: 2</num><title>when do birds sing</title><desc>Description: dawn</desc></top>
"""
XML = """<?xml version="1.0"?>
<topics>
  <topic number="51"><query>what do cats chase</query><question>What do they chase?</question></topic>
  <topic number="2" type="x">when do birds sing</topic>
</topics>
"""
ASKED = [(51, "what do cats chase"), (2, "when do birds sing")]
QRELS = "51 0 FT911-3 2\n51 0 WSJ-1 -2\n2\t0\tWT-1 1\n2 0 FT911-4 0\n"
JUDGED = {"51": {"FT911-3": 2, "WSJ-1": -2}, "2": {"WT-1": 1, "FT911-4": 0}}


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode(encoding)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def disk(folder, *, topics="topics.51-100", qrels="qrels.51-100.disk1.part1"):
    """A collection as TREC's disks are copied: files without suffixes in folders, some packed, and others beside."""
    write(folder / "ft" / "ft911" / "ft911_1", FT)
    write(folder / "wsj" / "wsj_0001.gz", WSJ)
    write(folder / "ft" / "readme", "About the disk.\n")
    write(folder / "dtds" / "ft.dtd", "<!ELEMENT DOC>\n")
    write(folder / topics, TOPICS)
    write(folder / qrels, QRELS)
    return folder


def test_documents_in_trec_markup(tmp_path):
    folder = disk(tmp_path / "disk1")
    report = DocumentReport()
    assert read_documents(folder, report=report) == DOCUMENTS
    assert report.read == {"in TREC's markup": 4}
    assert report.skipped == {"files without TREC documents": 4}
    assert [line for line, _ in stream_documents(folder / "ft" / "ft911" / "ft911_1")] == [2, 18]
    packed = folder / "wsj" / "wsj_0001.gz"
    assert read_documents(packed) == DOCUMENTS[2:]
    assert read_documents(write(tmp_path / "one.txt", WSJ)) == DOCUMENTS[2:]


@pytest.mark.parametrize("topics", [TOPICS, XML])
def test_topics(tmp_path, topics):
    path = write(tmp_path / "topics.txt", topics)
    wanted = {str(number): text for number, text in ASKED}
    assert read_queries(path) == wanted
    assert {query.id: query.text for _, query in stream_queries(path)} == wanted
    other = {"query": "desc" if topics == TOPICS else "question"}
    found = [query.text for _, query in stream_queries(path, columns=other)]
    assert found[0] == ("A relevant document names prey." if topics == TOPICS else "What do they chase?")


@pytest.mark.parametrize(
    ("name", "lines"), [("q.txt", "51\twhat do\n2\twhen: do\n"), ("queries.web", "51:what do\n2:when: do\n")]
)
def test_lines_of_ids_and_texts(tmp_path, name, lines):
    path = write(tmp_path / name, "\ufeff" + lines.replace("\n", "\r\n"))
    assert [query for _, query in stream_queries(path)] == [Query("51", "what do"), Query("2", "when: do")]
    write(path, lines + "no query\n")
    with pytest.raises(DataError, match=f"{name}, line 3: is no query"):
        list(stream_queries(path))


@pytest.mark.parametrize("names", [{}, {"topics": "topics.txt", "qrels": "qrels.txt"}, {"qrels": "qrels/all.txt"}])
def test_a_folder_of_a_collection(tmp_path, names):
    judged = read_judged(disk(tmp_path / "disk1", **names))
    assert judged.name == "disk1"
    assert judged.documents == sorted(DOCUMENTS, key=lambda document: document.id)
    assert judged.qrels == JUDGED
    assert judged.queries == {str(number): text for number, text in ASKED}


def test_the_files_themselves(tmp_path):
    folder = disk(tmp_path / "disk1")
    parts = {"documents": folder / "wsj", "queries": folder / "topics.51-100"}
    qrels = write(tmp_path / "some.qrels", "2 0 WT-1 1\n")
    judged = read_judged(qrels, **parts)
    assert (judged.qrels, len(judged.documents)) == ({"2": {"WT-1": 1}}, 2)
    described = read_judged(qrels, **parts, how=Judging(columns={"query": "desc"}))
    assert described.queries == {"2": "dawn"}
    with pytest.raises(DataError, match="columns choose columns of rows, and this is a file of TREC qrels"):
        read_judged(qrels, **parts, how=Judging(columns={"label": "level"}))
    whole = {"qrels": qrels, "queries": parts["queries"], "corpus": folder}
    assert len(read_judged(whole).documents) == 4
    made = prepare_folder(
        [folder / "qrels.51-100.disk1.part1"],
        folder,
        tmp_path / "set",
        queries=parts["queries"],
        miner="none",
        validation=0,
        near=False,
        on={"empty": "drop"},
    )
    assert (made / "manifest.json").is_file()


def test_ms_marco(tmp_path):
    folder = tmp_path / "passages"
    write(folder / "collection.tsv", "".join(f"{row['_id']}\t{row['text']}\n" for row in CORPUS))
    for split in ("train", "dev", "dev.small"):
        write(folder / f"queries.{split}.tsv", "".join(f"{row['_id']}\t{row['text']}\n" for row in QUERIES))
        write(folder / f"qrels.{split}.tsv", "q1\t0\td1\t1\n" if split == "dev" else "q2\t0\td3\t1\n")
    assert read_judged(folder, "dev").qrels == {"q1": {"d1": 1}}
    assert read_judged(folder, "dev.small").qrels == {"q2": {"d3": 1}}
    with pytest.raises(DataError, match=r"no judgements of the split test \(it has: dev \(qrels.dev.small.tsv\), "):
        read_judged(folder)
    documents = tmp_path / "documents"
    rows = [f"{row['_id']}\thttps://{row['_id']}\t{row['title']}\t{row['text']}\n" for row in CORPUS]
    write(documents / "msmarco-docs.tsv", "".join(rows))
    write(documents / "msmarco-test2019-queries.tsv", "q1\tcats\n")
    write(documents / "2019qrels-docs.txt", "q1 Q0 d1 3\nq1 Q0 d2 0\n")
    write(documents / "msmarco-docdev-queries.tsv", "q9\tdogs\n")
    judged = read_judged(documents)
    assert judged.qrels == {"q1": {"d1": 3, "d2": 0}}
    assert [(d.id, d.title, d.text) for d in judged.documents] == [(r["_id"], r["title"], r["text"]) for r in CORPUS]


def test_what_a_folder_lacks_and_a_damaged_first_line(tmp_path):
    folder = disk(tmp_path / "disk1", qrels="qrels.txt")
    for first in ("51 0 FT911-3 0.5", "51 0 FT911-3 99999999999", "51 FT911-3 1"):
        write(folder / "qrels.txt", first + "\n")
        with pytest.raises(DataError, match="qrels.txt, line 1: malformed line"):
            read_judged(folder)
    write(folder / "qrels.txt", QRELS)
    (folder / "topics.51-100").rename(tmp_path / "topics.51-100")
    (folder / "topics.link").symlink_to(tmp_path / "topics.51-100")
    with pytest.raises(DataError, match=r"has judgements \(qrels.txt\), but no queries: .*links out of the folder"):
        read_judged(folder)
    bare = tmp_path / "bare"
    write(bare / "qrels.txt", QRELS)
    write(bare / "topics.txt", TOPICS)
    (bare / "docs").symlink_to(folder)
    with pytest.raises(DataError, match="but no documents: .*--documents DOCUMENTS"):
        read_judged(bare)


def test_several_collections_and_several_files(tmp_path):
    for name in ("ap", "ft"):
        disk(tmp_path / "trec" / name)
    assert [path.name for path in collections_in(tmp_path / "trec")] == ["ap", "ft"]
    write(tmp_path / "trec" / "ap" / "qrels.101-150", QRELS)
    with pytest.raises(DataError, match=r"several files of judgements \(qrels.101-150, qrels.51-.*--queries QUERIES"):
        read_judged(tmp_path / "trec" / "ap")


DOC = "<DOC>\n<DOCNO>A</DOCNO>\n<TEXT>a</TEXT>\n</DOC>\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (DOC + DOC, 5, "two documents have the DOCNO 'A'"),
        (DOC + "<DOC>\n<TEXT>b</TEXT>\n</DOC>\n", 5, "the document has no DOCNO"),
        (DOC + "<DOC>\n<DOCNO>B</DOCNO>\n<TEXT>b", 5, "<DOC> has no </DOC>: the file is damaged or cut short"),
        (DOC + "<DOC>\n<DOCNO>B</DOCNO>\n" + DOC, 5, "<DOC> has no </DOC>"),
    ],
)
def test_faults_of_documents_have_a_line(tmp_path, text, line, what):
    path = write(tmp_path / "docs", text)
    with pytest.raises(DataError, match=what) as error:
        list(read_trec_documents(path))
    assert (error.value.path, error.value.line) == (path, line)


@pytest.mark.parametrize(
    ("topic", "what"),
    [("<top><title>x</top>", "no number"), ("<top><num>1</top>", "'1' has no text"), ("<top>\n<num>1", "no </top>")],
)
def test_faults_of_topics_have_a_line(tmp_path, topic, what):
    with pytest.raises(DataError, match=f"topics, line 1: .*{what}"):
        list(read_topics(write(tmp_path / "topics", topic)))


def test_one_docno_in_two_files_is_refused(tmp_path):
    write(tmp_path / "c" / "one", DOC)
    two = write(tmp_path / "c" / "two", DOC.replace("A", "B") + DOC)
    with pytest.raises(DataError, match="two documents have the DOCNO 'A'") as error:
        read_documents(tmp_path / "c")
    assert (error.value.path, error.value.line) == (two, 5)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, end):
    path = write(tmp_path / "docs", DOC.replace(">a<", ">naïve<").replace("\n", end), encoding)
    if encoding == "latin-1":
        with pytest.raises(DataError, match=r"is not UTF-8 .*name the encoding \(--encoding latin-1"):
            read_documents(path)
    reading = Reading(encoding="latin-1") if encoding == "latin-1" else None
    assert read_documents(path, reading=reading) == [Document("A", "naïve")]


def test_a_collection_in_another_encoding(tmp_path):
    folder = disk(tmp_path / "disk1")
    write(folder / "ft" / "ft911" / "ft911_1", FT.replace("Cats chase", "Cats chasé"), "latin-1")
    with pytest.raises(DataError, match=r"ft911_1, line 11: is not UTF-8"):
        read_judged(folder)
    judged = read_judged(folder, how=Judging(encoding="latin-1"))
    assert judged.documents[0].text.startswith("Cats chasé")


def test_damaged_and_foreign_files(tmp_path):
    folder = disk(tmp_path / "disk1")
    packed = folder / "wsj" / "wsj_0001.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"wsj_0001.gz, line \d+: is damaged or cut short"):
        read_judged(folder)
    with pytest.raises(DataError, match="is damaged or cut short"):
        read_documents(packed)
    packed.unlink()
    secret = write(tmp_path / "secret", DOC.replace("A", "SECRET"))
    (folder / "ft" / "link").symlink_to(secret)
    (folder / "topics.link").symlink_to(write(tmp_path / "private", TOPICS))
    report = DocumentReport()
    assert {document.id for document in read_documents(folder, report=report)} == {"FT911-3", "FT911-4"}
    assert report.skipped["links out of the folder"] == 2
    assert [found.id for _, found in open_source(folder).documents()] == ["FT911-3", "FT911-4"]
    write(folder / "ft" / "ft911_2.Z", "packed")
    with pytest.raises(DataError, match=r"ft911_2.Z: is packed by compress"):
        read_documents(folder)


def test_other_folders_stay_what_they_are(tmp_path):
    for number in range(3):
        write(tmp_path / "manual" / f"{number}.txt", f"Page {number} is longer than a sample.\n" * 20)
    write(tmp_path / "manual" / "sample.txt", DOC)
    assert len(read_documents(tmp_path / "manual")) == 4
    write_jsonl(tmp_path / "rows" / "rows.jsonl", CORPUS)
    assert len(read_documents(tmp_path / "rows")) == 3


def test_a_hostile_file_costs_no_more_than_its_length(tmp_path):
    path = write(
        tmp_path / "docs", "<DOC><DOCNO>A</DOCNO>" + "<TEXT <P><TEXT>" * 100_000 + "</DOC>" + DOC[:5] * 200_000
    )
    tracemalloc.start()
    with pytest.raises(DataError, match="<DOC> has no </DOC>"):
        list(read_trec_documents(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20
