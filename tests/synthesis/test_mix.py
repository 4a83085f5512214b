import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tardif
from tardif.errors import SettingError
from tardif.synthesis import WEIGHTS, parent_of, synthesize
from tardif.synthesis.article import Article, headings
from tardif.text.languages import language
from tardif.text.normal import normalise
from tardif.text.sentences import Vocabulary, count_words, sentences
from tardif.types import Document

ENGLISH = language("en")
SUBJECTS = [
    f"{a}{b}" for a in ("kettle", "lantern", "harbour", "orchard", "violin") for b in ("wheel", "gate", "stone", "lamp")
]
VERBS = ("repair", "measure", "paint", "insulate", "calibrate", "transport")


def guide(number: int) -> Document:
    """A Markdown guide of its own words, with a title, unique and shared headings, a question, and boilerplate."""
    one, two = SUBJECTS[number], SUBJECTS[number - 7]
    verb = VERBS[number % 6]
    text = f"""The {one}s of workshop {number} wear out within seven winters, unless oil covers every hinge of them.
Craftsmen from valley {number} {verb} a worn {one} with resin, copper thread and patience before the frost arrives.
All rights to this guide belong to the workshop and its heirs.

## Removing rust from hinge {number}{one}

Steel wool takes the red dust away when vinegar has soaked the metal for a night beside the {two}.
Dry cloth finishes the work, and a thin coat of wax protects the surface of every {one} for years.

## Maintenance

A calendar on the wall tells when the {two} beside the {one} needs fresh grease and a careful look.
Old grease on the {one} comes off with warm soap water, and a brush reaches the corners of the {verb} bench.

How long does paint on a {one} number {number} last?
Two coats on the {one} survive nine summers in the shade, but only four where the {two} stands in salty wind.
"""
    return Document(f"g{number}", text, f"Caring for a {one} and a {two} after season {number}", {"shelf": number % 3})


GUIDES = [guide(number) for number in range(20)]


ALL = dict.fromkeys(WEIGHTS, 40.0)
"""Weights that draw whatever a document offers."""


def made(documents=GUIDES, **options):
    return synthesize(documents, language=ENGLISH, **{"per_document": 8, "kinds": ALL, **options})


def positive(pair):
    return pair.document or next(document for document in GUIDES if document.id == pair.document_id)


def test_every_kind_is_made_of_a_page_that_has_them_all():
    result = made()
    assert {pair.kind for pair in result.pairs} == set(WEIGHTS)
    queries = {pair.query for pair in result.pairs if pair.parent_id == "g3"}
    assert "Caring for a kettlelamp and a violinwheel after season 3" in queries
    assert "Removing rust from hinge 3kettlelamp" in queries
    assert "How long does paint on a kettlelamp number 3 last?" in queries
    assert (
        "The kettlelamps of workshop 3 wear out within seven winters, unless oil covers every hinge of them" in queries
    )
    # A heading that every page has finds a section only together with its title.
    assert "Caring for a kettlelamp and a violinwheel after season 3 Maintenance" in queries
    assert "Maintenance" not in queries


def test_a_query_is_not_contained_in_its_positive_unless_it_is_kept_on_purpose():
    for pair in made(removed=1.0).pairs:
        if pair.kind != "keyphrases":
            assert normalise(pair.query) not in normalise(positive(pair).content), pair


def test_a_share_of_the_cropped_sentences_stays():
    kept = [
        normalise(pair.query) in normalise(positive(pair).content)
        for pair in made(kinds={"sentence": 40.0}, removed=0.5).pairs
    ]
    assert 0.3 < sum(kept) / len(kept) < 0.7
    assert all(
        normalise(pair.query) in normalise(positive(pair).content)
        for pair in made(kinds=["sentence"], removed=0.0).pairs
    )


def test_the_report_adds_up():
    result = made(limit=50)
    assert len(result.pairs) == 50
    for count in result.counts.values():
        assert count.made == count.kept + sum(count.dropped.values())
    assert sum(count.kept for count in result.counts.values()) == 50
    assert "synthesis: 50 queries made from the documents themselves" in result.report


def test_variants_name_their_parent_and_leave_the_corpus_alone():
    result = made()
    corpus = {document.id: document for document in GUIDES}
    places = dict(result.documents())
    assert len({document.id for document in places.values()}) == len(places)
    for document in places.values():
        assert document.id not in corpus
        assert document.metadata["shelf"] == corpus[parent_of(document)].metadata["shelf"]
    assert parent_of(GUIDES[0]) is None
    for pair, judgement in zip(result.pairs, result.judgements(), strict=True):
        assert (judgement.query, judgement.document_id, judgement.group) == (
            pair.query,
            pair.document_id,
            pair.parent_id,
        )
        assert judgement.role == "positive"


def test_order_of_the_corpus_changes_nothing():
    backwards = made(GUIDES[::-1])
    assert backwards.pairs == made().pairs


SCRIPT = """
import json, sys
sys.path[:0] = {path!r}
from test_mix import made
print(json.dumps([(p.query, p.kind, p.document_id, p.document and p.document.text) for p in made(seed=3).pairs]))
"""


@pytest.mark.parametrize("hash_seed", ["1", "77"])
def test_same_seed_same_bytes_in_another_process(hash_seed):
    path = [str(Path(__file__).parent), str(Path(tardif.__file__).parent.parent)]
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=path)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    )
    here = [(p.query, p.kind, p.document_id, p.document and p.document.text) for p in made(seed=3).pairs]
    assert [tuple(row) for row in json.loads(found.stdout)] == here


def test_another_seed_draws_others():
    assert made(seed=1, per_document=2).pairs != made(seed=2, per_document=2).pairs


def test_a_kind_with_a_small_weight_is_drawn_from_few_documents():
    few, many = made(kinds={"sentence": 0.1}), made(kinds={"sentence": 20.0})
    assert 0 < len({pair.parent_id for pair in few.pairs}) < len(GUIDES) / 2
    assert len({pair.parent_id for pair in many.pairs}) == len(GUIDES)


def test_boilerplate_is_no_query():
    assert not any("All rights" in pair.query for pair in made().pairs)
    assert made().counts["sentence"].dropped["stand in other documents too"]


def clinic(number, part):
    """A page on a disease that several pages tell of; its sentences say "this disorder"."""
    name = f"{SUBJECTS[number]} fever"
    texts = {
        "signs": f"This disorder begins with swollen {SUBJECTS[number - 3]} glands and a pale tongue in case {number}. "
        f"Most people with it lose their sense of {SUBJECTS[number - 5]} after seven weeks of weakness.",
        "cure": f"Rest beside a warm {SUBJECTS[number - 4]} helps nine people in ten within {number} months of autumn. "
        f"Doctors give them a bitter syrup of {SUBJECTS[number - 6]} roots every evening before they sleep.",
    }
    return Document(f"{number}-{part}", texts[part], name)


def test_a_name_that_several_documents_tell_of_stays_in_query_and_positive():
    clinics = [clinic(number, part) for number in range(20) for part in ("signs", "cure")]
    result = made(clinics)
    assert {pair.kind for pair in result.pairs} >= {"title", "summary"}
    for pair in result.pairs:
        name = normalise(next(page.title for page in clinics if page.id == pair.parent_id))
        whole = pair.document or next(page for page in clinics if page.id == pair.document_id)
        if pair.kind in ("title", "summary", "sentence"):
            assert name in normalise(pair.query), pair
            assert normalise(pair.query) != name, pair
        assert name in normalise(whole.content), pair


def test_a_title_of_the_whole_collection_is_no_name():
    pages = [replace(page, title="Workshop handbook") for page in [guide(number % 20) for number in range(20)] * 3]
    pages = [replace(page, id=f"{n}", text=f"{page.text}\nPage {n}.") for n, page in enumerate(pages)]
    assert not any("handbook" in pair.query for pair in made(pages, kinds={"title": 40.0, "summary": 40.0}).pairs)


def test_documents_with_the_same_text_count_once():
    twins = [*GUIDES, *(Document(f"z{d.id}", d.text, d.title, d.metadata) for d in GUIDES)]
    result = made(twins)
    assert result.copies == 20
    assert result.pairs == made().pairs


def test_equal_queries_are_made_one():
    body = "Nobody knows how the {} engine of the old ferry was built. It ran for {} years without any repair at all."
    pages = [Document(f"p{n}", f"What powers the ferry?\n{body.format(n, n)}") for n in range(2)]
    result = synthesize(pages, language=ENGLISH, kinds=["question"])
    assert not result.pairs  # it stands in both: neither is its answer
    assert result.counts["question"].dropped == {"stand in other documents too": 2}


def test_docstrings_give_their_summary():
    code = '''import os

# No heading stands in a comment, whatever it looks like to Markdown.

def join(first, second):
    """Join two tables on their common key.

    Rows without a partner in the second table are dropped, unless an option keeps them; the order
    of the first table is kept as it is.
    """
    return first
'''
    (pair,) = synthesize([Document("m.py", code)], language=ENGLISH).pairs
    assert pair.query == "Join two tables on their common key"
    assert pair.document is not None
    assert pair.document.text.startswith("Rows without a partner")


def test_headings_of_every_style_are_found_and_code_is_not():
    text = (
        "# Top\n\nIntro words stand here.\n\n## 2.1 *Second* one ##\nBody.\n\nThird\n-----\nBody.\n\n"
        "```\n# no heading\n```\n\nA plain heading\n\nThis paragraph has more than eight words, as a section has.\n"
    )
    article = Article(Document("a", text), 100)
    assert article.title == "Top"
    assert [section.heading for section in article.sections] == ["Second one", "Third", "A plain heading"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Dr. Smith, e.g. J. Doe, left. He ran! Why?", ["Dr. Smith, e.g. J. Doe, left.", "He ran!", "Why?"]),
        ("no capitals here . only stops .", ["no capitals here .", "only stops ."]),
        ("Pi is 3.14 today. Good.", ["Pi is 3.14 today.", "Good."]),
        ("我喜欢茶。你呢？他说：“好！”走了。", ["我喜欢茶。", "你呢？", "他说：“好！”", "走了。"]),
        ("यह पहला वाक्य है। यह दूसरा है।", ["यह पहला वाक्य है।", "यह दूसरा है।"]),
        ("هل هذا سؤال؟ نعم.", ["هل هذا سؤال؟", "نعم."]),
        ("- one item\n- two items\n\nNew paragraph", ["one item", "two items", "New paragraph"]),
    ],
)
def test_sentences(text, parts):
    assert [text[start:end] for start, end in sentences(text)] == parts


def test_words_of_scripts_with_marks_and_without_spaces():
    hindi = Vocabulary(language("bn"))  # no stemmer: words as they stand
    assert hindi.terms("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
    assert Vocabulary(language("zh")).terms("机器学习 AI") == ["机器", "器学", "学习", "ai"]
    assert count_words("机器学习 is fun") == 4


CHINESE = (
    "高山茶园位于海拔{n}百米的山坡上，出产有名的{n}号绿茶。当地农民每年春天采摘{n}号绿茶的嫩叶，并用铁锅炒制{m}分钟。"
    "炒好的{n}号绿茶颜色翠绿，香气持久，泡在热水中慢慢展开。秋天的雨水让{m}号茶园的土壤变得肥沃，山坡上的树根深入岩石。"
)


@pytest.mark.parametrize("code", ["zh", "ja", "th", "hi", "de", "sw"])
def test_languages_with_few_tools(code):
    words = {"zh": CHINESE, "ja": CHINESE.replace("的", "の")}.get(code)
    numerals = "甲乙丙丁戊己庚辛"
    if words is None:
        words = (
            "Gari la kijani {n} limesimama karibu na mto mrefu wa {m}. Watoto wanacheza mpira {m} pamoja na wazee wao. "
            "Mvua kubwa {n} ilinyesha usiku kucha juu ya mlima wa {m}. Wakulima {m} wanapanda mahindi mapya leo."
        )
        numerals = [f"{letter}{letter}uku" for letter in "bdfgklmn"]
    pages = [
        Document(f"d{n}", words.format(n=numerals[n], m=numerals[(3 * n + 1) % 8]), f"{numerals[n]} {numerals[n]}x")
        for n in range(8)
    ]
    result = synthesize(pages, language=language(code), passage_words=200)
    assert {"sentence", "summary"} <= {pair.kind for pair in result.pairs}


def test_odd_texts_do_no_harm():
    odd = [
        "",
        " ",
        "\n\n\n",
        "#",
        "# \n# \n",
        "```",
        '"""',
        "'''a'''",
        "?",
        "\x00",
        "a" * 5000,
        "。。。",
        "=\n=",
    ]
    result = synthesize([Document(f"o{n}", text, text[:3]) for n, text in enumerate(odd)], language=ENGLISH)
    assert result.pairs == []


@pytest.mark.parametrize(
    "options",
    [{"kinds": ["titel"]}, {"kinds": []}, {"kinds": {"title": 0}}, {"per_document": 0}, {"limit": 0}, {"removed": 2}],
)
def test_options_that_cannot_be_used(options):
    with pytest.raises(SettingError):
        made(**options)


def test_documents_may_come_one_by_one():
    with pytest.raises(SettingError, match="documents='text': give a list"):
        synthesize("text", language=ENGLISH)
    assert made(iter(GUIDES[:3])).pairs == made(GUIDES[:3]).pairs


def test_only_line_ends_end_a_line_of_a_text():
    text = "# One\u2028two\n\nA line\x0bthat\x0cgoes\x1con\x85here.\r\n\r# Three\rand more"
    found = headings(text)
    assert [text[start:end] for _, start, end in found] == ["# One\u2028two\n", "# Three\r"]
