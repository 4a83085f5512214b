"""What sites lay their pages out with is no text: permalinks, buttons, edit links, and Markdown's signs are gone."""

import re
from pathlib import Path

import pytest

from tardif.data.documents import read_documents
from tardif.data.extraction.markdown import MarkdownConverter, read_markdown
from tardif.synthesis import synthesize
from tardif.synthesis.article import plain
from tardif.synthesis.candidate_filter import is_prose
from tardif.text.languages import language

PAGES = Path(__file__).parent / "pages"
FURNITURE = re.compile(
    r"¶|🔗|§|\u200b|#$|\[source\]|\[edit\]|\[1\]|Edit |View page|\bCopy\b|Copyright|Next", re.MULTILINE
)

HEADINGS = {
    "sphinx.html": ("Installing the widget", ["Requirements"]),
    "mkdocs.html": ("Getting started", ["First steps"]),
    "docusaurus.html": ("Routing", ["Dynamic routes"]),
    "github.html": ("Tool", ["Install"]),
    "mediawiki.html": ("Tide", ["Characteristics"]),
}
CODE = {
    "sphinx.html": "import widget\n# a comment\nif a < b:\n    widget.run()\n",
    "mkdocs.html": "gadget new my-gadget\ncd my-gadget  # the folder\n",
    "docusaurus.html": "route('/a/{id}')\n  .to(handler)",
    "github.html": "pip install tool # or pipx\n",
}


@pytest.mark.parametrize("name", HEADINGS)
def test_a_page_is_its_words_and_its_code(name):
    pytest.importorskip("trafilatura", exc_type=ImportError)
    (document,) = read_documents(PAGES / name)
    title, headings = HEADINGS[name]
    assert document.title == title
    assert not FURNITURE.search(document.text)
    assert document.outline is not None and [words for _, _, words in document.outline.headings] == headings
    assert CODE.get(name, "") in document.text + "\n"


def test_a_fragment_without_main_text_is_pruned_too(tmp_path):
    pytest.importorskip("trafilatura", exc_type=ImportError)
    (tmp_path / "a.html").write_text("<h2>Use<a class='headerlink' href='#u'>¶</a></h2>", encoding="utf-8")
    (document,) = read_documents(tmp_path / "a.html")
    assert document.text == "Use"


MARKDOWN = """# Title with code

Some bold and emph and code_x and link and https://auto.link, label,
os.path.join, snake_case_name, 2 * 3 * 4, abc. Footnote Ctrl & more* line
next.

Look here

The body of it.

    # not a heading
    x = a[b](c)

Back."""


def test_markdown_is_its_words_headings_and_code():
    found = read_markdown((PAGES / "generators.md").read_text(encoding="utf-8"))
    assert found.title == "The big page"
    assert found.text.startswith(f"A cat\n\n{MARKDOWN}")
    prose = "\n".join(line for line in found.text.split("\n") if not line.startswith("    "))
    assert not re.search(r"\*\*|`|\]\(|¶|<|\{|:::|!!!|\[!|&amp;|figure|import|class|ref\]", prose)
    for kept in ("hidden text", "Linux", "Take care", "quoted text", "  - inner b", 'echo "hi"   # keep', "x | y"):
        assert kept in found.text
    assert "MyST text\n\nMore\n\nHidden inside." in found.text and found.text.endswith("wiki text and Other  ok")


def test_code_in_markdown_keeps_every_character():
    code = "def f(a):\n\n    return a['**x**']  # `y` <b> [z](u) &amp;\n\t{% raw %}"
    for source in (f"```py\n{code}\n```", f"- item\n\n  ~~~\n  {code.replace(chr(10), chr(10) + '  ')}\n  ~~~"):
        kept = read_markdown(source).text
        assert [line.strip() for line in code.split("\n") if line.strip()] == [
            line.strip() for line in kept.split("\n") if line.strip() and line.strip() != "- item"
        ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[text][ref] and ![alt](x.png)", "[text][ref] and alt"),
        ("a_b_c and `__init__` and 3 * 4", "a_b_c and __init__ and 3 * 4"),
        ("see {ref}`the page <target>` or `x`", "see the page or x"),
        ("plain words", "plain words"),
        ("Overview 🔗", "Overview"),
    ],
)
def test_lines(line, said):
    assert " ".join(MarkdownConverter().inline(line).split()) == said


def test_definitions_of_links_are_used_wherever_they_stand():
    assert read_markdown("See [the page][p] and [q].\n\n[p]: http://x\n[q]: http://y").text == "See the page and q."


def test_long_markdown_is_read_as_it_stands():
    found = read_markdown("**a** " * 500_000)
    assert found.text.startswith("**a**") and "its markup is kept" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("# Making **bread** ¶ {#bread}", "Making bread"),
        ("A [loaf](http://x) needs `flour` &amp; water.[^1]", "A loaf needs flour & water"),
        ("The :ref:`moon <moon>` pulls with :py:func:`~sky.gravity`", "The moon pulls with sky.gravity"),
        ("See {doc}`sea` for <b>tides</b> 🔗", "See sea for tides"),
        ("<p>How do I change&nbsp;it?</p>", "How do I change it?"),
    ],
)
def test_a_row_with_markup_is_asked_for_in_plain_words(text, query):
    assert plain(text) == query


@pytest.mark.parametrize("sign", ["¶", "`code", "**open", "[a](b", "&zzz;", "[^1]", ":role:`x"])
def test_a_query_in_which_a_sign_is_left_is_none(sign):
    words = "How do I change the address of my account"
    assert is_prose(words) and not is_prose(f"{words} {sign}")


def test_made_queries_hold_no_markup(tmp_path):
    pytest.importorskip("trafilatura", exc_type=ImportError)
    corpus = read_documents(PAGES)
    made = synthesize(corpus, language=language("en"), seed=0, limit=None)
    assert made.pairs
    for pair in made.pairs:
        assert not re.search(r"¶|🔗|\*\*|`|\]\(|<[a-z/]|&\w+;|:::|\[source\]|^#", pair.query), pair.query
