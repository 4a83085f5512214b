"""HTML and the like in texts is known from text that looks alike, and taking it out leaves none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.markup import clean_document, markup_in, without_markup
from tardif.data.reading import Reading
from tardif.errors import DataError
from tardif.preparation import prepare, prepare_folder
from tardif.text.normal import normalise, text_id
from tardif.types import Document

CLEANED = [
    ("Tom &amp; Jerry &ndash; 5&nbsp;&euro; &#39;x&#x27;", "Tom & Jerry – 5 € 'x'"),
    ("<p>Hallo</p> <p class='x'>Welt</p>", "Hallo\nWelt"),
    ("eins<br/>zwei <BR> drei<br>vier", "eins\nzwei\ndrei\nvier"),
    ("<ul><li>eins</li><li>zwei</li></ul>", "eins\nzwei"),
    ("<b>fett</b> und <a href='x'>verlinkt</a>", "fett und verlinkt"),
    ("&lt;p&gt;Hi&lt;/p&gt; &amp;amp;lt;3", "Hi\n<3"),
    ("a_x000D_\nb_x0009_c", "a\nb\tc"),
    ("Zeile.\\nZweite.\\n\\n- Dritte\\r\\nVierte", "Zeile.\nZweite.\n- Dritte\nVierte"),
    ("Pass\u00adwort\u200b \uf0b7", "Passwort"),
    ("a<!-- <b> -->b<script>if (a<b) {}</script>", "ab"),
    ("<pre><code>def f():\n    return 1 &lt; 2</code></pre>", "def f():\n    return 1 < 2"),
    ("`<br>` is <br>code", "`<br>` is\ncode"),
    ("<p></p>", ""),
]
TEXT = [
    "List<String> names = new ArrayList<>(); if (a && b || c < d && e > f) {}",
    "vector<b> and Optional<P> and Vec<Label> and <Button>OK</Button>",
    "AT&T; R&D; &copy 2024; x = &foo;",
    r"C:\new\table, \nabla, the \n character and '\r\n' or \"\n\"",
    "use `<div>` and ``&amp;`` and\n```\n<p>&nbsp;</p>\n```",
    "5\u00a0% <3 <- -> <= x<y>z </> <>",
    "snake_x000_case",
]


@pytest.mark.parametrize(("text", "cleaned"), CLEANED)
def test_markup_is_found_and_taken_out(text, cleaned):
    assert markup_in(text)
    assert without_markup(text) == cleaned


@pytest.mark.parametrize("text", TEXT)
def test_text_that_looks_alike_stays(text):
    assert markup_in(text) == ""
    assert without_markup(text) is text


PIECES = st.sampled_from(
    [
        "&",
        "amp;",
        "lt;",
        "gt;",
        "#60;",
        "nbsp;",
        "<",
        ">",
        "/",
        "b",
        "p",
        "br",
        "script",
        "<!--",
        "-->",
        "`",
        "\\n",
        ".",
    ]
    + ["_x000D_", "\u00ad", " ", "\n", "A", "=", "'"]
)


@given(st.lists(PIECES, max_size=30))
def test_cleaning_leaves_nothing_to_clean(pieces):
    text = "".join(pieces)
    cleaned = without_markup(text)
    if not markup_in(cleaned):  # six layers deep it gives up
        assert without_markup(cleaned) == cleaned
    else:
        assert cleaned.count("&") + cleaned.count("<") >= 1


def test_a_made_id_follows_the_text_and_an_own_one_stays():
    raw = "a &amp; b"
    made, own = Document(text_id("d-", raw), raw), Document("7", raw, "T &amp;")
    assert clean_document(made, without_markup) == Document(text_id("d-", "a & b"), "a & b")
    assert clean_document(own, without_markup) == Document("7", "a & b", "T &")


def test_what_nobody_sees_makes_no_other_text():
    assert normalise("Pass\u00adwort\u200b\ufeff") == normalise("passwort")


FAQ = 'Frage;Antwort\n"Tom &amp; wer?";Jerry<br>\nund?;nichts\nTom & wer?;Spike\n'


def faq(tmp_path):
    path = tmp_path / "faq.csv"
    path.write_text(FAQ, encoding="utf-8")
    return path


def plain_prepare(path, **options):
    return prepare([path], miner="none", validation=0.0, near=False, **options)


def test_markup_is_counted_with_an_example_and_kept(tmp_path):
    out = prepare_folder([faq(tmp_path)], None, tmp_path / "set", miner="none", validation=0.0)
    manifest = json.loads((out / "manifest.json").read_text())
    line = next(line for line in manifest["report"] if line.startswith("markup"))
    assert line == (
        "markup: 2 (a text with HTML tags, entities or the like, such as '&amp;' in faq.csv, line 2; keep: --on "
        "markup=clean takes it out)"
    )
    rows = [json.loads(row) for row in (out / "report.jsonl").read_text().splitlines()]
    assert [(row["place"], row["detail"]) for row in rows if row["rule"] == "markup"] == [(2, "&amp;"), (2, "<br>")]


def test_what_is_trained_on_and_what_is_indexed_are_cleaned_alike(tmp_path):
    path = faq(tmp_path)
    found = plain_prepare(path, on={"markup": "clean"})
    assert sorted(found.queries.values()) == ["Tom & wer?", "und?"]
    report = DocumentReport()
    documents = read_documents(path, reading=Reading(on={"markup": "clean"}), report=report)
    assert {document.id: document.text for document in documents} == {
        document.id: document.text for document in found.documents.values()
    }
    assert any(line.startswith("1 texts whose HTML tags") for line in report.lines())
    beside = plain_prepare([("a", "b &amp; c")], documents=path, on={"markup": "clean"})
    assert {document.text for document in beside.documents.values()} == {"b & c", "Jerry", "nichts", "Spike"}
    kept = DocumentReport()
    read_documents(path, report=kept)
    assert any("--on markup=clean" in line and "faq.csv, line 2" in line for line in kept.lines())


def test_markup_can_be_refused(tmp_path):
    for read in (
        lambda path: plain_prepare(path, on={"markup": "refuse"}),
        lambda path: read_documents(path, reading=Reading(on={"markup": "refuse"})),
    ):
        with pytest.raises(DataError, match=r"line 2: a text holds markup \('(&amp;|<br>)'\).*markup=clean.*--on"):
            read(faq(tmp_path))


def test_files_of_text_may_speak_of_markup(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("The tag <br> and &amp; are HTML.", encoding="utf-8")
    report = DocumentReport()
    found = read_documents(tmp_path / "d", reading=Reading(on={"markup": "clean"}), report=report)
    assert "<br>" in found[0].text and not report.notes
